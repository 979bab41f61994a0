//! Any scenario is the same after it was printed and read again.
#![cfg(test)]

use std::time::Duration;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ungraceful_mqtt::statement::{V5_3_1_0_2, V311_3_1_0_2};
use ungraceful_mqtt::{PacketType, ProtocolVersion};
use ungraceful_record::expectation::{Expected, Publication};
use ungraceful_scenario::model::{
    Ack, Action, Body, Case, Codes, Connect, End, Expect, Field, Filter, Force, Packet, Parameter,
    Properties, Property, Publish, Reason, RemainingLength, Report, Requires, Scenario, Sending, Step,
    Subscribe, Switch, WaitFor, Will,
};
use ungraceful_scenario::properties::{KINDS, Wire};
use ungraceful_scenario::template::{Bytes, Number, Text, Value};
use ungraceful_scenario::{parse, print};

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        any::<String>().prop_map(|text| Text::literal(&text)),
        Just(Text::variable("topic")),
        Just(Text::parse("{topic}/a{{b}}").unwrap()),
    ]
}

fn hex() -> impl Strategy<Value = Text> {
    vec(any::<u8>(), 0..4).prop_map(|bytes| Text::literal(&ungraceful_scenario::template::write_hex(&bytes)))
}

/// A number up to `max`, or a variable that is small.
fn number(max: u64) -> impl Strategy<Value = Number> {
    prop_oneof![(0..=max).prop_map(Number::Fixed), Just(Number::Variable("n".into(), 1))]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let leaf = prop_oneof![
        text().prop_map(Bytes::Text),
        hex().prop_map(Bytes::Hex),
        (text(), number(9)).prop_map(|(text, times)| Bytes::Repeat(text, times)),
        number(9).prop_map(Bytes::Random),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| vec(inner, 0..3).prop_map(Bytes::Joined))
}

fn switch() -> impl Strategy<Value = Switch> {
    prop_oneof![any::<bool>().prop_map(Switch::Fixed), Just(Switch::Variable("on".into()))]
}

fn property() -> impl Strategy<Value = Property> {
    let of_standard =
        (0..KINDS.len(), any::<u8>(), bytes()).prop_map(|(index, value, bytes)| match KINDS[index].wire {
            Wire::Bytes => Property::Bytes(index, bytes),
            _ => Property::Number(index, Number::Fixed(value.into())),
        });
    let leaf = prop_oneof![
        4 => of_standard,
        1 => (bytes(), bytes()).prop_map(|(name, value)| Property::Pair(name, value)),
        1 => hex().prop_map(Property::Hex),
    ];
    (leaf, of(number(3))).prop_map(|(property, times)| match times {
        None => property,
        Some(times) => Property::Times(times, Box::new(property)),
    })
}

fn properties() -> impl Strategy<Value = Properties> {
    (vec(property(), 0..3), of(number(9)), any::<bool>()).prop_map(|(list, length, omitted)| Properties {
        list,
        length,
        omitted,
    })
}

fn will() -> impl Strategy<Value = Will> {
    let fields = (of(bytes()), bytes(), of(number(2)), of(switch()), properties());
    fields.prop_map(|(topic, payload, qos, retain, properties)| Will {
        topic,
        payload,
        qos,
        retain,
        properties: Properties { omitted: false, ..properties },
    })
}

fn connect() -> impl Strategy<Value = Connect> {
    let head =
        (of(bytes()), of(number(9)), of(number(9)), of(switch()), of(number(9)), of(bytes()), of(will()));
    let rest = (of(bytes()), of(bytes()), any::<bool>(), properties());
    (head, rest).prop_map(|(head, (user_name, password, anonymous, properties))| {
        let (protocol_name, protocol_level, connect_flags, clean_start, keep_alive, client_id, will) = head;
        Connect {
            protocol_name,
            protocol_level,
            connect_flags,
            clean_start,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            anonymous,
            properties,
        }
    })
}

