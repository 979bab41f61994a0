//! Take-overs: the conforming broker passes every check, each broken rule violates the right check and no other, and real brokers
//! behave as observed before.

use std::collections::BTreeSet;

use ungraceful_record::attempt::Attempt;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::{FactsByText, every};
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Script, ScriptedBroker, Sessions, TakeOver, Wills};

use crate::support::{Call, VERSIONS, call, call_at};

const TOOL: &str = "ungraceful-takeover";
const CLOSES: &str = "closes_the_older_connection";
const WILL: &str = "treats_the_will_as_the_session";

/// Long enough to conclude that missing messages of a session will not come.
const DECISIVE: &str = "--resend-wait 60s";

/// A small storm of these variants against a broker with this script.
fn storm(script: Script, arguments: &str) -> Call {
    let quick = "--connrate 200 --will-delay 1s --resend-wait 4s";
    call_at(script, TOOL, "storm", &format!("{quick} {arguments}"))
}

#[test]
fn a_conforming_broker_passes_every_check_of_the_storm() {
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
    let notified = |version: &str| call.case("resume", version).disconnect_codes.get(&0x8E).copied();
    assert_eq!((notified("5.0"), notified("3.1.1")), (Some(3), None));
    // Messages in flight came once: two of QoS 1, two queued behind them, two of QoS 2 and the repeated one.
    let messages = call.case("resume", "5.0").messages;
    assert_eq!((messages[&1].delivered, messages[&2].delivered), (12, 9), "{messages:?}");
    assert!(every(messages.values(), |counts| counts.lost + counts.unknown + counts.duplicated == 0));
    // Wills were sent only where they were due.
    let will = |variant: &str, version: &str| call.case(variant, version).will.unwrap();
    assert_eq!(will("resume", "5.0").due_and_seen, 3);
    let delayed = will("resume-will-delay", "5.0");
    assert_eq!((delayed.due, delayed.not_due_and_seen), (0, 0));
}

/// A storm of this variant on a broker that breaks one rule: only this check is violated, with this citation, in its MQTT version.
fn assert_caught(script: Script, variant: &str, check: &str, citation: &str) {
    let version = citation.split(' ').nth(1).unwrap();
    storm(script, &format!("--variant {variant} -c 3 -V {version}")).assert_caught(check, &[citation]);
}

fn with_sessions(sessions: Sessions) -> Script {
    Script { sessions, ..Script::default() }
}

#[test]
fn mqtt5_3_1_4_3_keeping_both_connections_is_violated() {
    let script = Script { take_over: TakeOver::KeepBoth, ..Script::default() };
    let (v5, v311) = ("MQTT 5.0 [MQTT-3.1.4-3]", "MQTT 3.1.1 [MQTT-3.1.4-2]");
    assert_caught(script, "clean", CLOSES, v5);
    assert_caught(script, "clean", CLOSES, v311);
}

#[test]
fn mqtt5_3_1_2_4_and_3_2_2_2_resuming_despite_clean_start_is_violated() {
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
    let decisive = format!("resume {DECISIVE}");
    assert_caught(with_sessions(Sessions::LoseQueued), &decisive, check, "MQTT 5.0 [MQTT-4.5.0-1]");
}

