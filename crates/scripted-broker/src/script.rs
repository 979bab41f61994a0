//! The script of a broker: one choice of each policy. Whoever starts a broker writes one.

use std::num::NonZeroU16;

use crate::policy::{Deliveries, Greeting, SecondConnect, Wills};

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
    /// What happens on a second CONNECT.
    pub second_connect: SecondConnect,
    /// What becomes of Wills.
    pub wills: Wills,
    /// What becomes of Application Messages on their way to subscribers.
    pub deliveries: Deliveries,
    /// The Receive Maximum in the CONNACK, kept to as well: absent, none is sent, which means 65,535. MQTT 5.0 only.
    pub receive_maximum: Option<NonZeroU16>,
}
