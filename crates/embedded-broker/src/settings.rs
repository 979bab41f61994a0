//! The settings of the embedded broker. The rest is fixed: loopback, memory, no passwords.

use std::num::NonZeroU16;
use std::time::Duration;

/// The settings of an embedded broker; [`Settings::default`] is the target of a run without a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The Receive Maximum that the broker announces in its CONNACK and holds Clients to (MQTT 5.0 §3.2.2.3.3),
    /// in PUBLISH packets of QoS 2 that were not completed yet. Default: 100.
    ///
    /// One more is answered with DISCONNECT 0x93 (Receive Maximum exceeded).
    pub receive_maximum: NonZeroU16,

    /// The longest Session Expiry Interval that the broker grants, and the one of a 3.1.1 Client that connects
    /// with Clean Session 0; in whole seconds, a fraction is dropped. Default: `u32::MAX` seconds, which stands
    /// for "never expires" (MQTT 5.0 §3.1.2.11.2).
    ///
    /// The CONNACK to a Client that asks for more has the granted interval (§3.2.2.3.2).
    pub session_expiry_interval_maximum: Duration,

    /// The process id of the parent that the broker must not outlive. Default: `None`, the parent at the time when
    /// [`serve`](crate::serve) is called.
    ///
    /// Pass the id from the parent where possible: without it, a parent that died between starting this process
    /// and the call of `serve` goes unnoticed until standard input ends.
    pub parent_process: Option<u32>,

    /// The port of 127.0.0.1 to listen on. Default: 0, a free one that the system chooses.
    pub port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            receive_maximum: RECEIVE_MAXIMUM,
            session_expiry_interval_maximum: Duration::from_secs(u64::from(u32::MAX)),
            parent_process: None,
            port: 0,
        }
    }
}

/// Small enough that a flood exceeds it within one write, large enough that well-behaved clients never wait for it.
const RECEIVE_MAXIMUM: NonZeroU16 = NonZeroU16::new(100).expect("100 is not 0");
