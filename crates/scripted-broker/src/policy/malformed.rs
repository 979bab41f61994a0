//! What the broker does about packets that the standard forbids (MQTT 5.0 section 4.13, MQTT 3.1.1 section 4.8).

use super::name::policy;

policy! {
    /// What the broker does about a malformed packet or a Protocol Error. A second CONNECT, a Topic Filter with a misplaced
    /// wildcard and a Receive Maximum that is exceeded have their own policies; the one for Topic Filters comes first unless it is
    /// `close`.
    enum Malformed {
        /// In MQTT 3.1.1 FIN alone. Before the CONNACK too, except that an unknown level and an empty ClientID with Clean
        /// Session 0 get the CONNACK of MQTT 3.1.1.
        #[default]
        Disconnect => "disconnect", "DISCONNECT with the fitting Reason Code (5.0), then FIN: conforms";
        /// In 3.1.1 that breaks `MQTT 3.1.1 [MQTT-3.1.2-2]` and `[MQTT-3.1.3-8]`.
        Close => "close", "FIN alone: no DISCONNECT, and no CONNACK that refuses a malformed CONNECT";
        /// A malformed CONNECT is accepted with CONNACK 0, under its ClientID if that can be read, as MQTT 5.0 only if its level is
        /// 5. A first packet that is no CONNECT is dropped. Of bytes that form no packet, all that have arrived are dropped. Packets
        /// after DISCONNECT are processed for a second, then comes the FIN.
        Ignore => "ignore", "the packet is dropped, and the Client is served on; a malformed CONNECT is accepted";
        /// As far as the packet can be read; otherwise as `ignore`. A message is delivered as it came, a SUBSCRIBE is granted, and
        /// Packet Identifier 0 is acknowledged. Before CONNECT, PINGREQ is answered, and QoS 0 and 1 are delivered.
        Obey => "obey", "the packet is acted on as if it were legal; a malformed CONNECT is accepted";
        /// As [`SecondConnect::CrashBroker`](crate::SecondConnect::CrashBroker) does. A packet after DISCONNECT has it crash, too.
        CrashBroker => "crash-broker", "the whole broker goes down: no listener, every connection reset";
    }
}
