//! Users that are removed, and tokens that expire, in both versions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_mqtt::{Auth, Connect, Packet, Properties, Property, ProtocolVersion, QoS, ReasonCode};
use ungraceful_scripted_broker::{Expiry, Reauthentication, Removal, Script, ScriptedBroker};

use crate::raw_client::{RawClient, encoded, until};

const COMMANDS: &str = "$CONTROL/dynamic-security/v1";
const DISABLE: &str = r#"{"commands":[{"command":"disableClient","username":"u"}]}"#;

fn removing(removal: Removal) -> ScriptedBroker {
    ScriptedBroker::start(Script { removal, ..Script::default() })
}

fn expiring(expiry: Expiry) -> ScriptedBroker {
    ScriptedBroker::start(Script { expiry, ..Script::default() })
}

/// The CONNECT of `user`, whose ClientID is the same.
fn of_user<'a>(user: &'a str, password: &'a [u8]) -> Connect<'a> {
    Connect { user_name: Some(user), password: Some(password), ..Connect::new(user) }
}

fn accepted(broker: &ScriptedBroker, version: ProtocolVersion, user: &str, password: &[u8]) -> RawClient {
    RawClient::connected_with(broker, version, &of_user(user, password), 0)
}

/// The first packet that answers the CONNECT of `user`.
fn answer(
    broker: &ScriptedBroker,
    version: ProtocolVersion,
    user: &str,
    password: &[u8],
) -> (RawClient, Vec<u8>) {
    let mut client = RawClient::connecting(broker, version, &of_user(user, password));
    let answer = client.next_packet();
    (client, answer)
}

fn refusal(version: ProtocolVersion) -> Vec<u8> {
    if version == V5 { vec![0x20, 3, 0, 0x87, 0] } else { vec![0x20, 2, 0, 5] }
}

fn expect_refused(broker: &ScriptedBroker, version: ProtocolVersion, user: &str, password: &[u8]) {
    let (mut client, answer) = answer(broker, version, user, password);
    assert_eq!(answer, refusal(version));
    client.expect_fin();
}

/// An administrator gives a command, which has been carried out when this returns.
fn command(broker: &ScriptedBroker, text: &str) {
    let mut administrator = RawClient::connected(broker, V5, "administrator");
    administrator.publish(COMMANDS, text, QoS::AtMostOnce);
    administrator.expect_service();
}

#[test]
fn a_disabled_user_is_closed_and_rejected_and_no_other() {
    for version in ProtocolVersion::ALL {
        let broker = removing(Removal::default());
        let mut client = accepted(&broker, version, "u", b"p");
        let mut other = accepted(&broker, version, "v", b"p");
        command(&broker, DISABLE);
        client.expect_close(0x98);
        expect_refused(&broker, version, "u", b"p");
        other.expect_service();
    }
}

