//! Shrinking with oracles that need no broker.

use proptest::prelude::*;
use ungraceful_record::expectation::Expected;

use super::*;
use crate::model::Sending;

/// Three clients, and the QoS 3 of one of them.
const PADDED: &str = r#"
id = "padded"
about = "PUBLISH with QoS 3, and much besides"
versions = ["3.1.1", "5.0"]

[[step]]
client = "a"
connect = { keep_alive = 30, properties = [{ receive_maximum = 10 }, { user_property = ["a", "b"] }] }
[[step]]
client = "a"
send = { subscribe = { filters = [{ filter = "{topic}/#", options = 1 }, "{topic}"] } }
[[step]]
client = "a"
wait_for = "SUBACK"
[[step]]
client = "b"
connect = { will = { payload = "gone", retain = true } }
[[step]]
connect = {}
[[step]]
client = "b"
send = { publish = { topic = "{topic}", qos = 1, payload = "before" } }
[[step]]
client = "b"
wait_for = "PUBACK"
[[step]]
pause = "200ms"
[[step]]
repeat = { times = 5, step = [{ send = { pingreq = {} } }, { wait_for = "PINGRESP" }] }

[[expect]]
closes = true
must = { v5 = "MQTT-4.13.1-1", v311 = "MQTT-3.3.1-4" }
[[expect]]
delivers = { client = "a", count = 1 }
prose = "nowhere"

[[case]]
name = "with-payload"
payload = "a long payload"
extra = { hex = "00 01" }
[[case.step]]
send = { publish = { topic = "{topic}/sub", qos = 3, dup = true, packet_identifier = 77, payload = ["{payload}", "{extra}"],
    properties = [{ message_expiry_interval = 100 }, { content_type = "text" }] } }
provokes = true
[[case.step]]
client = "a"
end = { disconnect = { reason_code = 4 } }
"#;

fn padded() -> Scenario {
    let scenario = parse(PADDED).unwrap();
    alone(&scenario, &scenario.cases[0], ungraceful_mqtt::ProtocolVersion::V5)
}

/// Shrinks by an oracle, and checks each proposal: smaller than what it is made of, and a scenario.
fn shrunk(scenario: Scenario, kept: Kept, mut shows: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut shrinking = Shrinking::new(scenario, kept);
    let mut tries = 0;
    while let Some(candidate) = shrinking.candidate().cloned() {
        tries += 1;
        assert!(tries < 20_000, "it does not end");
        assert!(Size::of(&candidate) < Size::of(shrinking.smallest()));
        assert_eq!(parse(&print(&candidate)).as_ref(), Ok(&candidate));
        shrinking.answer(shows(&candidate));
    }
    shrinking.smallest().clone()
}

/// Whether a step sends a PUBLISH with QoS 3.
fn has_qos_3(scenario: &Scenario) -> bool {
    print(scenario).contains("qos = 3")
}

/// What follows the line with the versions.
fn body(scenario: &Scenario) -> String {
    let text = print(scenario);
    text.split_once("]\n").unwrap().1.to_owned()
}

