//! The generators of the shards: their lateness together.

use hdrhistogram::Histogram;

use crate::metric::{Histograms, Metric, Percentiles};
use crate::run::{ClockRecord, GeneratorRecord};

use super::Placed;

/// A shard whose generator was the bottleneck is one in the merged record too: its figures are in the sums.
pub(super) fn of(
    placed: &[Placed<'_>],
    histograms: &Histograms,
    seen_late: &Histogram<u64>,
) -> GeneratorRecord {
    let over = |metric| Percentiles::of(&histograms.over_measured_phases(metric));
    let mut sum = GeneratorRecord {
        schedule_slip: over(Metric::ScheduleSlip),
        loop_lag: over(Metric::LoopLag),
        clock: ClockRecord { seen_late: Percentiles::of(seen_late), ..ClockRecord::default() },
        cpu_us: placed.iter().map(|one| one.record().generator.cpu_us).sum(),
        ..GeneratorRecord::default()
    };
    for one in placed {
        let generator = &one.record().generator;
        sum.clock.kernel_stamped += generator.clock.kernel_stamped;
        sum.clock.program_stamped += generator.clock.program_stamped;
        sum.clock.kernel_stamped_ends += generator.clock.kernel_stamped_ends;
        sum.clock.program_stamped_ends += generator.clock.program_stamped_ends;
        sum.attempts_waited_for_a_client += generator.attempts_waited_for_a_client;
        sum.discarded.bytes += generator.discarded.bytes;
        sum.discarded.messages += generator.discarded.messages;
        let named = generator.bottlenecks.iter().map(|why| format!("{}: {why}", one.place.name()));
        sum.bottlenecks.extend(named);
    }
    sum
}
