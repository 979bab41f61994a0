//! `ungraceful-expire` against a real Mosquitto and a real RabbitMQ, against a broker that misbehaves by name, and against
//! the embedded one.

use std::path::PathBuf;

use tempfile::TempDir;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::{FactsByText, every};
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Expiry, Reauthentication, Removal, Script, ScriptedBroker, Wills};

use crate::real_brokers::RealBroker;
use crate::support::{Call, VERSIONS, call, call_at};

const TOOL: &str = "ungraceful-expire";
/// Any client may administer the scripted broker.
const ADMINISTRATOR: &str = "--admin-username anybody";

fn kick_at(script: Script, arguments: &str) -> Call {
    call_at(script, TOOL, "kick", &format!("--attempts 2 {ADMINISTRATOR} {arguments}"))
}

/// A key to sign tokens with, in a file.
struct Key {
    file: PathBuf,
    _folder: TempDir,
}

impl Key {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "a key for tests\n").unwrap();
        Self { file, _folder: folder }
    }
}

fn token_at(script: Script, arguments: &str) -> Call {
    let (broker, key) = (ScriptedBroker::start(script), Key::new());
    let file = key.file.to_str().unwrap();
    // Long enough to connect on a busy machine.
    let tokens = format!("--attempts 2 --token-lifetime 5s --token-key-file {file}");
    call_at(broker.address(), TOOL, "token", &format!("{tokens} {arguments}"))
}

/// Attempts in which the broker ended the connection.
fn cut(call: &Call, variant: &str, version: &str) -> u64 {
    let case = call.case(variant, version);
    case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)
}

#[test]
fn a_kick_on_spawned_mosquitto_needs_no_more_flags() {
    let call = call(TOOL, "kick", "--spawn mosquitto --attempts 3");
    for version in VERSIONS {
        for variant in ["disable", "delete", "password", "group"] {
            let case = call.case(variant, version);
            assert_eq!(cut(&call, variant, version), 3, "{variant}\n{call}");
            assert_eq!(case.fact("publisher_beside", "served"), 3, "{call}");
            assert_eq!(case.fact("still_served", "nothing"), 3, "{call}");
            assert_eq!(case.measures["delivered_afterwards"].sum, 0);
            assert_eq!(case.measures["kick_confirmed_us"].count, 3);
            let codes = case.disconnect_codes.get(&0x98).copied().unwrap_or(0);
            assert_eq!(codes, if version == "5.0" { 3 } else { 0 });
            let back = match (variant, version) {
                ("group", _) => "accepted, without its rights",
                (_, "5.0") => "CONNACK 0x87 Not authorized",
                _ => "CONNACK 0x05 Connection Refused, not authorized",
            };
            assert_eq!(case.fact("came_back", back), 3, "{call}");
            // Mosquitto 2.0.11 publishes no Will of a client that it kicks; other versions may.
            let will = case.will.unwrap();
            assert_eq!(will.due, 3, "{call}");
            let judged = if variant == "password" && will.due_and_seen == 0 { Violated } else { Holds };
            assert_eq!(call.conclusion("publishes_the_will", variant, version), judged, "{call}");
        }
    }
    // The bystanders are not users of the run, so they stay connected.
    assert!(call.record().bystanders.unwrap().connections_lost.is_empty(), "{call}");
}

#[test]
fn a_command_can_kick_and_its_failure_is_reported() {
    let control = "mosquitto_ctrl -h {host} -p {port} dynsec";
    let kick = |command: &str| {
        let command = shlex::try_quote(command).unwrap();
        call(TOOL, "kick", &format!("--spawn mosquitto --attempts 2 -V 5 --kick-cmd {command}"))
    };
    let kicked = kick(&format!("{control} disableClient {{username}}"));
    assert_eq!(cut(&kicked, "command", "5.0"), 2, "{kicked}");
    assert_eq!(kicked.only_case().fact("came_back", "CONNACK 0x87 Not authorized"), 2);
    let shown = std::fs::read_to_string(kicked.folder.join("run.json")).unwrap();
    assert!(!shown.contains("disableClient"), "a command may hold a password: it is in no record");

    // mosquitto_ctrl exits with 0 whatever the broker answers.
    let missed = kick(&format!("{control} disableClient {{client_id}}nobody"));
    assert_eq!(missed.only_case().outcome(Outcome::Tolerated), 2, "{missed}");
    assert!(missed.differing().contains(&"cuts_the_client".to_owned()), "{missed}");
    missed.assert_prints(&["STILL SERVED: 2 of 2 clients"]);
    assert!(missed.stdout().contains("--kick-cmd '<not recorded>'"), "to be given again: {missed}");

    // Its output is shown, except for the secret word of the command.
    let says = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(says.path(), "no such user hunter2\n").unwrap();
    let command = format!("sh -c 'cat {} >&2; exit 7' {{client_id}} hunter2", says.path().display());
    let failing = kick(&command).expect_exit(3);
    let case = failing.only_case();
    let troubles: Vec<&String> = case.troubles.keys().collect();
    assert!(every(&troubles, |trouble| trouble.contains("exit status: 7: no such user ***")), "{troubles:?}");
    assert_eq!(case.outcome(Outcome::NotActed), 2);
}