fn body() -> impl Strategy<Value = Body> {
    let publish = (bytes(), of(number(2)), of(switch()), of(switch()), of(number(9)), bytes(), properties());
    let publish = publish.prop_map(|(topic, qos, dup, retain, packet_identifier, payload, properties)| {
        Body::Publish(Publish { topic, qos, dup, retain, packet_identifier, payload, properties })
    });
    let filter = (bytes(), of(number(9))).prop_map(|(filter, options)| Filter { filter, options });
    let subscribe = (any::<bool>(), of(number(9)), vec(filter, 0..3), properties());
    let subscribe = subscribe.prop_map(|(is_unsubscribe, packet_identifier, filters, properties)| {
        Body::Subscribe(Subscribe { is_unsubscribe, packet_identifier, filters, properties })
    });
    let acks = [PacketType::PubAck, PacketType::PubRec, PacketType::PubRel, PacketType::PubComp];
    let ack = (proptest::sample::select(acks.to_vec()), of(number(9)), of(number(9)), properties());
    let ack = ack.prop_map(|(packet_type, packet_identifier, reason_code, properties)| {
        Body::Ack(packet_type, Ack { packet_identifier, reason_code, properties })
    });
    let reasons = [PacketType::ConnAck, PacketType::Disconnect, PacketType::Auth];
    let reason = (proptest::sample::select(reasons.to_vec()), of(number(9)), of(switch()), properties());
    let reason = reason.prop_map(|(packet_type, reason_code, session_present, properties)| {
        Body::Reason(packet_type, Reason { reason_code, session_present, properties })
    });
    let codes = [PacketType::SubAck, PacketType::UnsubAck];
    let codes = (proptest::sample::select(codes.to_vec()), of(number(9)), vec(number(9), 0..3), properties());
    let codes = codes.prop_map(|(packet_type, packet_identifier, reason_codes, properties)| {
        Body::Codes(packet_type, Codes { packet_identifier, reason_codes, properties })
    });
    let empty =
        proptest::sample::select(vec![PacketType::PingReq, PacketType::PingResp]).prop_map(Body::Empty);
    prop_oneof![
        connect().prop_map(|connect| Body::Connect(Box::new(connect))).boxed(),
        publish.boxed(),
        subscribe.boxed(),
        ack.boxed(),
        reason.boxed(),
        codes.boxed(),
        empty.boxed()
    ]
}

fn packet_of(body: BoxedStrategy<Body>) -> impl Strategy<Value = Packet> {
    let remaining_length = prop_oneof![
        number(9).prop_map(RemainingLength::Claimed),
        number(8).prop_map(RemainingLength::Padded),
        hex().prop_map(|text| RemainingLength::Bytes(Bytes::Hex(text))),
    ];
    let fields = (body, of(number(9)), of(remaining_length), of(number(9)), of(bytes()), of(number(9)));
    fields.prop_map(|(body, flags, remaining_length, truncate, append, cut)| Packet {
        body,
        flags,
        remaining_length,
        truncate,
        append,
        cut,
    })
}

fn sending() -> impl Strategy<Value = Action> {
    let sending = prop_oneof![
        1 => bytes().prop_map(Sending::Bytes),
        3 => packet_of(body().boxed()).prop_map(|packet| Sending::Packet(Box::new(packet))),
    ];
    sending.prop_map(|sending| Action::Send(Box::new(sending)))
}

fn milliseconds() -> impl Strategy<Value = Duration> {
    (0_u64..100_000).prop_map(Duration::from_millis)
}

