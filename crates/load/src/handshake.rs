//! From a socket to a client that is ready: CONNECT, what the CONNACK allows, SUBSCRIBE, SUBACK.

use ungraceful_mqtt::{
    ConnAck, ConnectReturnCode, PacketIdentifier, PacketType, ProtocolVersion, QoS, ReasonCode, SubAck,
    Subscribe, Subscription,
};
use ungraceful_rig::attempts::client::{Client as HonestClient, encode_connect};
use ungraceful_rig::broker::clients::Identity;

use crate::client::{Client, Role};
use crate::settings::LoadSettings;

/// The CONNECT of a client.
///
/// The error says what of it can't be written.
pub(crate) fn connect(
    who: &Identity,
    settings: &LoadSettings,
    version: ProtocolVersion,
) -> Result<Vec<u8>, String> {
    let mut connect = HonestClient::honest_connect(&who.client_id, &who.credentials);
    connect.keep_alive_s = settings.keep_alive_s;
    let mut bytes = Vec::new();
    encode_connect(&connect, version, settings.packet_bytes_max(), &mut bytes)
        .map_err(|error| format!("CONNECT can't be written: {error}"))?;
    Ok(bytes)
}

/// The SUBSCRIBE of a client.
///
/// The error says what of it can't be written.
pub(crate) fn subscribe(filter: &str, qos: QoS, version: ProtocolVersion) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    Subscribe::new(PacketIdentifier::MIN, &[Subscription::new(filter, qos)])
        .encode(version, &mut bytes)
        .map_err(|error| format!("SUBSCRIBE to {filter:?} can't be written: {error}"))?;
    Ok(bytes)
}

/// A code with its name: `CONNACK 0x87 Not authorized`.
fn coded(packet: &str, code: u8, name: Option<&str>) -> String {
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    format!("{packet} 0x{code:02X}{name}")
}

/// What a client may do by its CONNACK.
///
/// The error says why the client can't go on: it was refused, or the broker does not allow what the load needs.
pub(crate) fn check_connack(
    client: &mut Client,
    connack: &ConnAck<'_>,
    settings: &LoadSettings,
    version: ProtocolVersion,
) -> Result<(), String> {
    if !connack.is_accepted() {
        let name = match version {
            ProtocolVersion::V3_1_1 => ConnectReturnCode(connack.code).name(),
            ProtocolVersion::V5 => ReasonCode(connack.code).name_in(PacketType::ConnAck),
        };
        return Err(coded("CONNACK", connack.code, name));
    }
    if version == ProtocolVersion::V3_1_1 {
        return Ok(());
    }
    let properties = &connack.properties;
    if let Some(keep_alive_s) = properties.server_keep_alive_s() {
        client.keep_alive_us = u64::from(keep_alive_s) * 1_000_000;
    }
    let Role::Publisher(publisher) = &mut client.role else { return Ok(()) };
    if let Some(receive_maximum) = properties.receive_maximum() {
        publisher.limit_window(receive_maximum.max(1));
    }
    if settings.message.topic_alias && properties.topic_alias_maximum().unwrap_or(0) == 0 {
        return Err("the broker takes no Topic Alias: leave out --topic-alias".to_owned());
    }
    if settings.message.retain && properties.retain_available() == Some(0) {
        return Err("the broker takes no retained messages: leave out --retain".to_owned());
    }
    Ok(())
}

/// What the SUBACK grants.
///
/// The error says why the subscription is not what was asked for.
pub(crate) fn check_suback(suback: &SubAck<'_>, asked: QoS, version: ProtocolVersion) -> Result<(), String> {
    let Some(code) = suback.codes().next() else { return Err("SUBACK without a Reason Code".to_owned()) };
    if code.0 >= 0x80 {
        let name = match version {
            ProtocolVersion::V3_1_1 => Some("Failure"),
            ProtocolVersion::V5 => code.name_in(PacketType::SubAck),
        };
        return Err(coded("SUBACK", code.0, name));
    }
    // A subscriber with a lower QoS than it asked for may lose what the load would call lost at QoS 1 or 2.
    if code.0 < asked.level() {
        return Err(format!("SUBACK grants QoS {} in place of {}: give -q {0}", code.0, asked.level()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::{ConnAck, PacketIdentifier, Properties, Property, ProtocolVersion, QoS, SubAck};

    use super::{check_connack, check_suback};
    use crate::client::{Client, Role};
    use crate::engine::tests::settings;
    use crate::publisher::tests::publisher;
    use crate::settings::{LoadSettings, MessageSettings};

    fn greet(
        client: &mut Client,
        code: u8,
        properties: &[Property<'_>],
        settings: &LoadSettings,
    ) -> Result<(), String> {
        let connack = ConnAck { properties: Properties::List(properties), ..ConnAck::new(code) };
        check_connack(client, &connack, settings, ProtocolVersion::V5)
    }

    fn client() -> Client {
        Client::new(Role::Publisher(Box::new(publisher(QoS::AtLeastOnce, 100))), 0, 60_000_000)
    }

    #[test]
    fn a_client_keeps_to_receive_maximum_and_server_keep_alive() {
        let mut client = client();
        let properties = [Property::ReceiveMaximum(7), Property::ServerKeepAlive(5)];
        assert_eq!(greet(&mut client, 0, &properties, &settings()), Ok(()));
        let Role::Publisher(publisher) = &client.role else { panic!("it publishes") };
        assert_eq!((publisher.window(), client.keep_alive_us), (7, 5_000_000));
    }

    #[test]
    fn a_refusal_has_its_code_and_name() {
        assert_eq!(
            greet(&mut client(), 0x87, &[], &settings()),
            Err("CONNACK 0x87 Not authorized".to_owned())
        );
        let of_3_1_1 = check_connack(&mut client(), &ConnAck::new(5), &settings(), ProtocolVersion::V3_1_1);
        assert!(of_3_1_1.unwrap_err().starts_with("CONNACK 0x05"));
    }

    #[test]
    fn what_the_broker_does_not_support_is_an_error_with_its_cure() {
        let alias = MessageSettings { topic_alias: true, ..MessageSettings::default() };
        let with_alias = LoadSettings { message: alias, ..settings() };
        assert!(greet(&mut client(), 0, &[], &with_alias).unwrap_err().contains("--topic-alias"));
        assert_eq!(greet(&mut client(), 0, &[Property::TopicAliasMaximum(1)], &with_alias), Ok(()));
        let retain = MessageSettings { retain: true, ..MessageSettings::default() };
        let with_retain = LoadSettings { message: retain, ..settings() };
        let refused = greet(&mut client(), 0, &[Property::RetainAvailable(0)], &with_retain);
        assert!(refused.unwrap_err().contains("--retain"));
    }

    #[test]
    fn a_subscription_at_a_lower_qos_is_an_error() {
        let granted = |code: u8| {
            let codes = [code];
            check_suback(&SubAck::new(PacketIdentifier::MIN, &codes), QoS::AtLeastOnce, ProtocolVersion::V5)
        };
        assert_eq!((granted(1), granted(2)), (Ok(()), Ok(())));
        assert!(granted(0).unwrap_err().contains("give -q 0"));
        assert_eq!(granted(0x87), Err("SUBACK 0x87 Not authorized".to_owned()));
    }
}
