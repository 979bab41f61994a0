//! Take-overs: the conforming broker passes every check, each broken rule is caught by the verdict meant for it and by
//! no other, and the real brokers do what they were seen to do.

use std::collections::BTreeSet;

use ungraceful_record::attempt::Attempt;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::{FactsByText, every};
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Script, ScriptedBroker, Sessions, TakeOver, Wills};

use crate::support::{Call, call, call_at};

const TOOL: &str = "ungraceful-takeover";
const CLOSES: &str = "closes_the_older_connection";
const WILL: &str = "treats_the_will_as_the_session";

/// How long to wait for what a session owes, so that it tells that it does not come.
const DECISIVE: &str = "--resend-wait 60s";

/// A small storm of these variants against a broker with this script.
fn storm(script: Script, arguments: &str) -> Call {
    let quick = "--connrate 200 --will-delay 1s --resend-wait 4s";
    call_at(script, TOOL, "storm", &format!("{quick} {arguments}"))
}

#[test]
fn a_conforming_broker_passes_every_check_of_the_storm_in_every_situation_and_version() {
    let call = storm(Script::default(), "--count 78 -V 3.1.1,5,3.1.1-to-5,5-to-3.1.1");
    call.assert_clean();
    let record = call.record();
    // Nine situations where the older client speaks 5.0, four where it speaks 3.1.1.
    assert_eq!(record.cases.len(), 26);
    for case in &record.cases {
        assert_eq!(case.outcome(Outcome::Closed), 3, "{:?}\n{call}", case.case);
        assert_eq!(case.fact("alive", "1"), 3);
        assert_eq!(case.measures["newcomer_connack_us"].count, 3);
    }
    let told = |version: &str| call.case("resume", version).disconnect_codes.get(&0x8E).copied();
    assert_eq!((told("5.0"), told("3.1.1")), (Some(3), None));
    // What was in flight came once: two of QoS 1, two that waited behind them, two of QoS 2 and the repeated one.
    let messages = call.case("resume", "5.0").messages;
    assert_eq!((messages[&1].delivered, messages[&2].delivered), (12, 9), "{messages:?}");
    assert!(every(messages.values(), |counts| counts.lost + counts.unknown + counts.duplicated == 0));
    // And the Wills were sent where they were due, and nowhere else.
    let will = |variant: &str, version: &str| call.case(variant, version).will.unwrap();
    assert_eq!(will("resume", "5.0").due_and_seen, 3);
    assert_eq!(
        (will("resume-will-delay", "5.0").due, will("resume-will-delay", "5.0").not_due_and_seen),
        (0, 0)
    );
}

/// A storm of this variant on a broker that breaks one rule: this check alone is violated, with this citation, whose version
/// the clients speak.
fn assert_caught(script: Script, variant: &str, check: &str, citation: &str) {
    let version = citation.split(' ').nth(1).unwrap();
    storm(script, &format!("--variant {variant} -c 3 -V {version}")).assert_caught(check, citation);
}

fn with_sessions(sessions: Sessions) -> Script {
    Script { sessions, ..Script::default() }
}

#[test]
fn mqtt5_3_1_4_3_a_broker_that_keeps_both_connections_is_violated() {
    let script = Script { take_over: TakeOver::KeepBoth, ..Script::default() };
    let (v5, v311) = ("MQTT 5.0 [MQTT-3.1.4-3]", "MQTT 3.1.1 [MQTT-3.1.4-2]");
    assert_caught(script, "clean", CLOSES, v5);
    assert_caught(script, "clean", CLOSES, v311);
}

#[test]
fn mqtt5_3_1_2_4_and_mqtt5_3_2_2_2_a_broker_that_resumes_a_session_in_spite_of_clean_start_is_violated() {
    let check = "starts_a_new_session";
    assert_caught(with_sessions(Sessions::ResumeClean), "discard", check, "MQTT 5.0 [MQTT-3.1.2-4]");
    assert_caught(with_sessions(Sessions::ResumeCleanSilently), "discard", check, "MQTT 5.0 [MQTT-3.1.2-4]");
    assert_caught(with_sessions(Sessions::ResumeClean), "discard", check, "MQTT 3.1.1 [MQTT-3.1.2-6]");
}

