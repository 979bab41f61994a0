//! Faults of flow control: negotiated limits exceeded, or acknowledgements withheld.

mod busy;
mod fates;
mod judging;
mod pair;
mod publisher;
mod seen;
mod subscriber;

pub mod offline_queue;
pub mod offline_queue_checks;
pub mod quota_leak;
pub mod quota_leak_checks;
pub mod receive_maximum;
pub mod receive_maximum_checks;
pub mod slow_consumer;
pub mod slow_consumer_checks;
pub mod unacked_subscriber;
pub mod unacked_subscriber_checks;

use std::time::Duration;

use ungraceful_rig::attempts::fault::{AttemptLog, Stage};

use crate::mode::{Mode, mode};

/// The modes of `ungraceful-flood`, the default one first.
pub const MODES: &[&dyn Mode] = &[
    mode::<receive_maximum::Flags>(),
    mode::<quota_leak::Flags>(),
    mode::<unacked_subscriber::Flags>(),
    mode::<offline_queue::Flags>(),
    mode::<slow_consumer::Flags>(),
];

/// The topic of an attempt's messages.
fn topic(stage: &Stage, log: &AttemptLog<'_>) -> String {
    format!("{}/flood/{}", stage.topic_root, log.name())
}

/// The time limit of an attempt that publishes this many messages of `size` bytes: its waits, each as long as the reaction
/// timeout, and the messages at 500 a second and 8 MiB a second. After it the attempt is abandoned.
pub(crate) fn longest(reaction_timeout: Duration, messages: u64, size: u64) -> Duration {
    /// A flood waits a dozen times for a broker that keeps answering, and then for its deliveries.
    const WAITS: u32 = 16;
    /// Waits of fixed length.
    const BESIDES: Duration = Duration::from_secs(15);
    const BYTES_A_MILLISECOND: u64 = 8 * 1024;
    let publishing_ms =
        messages.saturating_mul(2).saturating_add(messages.saturating_mul(size) / BYTES_A_MILLISECOND);
    Duration::from_millis(publishing_ms)
        .saturating_add(reaction_timeout.saturating_mul(WAITS))
        .saturating_add(BESIDES)
}