#[test]
fn without_a_way_to_kick_the_run_names_what_it_needs() {
    let call = call(TOOL, "kick", "--attempts 1 --bystanders 1 --variant disable").expect_exit(3);
    let case = call.case("disable", "5.0");
    assert_eq!(case.outcome(Outcome::NotActed), 1, "{call}");
    call.assert_prints(&["--kick-cmd"]);
    assert_eq!(call.conclusion("cuts_the_client", "disable", "5.0"), Inconclusive);
}

#[test]
fn a_broker_that_kicks_correctly_is_not_violated() {
    let call = kick_at(Script::default(), "").expect_exit(0);
    for version in VERSIONS {
        for variant in ["disable", "delete", "password", "group"] {
            assert_eq!(cut(&call, variant, version), 2, "{call}");
            let will = call.case(variant, version).will.unwrap();
            assert_eq!((will.due, will.due_and_seen), (2, 2), "{call}");
        }
        assert_eq!(call.case("group", version).fact("came_back", "accepted, without its rights"), 2);
    }
    assert_eq!(call.differing(), Vec::<String>::new(), "{call}");
}

#[test]
fn a_broker_that_confirms_a_kick_but_does_nothing_is_noted() {
    let script = Script { removal: Removal::Ignore, ..Script::default() };
    let call = kick_at(script, "--variant disable").expect_exit(0);
    for version in VERSIONS {
        let case = call.case("disable", version);
        assert_eq!(case.outcome(Outcome::Tolerated), 2, "{call}");
        assert_eq!(case.fact("still_served", "both ways"), 2, "{call}");
        // One message each way every 50 ms for two seconds, on a machine that may be busy.
        for measure in ["delivered_afterwards", "taken_afterwards"] {
            let served = &case.measures[measure];
            assert!(served.min.unwrap() >= 3 && served.sum <= 200, "{measure}: {served:?}");
        }
        // The last of them came near the deadline.
        assert!(case.measures["last_delivery_after_us"].min.unwrap() > 1_000_000, "{case:?}");
    }
    let stdout = call.stdout();
    assert!(stdout.contains("STILL SERVED: 2 of 2 clients whose removal had been confirmed"), "{call}");
    assert_eq!(call.differing(), ["cuts_the_client", "refuses_the_client_afterwards", "stops_deliveries"]);
}

#[test]
fn mqtt5_3_14_4_1_packets_after_a_disconnect_are_violated() {
    let script = Script { removal: Removal::DeliverOn, ..Script::default() };
    let call = kick_at(script, "--variant delete -V 5");
    call.assert_violates(&["sends_nothing_after_disconnect"]);
    call.assert_prints(&["MQTT 5.0 [MQTT-3.14.4-1]"]);
}

#[test]
fn mqtt5_3_2_2_7_and_mqtt3_1_1_3_2_2_5_serving_a_rejected_client() {
    let script = Script { removal: Removal::ServeRefused, ..Script::default() };
    let call = kick_at(script, "--variant disable");
    call.assert_violates(&["closes_after_refusing"]);
    for version in VERSIONS {
        assert_eq!(call.case("disable", version).fact("after_the_refusal", "served"), 2, "{call}");
    }
}

