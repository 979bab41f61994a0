//! The checks of a re-authentication. Each reads only the record, and gives a verdict for each case.

use ungraceful_mqtt::statement::{V5_4_12_0_5, V5_4_12_1_2};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::FactOf;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::verdict::Force;

use super::token::Variant;
use super::{
    AFTER_FAILURE, AfterFailure, METHOD_IN_AUTH, METHOD_IN_CONNACK, Method, PAST_FIRST_TOKEN, PastFirstToken,
    REAUTHENTICATION, Reauthentication,
};
use crate::judging::{evidence_count, no_sample, served_on};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("accepts_the_renewed_token", accepts_the_renewed_token).on(renews),
    Check::prose("serves_past_the_first_token", serves_past_the_first_token).on(renews),
    Check::prose("refuses_a_spoilt_token", refuses_a_spoilt_token).on(spoils),
    Check::must("closes_after_failed_reauthentication", &[V5_4_12_1_2], closes_after_failed_reauthentication)
        .on(|case| renews(case) || spoils(case)),
    Check::must("keeps_the_method", &[V5_4_12_0_5], keeps_the_method).on(|case| renews(case) || spoils(case)),
];

/// Why an answer of AUTH 0x18 allows no conclusion, whatever the broker does to the client then.
const MORE_STEPS: &str = "the broker goes on with AUTH 0x18 (Continue authentication), which requires another step of its \
                          method; this client only sends a token: try a method with one step with --auth-method";

fn renews(case: &CaseRecord) -> bool {
    case.case.variant == Variant::Reauthenticate.name()
}

fn spoils(case: &CaseRecord) -> bool {
    case.case.variant == Variant::ReauthenticateSpoilt.name()
}

/// How many clients have this fact, and its values with their numbers, as text.
fn values<V>(case: &CaseRecord, fact: FactOf<V>) -> (u64, String) {
    match case.total(fact) {
        0 => (0, "unknown".to_owned()),
        all => (all, case.in_words(fact)),
    }
}

/// MQTT 5.0 section 4.12.1 (prose): the Server answers with AUTH 0x00, or 0x18 when it needs another step.
fn accepts_the_renewed_token(case: &Judged<'_>) -> Option<Finding> {
    let (all, words) = values(case, REAUTHENTICATION);
    let count = |answer| case.count(REAUTHENTICATION, answer);
    let (success, more) = (count(Reauthentication::Success), count(Reauthentication::Continue));
    let evidence = format!("{all} clients sent AUTH 0x19 with a renewed token; the answers: {words}");
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if success + more < all {
        let note = format!("{} of {all} renewed tokens were not accepted", all - success - more);
        Finding::differs(all, note, evidence)
    } else if more > 0 {
        Finding::inconclusive(format!("{evidence}; {MORE_STEPS}"))
    } else {
        Finding::holds(all, evidence)
    })
}

/// No numbered statement: a re-authenticated client is served beyond the end of its first token.
fn serves_past_the_first_token(case: &Judged<'_>) -> Option<Finding> {
    let (all, words) = values(case, PAST_FIRST_TOKEN);
    let count = |past| case.count(PAST_FIRST_TOKEN, past);
    let (served, unknown) = (count(PastFirstToken::Served), count(PastFirstToken::NotAnswered));
    let cut = all - served - unknown;
    let evidence = format!(
        "{all} clients after the end of their first token, with a successful re-authentication: {words}"
    );
    Some(if evidence_count(case) == 0 {
        Finding::inconclusive(no_sample(case))
    } else if all == 0 {
        let why = match case.count(REAUTHENTICATION, Reauthentication::Continue) {
            0 => "no re-authentication succeeded".to_owned(),
            _ => format!("no re-authentication was completed: {MORE_STEPS}"),
        };
        Finding::inconclusive(why)
    } else if cut > 0 {
        Finding::differs(all, format!("CUT ALTHOUGH RENEWED: {cut} of {all} clients"), evidence)
    } else if unknown > 0 {
        Finding::inconclusive(evidence)
    } else {
        Finding::holds(all, evidence)
    })
}

/// No numbered statement defines which tokens are valid.
fn refuses_a_spoilt_token(case: &Judged<'_>) -> Option<Finding> {
    let (all, words) = values(case, REAUTHENTICATION);
    let count = |answer| case.count(REAUTHENTICATION, answer);
    let (success, more) = (count(Reauthentication::Success), count(Reauthentication::Continue));
    let nothing = count(Reauthentication::Nothing);
    let evidence = format!("{all} clients sent AUTH 0x19 with a spoilt token; the answers: {words}");
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if success > 0 {
        Finding::differs(all, format!("{success} of {all} spoilt tokens were accepted"), evidence)
    } else if nothing > 0 {
        Finding::differs(all, format!("{nothing} of {all} spoilt tokens had no answer"), evidence)
    } else if more > 0 {
        Finding::inconclusive(format!("{evidence}; {MORE_STEPS}"))
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 [MQTT-4.12.1-2]: after a failed re-authentication, the connection is closed; DISCONNECT is a SHOULD. Violated only
/// where the broker itself reported the failure, and served the client until the end of the watch. No verdict where none failed.
fn closes_after_failed_reauthentication(case: &Judged<'_>) -> Option<Finding> {
    if evidence_count(case) == 0 {
        return Some(Finding::inconclusive(no_sample(case)));
    }
    let (all, words) = values(case, AFTER_FAILURE);
    let count = |after| case.count(AFTER_FAILURE, after);
    let (served, not_answered) = (count(AfterFailure::Served), count(AfterFailure::NotAnswered));
    let (late, silently) = (count(AfterFailure::ClosedLate), count(AfterFailure::ClosedWithoutDisconnect));
    let evidence = format!("{all} clients after a refused re-authentication: {words}");
    Some(if all == 0 {
        return None;
    } else if served > 0 {
        served_on(served, all - served - not_answered, evidence)
    } else if not_answered > 0 {
        Finding::inconclusive(evidence)
    } else if late > 0 {
        let note = format!("{late} of {all} were closed only when the first token expired");
        Finding::differs(all, note, evidence)
    } else if silently > 0 {
        let note = format!("{silently} of {all} were closed without a DISCONNECT, a SHOULD");
        Finding::differs(all, note, evidence).by(V5_4_12_1_2).of(Force::Should)
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 [MQTT-4.12.0-5]: CONNACK and AUTH name the method of the CONNECT. An AUTH of two bytes has no properties, and section
/// 3.15.2.1 permits it: a note.
fn keeps_the_method(case: &Judged<'_>) -> Option<Finding> {
    let ((all, connacks), (_, auths)) = (values(case, METHOD_IN_CONNACK), values(case, METHOD_IN_AUTH));
    let count = |method| case.count(METHOD_IN_CONNACK, method) + case.count(METHOD_IN_AUTH, method);
    let evidence = format!("the method in CONNACK: {connacks}; in AUTH: {auths}");
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if count(Method::Other) + count(Method::None) > 0 {
        Finding::violated(evidence)
    } else if count(Method::NoProperties) > 0 {
        Finding::differs(all, "AUTH of two bytes, without a method", evidence)
    } else {
        Finding::holds(all, evidence)
    })
}
