//! The check of a client that obeys every rule. It reads only the record and gives one verdict per case.

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness};

use super::judging::{max, min, range};
use super::quota_leak::{ACKNOWLEDGED, ACKNOWLEDGED_AT_END, RECEIVE_MAXIMUM, SERVED, Served, WINDOW};
use crate::judging::{evidence_count, examples, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] =
    &[Check::prose("serves_a_client_that_keeps_every_rule", serves_a_client_that_keeps_every_rule)
        .by_section(ProtocolVersion::V5, SECTION)];

/// The section of MQTT 5.0 that the client obeys.
const SECTION: &str = "4.9";
/// The one DISCONNECT that names the quota.
const RECEIVE_MAXIMUM_EXCEEDED: &str = "DISCONNECT 0x93";
/// The refusal that names a quota.
const QUOTA_EXCEEDED: &str = "0x97";
/// How many attempts must end alike before an end without a Reason Code is attributed to a count.
const ALIKE_MIN: u64 = 2;

/// MQTT 5.0 section 4.9: a client that stays within Receive Maximum and acknowledges everything is served.
///
/// No numbered statement carries it, so only what has no other explanation is a violation: DISCONNECT 0x93, which names the
/// quota; acknowledgements that stop in every attempt after the same number of messages, while PINGREQ is answered; or, in every
/// attempt, a cut without a Reason Code after as many messages as Receive Maximum, where a quota that is never given back ends.
/// A limit of another kind, such as a rate, ends elsewhere: a note, as is any other Reason Code.
fn serves_a_client_that_keeps_every_rule(case: &Judged<'_>) -> Option<Finding> {
    let all = evidence_count(case);
    let down = case.outcome(Outcome::BrokerDown);
    let acknowledged = range(case, ACKNOWLEDGED).unwrap_or_default();
    let evidence = format!(
        "{}, of {all} clients that stayed within Receive Maximum and answered every acknowledgement; {acknowledged} messages \
         acknowledged; at most {} in flight",
        case.in_words(SERVED),
        max(case, WINDOW).unwrap_or(0),
    );
    let inconclusive = |why: &str| Finding::inconclusive(format!("{evidence}: {why}"));
    let of = |value: Served| case.count(SERVED, value);
    let cut_by = |how: &str| of(Served::Cut(how.to_owned()));
    let all_that = |is_meant: fn(&Served) -> bool| -> u64 {
        case.values(SERVED).filter(|(value, _)| is_meant(value)).map(|(_, count)| count).sum()
    };
    let named = cut_by(RECEIVE_MAXIMUM_EXCEEDED);
    let cut = all_that(|value| matches!(value, Served::Cut(_)));
    let cut_silently = cut_by("FIN") + cut_by("RST");
    let with_another_reason = cut - named - cut_silently;
    Some(if case.total(SERVED) == 0 {
        Finding::inconclusive(no_sample(case))
    } else if of(Served::ToTheEnd) == all && down == 0 {
        Finding::holds(all, evidence)
    } else if down > 0 || case.record.completeness == Completeness::BrokerDown {
        inconclusive("the broker went down")
    } else if is_v5(case) && (named > 0 || of(Served::Stalled) == all && ends_at_one_count(case, all)) {
        Finding::violated_without_number(evidence)
            .with_examples(examples(case, |sequence| !sequence.starts_with("still served")))
    } else if cut_silently == all && is_v5(case) && all >= ALIKE_MIN && ends_at_receive_maximum(case) {
        let at = range(case, ACKNOWLEDGED_AT_END).unwrap_or_default();
        let evidence = format!(
            "{evidence}; each ended after {at}, with a Receive Maximum of {}",
            range(case, RECEIVE_MAXIMUM).unwrap_or_default()
        );
        Finding::violated_without_number(evidence).with_examples(examples(case, |_| true))
    } else if cut_silently > 0 && ends_at_receive_maximum(case) {
        inconclusive(
            "a cut without a reason is attributed to the quota only when every attempt ends after as many messages as \
             Receive Maximum; try --attempts 3",
        )
    } else if cut_silently > 0 {
        let note = "cut without a reason, and not where the quota ends: it may be another limit";
        Finding::differs(all, note, evidence)
    } else if of(Served::Stalled) > 0 && is_v5(case) {
        inconclusive(
            "missing acknowledgements are attributed to the quota only when they stop after the same count in every attempt, of at \
             least two; try a longer --reaction-timeout",
        )
    } else if of(Served::Silent) > 0 {
        inconclusive("a broker that answers nothing may be slow; try a longer --reaction-timeout")
    } else if with_another_reason > 0 {
        let note = "cut with a Reason Code other than that of the quota";
        Finding::differs(all, note, evidence)
    } else if of(Served::Refused(QUOTA_EXCEEDED.to_owned())) == all
        && all >= ALIKE_MIN
        && takes_one_count(case)
    {
        let note = "messages were refused from the same count on, as if the quota were never given back";
        Finding::differs(all, note, evidence)
    } else if all_that(|value| matches!(value, Served::Refused(_))) > 0 {
        Finding::differs(all, "messages were refused because of another limit", evidence)
    } else {
        Finding::differs(all, "not every client was served to the end", evidence)
    })
}

/// Whether the broker acknowledged the same number of messages in every attempt, and not none.
fn takes_one_count(case: &CaseRecord) -> bool {
    min(case, ACKNOWLEDGED).is_some_and(|least| least > 0 && Some(least) == max(case, ACKNOWLEDGED))
}

/// Whether every attempt that ended did so after as many messages as Receive Maximum, give or take those in flight.
fn ends_at_receive_maximum(case: &CaseRecord) -> bool {
    let ends = min(case, ACKNOWLEDGED_AT_END).zip(max(case, ACKNOWLEDGED_AT_END));
    let quota = min(case, RECEIVE_MAXIMUM).zip(max(case, RECEIVE_MAXIMUM));
    let Some(((least, most), (quota_least, quota_most))) = ends.zip(quota) else { return false };
    least >= quota_most && most <= quota_least + max(case, WINDOW).unwrap_or(0)
}

/// Whether enough attempts ended after the same number of messages, give or take those in flight.
fn ends_at_one_count(case: &CaseRecord, all: u64) -> bool {
    let Some((least, most)) = min(case, ACKNOWLEDGED_AT_END).zip(max(case, ACKNOWLEDGED_AT_END)) else {
        return false;
    };
    // A broker that acknowledges nothing at all has another reason.
    all >= ALIKE_MIN && least > 0 && most - least <= max(case, WINDOW).unwrap_or(0)
}