#[test]
fn mqtt5_3_1_2_5_a_broker_that_forgets_the_session_is_violated() {
    let check = "resumes_the_session";
    assert_caught(with_sessions(Sessions::Forget), "resume", check, "MQTT 5.0 [MQTT-3.1.2-5]");
    assert_caught(with_sessions(Sessions::Forget), "resume", check, "MQTT 3.1.1 [MQTT-3.1.2-4]");
    assert_caught(
        with_sessions(Sessions::LoseQueued),
        &format!("resume {DECISIVE}"),
        check,
        "MQTT 5.0 [MQTT-4.5.0-1]",
    );
}

#[test]
fn mqtt5_3_2_2_3_a_broker_that_resumes_a_session_and_denies_it_breaks_the_rule_on_session_present_alone() {
    let script = with_sessions(Sessions::LieAbsent);
    let check = "tells_session_present_truly";
    for citation in ["MQTT 5.0 [MQTT-3.2.2-3]", "MQTT 3.1.1 [MQTT-3.2.2-2]"] {
        // With messages that are sent again, and with a subscription alone to tell by.
        for messages in ["--in-flight 2 --queued 2", "--in-flight 0 --queued 0"] {
            assert_caught(script, &format!("resume {messages}"), check, citation);
        }
    }
    let call = storm(script, "--variant resume -c 3 -V 5");
    let case = call.only_case();
    assert_eq!((case.fact("session_present", "no, but resumed"), case.fact("sent_again", "all")), (3, 3));
    assert_eq!(call.conclusion("resumes_the_session", "resume", "5.0"), Holds);
    assert_eq!(call.conclusion("sends_again_what_was_in_flight", "resume", "5.0"), Holds);
}

#[test]
fn mqtt5_4_1_0_2_a_session_that_must_have_ended_is_neither_resumed_nor_said_to_be_there() {
    let check = "ends_the_session";
    assert_caught(with_sessions(Sessions::NeverExpire), "ended", check, "MQTT 5.0 [MQTT-4.1.0-2]");
    assert_caught(with_sessions(Sessions::NeverExpire), "ended", check, "MQTT 3.1.1 [MQTT-3.1.2-6]");
    assert_caught(with_sessions(Sessions::LiePresent), "ended", check, "MQTT 5.0 [MQTT-3.2.2-3]");
    assert_caught(with_sessions(Sessions::LiePresent), "ended", check, "MQTT 3.1.1 [MQTT-3.2.2-3]");
}

#[test]
fn a_session_that_is_kept_only_when_it_was_begun_with_clean_start_0_is_seen_in_a_variant_of_its_own() {
    let script = with_sessions(Sessions::UncleanWithoutDup);
    let resumes = ("resumes_the_session", "MQTT 5.0 [MQTT-3.1.2-5]");
    assert_caught(script, "resume", resumes.0, resumes.1);
    let marks = ("marks_what_it_sends_again", "MQTT 5.0 [MQTT-3.3.1-1]");
    assert_caught(script, "resume-clean-start-0", marks.0, marks.1);
}

#[test]
fn what_was_sent_again_at_once_is_not_late_because_something_else_is_missing() {
    let script = with_sessions(Sessions::LoseQueued);
    let call = storm(script, "--variant resume -c 3 -V 5");
    assert_eq!(call.violated(), Vec::<String>::new(), "it may come yet: {call}");
    let again = call.verdicts("sends_again_what_was_in_flight");
    assert!(every(&again, |verdict| verdict.differs.is_none()), "{call}");
    assert_eq!(
        (call.only_case().fact("sent_again", "all"), call.only_case().fact("queued", "not yet")),
        (3, 3)
    );
}

