//! What a re-authentication is judged by. Each check reads the record alone and gives a verdict for each case.

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

/// What is known of a broker that answers with AUTH 0x18: nothing yet, whatever it does to a client that does not go on.
const MORE_STEPS: &str = "the broker goes on with AUTH 0x18 (Continue authentication), which needs the next step of its \
                          method; this client has one step alone, a token: try a method of one step with --auth-method";

/// Whether a client shows a renewed token.
fn renews(case: &CaseRecord) -> bool {
    case.case.variant == Variant::Reauthenticate.name()
}

/// Whether a client shows a spoilt token.
fn spoils(case: &CaseRecord) -> bool {
    case.case.variant == Variant::ReauthenticateSpoilt.name()
}

/// How many clients there were with this fact, and what it said, with numbers.
fn told<V>(case: &CaseRecord, fact: FactOf<V>) -> (u64, String) {
    match case.total(fact) {
        0 => (0, "nothing is known".to_owned()),
        all => (all, case.in_words(fact)),
    }
}

/// MQTT 5.0 section 4.12.1 (prose): the Server answers with AUTH 0x00, or 0x18 when it wants more.
fn accepts_the_renewed_token(case: &Judged<'_>) -> Option<Finding> {
    let (all, words) = told(case, REAUTHENTICATION);
    let count = |answer| case.count(REAUTHENTICATION, answer);
    let (success, more) = (count(Reauthentication::Success), count(Reauthentication::Continue));
    let evidence = format!("{all} clients sent AUTH 0x19 with a renewed token; answered: {words}");
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

/// No numbered statement: a client whose re-authentication succeeded is served past the end of its first token.
fn serves_past_the_first_token(case: &Judged<'_>) -> Option<Finding> {
    let (all, words) = told(case, PAST_FIRST_TOKEN);
    let count = |past| case.count(PAST_FIRST_TOKEN, past);
    let (served, unknown) = (count(PastFirstToken::Served), count(PastFirstToken::NotAnswered));
    let cut = all - served - unknown;
    let evidence = format!("{all} clients whose re-authentication succeeded: {words}");
    Some(if evidence_count(case) == 0 {
        Finding::inconclusive(no_sample(case))
    } else if all == 0 {
        let why = match case.count(REAUTHENTICATION, Reauthentication::Continue) {
            0 => "no re-authentication succeeded".to_owned(),
            _ => format!("no re-authentication came to its end: {MORE_STEPS}"),
        };
        Finding::inconclusive(why)
    } else if cut > 0 {
        let note = format!("CUT ALTHOUGH RENEWED: {cut} of {all} clients");
        Finding::differs(all, note, evidence)
    } else if unknown > 0 {
        Finding::inconclusive(evidence)
    } else {
        Finding::holds(all, evidence)
    })
}

/// No numbered statement says which tokens are good.
fn refuses_a_spoilt_token(case: &Judged<'_>) -> Option<Finding> {
    let (all, words) = told(case, REAUTHENTICATION);
    let count = |answer| case.count(REAUTHENTICATION, answer);
    let (success, more) = (count(Reauthentication::Success), count(Reauthentication::Continue));
    let nothing = count(Reauthentication::Nothing);
    let evidence = format!("{all} clients sent AUTH 0x19 with a spoilt token; answered: {words}");
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if success > 0 {
        let note = format!("{success} of {all} spoilt tokens were accepted");
        Finding::differs(all, note, evidence)
    } else if nothing > 0 {
        let note = format!("{nothing} of {all} spoilt tokens were answered nothing");
        Finding::differs(all, note, evidence)
    } else if more > 0 {
        Finding::inconclusive(format!("{evidence}; {MORE_STEPS}"))
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 [MQTT-4.12.1-2]: after a re-authentication that failed, the connection is closed; DISCONNECT is a SHOULD.
/// Violated only where the broker said itself that it failed, and served the client to the end of the watch. No verdict
/// where none failed.
fn closes_after_failed_reauthentication(case: &Judged<'_>) -> Option<Finding> {
    if evidence_count(case) == 0 {
        return Some(Finding::inconclusive(no_sample(case)));
    }
    let (all, words) = told(case, AFTER_FAILURE);
    let count = |after| case.count(AFTER_FAILURE, after);
    let evidence = format!("{all} clients whose re-authentication was refused: {words}");
    let finding = if all == 0 {
        return None;
    } else if count(AfterFailure::Served) > 0 {
        let served = count(AfterFailure::Served);
        served_on(served, all - served - count(AfterFailure::NotAnswered), evidence)
    } else if count(AfterFailure::NotAnswered) > 0 {
        Finding::inconclusive(evidence)
    } else if count(AfterFailure::ClosedLate) > 0 {
        let note = format!(
            "{} of {all} were closed only when the first token ended",
            count(AfterFailure::ClosedLate)
        );
        Finding::differs(all, note, evidence)
    } else if count(AfterFailure::OnlyClosed) > 0 {
        let note = format!(
            "{} of {all} were closed without a DISCONNECT, a SHOULD",
            count(AfterFailure::OnlyClosed)
        );
        Finding::differs(all, note, evidence).by(V5_4_12_1_2).of(Force::Should)
    } else {
        Finding::holds(all, evidence)
    };
    Some(finding)
}

/// MQTT 5.0 [MQTT-4.12.0-5]: CONNACK and AUTH name the method of the CONNECT. An AUTH of two bytes can name nothing, and
/// section 3.15.2.1 allows it: a note.
fn keeps_the_method(case: &Judged<'_>) -> Option<Finding> {
    let ((all, connacks), (_, auths)) = (told(case, METHOD_IN_CONNACK), told(case, METHOD_IN_AUTH));
    let count = |method| case.count(METHOD_IN_CONNACK, method) + case.count(METHOD_IN_AUTH, method);
    let evidence = format!("the method in CONNACK: {connacks}; in AUTH: {auths}");
    let finding = if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if count(Method::Other) + count(Method::None) > 0 {
        Finding::violated(evidence)
    } else if count(Method::NoProperties) > 0 {
        Finding::differs(all, "AUTH without a method, in two bytes", evidence)
    } else {
        Finding::holds(all, evidence)
    };
    Some(finding)
}
