//! A claim holds by samples that could have failed it, and a verdict says how many these were.

use std::num::NonZeroU64;

use ungraceful_record::check::Finding;
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::phase::Phase;
use ungraceful_record::verdict::{Conclusion, Force, Verdict};

use crate::run_checks::{bystanders, delivered, verdict};

#[test]
fn a_claim_needs_samples_to_hold() {
    let over = |samples| {
        [
            Finding::holds(samples, "all of them").verdict("claim", Force::Must),
            Finding::differs(samples, "late", "all of them").verdict("claim", Force::Prose),
        ]
    };
    for verdict in over(7) {
        assert_eq!((verdict.conclusion, verdict.samples), (Conclusion::Holds, NonZeroU64::new(7)));
    }
    for verdict in over(0) {
        assert_eq!(
            (verdict.conclusion, verdict.samples, verdict.differs),
            (Conclusion::Inconclusive, None, None)
        );
        assert!(verdict.evidence.starts_with("there was nothing to judge"), "{}", verdict.evidence);
        assert!(verdict.evidence.ends_with("all of them"), "what was seen is kept: {}", verdict.evidence);
    }
}

#[test]
fn holds_records_its_samples_and_older_records_are_read() {
    let verdict = Finding::holds(7, "seen").verdict("claim", Force::Must);
    let mut written = serde_json::to_value(&verdict).unwrap();
    assert_eq!(written["samples"], 7);
    written.as_object_mut().unwrap().remove("samples");
    let read: Verdict = serde_json::from_value(written).unwrap();
    assert_eq!((read.conclusion, read.samples), (Conclusion::Holds, None));
    let unclear =
        serde_json::to_value(Finding::inconclusive("unseen").verdict("claim", Force::Must)).unwrap();
    assert!(unclear.get("samples").is_none());
}

#[test]
fn a_single_message_per_bystander_has_no_order() {
    let mut record = bystanders(&[(Phase::Fault, &[(1, delivered(3))])]);
    record.bystanders.as_mut().unwrap().pairs = 3;
    assert_eq!(verdict(&record, "messages_keep_their_order").conclusion, Conclusion::Inconclusive);
    record.bystanders.as_mut().unwrap().pairs = 2;
    let one = verdict(&record, "messages_keep_their_order");
    assert_eq!((one.conclusion, one.samples), (Conclusion::Holds, NonZeroU64::new(1)));
}

#[test]
fn an_unknown_message_is_no_sample() {
    let counts = LedgerCounts {
        offered: 9,
        sent: 9,
        acknowledged: 9,
        delivered: 4,
        unknown: 5,
        ..LedgerCounts::default()
    };
    let arrived = verdict(&bystanders(&[(Phase::Fault, &[(1, counts)])]), "acknowledged_messages_arrive");
    assert_eq!(arrived.samples, NonZeroU64::new(4), "{arrived:?}");
}
