//! The run's clock: every instant in a record is microseconds since the run's start, on the monotonic clock; the wall
//! clock is read once, for the time of the start.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use ungraceful_record::scale::micros;
use ungraceful_wire::clock::{at_since_boot, now, since_boot};

/// A run's clock for other processes of the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedClock {
    /// From the machine's start to the run's start.
    origin_since_boot: Duration,
    /// The run's start in µs since 1970.
    started_us: i64,
}

/// The zero of a run's time line.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    origin: Instant,
    started: jiff::Timestamp,
}

impl RunClock {
    /// Starts the time line now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where a run's wall time is read")]
    pub fn start() -> Self {
        let started =
            jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self { origin: now(), started }
    }

    /// The same time line for another process of this machine. It differs by less than a microsecond there, unless one of the two is
    /// interrupted between two readings of its clock.
    #[must_use]
    pub fn shared(&self) -> SharedClock {
        SharedClock { origin_since_boot: since_boot(self.origin), started_us: self.started.as_microsecond() }
    }

    /// The time line of another process of this machine.
    #[must_use]
    pub fn of_shared(shared: SharedClock) -> Self {
        let started = jiff::Timestamp::from_microsecond(shared.started_us);
        Self {
            origin: at_since_boot(shared.origin_since_boot),
            started: started.unwrap_or(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    /// The instant of the run's start.
    #[must_use]
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// The run's start in UTC.
    #[must_use]
    pub fn started(&self) -> jiff::Timestamp {
        self.started
    }

    /// Microseconds from the run's start to `instant`; 0 for instants before it.
    #[must_use]
    pub fn us(&self, instant: Instant) -> u64 {
        micros(instant.saturating_duration_since(self.origin))
    }

    /// Microseconds from the run's start until now.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.us(now())
    }

    /// The instant that lies `us` microseconds after the run's start.
    #[must_use]
    pub fn at(&self, us: u64) -> Instant {
        self.origin + Duration::from_micros(us)
    }
}
