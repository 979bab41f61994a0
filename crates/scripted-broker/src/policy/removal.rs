//! What the broker does when an administrator removes a Client's user. The standard has no statement about it.

use super::name::policy;

policy! {
    /// What the broker does when an administrator removes a Client's user: disables or deletes it, or gives it another
    /// password. Commands and answers are those of Mosquitto's dynamic security, and any Client may send them.
    enum Removal {
        /// In MQTT 3.1.1 FIN alone.
        #[default]
        Disconnect => "disconnect", "DISCONNECT E0 02 98 00 (5.0), then FIN; refused afterwards: conforms";
        DisconnectCode(code: u8) => "disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN; refused afterwards";
        Fin => "fin", "FIN alone; refused afterwards";
        Ignore => "ignore", "the command is answered, but nothing is done";
        /// Breaks `MQTT 5.0 [MQTT-3.14.4-1]`.
        DeliverOn => "deliver-on", "DISCONNECT 0x98 (5.0), but the connection stays";
        Readmit => "readmit", "DISCONNECT 0x98 (5.0), then FIN; accepted again afterwards";
        /// Breaks `MQTT 5.0 [MQTT-3.2.2-7]` and `MQTT 3.1.1 [MQTT-3.2.2-5]`.
        ServeRefused => "serve-refused", "DISCONNECT 0x98 (5.0), then FIN; refused afterwards, but served all the same";
        Everyone => "everyone", "every Client except the administrators is disconnected";
        Refuse => "refuse", "the command is answered with an error";
    }
}
