//! What the broker does when a Client's token expires. The standard has no statement about it.

use std::time::Duration;

use super::name::policy;

policy! {
    /// What the broker does at the `exp` of a JSON Web Token in the Password or the User Name of a CONNECT. It does not check
    /// the signature. A Client that reauthenticates (AUTH, method `JWT`) has the `exp` of its new token.
    enum Expiry {
        /// In MQTT 3.1.1 FIN alone.
        #[default]
        Disconnect => "disconnect", "DISCONNECT E0 02 87 00 (5.0), then FIN, at the token's exp; refused afterwards: conforms";
        DisconnectCode(code: u8) => "disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN; refused afterwards";
        Fin => "fin", "FIN alone; refused afterwards";
        CutAfter(time: Duration) => "cut-after-DURATION", "as `disconnect`, this long after the token's exp";
        DeliverOn => "deliver-on", "connected Clients stay connected; refused afterwards";
        Ignore => "ignore", "tokens are not checked";
    }
}
