//! The cost of a run to the broker's process, from samples. A pure function.

use ungraceful_record::phase::Phase;
use ungraceful_record::run::{BrokerResourcesRecord, PhaseRecord, QuantityRecord};

use crate::broker::process::Usage;
use crate::measure::slope::per_1000;

/// The broker's process at one moment, and the progress of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResourceSample {
    /// In µs since the run's start.
    pub(crate) at_us: u64,
    /// Attempts that had ended.
    pub(crate) attempts_finished: u64,
    pub(crate) usage: Usage,
}

/// The broker's process at the boundaries of phases; absent when it was gone, or the phase never began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourceEdges {
    /// Before the first client of a load connects; absent without a load.
    pub(crate) connecting_began: Option<Usage>,
    pub(crate) baseline_began: Option<Usage>,
    /// For a load, once all its clients are connected.
    pub(crate) fault_began: Option<Usage>,
    pub(crate) fault_ended: Option<Usage>,
    /// With only the honest clients left.
    pub(crate) recovery_ended: Option<Usage>,
}

/// The cost of the run to the broker; absent when its process was never seen. Growth, and what is left behind, are
/// known of one process only, not across a replacement.
#[must_use]
pub(crate) fn resources(
    samples: &[ResourceSample],
    edges: &ResourceEdges,
    phases: &[PhaseRecord],
    was_replaced: bool,
) -> Option<BrokerResourcesRecord> {
    let connected = edges.baseline_began.or(edges.fault_began);
    let seen = [
        edges.connecting_began,
        edges.baseline_began,
        edges.fault_began,
        edges.fault_ended,
        edges.recovery_ended,
    ];
    if samples.is_empty() && seen.iter().all(Option::is_none) {
        return None;
    }
    let fault = phases.iter().find(|phase| matches!(phase.phase, Phase::Fault | Phase::Load));
    let in_fault = |sample: &&ResourceSample| {
        fault.is_some_and(|fault| (fault.began_us..fault.ended_us).contains(&sample.at_us))
    };
    let samples: Vec<ResourceSample> = samples.iter().filter(in_fault).copied().collect();
    let cpu_us = |from: Option<Usage>, to: Option<Usage>| Some(to?.cpu_us.saturating_sub(from?.cpu_us));
    Some(BrokerResourcesRecord {
        samples: samples.len() as u64,
        rss_bytes: of_one(was_replaced, quantity(&samples, edges, |usage| Some(usage.rss_bytes))),
        descriptors: of_one(was_replaced, quantity(&samples, edges, |usage| usage.descriptors)),
        cpu_us_connecting: cpu_us(edges.connecting_began, connected),
        cpu_us_baseline_phase: cpu_us(edges.baseline_began, edges.fault_began),
        cpu_us_fault_phase: cpu_us(edges.fault_began, edges.fault_ended),
    })
}

/// Drops what compares two processes.
fn of_one(was_replaced: bool, quantity: QuantityRecord) -> QuantityRecord {
    if was_replaced { QuantityRecord { change: None, per_1000_attempts: None, ..quantity } } else { quantity }
}