#[test]
fn mqtt5_4_4_0_1_a_broker_that_does_not_send_again_what_was_unacknowledged_is_violated() {
    let arguments = |version| format!("--variant resume -c 3 -V {version} --queued 0");
    let check = "sends_again_what_was_in_flight";
    let both = format!("{} -c 6 {DECISIVE}", arguments("3.1.1,5"));
    let call = storm(with_sessions(Sessions::LoseUnacknowledged), &both);
    call.assert_violates(&[check]);
    let cited: Vec<Option<String>> =
        call.verdicts(check).into_iter().map(|verdict| verdict.citation).collect();
    for citation in ["MQTT 5.0 [MQTT-4.4.0-1]", "MQTT 3.1.1 [MQTT-4.4.0-1]"] {
        assert!(cited.contains(&Some(citation.to_owned())), "{cited:?}");
    }
    call.assert_prints(&["within --resend-wait (at least 60 s)"]);
    // After a shorter wait the messages may still arrive: some brokers take half a minute.
    let hasty = storm(with_sessions(Sessions::LoseUnacknowledged), &arguments("5"));
    hasty.assert_violates_nothing();
    assert_eq!(hasty.conclusion(check, "resume", "5.0"), Inconclusive, "{hasty}");
    hasty.assert_prints(&["--resend-wait was below 60 s"]);
    assert_caught(
        with_sessions(Sessions::ResendWithNewIdentifiers),
        "resume --queued 0",
        check,
        "MQTT 5.0 [MQTT-4.4.0-1]",
    );
}

#[test]
fn mqtt5_3_3_1_1_a_broker_that_sends_again_without_dup_is_violated() {
    let script = with_sessions(Sessions::ResendWithoutDup);
    let check = "marks_what_it_sends_again";
    assert_caught(script, "resume", check, "MQTT 5.0 [MQTT-3.3.1-1]");
    assert_caught(script, "resume", check, "MQTT 3.1.1 [MQTT-3.3.1-1]");
}

#[test]
fn mqtt5_4_3_3_10_a_broker_that_delivers_a_repeated_qos_2_message_twice_is_violated() {
    let script = with_sessions(Sessions::ForgetReceived);
    let check = "delivers_the_repeated_message_once";
    assert_caught(script, "resume", check, "MQTT 5.0 [MQTT-4.3.3-10]");
    assert_caught(script, "resume", check, "MQTT 3.1.1 [MQTT-4.3.3-2]");
}

#[test]
fn mqtt5_3_1_3_9_a_delayed_will_that_is_sent_although_its_session_goes_on_is_violated() {
    for wills in [Wills::IgnoreDelay, Wills::AlwaysOnTakeOver] {
        let script = Script { wills, ..Script::default() };
        assert_caught(script, "resume-will-delay", WILL, "MQTT 5.0 [MQTT-3.1.3-9]");
    }
}

#[test]
fn mqtt3_1_1_3_1_2_8_a_will_that_a_take_over_swallows_is_violated_on_3_1_1_and_differs_on_5_0() {
    let script = Script { wills: Wills::NeverOnTakeOver, ..Script::default() };
    assert_caught(script, "clean", WILL, "MQTT 3.1.1 [MQTT-3.1.2-8]");
    let call = storm(script, "--variant clean,resume -c 6 -V 5");
    assert_eq!(call.exit(), 0, "no numbered statement of 5.0 is without a way out: {call}");
    assert_eq!(call.differing(), [WILL]);
}

#[test]
fn what_the_standard_only_tells_or_allows_differs_and_accuses_nobody() {
    let storm_of = |take_over| {
        let script = Script { take_over, ..Script::default() };
        storm(script, "--variant clean -c 3 -V 5")
    };
    for (take_over, sequence) in [
        (TakeOver::Fin, "FIN"),
        (TakeOver::Rst, "RST"),
        (TakeOver::DisconnectCode(0x87), "DISCONNECT 0x87, FIN"),
    ] {
        let call = storm_of(take_over).expect_exit(0);
        assert_eq!(call.differing(), ["tells_session_taken_over"]);
        assert_eq!(call.only_case().sequences.get(sequence), Some(&3));
    }
    let refused = storm_of(TakeOver::RefuseNewcomer);
    assert_eq!(refused.exit(), 3, "who may refuse whom is the broker's affair: {refused}");
    assert_eq!(refused.only_case().outcome(Outcome::Tolerated), 3);
    assert!(refused.differing().contains(&"accepts_the_newcomer".to_owned()));
}

