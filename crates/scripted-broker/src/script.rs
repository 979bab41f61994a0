//! The script of a broker: one choice of each policy. Whoever starts a broker writes one.

use std::num::{NonZeroU16, NonZeroU32};

use ungraceful_mqtt::QoS;

use crate::policy::{
    ConnectWait, Deliveries, Expiry, Flow, Greeting, KeepAlive, OfflineQueue, Pubacks, Readmission,
    Reauthentication, Removal, Retained, Rights, SecondConnect, Sessions, SlowReader, Stall, SubscriberFlow,
    TakeOver, Wills,
};

/// How a broker behaves; the default conforms. The policies are independent of each other.
///
/// ```
/// use ungraceful_scripted_broker::{Script, SecondConnect, Wills};
///
/// let script = Script { second_connect: SecondConnect::Ignore, ..Script::default() };
/// assert_eq!(script.wills, Wills::Publish);
/// assert_eq!("ignore".parse(), Ok(script.second_connect));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Script {
    /// What happens on the first CONNECT.
    pub greeting: Greeting,
    /// How long a CONNECT is waited for.
    pub connect_wait: ConnectWait,
    /// Whether a Client that comes back is let in again.
    pub readmission: Readmission,
    /// What happens on a second CONNECT.
    pub second_connect: SecondConnect,
    /// What happens to the older connection when a CONNECT with its ClientID comes.
    pub take_over: TakeOver,
    /// What becomes of a session when its Client comes back.
    pub sessions: Sessions,
    /// What becomes of Wills.
    pub wills: Wills,
    /// What becomes of retained messages.
    pub retained: Retained,
    /// What a Client may do with topics, and which QoS is served.
    pub rights: Rights,
    /// What becomes of Application Messages on their way to subscribers.
    pub deliveries: Deliveries,
    /// What happens past the Receive Maximum that the CONNACK told.
    pub flow: Flow,
    /// Whether and when QoS 1 is acknowledged.
    pub pubacks: Pubacks,
    /// How the Client's Receive Maximum is kept to.
    pub subscriber_flow: SubscriberFlow,
    /// How much is kept for a session without a connection.
    pub offline_queue: OfflineQueue,
    /// What happens to a Client that does not read.
    pub slow_reader: SlowReader,
    /// When a Client that says nothing is closed.
    pub keep_alive: KeepAlive,
    /// Whether the whole broker stops for a while.
    pub stall: Stall,
    /// What happens when an administrator removes a Client's user.
    pub removal: Removal,
    /// What happens when a Client's token runs out.
    pub expiry: Expiry,
    /// What happens when a Client authenticates itself anew. MQTT 5.0 only.
    pub reauthentication: Reauthentication,
    /// The Receive Maximum in the CONNACK, kept to as well: absent, none is sent, which means 65,535. MQTT 5.0 only.
    pub receive_maximum: Option<NonZeroU16>,
    /// The Server Keep Alive in the CONNACK in seconds, kept to as well: absent, none is sent, and the Client's holds.
    /// MQTT 5.0 only.
    pub server_keep_alive_s: Option<u16>,
    /// The Maximum QoS in the CONNACK, kept to as well: absent or QoS 2, none is sent. MQTT 5.0 only.
    pub maximum_qos: Option<QoS>,
    /// The Maximum Packet Size in the CONNACK in bytes, kept to as well: absent, none is sent, and every packet is taken.
    /// MQTT 5.0 only.
    pub maximum_packet_size: Option<NonZeroU32>,
}
