//! What a broker is judged by whose subscriber does not read. Each check reads the record alone and gives a verdict for
//! each case. The standard does not mention slow clients, so no check can be violated.

use ungraceful_record::check::{Check, Finding, Judged};

use super::judging::{counts, missing};
use super::slow_consumer::{CUT, PUBLISHER, Pace, WhenCut};
use crate::judging::{self, evidence_count, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("keeps_qos1_for_the_slow", keeps_qos1_for_the_slow),
    Check::prose("spares_the_publisher", spares_the_publisher),
];

/// No numbered statement: what a broker took at QoS 1 while the subscriber was connected is delivered, unless the
/// subscriber is cut. What it drops at QoS 0 is its own affair.
fn keeps_qos1_for_the_slow(case: &Judged<'_>) -> Option<Finding> {
    if !case.case.variant.ends_with("qos1") {
        return None;
    }
    let counts = counts(case);
    let told_of = counts.delivered + missing(&counts);
    let (all, kept) = (evidence_count(case), case.count(CUT, WhenCut::Not));
    let evidence = format!(
        "of {} messages that the broker took, {} were delivered and {} lost; {} of {all} subscribers were cut",
        counts.acknowledged,
        counts.delivered,
        missing(&counts),
        all - kept.min(all)
    );
    Some(if all == 0 || counts.acknowledged == 0 {
        Finding::inconclusive(no_sample(case))
    } else if missing(&counts) > 0 && kept < all {
        Finding::differs(told_of, "the slow subscriber is cut, and its messages go with it", evidence)
    } else if missing(&counts) > 0 {
        let note =
            format!("{} messages were taken and lost, and the subscriber was not cut", missing(&counts));
        // What came had waited for the subscriber to read.
        judging::lost_by_nobodys_rule(case, note, counts.delivered, evidence)
    } else {
        Finding::holds(told_of, evidence)
    })
}

/// No numbered statement: what one subscriber does not read is no reason to slow its publisher, though a broker may.
fn spares_the_publisher(case: &Judged<'_>) -> Option<Finding> {
    let (all, kept) = (case.total(PUBLISHER), case.count(PUBLISHER, Pace::Kept));
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if kept < all {
        let note = "a subscriber that does not read is felt by its publisher";
        Finding::differs(all, note, case.in_words(PUBLISHER))
    } else {
        Finding::holds(all, format!("{kept} of {all} publishers kept their pace"))
    })
}