#[test]
fn a_broker_that_is_late_is_timed_and_one_that_is_silent_is_no_breach() {
    let of = |take_over| Script { take_over, ..Script::default() };
    let arguments = "--variant clean -c 3 -V 5";
    let late = storm(of("newcomer-waits-800ms".parse().unwrap()), arguments).expect_exit(0);
    let connack = late.only_case().measures["newcomer_connack_us"];
    // Our times begin when our write returns, which may be after the broker has read, and a histogram has three digits.
    assert!(connack.min >= Some(750_000), "{connack:?}");
    let late = storm(of("close-after-700ms".parse().unwrap()), arguments).expect_exit(0);
    let times = late.only_case().time_to_close;
    assert!(times.count == 3 && times.min_us >= Some(650_000), "{times:?}");
    let silent = storm(of(TakeOver::Silence), arguments).expect_exit(3);
    assert_eq!(silent.conclusion(CLOSES, "clean", "5.0"), Inconclusive);
}

#[test]
fn a_duel_keeps_to_what_the_broker_asks_of_its_clients() {
    // A Keep Alive of a second, one message at a time, and acknowledgements that take their time.
    let script = Script {
        server_keep_alive_s: Some(1),
        receive_maximum: std::num::NonZeroU16::new(1),
        pubacks: "late-puback-60ms".parse().unwrap(),
        ..Script::default()
    };
    let broker = ScriptedBroker::start(script);
    let arguments = "--for 3s -V 5 --variant resume --backoff fixed:1900ms";
    // Our honest clients would have more to publish than such a broker takes.
    let arguments = format!("{arguments} --publish-rate 100 --bystanders 0");
    let call = call_at(broker.address(), TOOL, "duel", &arguments);
    call.assert_clean();
    let case = call.only_case();
    assert!(case.troubles.is_empty(), "{:?}", case.troubles);
    // As many take-overs as the broker saw: none of them was a lapse of a contender's own.
    let (ours, seen) = (case.measures["takeovers"].sum, broker.log().take_overs() as u64);
    assert!(ours.abs_diff(seen) <= 1, "we counted {ours}, the broker {seen}");
    assert!(case.messages[&1].acknowledged >= 10, "{:?}", case.messages);
}

#[test]
fn a_duel_in_which_nobody_is_let_in_says_why() {
    let script = Script { take_over: TakeOver::RefuseNewcomer, ..Script::default() };
    let arguments = "--for 1s -V 5 --variant clean --backoff fixed:50ms";
    let call = call_at(script, TOOL, "duel", arguments).expect_exit(3);
    assert!(call.differing().contains(&"accepts_the_newcomer".to_owned()), "{call}");
    call.assert_prints(&["0x85"]);
}

#[test]
fn a_broker_that_has_little_under_way_has_the_rest_counted_as_waiting() {
    let script = Script { subscriber_flow: "stall".parse().unwrap(), ..Script::default() };
    let call = storm(script, "--variant resume -c 3 -V 5 --in-flight 3");
    assert_eq!(call.only_case().outcome(Outcome::Closed), 3, "{call}");
    assert_eq!(call.conclusion(CLOSES, "resume", "5.0"), Holds, "whatever waits: {call}");
}

#[test]
fn clients_are_there_in_the_baseline_and_each_is_taken_over_when_it_is_due() {
    let call = storm(Script::default(), "--variant clean -c 20 -V 5 --connrate 40");
    call.assert_clean();
    let phases = call.record().phases;
    let baseline = phases.iter().find(|phase| phase.phase.name() == "baseline").unwrap().began_us;
    let fault = phases.iter().find(|phase| phase.phase.name() == "fault").unwrap().began_us;
    let mut attempts = call.attempts();
    attempts.sort_by_key(|attempt| attempt.attempt);
    for (index, attempt) in (0..).zip(&attempts) {
        assert!(attempt.connack_us.unwrap() <= baseline, "connected before the baseline");
        assert_eq!(attempt.due_us, fault + index * 25_000, "due at its place of the rate");
        assert!(attempt.provoked_us.unwrap() >= attempt.due_us, "and not taken over before");
    }
    let timeline = std::fs::read_to_string(call.folder.join("timeline.csv")).unwrap();
    let mut rows = csv_rows(&timeline);
    let open =
        rows.find(|row| row["phase"] == "baseline").expect("a row of the baseline")["connections_open"]
            .clone();
    assert_eq!(open, "20");
}