fn action() -> impl Strategy<Value = Action> {
    let connect = packet_of(connect().prop_map(|connect| Body::Connect(Box::new(connect))).boxed());
    let disconnect = packet_of(
        (of(number(9)), properties())
            .prop_map(|(reason_code, properties)| {
                Body::Reason(
                    PacketType::Disconnect,
                    Reason { reason_code, session_present: None, properties },
                )
            })
            .boxed(),
    );
    let wait = (
        proptest::sample::select(vec![PacketType::ConnAck, PacketType::Publish]),
        number(3),
        of(Just(("kept".to_owned(), Field::PacketIdentifier))),
        of(milliseconds()),
        any::<bool>(),
    );
    let wait = wait.prop_map(|(packet, times, capture, within, required)| {
        Action::WaitFor(WaitFor { packet, times, capture: capture.into_iter().collect(), within, required })
    });
    let ends = vec![End::Fin, End::Rst, End::HalfClose, End::StopReading];
    prop_oneof![
        1 => Just(Action::Open),
        1 => connect.prop_map(|packet| Action::Connect(Box::new(packet))),
        4 => sending(),
        1 => wait,
        1 => milliseconds().prop_map(Action::Pause),
        1 => proptest::sample::select(ends).prop_map(Action::End),
        1 => disconnect.prop_map(|packet| Action::End(End::Disconnect(Box::new(packet)))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let named = proptest::sample::select(vec!["c", "b"]);
    let simple = (named, action(), of(1_u64..9)).prop_map(|(client, action, split)| {
        let sends = matches!(action, Action::Send(_));
        let split = split.filter(|_| sends).map(Number::Fixed);
        Step { client: client.to_owned(), split, ..Step::new(action) }
    });
    let simple = simple.boxed();
    let repeated = (number(3), vec(simple.clone(), 1..3))
        .prop_map(|(times, steps)| Step::new(Action::Repeat(times, steps)));
    prop_oneof![6 => simple, 1 => repeated]
}

fn versions() -> impl Strategy<Value = Vec<ProtocolVersion>> {
    proptest::sample::select(vec![
        vec![ProtocolVersion::V3_1_1],
        vec![ProtocolVersion::V5],
        vec![ProtocolVersion::V3_1_1, ProtocolVersion::V5],
    ])
}

fn expects() -> impl Strategy<Value = Vec<Expect>> {
    let what = vec![
        Expected::Closes,
        Expected::Connack(vec![0x84, 1]),
        Expected::Answers { packet: "SUBACK".into(), codes: vec![0x8F] },
        Expected::Answers { packet: "PINGRESP".into(), codes: Vec::new() },
        Expected::Receives(vec!["CONNACK 0x00".into(), "PUBLISH ×2".into()]),
        Expected::Will(Publication::Published),
        Expected::Will(Publication::Withheld),
        Expected::Delivers { client: "c".into(), count: 7 },
    ];
    let force = prop_oneof![
        Just(Force::Must(vec![V5_3_1_0_2])),
        Just(Force::Must(vec![V311_3_1_0_2, V5_3_1_0_2])),
        any::<String>().prop_map(Force::Should),
        any::<String>().prop_map(Force::May),
        any::<String>().prop_map(Force::Prose),
    ];
    let expect = (proptest::sample::select(what), force, prop_oneof![Just(Vec::new()), versions().boxed()]);
    let expect = expect.prop_map(|(what, force, versions)| {
        // What was recorded of one broker binds no other.
        let is_record = matches!(what, Expected::Receives(_)) && matches!(force, Force::Must(_));
        let force = if is_record { Force::May(String::new()) } else { force };
        Expect { what, force, versions }
    });
    of(expect).prop_map(|expect| expect.into_iter().collect())
}

fn case(name: &'static str) -> impl Strategy<Value = Case> {
    let parameter = prop_oneof![
        bytes().prop_map(Parameter::Bytes),
        any::<u32>().prop_map(|number| Parameter::Value(Value::Number(number.into()))),
        any::<bool>().prop_map(|switch| Parameter::Value(Value::Switch(switch))),
    ];
    (of(parameter), vec(step(), 0..2)).prop_map(move |(parameter, steps)| {
        // TOML sorts keys, and so does the reader.
        let mut parameters = vec![("on".to_owned(), Parameter::Value(Value::Switch(true)))];
        parameters.extend(parameter.map(|parameter| ("other".to_owned(), parameter)));
        Case {
            name: name.to_owned(),
            versions: Vec::new(),
            requires: Requires { qos: Some(1), ..Requires::default() },
            parameters,
            steps,
            expects: Vec::new(),
        }
    })
}

prop_compose! {
    fn scenario()(
        about in "[a-z \"\\\\\n\t]{1,20}[a-z]",
        notes in any::<String>(),
        versions in versions(),
        qos in of(0_u8..=2),
        reported in any::<bool>(),
        first in case("first"),
        second in of(case("second")),
        mut steps in vec(step(), 0..4),
        expects in expects(),
    ) -> Scenario {
        // There is a Will to expect, and something provokes.
        let connect = Connect { will: Some(Will::default()), ..Connect::default() };
        steps.insert(0, Step::new(Action::Connect(Box::new(Packet::new(Body::Connect(Box::new(connect)))))));
        steps.push(Step::new(Action::End(End::Rst)));
        let report = Report { name: "CVE-1".into(), broker: "some 1.0".into() };
        Scenario {
            id: "some-id".to_owned(),
            about,
            notes,
            versions,
            requires: Requires { qos, retain_available: Some(true), ..Requires::default() },
            reports: reported.then_some(report).into_iter().collect(),
            cases: [first].into_iter().chain(second).collect(),
            steps,
            expects,
        }
    }
}

/// The strategies of a whole scenario take more stack than a test has in a build without optimization.
fn with_any_scenario(test: fn(Scenario) -> Result<(), TestCaseError>) {
    let run = move || {
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) };
        TestRunner::new(config).run(&scenario(), test).unwrap();
    };
    std::thread::Builder::new().stack_size(256 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn any_scenario_is_read_as_it_was_printed() {
    with_any_scenario(|scenario| {
        let printed = print(&scenario);
        let read =
            parse(&printed).map_err(|mistakes| TestCaseError::fail(format!("{mistakes:#?}\n{printed}")))?;
        prop_assert_eq!(&read, &scenario, "{}", printed);
        prop_assert_eq!(print(&read), printed, "printing is stable");
        Ok(())
    });
}

#[test]
fn a_spoilt_scenario_is_rejected_without_a_panic() {
    with_any_scenario(|scenario| {
        let printed = print(&scenario);
        let spoilt = scenario.notes;
        for at in (0..printed.len()).step_by(7).filter(|at| printed.is_char_boundary(*at)) {
            let _either =
                parse(&[&printed[..at], &spoilt, printed.get(at + 1..).unwrap_or_default()].concat());
            let _either = parse(&printed[..at]);
        }
        Ok(())
    });
}