#[test]
fn mqtt5_3_2_2_3_a_denied_session_violates_only_session_present() {
    let script = with_sessions(Sessions::LieAbsent);
    let check = "reports_session_present_correctly";
    for citation in ["MQTT 5.0 [MQTT-3.2.2-3]", "MQTT 3.1.1 [MQTT-3.2.2-2]"] {
        // With resent messages, and with only a subscription as evidence.
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
fn mqtt5_4_1_0_2_an_ended_session_must_not_be_resumed_or_present() {
    let check = "ends_the_session";
    assert_caught(with_sessions(Sessions::NeverExpire), "ended", check, "MQTT 5.0 [MQTT-4.1.0-2]");
    assert_caught(with_sessions(Sessions::NeverExpire), "ended", check, "MQTT 3.1.1 [MQTT-3.1.2-6]");
    assert_caught(with_sessions(Sessions::LiePresent), "ended", check, "MQTT 5.0 [MQTT-3.2.2-3]");
    assert_caught(with_sessions(Sessions::LiePresent), "ended", check, "MQTT 3.1.1 [MQTT-3.2.2-3]");
}

#[test]
fn sessions_begun_with_clean_start_0_have_their_own_variant() {
    let script = with_sessions(Sessions::UncleanWithoutDup);
    let resumes = ("resumes_the_session", "MQTT 5.0 [MQTT-3.1.2-5]");
    assert_caught(script, "resume", resumes.0, resumes.1);
    let marks = ("marks_what_it_sends_again", "MQTT 5.0 [MQTT-3.3.1-1]");
    assert_caught(script, "resume-clean-start-0", marks.0, marks.1);
}

#[test]
fn messages_resent_at_once_are_not_late_when_others_are_missing() {
    let script = with_sessions(Sessions::LoseQueued);
    let call = storm(script, "--variant resume -c 3 -V 5");
    assert_eq!(call.violated(), Vec::<String>::new(), "it may come yet: {call}");
    let again = call.verdicts("sends_again_what_was_in_flight");
    assert!(every(&again, |verdict| verdict.differs.is_none()), "{call}");
    let case = call.only_case();
    assert_eq!((case.fact("sent_again", "all"), case.fact("queued", "not yet")), (3, 3));
}

#[test]
fn mqtt5_4_4_0_1_not_resending_unacknowledged_messages_is_violated() {
    let arguments = |version| format!("--variant resume -c 3 -V {version} --queued 0");
    let check = "sends_again_what_was_in_flight";
    let both = format!("{} -c 6 {DECISIVE}", arguments("3.1.1,5"));
    let call = storm(with_sessions(Sessions::LoseUnacknowledged), &both);
    call.assert_violates(&[check]);
    call.assert_cites(check, "MQTT 5.0 [MQTT-4.4.0-1]");
    call.assert_cites(check, "MQTT 3.1.1 [MQTT-4.4.0-1]");
    call.assert_prints(&["within --resend-wait (at least 60 s)"]);
    // After a shorter wait, messages may still come: some brokers take half a minute.
    let hasty = storm(with_sessions(Sessions::LoseUnacknowledged), &arguments("5"));
    hasty.assert_violates_nothing();
    assert_eq!(hasty.conclusion(check, "resume", "5.0"), Inconclusive, "{hasty}");
    hasty.assert_prints(&["--resend-wait was below 60 s"]);
    let renamed = with_sessions(Sessions::ResendWithNewIdentifiers);
    assert_caught(renamed, "resume --queued 0", check, "MQTT 5.0 [MQTT-4.4.0-1]");
}

#[test]
fn mqtt5_3_3_1_1_resending_without_dup_is_violated() {
    let script = with_sessions(Sessions::ResendWithoutDup);
    let check = "marks_what_it_sends_again";
    assert_caught(script, "resume", check, "MQTT 5.0 [MQTT-3.3.1-1]");
    assert_caught(script, "resume", check, "MQTT 3.1.1 [MQTT-3.3.1-1]");
}

#[test]
fn mqtt5_4_3_3_10_delivering_a_repeated_qos_2_message_is_violated() {
    let script = with_sessions(Sessions::ForgetReceived);
    let check = "delivers_the_repeated_message_once";
    assert_caught(script, "resume", check, "MQTT 5.0 [MQTT-4.3.3-10]");
    assert_caught(script, "resume", check, "MQTT 3.1.1 [MQTT-4.3.3-2]");
}

#[test]
fn mqtt5_3_1_3_9_a_delayed_will_of_a_resumed_session_is_violated() {
    for wills in [Wills::IgnoreDelay, Wills::AlwaysOnTakeOver] {
        let script = Script { wills, ..Script::default() };
        assert_caught(script, "resume-will-delay", WILL, "MQTT 5.0 [MQTT-3.1.3-9]");
    }
}

#[test]
fn mqtt3_1_1_3_1_2_8_a_will_lost_at_a_take_over_is_violated() {
    let script = Script { wills: Wills::NeverOnTakeOver, ..Script::default() };
    assert_caught(script, "clean", WILL, "MQTT 3.1.1 [MQTT-3.1.2-8]");
    let call = storm(script, "--variant clean,resume -c 6 -V 5");
    assert_eq!(call.exit(), 0, "no numbered statement of 5.0 is without a way out: {call}");
    assert_eq!(call.differing(), [WILL]);
}

#[test]
fn behaviour_that_the_standard_allows_differs() {
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
        assert_eq!(call.differing(), ["reports_session_taken_over"]);
        assert_eq!(call.only_case().sequences.get(sequence), Some(&3));
    }
    let refused = storm_of(TakeOver::RefuseNewcomer);
    assert_eq!(refused.exit(), 3, "who may refuse whom is the broker's affair: {refused}");
    assert_eq!(refused.only_case().outcome(Outcome::Tolerated), 3);
    assert!(refused.differing().contains(&"accepts_the_newcomer".to_owned()));
}

#[test]
fn a_late_broker_is_timed_and_a_silent_one_inconclusive() {
    let of = |take_over| Script { take_over, ..Script::default() };
    let arguments = "--variant clean -c 3 -V 5";
    let late = storm(of("newcomer-waits-800ms".parse().unwrap()), arguments).expect_exit(0);
    let connack = late.only_case().measures["newcomer_connack_us"];
    // Times begin when the write returns, possibly after the broker has read, and a histogram has three digits.
    assert!(connack.min >= Some(750_000), "{connack:?}");
    let late = storm(of("close-after-700ms".parse().unwrap()), arguments).expect_exit(0);
    let times = late.only_case().time_to_close;
    assert!(times.count == 3 && times.min_us >= Some(650_000), "{times:?}");
    let silent = storm(of(TakeOver::Silence), arguments).expect_exit(3);
    assert_eq!(silent.conclusion(CLOSES, "clean", "5.0"), Inconclusive);
}

#[test]
fn a_duel_keeps_the_limits_of_the_broker() {
    // A Keep Alive of a second, one message at a time, and acknowledgements that take their time.
    let script = Script {
        server_keep_alive_s: Some(1),
        receive_maximum: std::num::NonZeroU16::new(1),
        pubacks: "late-puback-60ms".parse().unwrap(),
        ..Script::default()
    };
    let broker = ScriptedBroker::start(script);
    let arguments = "--for 3s -V 5 --variant resume --backoff fixed:1900ms";
    // Bystanders would publish more than such a broker accepts.
    let arguments = format!("{arguments} --publish-rate 100 --bystanders 0");
    let call = call_at(broker.address(), TOOL, "duel", &arguments);
    call.assert_clean();
    let case = call.only_case();
    assert!(case.troubles.is_empty(), "{:?}", case.troubles);
    // As many take-overs as the broker counted: no contender lapsed by itself.
    let (ours, seen) = (case.measures["takeovers"].sum, broker.log().take_overs() as u64);
    assert!(ours.abs_diff(seen) <= 1, "we counted {ours}, the broker {seen}");
    assert!(case.messages[&1].acknowledged >= 10, "{:?}", case.messages);
}

#[test]
fn a_duel_whose_clients_are_all_rejected_says_why() {
    let script = Script { take_over: TakeOver::RefuseNewcomer, ..Script::default() };
    let arguments = "--for 1s -V 5 --variant clean --backoff fixed:50ms";
    let call = call_at(script, TOOL, "duel", arguments).expect_exit(3);
    assert!(call.differing().contains(&"accepts_the_newcomer".to_owned()), "{call}");
    call.assert_prints(&["0x85"]);
}

#[test]
fn messages_held_back_by_a_small_window_count_as_waiting() {
    let script = Script { subscriber_flow: "stall".parse().unwrap(), ..Script::default() };
    let call = storm(script, "--variant resume -c 3 -V 5 --in-flight 3");
    assert_eq!(call.only_case().outcome(Outcome::Closed), 3, "{call}");
    assert_eq!(call.conclusion(CLOSES, "resume", "5.0"), Holds, "whatever waits: {call}");
}

#[test]
fn clients_connect_in_the_baseline_and_are_taken_over_when_due() {
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
    let first = call.timeline("phase").iter().position(|phase| phase == "baseline").unwrap();
    assert_eq!(call.timeline("connections_open")[first], "20");
}

#[test]
fn a_duel_counts_take_overs_and_loses_nothing() {
    let broker = ScriptedBroker::start(Script::default());
    let call = call_at(broker.address(), TOOL, "duel", "--for 2s -V 5 --variant resume --backoff fixed:20ms");
    call.assert_clean();
    let case = call.only_case();
    let takeovers = case.measures["takeovers"].sum;
    assert!(takeovers >= 20, "{case:?}");
    // The last contender is not taken over, and one CONNECT of each may have come without a connected client.
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
fn a_duel_reports_lost_messages_and_two_live_clients() {
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
    for version in VERSIONS {
        let case = call.case("5-contenders", version);
        assert_eq!((case.fact("alive", "1"), case.measures["contenders_accepted"].sum), (3, 15));
        assert_eq!(case.measures["released_within_us"].count, 3);
    }
    // The reactions of each loser are recorded with its connection.
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
fn a_newcomer_waiting_for_a_dead_peer_is_compared_with_a_control() {
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

/// Take-overs of live clients on a broker that ends the older connection late, with this policy.
fn late_end(take_over: TakeOver, version: &str) -> Call {
    let script = Script { take_over, ..Script::default() };
    call_at(script, TOOL, "dead-peer", &format!("--attempts 3 --variant alive -V {version} -k 3s"))
}

#[test]
fn a_late_end_that_cuts_the_newcomer_is_violated_only_on_5_0() {
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
fn mqtt5_4_1_0_1_a_late_end_that_affects_the_newcomer_is_violated() {
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
            call.assert_cites(check, citation);
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
fn a_ban_is_reported_with_its_time_code_and_duration() {
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
fn the_embedded_broker_sends_0x8e_at_every_take_over() {
    // The broker spends about 3 ms of its one thread on each take-over among 5,000 Clients, and other tests run beside
    // this one. A faster storm would fill its listen backlog, and the kernel would drop the handshakes.
    let pace = "-c 5000 -R 80 --connect-timeout 30s --reaction-timeout 30s";
    let call = call(TOOL, "storm", &format!("-V 5 --variant clean {pace}"));
    call.assert_violates_nothing();
    let case = call.only_case();
    assert_eq!(case.disconnect_codes.get(&0x8E), Some(&5_000), "{call}");
    // A PINGREQ that a busy broker has not read when it closes turns its FIN into an RST.
    let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
    assert_eq!((case.fact("alive", "1"), ended), (5_000, 5_000), "{call}");
}

#[test]
fn mosquitto_closes_and_loses_the_will_of_a_resumed_session() {
    let call = call(TOOL, "storm", "--spawn mosquitto -c 52 -R 200 --will-delay 1s");
    let record = call.record();
    assert!(record.cases.len() == 13, "{call}");
    for case in &record.cases {
        assert_eq!(case.outcome(Outcome::Closed), 4, "{call}");
        assert_eq!(case.fact("alive", "1"), 4);
        assert_eq!(call.conclusion(CLOSES, &case.case.variant, &case.case.version), Holds);
    }
    // Later versions send 0x8E; the distribution has this one.
    if record.broker.sys_version.as_deref() == Some("mosquitto version 2.0.11") {
        assert!(call.differing().contains(&"reports_session_taken_over".to_owned()), "{call}");
        assert_eq!(call.violated(), [WILL], "{call}");
        assert_eq!(call.conclusion(WILL, "resume", "3.1.1"), Violated);
        assert_eq!(call.conclusion(WILL, "clean", "3.1.1"), Holds);
        assert_eq!(call.conclusion(WILL, "resume-will-delay", "5.0"), Holds);
    }
    assert!(record.broker_log.is_some_and(|log| log.attempts_named == 52), "{call}");
}

#[test]
fn mistakes_in_flags_are_reported_together() {
    let call = call(TOOL, "storm", "--variant gone -V 7 --will-delay 1500ms --in-flight -1");
    call.assert_mistake(&[
        "unknown variant \"gone\"",
        "unknown version \"7\"",
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