/// The rows of a simple CSV, by column.
fn csv_rows(text: &str) -> impl Iterator<Item = std::collections::HashMap<String, String>> {
    let mut lines = text.lines().map(|line| line.split(',').map(ToOwned::to_owned).collect::<Vec<String>>());
    let header = lines.next().unwrap();
    lines.map(move |cells| header.iter().cloned().zip(cells).collect()).collect::<Vec<_>>().into_iter()
}

#[test]
fn a_duel_counts_what_the_broker_saw_and_loses_nothing_on_a_conforming_broker() {
    let broker = ScriptedBroker::start(Script::default());
    let call = call_at(broker.address(), TOOL, "duel", "--for 2s -V 5 --variant resume --backoff fixed:20ms");
    call.assert_clean();
    let case = call.only_case();
    let takeovers = case.measures["takeovers"].sum;
    assert!(takeovers >= 20, "{case:?}");
    // The last contender is taken over by nobody, and one CONNECT of each may have come when nobody was connected.
    let seen = broker.log().take_overs() as u64;
    assert!(seen.abs_diff(takeovers) <= 2, "we counted {takeovers}, the broker {seen}");
    assert_eq!(case.measures["takeovers_per_minute"].sum, takeovers * 30);
    let connected = case.measures["connected_permille"].sum;
    assert!((500..=1_000).contains(&connected), "{connected} ‰");
    assert_eq!((case.fact("session_present", "always"), case.fact("alive", "1")), (1, 1));
    let messages = &case.messages[&1];
    assert!(messages.acknowledged >= 50 && messages.lost == 0, "{messages:?}");
    assert_eq!(case.measures["lost_per_1000_takeovers"].sum, 0);
}

#[test]
fn a_duel_tells_of_lost_messages_and_of_two_that_live_side_by_side() {
    let script = with_sessions(Sessions::LoseUnacknowledged);
    let script = Script { deliveries: "lose-every-5".parse().unwrap(), ..script };
    let arguments = "--for 1s -V 5 --variant resume --backoff fixed:20ms";
    let call = call_at(script, TOOL, "duel", arguments);
    assert_eq!(call.differing(), ["keeps_messages_across_takeovers"], "{call}");
    assert!(call.only_case().messages[&1].lost > 0);
    let broker = ScriptedBroker::start(Script { take_over: TakeOver::KeepBoth, ..Script::default() });
    call_at(broker.address(), TOOL, "duel", arguments).assert_violates(&[CLOSES]);
}

#[test]
fn a_race_has_one_survivor_or_is_violated() {
    let broker = ScriptedBroker::start(Script::default());
    let call = call_at(broker.address(), TOOL, "race", "--attempts 3 --contenders 5");
    call.assert_clean();
    for version in ["3.1.1", "5.0"] {
        let case = call.case("5-contenders", version);
        assert_eq!((case.fact("alive", "1"), case.measures["contenders_accepted"].sum), (3, 15));
        assert_eq!(case.measures["released_within_us"].count, 3);
    }
    // What each loser saw stays with its connection.
    let sequences = |version| call.case("5-contenders", version).sequences;
    assert_eq!(sequences("5.0").get("4 × DISCONNECT 0x8E, FIN"), Some(&3), "{:?}", sequences("5.0"));
    assert_eq!(sequences("3.1.1").get("4 × FIN"), Some(&3), "{:?}", sequences("3.1.1"));
    let of_v5 = |attempt: &Attempt| attempt.case.version == "5.0";
    let of_v5: Vec<_> = call.attempts().into_iter().filter(of_v5).collect();
    assert_eq!(of_v5.len(), 3);
    for attempt in of_v5 {
        let losers: BTreeSet<_> = attempt.reactions.iter().filter_map(|seen| seen.connection).collect();
        assert_eq!((losers.len(), attempt.reactions.len()), (4, 8), "{attempt:?}");
    }
    assert_eq!(broker.log().take_overs(), 2 * 3 * 4);
    let script = Script { take_over: TakeOver::KeepBoth, ..Script::default() };
    let call = call_at(script, TOOL, "race", "--attempts 3 --contenders 5");
    call.assert_violates(&[CLOSES]);
    assert_eq!(call.case("5-contenders", "5.0").fact("alive", "2 or more"), 3);
}

