//! The checks of a subscriber that does not read. Each reads only the record and gives one verdict per case. The standard
//! does not mention slow clients, so no check can be violated.

use ungraceful_record::check::{Check, Finding, Judged};

use super::judging::{counts, missing};
use super::slow_consumer::{CUT, PUBLISHER, Pace, WhenCut};
use crate::judging::{self, evidence_count, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("keeps_qos1_for_the_slow", keeps_qos1_for_the_slow),
    Check::prose("spares_the_publisher", spares_the_publisher),
];

/// No numbered statement: what the broker acknowledged at QoS 1 while the subscriber was connected is delivered, unless the
/// subscriber is cut. At QoS 0 the broker may drop messages.
fn keeps_qos1_for_the_slow(case: &Judged<'_>) -> Option<Finding> {
    if !case.case.variant.ends_with("qos1") {
        return None;
    }
    let counts = counts(case);
    let judged = counts.delivered + missing(&counts);
    let (all, kept) = (evidence_count(case), case.count(CUT, WhenCut::Not));
    let evidence = format!(
        "of {} messages that the broker acknowledged, {} were delivered and {} lost; {} of {all} subscribers were cut",
        counts.acknowledged,
        counts.delivered,
        missing(&counts),
        all - kept.min(all)
    );
    Some(if all == 0 || counts.acknowledged == 0 {
        Finding::inconclusive(no_sample(case))
    } else if missing(&counts) > 0 && kept < all {
        Finding::differs(judged, "the slow subscriber is cut, and its messages are lost with it", evidence)
    } else if missing(&counts) > 0 {
        let note = format!(
            "{} acknowledged messages were lost although the subscriber was not cut",
            missing(&counts)
        );
        // What was delivered had waited for the subscriber to read.
        judging::lost_without_rule(case, note, counts.delivered, evidence)
    } else {
        Finding::holds(judged, evidence)
    })
}

/// No numbered statement: a slow subscriber need not slow its publisher, though a broker may let it.
fn spares_the_publisher(case: &Judged<'_>) -> Option<Finding> {
    let (all, kept) = (case.total(PUBLISHER), case.count(PUBLISHER, Pace::Kept));
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if kept < all {
        let note = "a subscriber that does not read slows its publisher";
        Finding::differs(all, note, case.in_words(PUBLISHER))
    } else {
        Finding::holds(all, format!("{kept} of {all} publishers kept their pace"))
    })
}