#[test]
fn mqtt5_3_1_2_8_a_missing_will_of_a_kicked_client_is_violated() {
    let script = Script { wills: Wills::Never, ..Script::default() };
    let call = kick_at(script, "--attempts 3 --variant password,disable");
    call.assert_violates(&["publishes_the_will"]);
    call.assert_concludes("publishes_the_will", "password", Violated);
    // A disabled user may not publish any more.
    call.assert_concludes("publishes_the_will", "disable", Holds);
}

#[test]
fn accepting_kicked_clients_or_closing_others_is_noted() {
    let readmits = Script { removal: Removal::Readmit, ..Script::default() };
    let readmits = kick_at(readmits, "--variant disable").expect_exit(0);
    assert_eq!(readmits.differing(), ["refuses_the_client_afterwards"], "{readmits}");
    let everyone = Script { removal: Removal::Everyone, ..Script::default() };
    let everyone = kick_at(everyone, "--variant disable -V 5 --attempts 1");
    assert!(everyone.differing().contains(&"leaves_others_alone".to_owned()), "{everyone}");
    assert_eq!(everyone.only_case().fact("publisher_beside", "cut"), 1, "{everyone}");
}

#[test]
fn a_rejected_removal_is_no_kick() {
    let refuses =
        kick_at(Script { removal: Removal::Refuse, ..Script::default() }, "--variant delete").expect_exit(3);
    let troubles: Vec<String> = refuses.case("delete", "5.0").troubles.into_keys().collect();
    assert_eq!(troubles, ["the dynamic security rejected deleteClient: Not allowed"]);
}

#[test]
fn closing_at_the_end_of_the_token_is_no_violation() {
    let call = token_at(Script::default(), "").expect_exit(0);
    for version in VERSIONS {
        for variant in ["one-topic", "new-topics"] {
            let case = call.case(variant, version);
            assert_eq!(cut(&call, variant, version), 2, "{call}");
            assert_eq!(case.measures["delivered_afterwards"].sum, 0, "{call}");
            assert_eq!(case.fact("with_a_new_token", "accepted"), 2, "{call}");
        }
    }
    let refused = call.case("one-topic", "5.0").fact("came_back", "CONNACK 0x87 Not authorized");
    assert_eq!(refused, 2, "{call}");
    // Tokens are good for five seconds, rounded up to a whole one; connecting takes some of it.
    for attempt in call.attempts() {
        let (connected, ended) = (attempt.connack_us.unwrap(), attempt.provoked_us.unwrap());
        assert!(ended > connected && ended - attempt.started_us >= 4_500_000, "{attempt:?}");
    }
    assert_eq!(call.differing(), Vec::<String>::new(), "{call}");
}

#[test]
fn delivering_after_the_end_of_the_token_is_noted() {
    let script = Script { expiry: Expiry::DeliverOn, ..Script::default() };
    let call = token_at(script, "--variant one-topic").expect_exit(0);
    assert_eq!(call.differing(), ["cuts_at_expiry", "stops_deliveries"], "{call}");
    call.assert_prints(&["STILL SERVED: 2 of 2 clients whose token had expired"]);
    let case = call.case("one-topic", "5.0");
    assert_eq!(case.outcome(Outcome::Tolerated), 2, "{call}");
    // The expired token is still rejected.
    assert_eq!(case.fact("came_back", "CONNACK 0x87 Not authorized"), 2, "{call}");
}

#[test]
fn how_long_after_the_end_a_client_is_cut_is_measured() {
    let late = Expiry::CutAfter(std::time::Duration::from_millis(1_800));
    let call = token_at(Script { expiry: late, ..Script::default() }, "--variant one-topic -V 5");
    let case = call.only_case();
    assert!(case.reaction_time.min_us.unwrap() >= 1_620_000, "{:?}", case.reaction_time);
    // Deliveries more than a second after the end are reported.
    assert!(case.measures["delivered_afterwards"].min.unwrap() >= 1, "{call}");
    assert_eq!(call.differing(), ["stops_deliveries"], "{call}");
}

#[test]
fn a_broker_that_checks_no_tokens_is_inconclusive() {
    let call = token_at(Script { expiry: Expiry::Ignore, ..Script::default() }, "--variant one-topic")
        .expect_exit(3);
    call.assert_prints(&["it checks no tokens"]);
    assert_eq!(call.conclusion("cuts_at_expiry", "one-topic", "5.0"), Inconclusive);
}

