//! Readings of a case that the flow-control checks share.

use ungraceful_mqtt::statement::{Statement, V5_4_4_0_1, V311_4_3_3_1};
use ungraceful_record::check::{Finding, Judged};
use ungraceful_record::fact::Measure;
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::run::CaseRecord;

use super::fates::{DELIVERED_QOS2, DUPLICATED_QOS2};
pub(super) use crate::judging::{counts, unsettled};
use crate::judging::{examples, no_sample};

/// The largest value of a measure; absent without one.
pub(super) fn max(case: &CaseRecord, measure: Measure) -> Option<u64> {
    case.measured(measure).max
}

/// The smallest value of a measure; absent without one.
pub(super) fn min(case: &CaseRecord, measure: Measure) -> Option<u64> {
    case.measured(measure).min
}

/// The smallest to the largest value of a measure, such as `25` or `20 to 25`; absent without one.
pub(super) fn range(case: &CaseRecord, measure: Measure) -> Option<String> {
    let (min, max) = (min(case, measure)?, max(case, measure)?);
    Some(if min == max { max.to_string() } else { format!("{min} to {max}") })
}

/// A QoS 2 message is delivered once (MQTT 5.0 [MQTT-4.4.0-1], MQTT 3.1.1 [MQTT-4.3.3-1]) on a connection that stays open, to a
/// subscriber that answers everything, from a publisher that sends each message once. A PUBLISH that is repeated within its
/// exchange is no second delivery. No verdict at another QoS.
pub(super) fn qos_2_comes_once(case: &Judged<'_>) -> Option<Finding> {
    if !case.case.variant.ends_with("qos2") {
        return None;
    }
    let (delivered, copies) = (case.measured(DELIVERED_QOS2).sum, case.measured(DUPLICATED_QOS2).sum);
    let evidence = format!(
        "{copies} copies beyond the first, each in its own exchange, of {delivered} messages of QoS 2"
    );
    Some(if delivered == 0 {
        Finding::inconclusive(no_sample(case))
    } else if copies == 0 {
        Finding::holds(delivered, evidence)
    } else if let Some(why) = unsettled(case) {
        let note = "messages of QoS 2 arrived more than once";
        Finding::differs(delivered, note, format!("{evidence}; {why}"))
    } else {
        Finding::violated(evidence).with_examples(examples(case, |_| true))
    })
}

/// The statements of [`qos_2_comes_once`].
pub(super) const QOS_2_ONCE: &[Statement] = &[V5_4_4_0_1, V311_4_3_3_1];

/// Messages that the broker acknowledged, with or without "No matching subscribers", and did not deliver.
pub(super) fn missing(counts: &LedgerCounts) -> u64 {
    counts.lost + counts.without_subscribers
}
