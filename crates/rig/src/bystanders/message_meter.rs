//! Measures the bystanders' messages by phase, by wave, and until they are back after the fault.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use ungraceful_record::metric::{Metric, histogram, record};
use ungraceful_record::phase::{Phase, PhaseTrack};
use ungraceful_record::recovery::RecoveryWatch;

use crate::attempts::waves::WaveTrack;
use crate::measure::meter::Meter;

/// Measures the messages of all pairs, each at its due time.
#[derive(Debug)]
pub(crate) struct MessageMeter {
    pub(crate) meter: Meter,
    pub(crate) phases: PhaseTrack,
    pub(crate) recovery: SharedRecoveryWatch,
    pub(crate) waves: WaveMeter,
}

impl MessageMeter {
    /// A message fell due, and was handled `slip` later. Returns its phase.
    pub(crate) fn due(&self, due_us: u64, slip: Duration) -> Phase {
        let phase = self.phases.of(due_us);
        self.meter.record(Metric::ScheduleSlip, phase, slip);
        self.meter.count(phase, |counters| counters.offered += 1);
        self.recovery.with(|watch| watch.offered(due_us));
        self.waves.due(due_us);
        phase
    }

    pub(crate) fn sent(&self, due_us: u64) {
        self.meter.count(self.phases.of(due_us), |counters| counters.sent += 1);
    }

    /// The broker acknowledged it, with this Reason Code.
    pub(crate) fn acknowledged(&self, due_us: u64, code: u8, acknowledge_time: Duration) {
        let phase = self.phases.of(due_us);
        self.meter.count(phase, |counters| counters.acknowledged += u64::from(code < 0x80));
        self.meter.record(Metric::BystanderAcknowledgeTime, phase, acknowledge_time);
    }

    pub(crate) fn delivered(&self, due_us: u64, response_us: u64, service_us: u64) {
        let phase = self.phases.of(due_us);
        let response = Duration::from_micros(response_us);
        self.meter.count(phase, |counters| counters.delivered += 1);
        self.meter.record(Metric::BystanderResponseTime, phase, response);
        self.meter.record(Metric::BystanderServiceTime, phase, Duration::from_micros(service_us));
        self.recovery.with(|watch| watch.delivered(due_us, response_us));
        self.waves.delivered(due_us, response);
    }
}

/// Whether the bystanders are back after the fault: started by the run, fed by the honest thread. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedRecoveryWatch {
    watch: Arc<Mutex<Option<RecoveryWatch>>>,
}

impl SharedRecoveryWatch {
    /// The fault phase has ended: watches for the bystanders to be back within `limit_us`.
    pub(crate) fn begin(&self, began_us: u64, limit_us: u64) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(RecoveryWatch::new(began_us, limit_us));
    }

    /// How long after the fault's end the bystanders were back; absent when they are not yet.
    pub(crate) fn back_after_us(&self, now_us: u64) -> Option<u64> {
        self.with(|watch| watch.back_after_us(now_us)).flatten()
    }

    /// Absent while nothing is watched.
    fn with<T>(&self, act: impl FnOnce(&mut RecoveryWatch) -> T) -> Option<T> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
    }
}

/// The bystanders' messages that fell due in a wave.
#[derive(Clone, Debug)]
pub(crate) struct WaveMessages {
    pub(crate) due: u64,
    pub(crate) response_time: Histogram<u64>,
}

/// The bystanders' messages by the wave in which they fell due.
#[derive(Debug, Default)]
pub(crate) struct WaveMeter {
    track: WaveTrack,
    waves: RefCell<Vec<WaveMessages>>,
}

impl WaveMeter {
    pub(crate) fn new(track: WaveTrack) -> Self {
        Self { track, ..Self::default() }
    }

    fn due(&self, due_us: u64) {
        self.with(due_us, |wave| wave.due += 1);
    }

    fn delivered(&self, due_us: u64, response: Duration) {
        self.with(due_us, |wave| record(&mut wave.response_time, response));
    }

    fn with(&self, due_us: u64, act: impl FnOnce(&mut WaveMessages)) {
        let Some(number) = self.track.of(due_us) else { return };
        let mut waves = self.waves.borrow_mut();
        while waves.len() <= number {
            waves.push(WaveMessages { due: 0, response_time: histogram() });
        }
        act(&mut waves[number]);
    }

    /// Takes what was measured, in the order of the waves.
    pub(crate) fn take(&self) -> Vec<WaveMessages> {
        self.waves.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SharedRecoveryWatch, WaveMeter};
    use crate::attempts::waves::WaveTrack;

    #[test]
    fn a_message_counts_for_the_wave_in_which_it_fell_due_and_for_no_other() {
        let track = WaveTrack::default();
        let meter = WaveMeter::new(track.clone());
        meter.due(5);
        for (began_us, ended_us) in [(10, 20), (30, 40)] {
            track.begin(began_us);
            track.end(ended_us);
        }
        for due_us in [15, 25, 30, 35] {
            meter.due(due_us);
        }
        meter.delivered(35, Duration::from_millis(1));
        let seen: Vec<_> = meter.take().iter().map(|wave| (wave.due, wave.response_time.len())).collect();
        assert_eq!(seen, [(1, 0), (2, 1)]);
    }

    #[test]
    fn no_bystander_is_back_before_the_watch() {
        let watch = SharedRecoveryWatch::default();
        assert_eq!(watch.back_after_us(10_000_000), None);
    }
}
