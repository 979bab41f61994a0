//! What happens to the older connection when a CONNECT with its ClientID arrives (`MQTT 5.0 [MQTT-3.1.4-3]`).

use std::time::Duration;

use super::name::policy;

policy! {
    /// What happens to the older connection when a CONNECT with its ClientID arrives. MQTT 3.1.1 has no DISCONNECT from a
    /// Server: none is sent there.
    ///
    /// A late end deals with the end of the older connection again, by ClientID, so that the newcomer loses something. There is
    /// none for a Keep Alive of 0.
    enum TakeOver {
        /// In MQTT 3.1.1 FIN alone.
        #[default]
        Disconnect => "disconnect", "DISCONNECT E0 02 8E 00 (5.0), then FIN: conforms";
        DisconnectCode(code: u8) => "disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN";
        Fin => "fin", "FIN alone";
        Rst => "rst", "RST alone";
        /// Each has what the session had.
        KeepBoth => "keep-both", "the old connection stays, and both are served";
        ServeFor(time: Duration) => "serve-for-DURATION", "both are served for this time, then as `disconnect`";
        RefuseNewcomer => "refuse-newcomer", "the old connection stays; the newcomer gets CONNACK 0x85 (3.1.1: 0x02), then FIN";
        /// As [`Self::Disconnect`] closes it.
        CloseAfter(time: Duration) => "close-after-DURATION", "the newcomer is accepted at once; the old connection gets no more answers, and is closed this much later";
        NewcomerWaits(time: Duration) => "newcomer-waits-DURATION", "as `disconnect`, but the newcomer's CONNACK is delayed by this time";
        LateEndCuts => "late-end-cuts", "as `disconnect`; after 1.5 times the old connection's Keep Alive the newcomer gets FIN";
        /// Breaks `MQTT 5.0 [MQTT-4.1.0-1]` and `MQTT 3.1.1 [MQTT-4.1.0-2]`.
        LateEndUnsubscribes => "late-end-unsubscribes", "as `disconnect`; after 1.5 times the old connection's Keep Alive the newcomer's subscriptions are gone";
        /// Breaks `[MQTT-3.1.2-8]` of both versions.
        LateEndPublishesWill => "late-end-publishes-will", "as `disconnect`; after 1.5 times the old connection's Keep Alive the newcomer's Will is published";
        Silence => "silence", "the old connection gets no more answers, and is never closed";
    }
}
