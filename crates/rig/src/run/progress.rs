//! The progress of a run: its phase, the waits within it, and what observers are shown meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use ungraceful_record::live::{Live, LiveLoad, Observer};
use ungraceful_record::phase::{Phase, PhaseTrack};
use ungraceful_record::recovery;
use ungraceful_record::scale::micros;

use crate::measure::clock::RunClock;
use crate::run::stop::Stop;

/// How often the run looks whether a phase is over, and after how many looks it is shown.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
const SHOW_EVERY: u32 = 10;

pub(crate) struct Progress<'a> {
    pub(crate) clock: RunClock,
    pub(crate) phases: PhaseTrack,
    pub(crate) stop: Stop,
    /// Shared with the collector, whose figures it shows.
    pub(crate) live: Arc<Mutex<Live>>,
    observer: &'a mut dyn Observer,
}

impl<'a> Progress<'a> {
    /// For a run that has entered no phase yet.
    pub(crate) fn new(clock: RunClock, stop: Stop, live: Live, observer: &'a mut dyn Observer) -> Self {
        Self { clock, phases: PhaseTrack::default(), stop, live: Arc::new(Mutex::new(live)), observer }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.reason().is_some()
    }

    /// Enters `phase`, which lasts `expected` at most. Returns when it began.
    pub(crate) fn enter(&mut self, phase: Phase, expected: Option<Duration>) -> u64 {
        let at_us = self.clock.now_us();
        self.enter_at(at_us, phase, expected);
        at_us
    }

    /// Enters a phase that began, or begins, at `at_us`.
    pub(crate) fn enter_at(&mut self, at_us: u64, phase: Phase, expected: Option<Duration>) {
        self.phases.begin(phase, at_us);
        self.show_with(|live| {
            live.phase = Some(phase);
            live.phase_began_us = at_us;
            live.phase_elapsed_us = 0;
            live.phase_expected_us = expected.map(micros);
        });
    }

    /// Waits for `time`, or until the run stops.
    pub(crate) async fn wait(&mut self, time: Duration) {
        let until_us = self.clock.now_us() + micros(time);
        self.wait_until(|now_us| now_us >= until_us).await;
    }

    /// Waits until `is_over`, or until the run stops; shows the run meanwhile.
    pub(crate) async fn wait_until(&mut self, is_over: impl Fn(u64) -> bool) {
        self.wait_with(|| None, is_over).await;
    }

    /// As [`Self::wait_until`], with the current state of the load.
    pub(crate) async fn wait_with(
        &mut self,
        load: impl Fn() -> Option<LiveLoad>,
        is_over: impl Fn(u64) -> bool,
    ) {
        let mut looks = 0_u32;
        while !self.is_stopped() && !is_over(self.clock.now_us()) {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _reason = self.stop.raised() => {}
            }
            looks += 1;
            if looks.is_multiple_of(SHOW_EVERY) {
                self.show(load());
            }
        }
    }

    fn show(&mut self, load: Option<LiveLoad>) {
        let now_us = self.clock.now_us();
        self.show_with(|live| {
            live.phase_elapsed_us = now_us.saturating_sub(live.phase_began_us);
            if let (Some(now), Some(shown)) = (load, &mut live.load) {
                // All others come from the collector.
                shown.connections_planned = now.connections_planned;
                shown.connections_ready = now.connections_ready;
                shown.connections_failed = now.connections_failed;
                shown.waiting = now.waiting;
            }
        });
    }

    /// Shows the live view after a change.
    fn show_with(&mut self, change: impl FnOnce(&mut Live)) {
        let mut live = lock(&self.live);
        change(&mut live);
        // A copy, so that the collector does not wait for a slow terminal.
        let shown = live.clone();
        drop(live);
        self.observer.view(&shown);
    }

    /// The longest response time of a bystander that is back, by the baseline's p99, or its maximum with too few
    /// samples; absent when the baseline delivered no bystander message.
    pub(crate) fn recovery_limit_us(&self) -> Option<u64> {
        let baseline = lock(&self.live).baseline_response_time;
        Some(recovery::limit_us(baseline.p99_us.or(baseline.max_us)?))
    }
}

fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
