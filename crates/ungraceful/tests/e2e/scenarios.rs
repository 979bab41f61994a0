//! Every scenario of the catalogue against the scripted broker: a conforming broker violates nothing, and one that breaks a rule violates
//! it. A new scenario needs no test of its own.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use ungraceful_record::attempt::Case;
use ungraceful_record::expectation::Expected;
use ungraceful_record::run::Record;
use ungraceful_record::testing::every;
use ungraceful_record::verdict::{Conclusion, Force};
use ungraceful_scripted_broker::{Malformed, Script, SecondConnect, Wills};

use crate::real_brokers::RealBroker;
use crate::support::{Call, Target, binary, call_at};

/// Flags of a short run with one attempt of each case.
/// Not faster, so that other tests at the same time keep their pace.
const ONCE: &str = "--attempts 1 --connrate 100 --warmup 0s --baseline 1s --recovery 1s";

/// A verdict: check, scenario, case and version.
type Of = (String, String, String, String);

/// Scenarios in which the scripted broker never provably keeps serving the client, so that nothing is violated: the client was not
/// accepted, has sent DISCONNECT, or is in the middle of a packet; or the broker has no policy for it.
const NEVER_SERVED: [&str; 12] = [
    "auth-data-twice",
    "auth-method-twice",
    "auth-method-unsupported",
    "connect-unknown-auth-method",
    "first-packet-not-connect",
    "first-packet-publish-not-delivered",
    "flags-disconnect",
    "flags-reserved",
    "publish-after-refusal",
    "remlen-5-bytes-first",
    "remlen-lie-short",
    "type-reserved-first",
];

/// Brokers whose CONNACK has the limits that some scenarios exceed.
fn script() -> Script {
    Script { maximum_packet_size: NonZeroU32::new(100_000), ..Script::default() }
}

fn violate(target: impl Target, rest: &str) -> Call {
    call_at(target, "ungraceful-violate", "scenario", rest)
}

/// The verdicts on MUSTs with this conclusion.
fn musts(record: &Record, conclusion: Conclusion) -> BTreeSet<Of> {
    let musts = record
        .verdicts
        .iter()
        .filter(|verdict| verdict.force == Force::Must && verdict.conclusion == conclusion);
    let of = musts.filter_map(|verdict| {
        let case = verdict.case.clone()?;
        Some((verdict.check.clone(), case.fault, case.variant, case.version))
    });
    of.collect()
}

#[test]
fn a_conforming_broker_violates_no_scenario() {
    let call = violate(script(), ONCE);
    let record = call.record();
    call.assert_violates_nothing();
    let held = musts(&record, Conclusion::Holds);
    assert!(held.len() > 400, "{} held\n{call}", held.len());
    assert_eq!(musts(&record, Conclusion::Inconclusive), BTreeSet::new(), "{call}");
}

#[test]
fn every_must_close_is_violated_by_a_broker_that_serves_on() {
    let mut violated = BTreeSet::new();
    let mut expected = BTreeSet::new();
    let mut verdicts = Vec::new();
    for (malformed, second_connect) in
        [(Malformed::Ignore, SecondConnect::Ignore), (Malformed::Obey, SecondConnect::Disconnect)]
    {
        let record = violate(Script { malformed, second_connect, ..script() }, ONCE).record();
        violated.extend(musts(&record, Conclusion::Violated));
        for case in &record.cases {
            let closes =
                case.expects.iter().filter(|of| of.what == Expected::Closes && of.force == Force::Must);
            expected.extend(closes.map(|_| {
                let of = case.case.clone();
                ("closes_the_connection".to_owned(), of.fault, of.variant, of.version)
            }));
        }
        verdicts.extend(record.verdicts);
    }
    let served_nowhere: BTreeSet<&str> =
        expected.difference(&violated).map(|(_, fault, ..)| fault.as_str()).collect();
    // Also fails for a scenario that need not be in the list.
    let never_served = BTreeSet::from(NEVER_SERVED);
    verdicts.retain(|verdict| {
        let differs =
            |case: &Case| (served_nowhere.contains(&*case.fault)) != never_served.contains(&*case.fault);
        verdict.check == "closes_the_connection" && verdict.case.as_ref().is_some_and(differs)
    });
    assert_eq!(served_nowhere, never_served, "{verdicts:#?}");
    assert!(expected.len() > 200, "{}", expected.len());
}