#[test]
fn a_newcomer_that_waits_for_a_dead_peer_is_told_of_and_a_living_control_stands_beside_it() {
    let broker = ScriptedBroker::start(Script::default());
    let arguments = "--attempts 2 --connrate 50 --keepalive 8s --look-on 0s";
    let call = call_at(broker.address(), TOOL, "dead-peer", arguments);
    call.assert_clean();
    for case in &call.record().cases {
        assert_eq!((case.fact("newcomer_later", "served"), case.fact("newcomer_will", "withheld")), (2, 2));
        assert_eq!(case.fact("newcomer_subscription", "delivers"), 2, "{case:?}");
    }
    assert_eq!(call.record().cases.len(), 6);
    assert!(call.case("zero-window", "5.0").measures["unread_bytes"].min >= Some(8 * 1024 * 1024));
    let arguments = "--attempts 1 --variant silent -V 5 -k 1s --look-on 0s";
    let call = call_at(broker.address(), TOOL, "dead-peer", arguments);
    assert_eq!(call.conclusion("does_not_wait_for_the_dead", "silent", "5.0"), Inconclusive);
}

/// Take-overs of living clients on a broker on which the older connection ends late, as this policy says.
fn late_end(take_over: TakeOver, version: &str) -> Call {
    let script = Script { take_over, ..Script::default() };
    call_at(script, TOOL, "dead-peer", &format!("--attempts 3 --variant alive -V {version} -k 3s"))
}

#[test]
fn a_late_end_that_cuts_the_newcomer_is_violated_on_5_0_and_differs_on_3_1_1_which_permits_to_cut() {
    let check = "keeps_serving_the_newcomer";
    let call = late_end(TakeOver::LateEndCuts, "5");
    call.assert_violates(&[check]);
    let citation = call.verdicts(check).remove(0).citation;
    assert_eq!(citation.as_deref(), Some("MQTT 5.0 §3.1.4 (prose, no numbered statement)"));
    let call = late_end(TakeOver::LateEndCuts, "3.1.1");
    call.assert_violates_nothing();
    assert!(call.differing().contains(&check.to_owned()), "{call}");
}

#[test]
fn mqtt5_4_1_0_1_a_late_end_of_the_older_connection_that_costs_the_newcomer_anything_is_violated() {
    for (taken, check, v5, v311) in [
        (
            TakeOver::LateEndUnsubscribes,
            "keeps_the_newcomers_subscription",
            "MQTT 5.0 [MQTT-4.1.0-1]",
            "MQTT 3.1.1 [MQTT-4.1.0-2]",
        ),
        (
            TakeOver::LateEndPublishesWill,
            "withholds_the_newcomers_will",
            "MQTT 5.0 [MQTT-3.1.2-8]",
            "MQTT 3.1.1 [MQTT-3.1.2-8]",
        ),
    ] {
        for (version, citation) in [("5", v5), ("3.1.1", v311)] {
            let call = late_end(taken, version);
            call.assert_violates(&[check]);
            let verdicts = call.verdicts(check);
            assert!(
                verdicts.iter().any(|verdict| verdict.citation.as_deref() == Some(citation)),
                "{verdicts:?}"
            );
        }
    }
}

#[test]
fn a_client_that_flaps_is_counted_connection_by_connection() {
    let call = call_at(Script::default(), TOOL, "flap", "--for 1s --every 50ms -V 5");
    call.assert_clean();
    let case = call.only_case();
    let accepted = case.measures["connections_accepted"].sum;
    assert!((5..=20).contains(&accepted), "{accepted} connections in a second, one every 50 ms");
    assert_eq!(case.fact("banned", "no"), 1);
}

