//! Slowness that our own lateness may explain is no violation; slow service after the fault is no recovery.

use ungraceful_record::metric::{Metric, Percentiles};
use ungraceful_record::phase::Phase;
use ungraceful_record::recovery::RecoveryOutcome;
use ungraceful_record::run::{GeneratorRecord, MetricRecord, PhaseRecord, Record};
use ungraceful_record::threshold::Threshold;
use ungraceful_record::verdict::Conclusion::{self, Holds, Inconclusive, Violated};

use crate::run_checks::{bystanders, verdict};

const PACE: &str = "bystanders_keep_their_pace";

/// Times of so many samples.
fn times(p50_us: u64, p99_us: Option<u64>, max_us: u64) -> Percentiles {
    Percentiles { count: 2_000, p50_us: Some(p50_us), p99_us, max_us: Some(max_us), ..Percentiles::default() }
}

/// Bystanders that were served within these times in the baseline, the fault phase, and the recovery phase of two seconds.
fn served([baseline, fault, recovery]: [Percentiles; 3]) -> Record {
    let mut record = bystanders(&[(Phase::Baseline, &[]), (Phase::Fault, &[]), (Phase::Recovery, &[])]);
    let of = record.bystanders.as_mut().expect("the fixture has bystanders");
    for (phase, times) in of.phases.iter_mut().zip([baseline, fault, recovery]) {
        phase.response_time = times;
    }
    record.phases = vec![PhaseRecord { phase: Phase::Recovery, began_us: 0, ended_us: 2_000_000 }];
    record
}

/// The fault phase's times are the second, and these are ours.
fn slow_beside(fault: Percentiles, own: Percentiles) -> Record {
    let mut record = served([times(1_000, Some(2_000), 4_000), fault, times(1_000, Some(2_000), 4_000)]);
    record.metrics = vec![
        MetricRecord { metric: Metric::ScheduleSlip, phase: Phase::Fault, percentiles: own },
        MetricRecord { metric: Metric::LoopLag, phase: Phase::Fault, percentiles: times(1, Some(1), 1) },
    ];
    record
}

fn concluded(threshold: &str, record: &Record) -> Conclusion {
    threshold.parse::<Threshold>().expect("a threshold").judge(record).conclusion
}

#[test]
fn a_threshold_missed_by_our_own_lateness_is_inconclusive() {
    let fault = times(40_000, Some(900_000), 2_700_000);
    for (own, threshold, expected) in [
        (times(10, Some(20), 30), "bystander p(99)<50ms", Violated),
        (times(10, Some(20), 30), "bystander p(99)<1s", Holds),
        (times(10, Some(880_000), 30), "bystander p(99)<50ms", Inconclusive),
        // Too few samples: the maximum decides.
        (times(10, None, 2_690_000), "bystander p(99)<50ms", Inconclusive),
        // Late now and then is no excuse for half of all, nor a millisecond for forty.
        (times(10, Some(880_000), 2_690_000), "bystander p(50)<20ms", Violated),
        (times(1_000, Some(880_000), 2_690_000), "bystander p(50)<20ms", Violated),
        (times(10, Some(20), 2_690_000), "bystander max<50ms", Inconclusive),
        (times(10, Some(20), 2_690_000), "bystander p(99)<50ms", Violated),
        (times(10, Some(897_000), 30), "bystander p(99)<2x baseline", Inconclusive),
        // Our lateness may be three times in one response.
        (times(10, Some(284_000), 30), "bystander p(99)<50ms", Inconclusive),
        (times(10, Some(283_000), 30), "bystander p(99)<50ms", Violated),
        // A claim that the broker is slow is not kept by our own lateness either.
        (times(10, Some(880_000), 30), "bystander p(99)>50ms", Inconclusive),
        (times(10, Some(20), 30), "bystander p(99)>50ms", Holds),
    ] {
        assert_eq!(concluded(threshold, &slow_beside(fault, own)), expected, "{threshold}: {own:?}");
    }
}

#[test]
fn slow_service_counts_when_our_own_lateness_does_not_explain_it() {
    let fault = times(1_500, Some(90_000), 95_000);
    let theirs = verdict(&slow_beside(fault, times(10, Some(500), 900)), PACE);
    assert!(
        theirs.differs.as_deref().is_some_and(|note| note.contains("more slowly during the fault")),
        "{theirs:?}"
    );
    for ours in [
        // Within what the user bears with, and beyond it.
        slow_beside(fault, times(10, Some(60_000), 70_000)),
        Record {
            generator: GeneratorRecord {
                bottlenecks: vec!["late".into()],
                ..slow_beside(fault, fault).generator
            },
            ..slow_beside(fault, times(10, Some(60_000), 70_000))
        },
        // With too few samples the maximum decides.
        slow_beside(fault, times(10, None, 70_000)),
        // Late three times: when a message is sent, when its PUBREC is read, and when its delivery is.
        slow_beside(fault, times(10, Some(30_000), 30_000)),
    ] {
        let verdict = verdict(&ours, PACE);
        assert_eq!((verdict.conclusion, &verdict.differs), (Inconclusive, &None), "{verdict:?}");
        assert!(verdict.evidence.contains("which may explain all of it"), "{verdict:?}");
    }
    // A generator that was late says nothing against a broker that was in time.
    let in_time = slow_beside(times(1_000, Some(2_500), 4_000), times(10, Some(60_000), 70_000));
    assert_eq!(verdict(&in_time, PACE).conclusion, Holds);
}

#[test]
fn bystanders_without_recovery_did_not_keep_their_pace() {
    let before = times(1_000, Some(2_000), 4_000);
    let mut record = served([before, before, times(1_000, Some(38_000), 50_000)]);
    let of = record.bystanders.as_mut().unwrap();
    (of.recovery_limit_us, of.recovery_time_us) = (Some(7_000), None);
    assert_eq!(RecoveryOutcome::of(&record), Some(RecoveryOutcome::NotRecovered(2_000_000)));
    let not_back = verdict(&record, PACE);
    assert_eq!(
        not_back.differs.as_deref(),
        Some("well-behaved clients had not recovered within the recovery phase of 2.00 s")
    );
    record.bystanders.as_mut().unwrap().recovery_time_us = Some(300_000);
    assert_eq!(
        (RecoveryOutcome::of(&record), verdict(&record, PACE).differs),
        (Some(RecoveryOutcome::After(300_000)), None)
    );
    record.bystanders.as_mut().unwrap().recovery_time_us = None;
    record.phases[0].ended_us = 1_000_000;
    assert_eq!(
        RecoveryOutcome::of(&record),
        Some(RecoveryOutcome::TooShort(1_000_000)),
        "no whole second could be looked at"
    );
    assert_eq!(verdict(&record, PACE).differs, None);
}
