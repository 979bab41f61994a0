//! What the broker does when a Client reauthenticates: AUTH 0x19 (MQTT 5.0 section 4.12.1).

use super::name::policy;

policy! {
    /// What the broker answers to an AUTH with a new token, from a Client whose CONNECT named the method `JWT`. A token is bad
    /// when it has expired, or when its signature is not the text of one.
    enum Reauthentication {
        #[default]
        Accept => "accept", "AUTH 0x00, and the new token's exp applies; DISCONNECT 0x87, then FIN, for a bad token: conforms";
        /// Nothing expires any more.
        AcceptAnything => "accept-anything", "AUTH 0x00 for a bad token too";
        KeepOldEnd => "keep-old-end", "AUTH 0x00, but the old token's exp applies";
        Refuse => "refuse", "DISCONNECT 0x87, then FIN, whatever the token is";
        Fin => "fin", "FIN alone, whatever the token is";
        /// For ever: breaks `MQTT 5.0 [MQTT-4.12.1-2]`.
        ServeRefused => "serve-refused", "AUTH 0x87 whatever the token is, and the connection stays";
        /// It asks for another step.
        Continue => "continue", "AUTH 0x18; the old token's exp applies";
        Ignore => "ignore", "no answer; the old token's exp applies";
        /// Breaks `MQTT 5.0 [MQTT-4.12.0-5]`.
        OtherMethod => "other-method", "as `accept`, under another method";
    }
}