#[test]
fn a_ban_is_told_with_when_it_came_how_and_for_how_long() {
    let script = Script { greeting: "ban-after-5-for-600ms".parse().unwrap(), ..Script::default() };
    let call = call_at(script, TOOL, "flap", "--for 2s --every 50ms");
    assert_eq!(call.exit(), 0, "a broker may: {call}");
    assert_eq!(call.differing(), ["takes_the_client_back"]);
    for (version, how) in [("5.0", "CONNACK 0x8A Banned"), ("3.1.1", "CONNACK 0x05")] {
        let case = call.case("every-50ms", version);
        let banned = case.facts["banned"].keys().next().unwrap();
        assert!(banned.starts_with(how), "{version}: {banned}");
        assert_eq!(case.measures["banned_after_connections"].sum, 5);
        assert!(case.measures["banned_for_us"].min >= Some(550_000), "{:?}", case.measures);
        assert_eq!(case.fact("others_served", "yes"), 1);
    }
}

#[test]
fn the_embedded_broker_tells_every_client_that_is_taken_over() {
    // The broker spends about 3 ms of its one thread on each take-over among 5,000 Clients, and other tests run beside
    // this one. A faster storm would fill its listen backlog, and the kernel would drop the handshakes.
    let pace = "-c 5000 -R 80 --connect-timeout 30s --reaction-timeout 30s";
    let call = call(TOOL, "storm", &format!("-V 5 --variant clean {pace}"));
    call.assert_violates_nothing();
    let case = call.only_case();
    assert_eq!(case.disconnect_codes.get(&0x8E), Some(&5_000), "{call}");
    // A PINGREQ of ours that a busy broker has not read when it closes makes an RST of its FIN.
    let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
    assert_eq!((case.fact("alive", "1"), ended), (5_000, 5_000), "{call}");
}

#[test]
fn mosquitto_closes_without_a_word_and_swallows_the_will_of_a_session_that_goes_on() {
    let call = call(TOOL, "storm", "--spawn mosquitto -c 52 -R 200 --will-delay 1s");
    let record = call.record();
    assert!(record.cases.len() == 13, "{call}");
    for case in &record.cases {
        assert_eq!(case.outcome(Outcome::Closed), 4, "{call}");
        assert_eq!(case.fact("alive", "1"), 4);
        assert_eq!(call.conclusion(CLOSES, &case.case.variant, &case.case.version), Holds);
    }
    // Later versions say 0x8E; this one is what the distribution has.
    if record.broker.sys_version.as_deref() == Some("mosquitto version 2.0.11") {
        assert!(call.differing().contains(&"tells_session_taken_over".to_owned()), "{call}");
        assert_eq!(call.violated(), [WILL], "{call}");
        assert_eq!(call.conclusion(WILL, "resume", "3.1.1"), Violated);
        assert_eq!(call.conclusion(WILL, "clean", "3.1.1"), Holds);
        assert_eq!(call.conclusion(WILL, "resume-will-delay", "5.0"), Holds);
    }
    assert!(record.broker_log.is_some_and(|log| log.attempts_named == 52), "{call}");
}

#[test]
fn mistakes_in_the_flags_of_a_mode_are_told_together_and_before_the_first_packet() {
    let call = call(TOOL, "storm", "--variant gone -V 7 --will-delay 1500ms --in-flight -1");
    call.assert_mistake(&[
        "unknown variant \"gone\"",
        "\"7\" is no version",
        "--will-delay",
        "whole number of seconds",
        "--in-flight",
        "see ungraceful-takeover storm --help",
    ]);
    let call = self::call(TOOL, "duel", "--backoff linear --contenders 1 --for 0");
    call.assert_mistake(&["exponential:100ms..10s", "--contenders", "--for"]);
    let call = self::call(TOOL, "flap", "--every 20s --for 10s");
    call.assert_mistake(&["--every"]);
    self::call(TOOL, "duel", "--for 1ns").assert_mistake(&["at least 100 ms"]);
}
