//! What the broker does on the first CONNECT (MQTT 5.0 section 3.1.4).

use std::num::NonZeroU32;
use std::time::Duration;

use ungraceful_mqtt::{ConnectReturnCode, ReasonCode};

use super::name::policy;

policy! {
    /// What the broker does on the first CONNECT.
    enum Greeting {
        #[default]
        Accept => "accept", "accepts every Client of 3.1.1 and 5.0: conforms";
        Refuse(code: ReasonCode) => "refuse-0xNN", "CONNACK with this Reason Code (3.1.1: the Connect Return Code nearest to it), then FIN";
        RefuseWith(v5: ReasonCode, v3_1_1: ConnectReturnCode) => "refuse-0xNN-0xMM", "as `refuse-0xNN`, with 0xMM in 3.1.1";
        Silent => "silent", "accepts the TCP connection, and never sends anything";
        /// A broker that does not know 5.0 takes its properties for a long ClientID, and waits for the rest.
        SilentToV5 => "silent-to-5.0", "accepts 3.1.1, and never answers a CONNECT of 5.0";
        Http => "http", "answers the first bytes with HTTP/1.1 400 Bad Request, then FIN";
        Fin => "fin", "FIN without a CONNACK";
        OnlyV3_1_1 => "only-3.1.1", "accepts 3.1.1; 5.0 gets CONNACK 20 02 00 01 and FIN";
        /// In MQTT 3.1.1 the Connect Return Code nearest to 0x8A.
        BanAfter(connections: NonZeroU32, time: Duration) => "ban-after-N-for-DURATION", "after N CONNECTs of one ClientID, refuses it with 0x8A for this time (800ms, 2s), then starts over";
        AtMost(clients: NonZeroU32) => "at-most-N", "accepts N Clients at a time; FIN without a CONNACK for any more";
        AtMostPerSecond(clients: NonZeroU32) => "at-most-N-per-second", "accepts N CONNECTs a second; 0x9F (3.1.1: 0x03) and FIN for any more";
        OnlyV5 => "only-5.0", "accepts 5.0; 3.1.1 gets FIN";
    }
}
