//! What the broker does on a second CONNECT (`MQTT 5.0 [MQTT-3.1.0-2]`, `MQTT 3.1.1 [MQTT-3.1.0-2]`).

use std::time::Duration;

use super::name::policy;

policy! {
    /// What the broker does on a second CONNECT. MQTT 3.1.1 has no DISCONNECT from a Server, so that none is sent there unless
    /// the policy says otherwise.
    enum SecondConnect {
        /// In MQTT 3.1.1 FIN alone.
        #[default]
        Disconnect => "disconnect", "DISCONNECT E0 02 82 00 (5.0), then FIN: conforms";
        /// There is no Property Length.
        DisconnectShort => "disconnect-short", "DISCONNECT E0 01 82 (5.0), then FIN: conforms";
        DisconnectCode(code: u8) => "disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN";
        DisconnectEvenOn3_1_1 => "disconnect-even-on-3.1.1", "DISCONNECT E0 02 82 00 in 3.1.1 too, then FIN";
        DisconnectThenSilence => "disconnect-then-silence", "DISCONNECT E0 02 82 00 (5.0), then no more answers, and no close";
        Fin => "fin", "FIN alone: conforms";
        Rst => "rst", "RST alone: conforms";
        CloseAfter(time: Duration) => "close-after-DURATION", "no answer for this time (800ms, 2s), then as `disconnect`";
        ServeFor(time: Duration) => "serve-for-DURATION", "keeps serving for this time (800ms, 2s), then as `disconnect`";
        SecondConnackThenServe => "second-connack-then-serve", "a second CONNACK, then keeps serving under the first ClientID";
        SecondConnackThenFin => "second-connack-then-fin", "a second CONNACK, then FIN";
        AdoptSecondClientId => "adopt-second-client-id", "a second CONNACK, then keeps serving under the second ClientID";
        /// That session never expires.
        KeepSessionOfSecondClientId => "keep-session-of-second-client-id", "as `disconnect`, but keeps a session for the second ClientID";
        Ignore => "ignore", "keeps serving as if nothing had happened";
        Silence => "silence", "no more answers, and no close";
        HalfPacketThenFin => "half-packet-then-fin", "E0 05 82, the start of a longer packet, then FIN";
        /// No packet begins with these bytes.
        GarbageThenFin => "garbage-then-fin", "FF FF FF FF FF, then FIN";
        GarbageThenServe => "garbage-then-serve", "FF FF FF FF FF, then keeps serving";
        CrashBroker => "crash-broker", "the whole broker goes down: no listener, every connection reset";
    }
}
