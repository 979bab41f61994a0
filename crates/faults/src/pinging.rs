//! When a client sends PINGREQ.

use std::time::{Duration, Instant};

use ungraceful_rig::attempts::client::Accepted;
use ungraceful_wire::clock::now;

/// The longest interval: well within the Keep Alive of 60 s that our clients ask for.
const PING_EVERY: Duration = Duration::from_secs(20);
/// The shortest interval, however short the broker's Server Keep Alive is.
const PING_AT_MOST_EVERY: Duration = Duration::from_millis(250);

/// When PINGREQ is due on one connection: every half of the Keep Alive in force (MQTT 5.0 [MQTT-3.2.2-21]), whatever else
/// is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pinging {
    every: Duration,
    due_at: Instant,
}

impl Pinging {
    /// For a connection that was just accepted.
    pub(crate) fn new(accepted: &Accepted) -> Self {
        Self::every(every(accepted.server_keep_alive))
    }

    /// Without a Server Keep Alive.
    pub(crate) fn unasked() -> Self {
        Self::every(PING_EVERY)
    }

    /// With this interval.
    pub(crate) fn every(every: Duration) -> Self {
        Self { every, due_at: now() + every }
    }

    /// The time until the next one is due.
    pub(crate) fn left(&self) -> Duration {
        self.due_at.saturating_duration_since(now())
    }

    /// When the next one is due.
    pub(crate) fn due_at(&self) -> Instant {
        self.due_at
    }

    /// Whether one is due; true once for each.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.left().is_zero();
        if is_due {
            self.due_at = now() + self.every;
        }
        is_due
    }
}

fn every(server_keep_alive: Option<Duration>) -> Duration {
    let asked = server_keep_alive.filter(|asked| !asked.is_zero());
    asked.map_or(PING_EVERY, |keep_alive| PING_EVERY.min(keep_alive / 2)).max(PING_AT_MOST_EVERY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pinging, every};

    #[test]
    fn mqtt5_3_2_2_21_pingreq_is_due_every_half_of_the_keep_alive_in_force() {
        assert_eq!(every(Some(Duration::from_secs(1))), Duration::from_millis(500));
        assert_eq!(every(None), Duration::from_secs(20));
        assert_eq!(every(Some(Duration::from_secs(600))), Duration::from_secs(20));
    }

    #[test]
    fn a_sent_pingreq_is_not_due_again_at_once() {
        let mut pinging = Pinging::every(Duration::from_secs(60));
        assert!(!pinging.is_due());
        pinging.due_at = pinging.due_at.checked_sub(Duration::from_secs(61)).unwrap();
        assert!(pinging.is_due() && !pinging.is_due());
    }
}