#[test]
fn a_token_comes_from_a_command_or_a_file_and_is_shown_nowhere() {
    // {"alg":"none"} and {"exp":4102444800}: the year 2100.
    let token = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2VjcmV0";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1"), format!("{token}\n")).unwrap();
    let files = format!("--token-dir {}", folder.path().display());
    for source in [format!("--token-cmd 'echo {token}'"), files] {
        let flags = format!("--variant one-topic -V 5 --attempts 1 {source}");
        let call = call_at(Script::default(), TOOL, "token", &flags).expect_exit(3);
        let troubles: Vec<String> = call.only_case().troubles.into_keys().collect();
        assert!(troubles.len() == 1 && troubles[0].contains("longer than --wait-max"), "{troubles:?}");
        call.assert_keeps_secret("c2VjcmV0");
    }
}

#[test]
fn mistakes_of_both_modes_are_reported_with_fixes() {
    let kick = |flags| call(TOOL, "kick", flags);
    kick("--kick-cmd 'kick everybody' --admin-pw x --variant disable").assert_mistake(&[
        "does not name the client",
        "give --admin-username as well",
        "add command",
    ]);
    kick("--host 127.0.0.1 --kick-cmd 'kick {username}'")
        .assert_mistake(&["which all clients of the run share"]);
    kick("--spawn mosquitto -u me --variant command").assert_mistake(&["give --kick-cmd", "its own users"]);
    let token = |flags| call(TOOL, "token", flags);
    token(r#"--claims '{"aud":"x"}' --token-in will"#).assert_mistake(&[
        "give --token-cmd, --token-dir, or --token-key-file",
        "choose from password, username",
    ]);
    token("--token-cmd x --token-dir /nonexistent").assert_mistake(&["keep one of"]);
}

#[test]
fn rabbitmq_checks_tokens_at_connect_and_for_new_topics() {
    let Some(broker) = RealBroker::start("rabbitmq-oauth2") else { return };
    let key = format!("{}/oauth2.key", broker.folder);
    let claims = r#"{"aud":["ungraceful"],"scope":["ungraceful.read:*/*/*","ungraceful.write:*/*/*","ungraceful.configure:*/*/*"]}"#;
    let signed = format!("--token-key-file {key} --claims '{claims}'");
    let flags = format!("{signed} --attempts 2 --bystander-qos 0,1 --token-lifetime 6s");
    let call = call_at(broker.address, TOOL, "token", &flags);
    for variant in ["one-topic", "new-topics"] {
        let case = call.case(variant, "3.1.1");
        let refused = "CONNACK 0x04 Connection Refused, bad user name or password";
        assert_eq!(case.fact("came_back", refused), 2, "{call}");
        assert_eq!(case.fact("with_a_new_token", "accepted"), 2, "{call}");
    }
    // RabbitMQ 3.10 looks at the token for each new topic alone; later ones cut at its end, which would hold as well.
    assert_eq!(cut(&call, "new-topics", "3.1.1"), 2, "{call}");
    let one_topic = call.case("one-topic", "3.1.1");
    let is_told = call.differing().contains(&"cuts_at_expiry".to_owned());
    assert_eq!(one_topic.outcome(Outcome::Tolerated) > 0, is_told, "{call}");
}

/// Reauthentication at a broker with this policy.
fn again_at(reauthentication: Reauthentication, variant: &str) -> Call {
    let script = Script { reauthentication, ..Script::default() };
    // Long enough to be answered well before the end.
    token_at(script, &format!("--variant {variant} -V 5 --auth-method JWT --token-lifetime 6s"))
}

#[test]
fn a_renewed_token_extends_the_connection_and_a_bad_one_ends_it() {
    let call = again_at(Reauthentication::Accept, "reauthenticate,reauthenticate-spoilt").expect_exit(0);
    let renewed = call.case("reauthenticate", "5.0");
    assert_eq!(renewed.fact("reauthentication", "AUTH 0x00"), 2, "{call}");
    assert_eq!(renewed.fact("past_the_first_token", "served"), 2, "{call}");
    assert_eq!(renewed.fact("still_served", "both ways"), 2, "{call}");
    assert_eq!(renewed.measures["reauthentication_us"].count, 2, "{call}");
    let spoilt = call.case("reauthenticate-spoilt", "5.0");
    assert_eq!(spoilt.fact("reauthentication", "DISCONNECT 0x87"), 2, "{call}");
    assert_eq!(spoilt.fact("after_failed_reauthentication", "DISCONNECT, then closed"), 2);
    for case in [&renewed, &spoilt] {
        assert_eq!(case.fact("method_in_connack", "the same"), 2, "{call}");
    }
    assert_eq!(call.differing(), Vec::<String>::new(), "{call}");
}