#[test]
fn a_command_is_answered_with_its_correlation_data() {
    let broker = removing(Removal::Refuse);
    let mut listener =
        RawClient::subscribed(&broker, V5, "$CONTROL/dynamic-security/v1/response", QoS::AtMostOnce);
    command(&broker, r#"{"commands":[{"command":"deleteClient","username":"u","correlationData":"7"}]}"#);
    let answer = listener.next_payload();
    assert_eq!(
        answer,
        r#"{"responses":[{"command":"deleteClient","correlationData":"7","error":"Not allowed"}]}"#
    );
}

#[test]
fn each_removal_closes_as_specified_and_readmit_accepts_again() {
    for version in ProtocolVersion::ALL {
        for (removal, code) in [
            (Removal::Fin, None),
            (Removal::DisconnectCode(0x87), Some(0x87)),
            (Removal::Readmit, Some(0x98)),
            (Removal::Everyone, Some(0x98)),
        ] {
            let broker = removing(removal);
            let mut client = accepted(&broker, version, "u", b"p");
            let mut other = accepted(&broker, version, "v", b"p");
            command(&broker, DISABLE);
            client.expect_close(code);
            if removal == Removal::Readmit {
                accepted(&broker, version, "u", b"p").expect_service();
            } else {
                expect_refused(&broker, version, "u", b"p");
            }
            if removal == Removal::Everyone {
                other.expect_close(0x98);
            } else {
                other.expect_service();
            }
        }
    }
}

#[test]
fn ignore_deliver_on_and_serve_refused_keep_serving() {
    let broker = removing(Removal::Ignore);
    let mut client = accepted(&broker, V5, "u", b"p");
    command(&broker, DISABLE);
    client.expect_service();
    let broker = removing(Removal::DeliverOn);
    let mut client = accepted(&broker, V5, "u", b"p");
    command(&broker, DISABLE);
    client.expect_disconnect(0x98);
    client.expect_service();
    for version in ProtocolVersion::ALL {
        let broker = removing(Removal::ServeRefused);
        command(&broker, DISABLE);
        let (mut client, answer) = answer(&broker, version, "u", b"p");
        assert_eq!(answer, refusal(version));
        client.expect_service();
    }
}

#[test]
fn a_user_that_left_its_group_may_connect_and_not_subscribe() {
    let broker = removing(Removal::default());
    command(&broker, r#"{"commands":[{"command":"removeGroupClient","username":"u"}]}"#);
    let mut client = accepted(&broker, V5, "u", b"p");
    client.send(&[0x82, 7, 0, 1, 0, 0, 1, b't', 0]);
    client.expect(&[0x90, 4, 0, 1, 0, 0x87]);
}

/// A token that expires up to a second less than this many seconds from now.
#[expect(clippy::disallowed_methods, reason = "a token's end is a time of day")]
fn token(seconds: u64) -> Vec<u8> {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", now + seconds));
    format!("e30.{claims}.c2lnbmVk").into_bytes()
}

#[test]
fn a_broker_that_delivers_nothing_passes_nothing() {
    for version in ProtocolVersion::ALL {
        for (expiry, code) in [
            (Expiry::Disconnect, Some(0x87)),
            (Expiry::DisconnectCode(0xA0), Some(0xA0)),
            (Expiry::Fin, None),
        ] {
            let broker = expiring(expiry);
            let stale = token(3);
            let mut client = accepted(&broker, version, "u", &stale);
            client.expect_service();
            client.expect_close(code);
            expect_refused(&broker, version, "u", &stale);
            expect_refused(&broker, version, "u", &[&token(9)[..], b"!"].concat());
        }
    }
}

#[test]
fn deliver_on_keeps_connections_and_ignore_accepts_everyone() {
    let broker = expiring(Expiry::DeliverOn);
    let stale = token(2);
    let mut client = accepted(&broker, V5, "u", &stale);
    // The token is accepted until it expires.
    until("the token has expired", || answer(&broker, V5, "v", &stale).1 == refusal(V5));
    client.expect_service();
    let broker = expiring(Expiry::Ignore);
    accepted(&broker, V5, "u", &stale).expect_service();
}

/// A Client that authenticated by the method `JWT` with a token, and reauthenticates with another.
fn reauthenticating(
    reauthentication: Reauthentication,
    first: &[u8],
    renewed: &[u8],
) -> (ScriptedBroker, RawClient) {
    let broker = ScriptedBroker::start(Script { reauthentication, ..Script::default() });
    let shown = |token| [Property::AuthenticationMethod("JWT"), Property::AuthenticationData(token)];
    let (first, renewed) = (shown(first), shown(renewed));
    let connect = Connect { properties: Properties::List(&first), ..Connect::new("u") };
    let mut client = RawClient::connecting(&broker, V5, &connect);
    let answer = client.next_packet();
    // MQTT 5.0 [MQTT-4.12.0-5].
    let names_method = answer.windows(6).any(|part| part == b"\x15\x00\x03JWT");
    assert!(answer[3] == 0 && names_method, "{answer:02X?}");
    let auth = Auth::new(ReasonCode::RE_AUTHENTICATE, Properties::List(&renewed));
    client.send(&encoded(V5, &Packet::Auth(auth)));
    (broker, client)
}

const AUTH_SUCCESS: &[u8] = b"\xF0\x08\x00\x06\x15\x00\x03JWT";

#[test]
fn a_renewed_token_sets_the_end_and_a_bad_one_closes() {
    let (_broker, mut client) = reauthenticating(Reauthentication::Accept, &token(60), &token(3));
    client.expect(AUTH_SUCCESS);
    client.expect_service();
    client.expect_close(0x87);
    for bad in [[&token(60)[..], b"!"].concat(), token(0), b"no token".to_vec()] {
        let (_broker, mut client) = reauthenticating(Reauthentication::Accept, &token(60), &bad);
        client.expect_close(0x87);
    }
}

#[test]
fn each_policy_answers_a_new_token() {
    let spoilt = [&token(60)[..], b"!"].concat();
    let (_broker, mut client) = reauthenticating(Reauthentication::AcceptAnything, &token(60), &spoilt);
    client.expect(AUTH_SUCCESS);
    client.expect_service();
    let answers: [(_, &[u8]); 4] = [
        (Reauthentication::ServeRefused, b"\xF0\x08\x87\x06\x15\x00\x03JWT"),
        (Reauthentication::OtherMethod, b"\xF0\x0A\x00\x08\x15\x00\x05other"),
        (Reauthentication::Continue, b"\xF0\x08\x18\x06\x15\x00\x03JWT"),
        (Reauthentication::Ignore, b""),
    ];
    for (policy, answer) in answers {
        let (_broker, mut client) = reauthenticating(policy, &token(60), &token(60));
        client.expect(answer);
        client.expect_service();
    }
    for (policy, code) in [(Reauthentication::Fin, None), (Reauthentication::Refuse, Some(0x87))] {
        let (_broker, mut client) = reauthenticating(policy, &token(60), &token(60));
        client.expect_close(code);
    }
    let (_broker, mut client) = reauthenticating(Reauthentication::KeepOldEnd, &token(3), &token(60));
    client.expect(AUTH_SUCCESS);
    client.expect_service();
    client.expect_close(0x87);
}