#[test]
fn a_case_alone_has_no_parameters_and_sends_the_same_bytes() {
    let whole = parse(PADDED).unwrap();
    let alone = padded();
    assert_eq!((alone.cases.as_slice(), alone.versions.len()), (&[crate::model::Case::only()][..], 1));
    let text = print(&alone);
    assert!(text.contains(r#"payload = ["a long payload", { hex = "00 01" }]"#), "{text}");
    let merged = Scenario {
        steps: whole.steps_of(&whole.cases[0]),
        versions: alone.versions.clone(),
        ..whole.clone()
    };
    assert_eq!(sent::sent(&merged).unwrap(), sent::sent(&alone).unwrap());
}

#[test]
fn what_speaks_for_itself_shrinks_to_the_one_packet() {
    let smallest = shrunk(padded(), Kept::Nothing, has_qos_3);
    assert_eq!(body(&smallest), "\n[[step]]\nsend = { publish = { qos = 3 } }\n");
}

#[test]
fn what_rests_on_a_rule_keeps_what_breaks_it_and_breaks_no_other() {
    // Any broker that serves its client would "show" this: only what is illegal about the packet keeps it from becoming legal.
    let expects_end =
        |scenario: &Scenario| scenario.expects.iter().any(|expect| expect.what == Expected::Closes);
    let smallest = shrunk(padded(), Kept::Offence, expects_end);
    let expected = "\n[[step]]\nconnect = {}\n\n[[step]]\nsend = { publish = { topic = \"{topic}\", qos = 3 } }\n\n\
                    [[expect]]\ncloses = true\nmust = { v5 = \"MQTT-4.13.1-1\" }\n";
    assert_eq!(body(&smallest), expected);
}

#[test]
fn an_offence_that_no_packet_shows_keeps_the_steps_of_its_client() {
    let text = PADDED.replace("qos = 3, dup = true", "qos = 1");
    let scenario = parse(&text).unwrap();
    let first = alone(&scenario, &scenario.cases[0], ungraceful_mqtt::ProtocolVersion::V5);
    assert!(Shrinking::new(first.clone(), Kept::Offence).keeps_client());
    let of_client = |scenario: &Scenario| {
        scenario.steps.iter().filter(|step| step.client == FIRST_CLIENT).cloned().collect::<Vec<_>>()
    };
    let smallest = shrunk(first.clone(), Kept::Offence, |_| true);
    assert_eq!(smallest.steps, of_client(&first));
}

#[test]
fn a_legal_scenario_stays_legal() {
    let text = PADDED.replace("qos = 3, dup = true", "qos = 1").replace("closes", "stays");
    let scenario = parse(&text).unwrap();
    let first = alone(&scenario, &scenario.cases[0], ungraceful_mqtt::ProtocolVersion::V5);
    let publishes = |scenario: &Scenario| print(scenario).contains("publish");
    let smallest = shrunk(first, Kept::Rules, publishes);
    let text = print(&smallest);
    assert!(text.contains("connect") && text.contains("topic = "), "{text}");
    assert_eq!(smallest.steps.len(), 2, "{text}");
}

#[test]
fn hexadecimal_shrinks_packet_by_packet_and_then_byte_by_byte() {
    let text = r#"
        id = "raw"
        about = "CONNECT, PINGREQ, PUBLISH and rubbish in one write"
        versions = ["3.1.1"]
        [[step]]
        send = { hex = "10 0C 00 04 4D 51 54 54 04 02 00 3C 00 00 C0 00 30 07 00 03 61 2F 62 FF 78 55 AA" }
    "#;
    let scenario = parse(text).unwrap();
    let first = alone(&scenario, &scenario.cases[0], scenario.versions[0]);
    assert_eq!(first.steps.len(), 4);
    let sends = |scenario: &Scenario, byte: u8| {
        let Ok(sent) = sent::sent(scenario) else { return false };
        sent.iter().any(|sent| sent.bytes.contains(&byte))
    };
    let smallest = shrunk(first.clone(), Kept::Nothing, |scenario| sends(scenario, 0xFF));
    assert_eq!(body(&smallest), "\n[[step]]\nsend = { hex = \"FF\" }\n");
    // Where the packet has to stay whole, its Remaining Length follows.
    let is_publish = |scenario: &Scenario| {
        let sent = sent::sent(scenario).unwrap();
        sent.iter().any(|sent| {
            sent.bytes.first() == Some(&0x30) && sent.bytes.len() == usize::from(sent.bytes[1]) + 2
        })
    };
    let smallest = shrunk(first, Kept::Nothing, |scenario| sends(scenario, 0xFF) && is_publish(scenario));
    assert_eq!(body(&smallest), "\n[[step]]\nsend = { hex = \"30 01 FF\" }\n");
}

#[test]
fn the_client_that_is_left_becomes_the_first() {
    let smallest = shrunk(padded(), Kept::Nothing, |scenario| print(scenario).contains("retain = true"));
    // A scenario needs a step that provokes.
    let expected =
        "\n[[step]]\nconnect = { will = { retain = true } }\n\n[[step]]\nsend = { publish = {} }\n";
    assert_eq!(body(&smallest), expected);
}

/// Answers that look random and depend on the scenario alone.
fn arbitrary(seed: u64, scenario: &Scenario) -> bool {
    !(hash(&print(scenario)) ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).is_multiple_of(3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_answers_end_with_the_same_scenario_that_is_no_larger(seed in any::<u64>(), kept in 0..3_usize) {
        let kept = [Kept::Nothing, Kept::Rules, Kept::Offence][kept];
        let first = padded();
        let smallest = shrunk(first.clone(), kept, |scenario| arbitrary(seed, scenario));
        prop_assert!(Size::of(&smallest) <= Size::of(&first));
        let read = parse(&print(&smallest));
        prop_assert_eq!(read.as_ref(), Ok(&smallest));
        let again = shrunk(first, kept, |scenario| arbitrary(seed, scenario));
        prop_assert_eq!(smallest, again);
    }

    #[test]
    fn the_packets_that_are_needed_are_all_that_is_left(needed in prop::collection::btree_set(0..12_usize, 1..4)) {
        let step = |number| format!("[[step]]\nsend = {{ publish = {{ topic = \"t{number}t\", payload = \"x\" }} }}\n");
        let steps: String = (0..12).map(step).collect();
        let first = parse(&format!("id = \"many\"\nabout = \"many\"\nversions = [\"5.0\"]\n{steps}")).unwrap();
        let has_all = |scenario: &Scenario| {
            let text = print(scenario);
            needed.iter().all(|number| text.contains(&format!("\"t{number}t\"")))
        };
        let smallest = shrunk(first, Kept::Nothing, has_all);
        let topics: Vec<String> = needed.iter().map(|number| format!("t{number}t")).collect();
        let left = smallest.steps.iter().map(|step| match &step.action {
            Action::Send(sending) => match &**sending {
                Sending::Packet(packet) => print_topic(packet),
                Sending::Bytes(_) => None,
            },
            _ => None,
        });
        prop_assert_eq!(left.collect::<Option<Vec<_>>>(), Some(topics));
    }
}

fn print_topic(packet: &crate::model::Packet) -> Option<String> {
    let crate::model::Body::Publish(publish) = &packet.body else { return None };
    let crate::template::Bytes::Text(topic) = &publish.topic else { return None };
    (publish.payload == crate::template::Bytes::default()).then(|| topic.to_string())
}