#[test]
fn a_renewed_token_that_does_not_extend_the_connection_is_noted() {
    let call = again_at(Reauthentication::KeepOldEnd, "reauthenticate").expect_exit(0);
    assert_eq!(call.only_case().fact("past_the_first_token", "cut at its end"), 2, "{call}");
    call.assert_prints(&["CUT ALTHOUGH RENEWED: 2 of 2 clients"]);
    assert_eq!(call.differing(), ["serves_past_the_first_token"], "{call}");
}

#[test]
fn each_answer_to_auth_is_reported_and_wrong_ones_are_noted() {
    let call = again_at(Reauthentication::Ignore, "reauthenticate");
    assert_eq!(call.only_case().fact("reauthentication", "nothing"), 2, "{call}");
    assert_eq!(call.differing(), ["accepts_the_renewed_token"], "{call}");
    let call = again_at(Reauthentication::AcceptAnything, "reauthenticate-spoilt");
    assert_eq!(call.differing(), ["refuses_a_spoilt_token"], "{call}");
    let call = again_at(Reauthentication::Fin, "reauthenticate-spoilt");
    assert_eq!(call.only_case().fact("reauthentication", "closed"), 2, "{call}");
    assert_eq!(call.differing(), ["closes_after_failed_reauthentication"], "{call}");
}

#[test]
fn another_authentication_step_is_inconclusive_with_a_reason() {
    let call = again_at(Reauthentication::Continue, "reauthenticate,reauthenticate-spoilt").expect_exit(3);
    assert_eq!((call.violated(), call.differing()), (vec![], vec![]), "{call}");
    for (check, variant) in [
        ("accepts_the_renewed_token", "reauthenticate"),
        ("serves_past_the_first_token", "reauthenticate"),
        ("refuses_a_spoilt_token", "reauthenticate-spoilt"),
    ] {
        assert_eq!(call.conclusion(check, variant, "5.0"), Inconclusive, "{check}");
        let evidence = &call.verdicts(check)[0].evidence;
        assert!(
            every(&["goes on with AUTH 0x18", "--auth-method"], |part| evidence.contains(part)),
            "{evidence}"
        );
    }
    assert!(call.has_no_verdict_of("closes_after_failed_reauthentication"), "nothing has failed: {call}");
}

#[test]
fn mqtt5_4_12_1_2_serving_after_failed_reauthentication_is_violated() {
    let call = again_at(Reauthentication::ServeRefused, "reauthenticate-spoilt");
    call.assert_violates(&["closes_after_failed_reauthentication"]);
    assert_eq!(call.only_case().fact("reauthentication", "AUTH 0x87"), 2, "{call}");
}

#[test]
fn mqtt5_4_12_0_5_another_method_in_the_answer_is_violated() {
    let call = again_at(Reauthentication::OtherMethod, "reauthenticate");
    call.assert_violates(&["keeps_the_method"]);
}

#[test]
fn an_unsupported_authentication_method_is_no_violation() {
    let flags = "--variant reauthenticate -V 5 --auth-method SCRAM";
    let refused = token_at(Script::default(), flags).expect_exit(3);
    let troubles: Vec<String> = refused.only_case().troubles.into_keys().collect();
    assert!(troubles.len() == 1 && troubles[0].contains("CONNACK 0x8C"), "{troubles:?}");
    assert!(troubles[0].contains("--auth-method"), "{troubles:?}");
    for (flags, cure) in [
        ("--auth-method JWT -V 3.1.1", "needs MQTT 5.0"),
        ("--variant reauthenticate", "give --auth-method"),
        ("--variant one-topic --auth-method JWT", "add reauthenticate to --variant"),
    ] {
        token_at(Script::default(), flags).assert_mistake(&[cure]);
    }
}