fn quantity(
    samples: &[ResourceSample],
    edges: &ResourceEdges,
    of: fn(&Usage) -> Option<u64>,
) -> QuantityRecord {
    let at = |edge: &Option<Usage>| edge.as_ref().and_then(of);
    // What a load's clients take while connecting belongs to the load.
    let before_fault = at(&edges.connecting_began.or(edges.fault_began));
    let (after_fault, after_recovery) = (at(&edges.fault_ended), at(&edges.recovery_ended));
    let points: Vec<(u64, u64)> =
        samples.iter().filter_map(|sample| Some((sample.attempts_finished, of(&sample.usage)?))).collect();
    let max = points
        .iter()
        .map(|(_, value)| *value)
        .chain(before_fault)
        .chain(at(&edges.fault_began))
        .chain(after_fault)
        .max();
    QuantityRecord {
        before_fault,
        max,
        after_fault,
        after_recovery,
        change: after_recovery.zip(before_fault).and_then(|(end, before)| end.checked_signed_diff(before)),
        per_1000_attempts: per_1000(&points),
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::phase::Phase;
    use ungraceful_record::run::{PhaseRecord, SlopeRecord};

    use super::{ResourceEdges, ResourceSample, resources};
    use crate::broker::process::Usage;

    fn usage(cpu_us: u64, rss_bytes: u64, descriptors: Option<u64>) -> Usage {
        Usage { cpu_us, rss_bytes, descriptors }
    }

    fn phases() -> Vec<PhaseRecord> {
        [(Phase::Baseline, 0, 1_000), (Phase::Fault, 1_000, 2_000), (Phase::Recovery, 2_000, 3_000)]
            .map(|(phase, began_us, ended_us)| PhaseRecord { phase, began_us, ended_us })
            .to_vec()
    }

    fn sample(
        at_us: u64,
        attempts_finished: u64,
        rss_bytes: u64,
        descriptors: Option<u64>,
    ) -> ResourceSample {
        ResourceSample { at_us, attempts_finished, usage: usage(0, rss_bytes, descriptors) }
    }

    #[test]
    fn the_slope_comes_from_samples_of_the_fault_phase() {
        let mut samples: Vec<_> =
            (0..6).map(|n| sample(1_000 + n * 100, n * 10, 5_000 + n * 20, Some(30 + n))).collect();
        // Before and after the phase: neither slope nor maximum may know of these.
        samples.insert(0, sample(999, 0, 999_999, Some(999)));
        samples.push(sample(2_000, 60, 999_999, Some(999)));
        let edges = ResourceEdges {
            connecting_began: None,
            baseline_began: Some(usage(11, 1, Some(1))),
            fault_began: Some(usage(14, 4_900, Some(29))),
            fault_ended: Some(usage(21, 5_200, Some(41))),
            recovery_ended: Some(usage(40, 4_800, Some(28))),
        };
        let record = resources(&samples, &edges, &phases(), false).unwrap();
        assert_eq!(record.samples, 6);
        assert_eq!((record.cpu_us_baseline_phase, record.cpu_us_fault_phase), (Some(3), Some(7)));
        let rss = record.rss_bytes;
        assert_eq!((rss.before_fault, rss.max, rss.after_fault), (Some(4_900), Some(5_200), Some(5_200)));
        assert_eq!((rss.after_recovery, rss.change), (Some(4_800), Some(-100)));
        let slope = |value| Some(SlopeRecord { estimate: value, low: value, high: value, samples: 6 });
        assert_eq!(rss.per_1000_attempts, slope(2_000.0));
        let descriptors = record.descriptors;
        let seen = (descriptors.before_fault, descriptors.max, descriptors.change);
        assert_eq!(seen, (Some(29), Some(41), Some(-1)));
        assert_eq!(descriptors.per_1000_attempts, slope(100.0));
        let replaced = resources(&samples, &edges, &phases(), true).unwrap().rss_bytes;
        assert_eq!((replaced.max, replaced.change, replaced.per_1000_attempts), (Some(5_200), None, None));
    }

    #[test]
    fn the_cost_of_a_load_includes_its_connections() {
        let edges = ResourceEdges {
            connecting_began: Some(usage(5, 1_000, Some(10))),
            baseline_began: None,
            fault_began: Some(usage(25, 3_000, Some(3_010))),
            fault_ended: Some(usage(32, 2_900, Some(3_010))),
            recovery_ended: Some(usage(40, 1_500, Some(10))),
        };
        let record = resources(&[], &edges, &[], false).unwrap();
        assert_eq!((record.cpu_us_connecting, record.cpu_us_fault_phase), (Some(20), Some(7)));
        let rss = record.rss_bytes;
        assert_eq!((rss.before_fault, rss.max, rss.change), (Some(1_000), Some(3_000), Some(500)));
        let descriptors = record.descriptors;
        assert_eq!((descriptors.before_fault, descriptors.max), (Some(10), Some(3_010)));
        let beside_bystanders = ResourceEdges { baseline_began: Some(usage(20, 0, None)), ..edges };
        let record = resources(&[], &beside_bystanders, &[], false).unwrap();
        assert_eq!((record.cpu_us_connecting, record.cpu_us_baseline_phase), (Some(15), Some(5)));
    }

    #[test]
    fn values_that_cannot_be_read_are_absent() {
        let samples: Vec<_> = (0..6).map(|n| sample(1_000 + n, n, 10, None)).collect();
        let record = resources(&samples, &ResourceEdges::default(), &phases(), false).unwrap();
        assert_eq!((record.rss_bytes.max, record.rss_bytes.before_fault), (Some(10), None));
        assert_eq!(record.rss_bytes.change, None);
        let descriptors = record.descriptors;
        assert_eq!((descriptors.max, descriptors.per_1000_attempts), (None, None));
        assert_eq!((record.cpu_us_baseline_phase, record.cpu_us_fault_phase), (None, None));
    }

    #[test]
    fn without_samples_there_is_no_record_and_no_slope() {
        assert_eq!(resources(&[], &ResourceEdges::default(), &phases(), false), None);
        let samples: Vec<_> = (0..9).map(|n| sample(n, n, 10, None)).collect();
        let record = resources(&samples, &ResourceEdges::default(), &[], false).unwrap();
        assert_eq!((record.samples, record.rss_bytes.per_1000_attempts), (0, None));
    }
}
