//! Brokers whose CONNACK restricts features: unsupported features are not used or judged, and the rest is.

use ungraceful_mqtt::QoS;
use ungraceful_record::testing::{FactsByText, every};
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Retained, Script, Wills};

use crate::support::{Call, VERSIONS, call_at};

const TOOL: &str = "ungraceful-vanish";
const WILL: &str = "publishes_the_will";
const RETAINS: &str = "retains_the_will";

/// A mode against a broker with this script, with waits long enough for a busy machine.
fn vanish(script: Script, mode: &str, arguments: &str) -> Call {
    let patient = "--reaction-timeout 20s --bystander-rate 20";
    call_at(script, TOOL, mode, &format!("{patient} {arguments}"))
}

fn of_qos_0(wills: Wills) -> Script {
    Script { maximum_qos: Some(QoS::AtMostOnce), wills, ..Script::default() }
}

#[test]
fn mqtt5_3_2_2_11_wills_at_qos_0_are_judged() {
    let drop = "--variant rst,disconnect --attempts 3 --will-wait 20s";
    let call = vanish(of_qos_0(Wills::Publish), "drop", drop);
    assert_eq!((call.exit(), call.violated()), (0, vec![]), "{call}");
    for version in VERSIONS {
        let will = call.case("rst", version).will.unwrap();
        assert_eq!((will.due, will.due_and_seen), (3, 3), "{call}");
        assert_eq!(call.conclusion(WILL, "rst", version), Holds);
        assert_eq!(call.conclusion("withholds_the_will", "disconnect", version), Holds);
    }
    assert!(call.record().witness.unwrap().proved);
}

#[test]
fn mqtt5_3_1_2_8_missing_wills_of_qos_0_are_violated_from_three_on() {
    let never = |attempts| {
        let drop = format!("--variant rst -V 5 --will-wait 3s --attempts {attempts}");
        vanish(of_qos_0(Wills::Never), "drop", &drop)
    };
    let several = never("3");
    several.assert_violates(&[WILL]);
    let few = never("2");
    assert_eq!((few.exit(), few.conclusion(WILL, "rst", "5.0")), (3, Inconclusive), "{few}");
    few.assert_prints(&["at least 3 attempts must show the same"]);
}

#[test]
fn mqtt5_3_2_2_21_honest_clients_keep_to_the_server_keep_alive() {
    // Subscribers at QoS 0 send only PINGREQ, for four times the Server Keep Alive, or without one.
    for server_keep_alive_s in [1, 0] {
        let script = Script { server_keep_alive_s: Some(server_keep_alive_s), ..Script::default() };
        let call = vanish(script, "drop", "--variant rst -V 5 --attempts 2 --bystander-qos 0 --baseline 4s");
        assert_eq!((call.exit(), call.violated()), (0, vec![]), "{call}");
        let bystanders = call.record().bystanders.unwrap();
        assert!(bystanders.connections_lost.is_empty(), "{:?}", bystanders.connections_lost);
        assert!(call.record().witness.unwrap().proved, "it was there all the time");
    }
}

#[test]
fn mqtt5_3_2_2_14_cases_that_need_retained_messages_are_skipped() {
    let script = Script { retained: Retained::Unavailable, ..Script::default() };
    let call = vanish(script, "will-storm", "--count 12 --will-wait 20s").expect_exit(0);
    let record = call.record();
    assert_eq!(record.cases.len(), 2, "the plain Will in both versions");
    assert_eq!(record.cases_left_out.len(), 5);
    assert!(every(&record.cases_left_out, |left| left.why.contains("Retain Available 0")));
    call.assert_concludes("publishes_every_will", "plain", Holds);
    call.assert_prints(&["Skipped", "will-storm retained MQTT 5.0"]);

    let alone = vanish(script, "will-storm", "--count 4 --variant retained").expect_exit(4);
    alone.assert_reports(&["supports none of the selected variants", "choose others"]);
}

#[test]
fn late_retained_messages_are_no_violation() {
    let late = |retained: &str| {
        let script = Script { retained: retained.parse().unwrap(), ..Script::default() };
        vanish(script, "will-storm", "--count 8 --variant retained --will-wait 20s")
    };
    let somewhat = late("after-700ms");
    assert_eq!((somewhat.exit(), somewhat.violated()), (0, vec![]), "{somewhat}");
    // Even messages that are known to be retained come too late.
    let too_late = late("after-60s").expect_exit(3);
    for version in VERSIONS {
        assert_eq!(somewhat.case("retained", version).fact("retained", "offline"), 4);
        assert_eq!(somewhat.conclusion(RETAINS, "retained", version), Holds);
        assert_eq!(too_late.case("retained", version).fact("retained", "unknown"), 4);
        assert_eq!(too_late.conclusion(RETAINS, "retained", version), Inconclusive);
    }
    // The same check is violated when nothing is retained.
    let never =
        Script { wills: Wills::NeverRetained, retained: "after-700ms".parse().unwrap(), ..Script::default() };
    let never = vanish(never, "will-storm", "--count 8 --variant retained --will-wait 20s");
    assert_eq!(never.conclusion(RETAINS, "retained", "5.0"), Violated, "{never}");
}