#[test]
fn wills_that_are_missing_or_come_uncalled_are_violated() {
    /// Scenarios with a Will that is due, and with one that is not.
    const DUE: &str =
        "abrupt-fin abrupt-rst abrupt-in-packet packet-truncated-fin disconnect-error-with-will";
    const NOT_DUE: &str = "disconnect-withdraws-will disconnect-then-more";
    for (wills, scenarios, check) in [
        (Wills::Never, DUE, "publishes_the_will"),
        (Wills::EvenAfterDisconnect, NOT_DUE, "withholds_the_will"),
    ] {
        let rest = format!(
            "{scenarios} --attempts 3 --connrate 50 --will-wait 2s --warmup 0s --baseline 1s --recovery 1s"
        );
        let call = violate(Script { wills, ..script() }, &rest);
        let violated = musts(&call.record(), Conclusion::Violated);
        for scenario in scenarios.split(' ') {
            let is_it = |of: &&Of| of.0 == check && of.1 == scenario;
            assert!(violated.iter().any(|of| is_it(&of)), "{scenario}\n{call}");
        }
    }
}

#[test]
fn a_broker_that_dies_of_a_packet_is_a_finding_of_any_scenario() {
    let script = Script { malformed: Malformed::CrashBroker, ..script() };
    let call = violate(script, &format!("publish-qos3 -V 5 {ONCE}"));
    let record = call.record();
    let verdict = record.verdicts.iter().find(|verdict| verdict.check == "broker_stays_up").unwrap();
    assert_eq!(verdict.differs.as_deref(), Some("the broker went down"), "{call}");
    assert!(verdict.evidence.contains("publish-qos3"), "{call}");
    assert_eq!(call.exit(), 3, "{call}");
}

#[test]
fn scenarios_are_listed_shown_and_chosen_by_pattern() {
    let listed = binary("ungraceful-violate").args(["packet/publish-qos*", "--list"]).output().unwrap();
    let listed = Call::without_record(listed).expect_exit(0);
    listed.assert_prints(&["packet/", "publish-qos3"]);
    assert!(!listed.stdout().contains("connect/"), "{listed}");
    let shown = binary("ungraceful-violate").args(["--show", "publish-qos3"]).output().unwrap();
    Call::without_record(shown).expect_exit(0).assert_prints(&["id = \"publish-qos3\"", "[[expect]]"]);
    let call = violate(script(), &format!("publish-qos3 packet/publish-qos* {ONCE}"));
    let faults: BTreeSet<String> = call.record().cases.iter().map(|case| case.case.fault.clone()).collect();
    assert!(faults.contains("publish-qos3") && every(&faults, |fault| fault.starts_with("publish-qos")));
}

#[test]
fn an_unknown_scenario_is_a_mistake_that_names_the_nearest() {
    for arguments in [["publish-qos4", "--quiet"], ["--show", "publish-qos4"]] {
        let output = binary("ungraceful-violate").args(arguments).output().unwrap();
        let call = Call::without_record(output).expect_exit(2);
        assert!(call.stderr().contains("did you mean publish-qos"), "{call}");
    }
}

#[test]
fn mosquitto_is_judged_as_raw_sockets_saw_it() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let rest = format!("publish-qos3 flags-pingreq remlen-5-bytes {ONCE}");
    let call = violate(broker.address, &rest);
    let record = call.record();
    // Mosquitto answers PINGREQ whatever its flags are; 3.1.1 has the receiver close.
    let violated: BTreeSet<String> = musts(&record, Conclusion::Violated)
        .into_iter()
        .map(|(_, fault, _, version)| format!("{fault} {version}"))
        .collect();
    assert_eq!(violated, BTreeSet::from(["flags-pingreq 3.1.1".to_owned()]), "{call}");
    assert!(musts(&record, Conclusion::Holds).len() >= 4, "{call}");
}
