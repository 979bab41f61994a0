//! How late a generator thread runs its own 10 ms tick: the delay that a busy thread adds to every figure.

use std::time::Duration;

use ungraceful_record::metric::Metric;
use ungraceful_record::phase::PhaseTrack;
use ungraceful_wire::clock::now;

use crate::measure::clock::RunClock;
use crate::measure::meter::Meter;
use crate::measure::pacer::Pacer;

const TICK: Duration = Duration::from_millis(10);

/// Ticks and records for as long as the thread lives.
pub(crate) async fn measure(meter: Meter, clock: RunClock, phases: PhaseTrack) {
    let Ok(mut pacer) = Pacer::new() else { return };
    loop {
        let due = now() + TICK;
        let woke = pacer.until(due).await;
        meter.record(Metric::LoopLag, phases.of(clock.us(due)), woke.saturating_duration_since(due));
    }
}
