//! Where the bytes of a publisher's messages come from: a template in which two places change, or a text written
//! anew.

use rand::RngExt;
use rand::rngs::StdRng;
use ungraceful_mqtt::{
    EncodeError, PacketIdentifier, Properties, Property, ProtocolVersion, Publish, PublishTemplate, QoS,
    STAMP_LEN,
};

use super::{Context, PublisherSettings};
use crate::payload::{Payload, Text, Values};
use crate::stamp::Stamp;

/// Writes the PUBLISH packets of one publisher.
#[derive(Debug)]
pub(super) enum Source {
    /// Bytes that are copied, with two places that change.
    Template(PublishTemplate),
    /// Text that is written anew for each message.
    Text(Box<Written>),
}

#[derive(Debug)]
pub(super) struct Written {
    qos: QoS,
    retain: bool,
    number: u32,
    text: Text,
    topic: String,
    client_id: String,
    user_name: String,
    properties: OwnedProperties,
    random: StdRng,
}

#[derive(Clone, Debug, Default)]
struct OwnedProperties {
    expiry_s: Option<u32>,
    alias: Option<u16>,
    user: Vec<(String, String)>,
}

impl OwnedProperties {
    fn list(&self) -> Vec<Property<'_>> {
        let expiry = self.expiry_s.map(Property::MessageExpiryInterval);
        let alias = self.alias.map(Property::TopicAlias);
        let user = self.user.iter().map(|(name, value)| Property::UserProperty(name, value));
        expiry.into_iter().chain(alias).chain(user).collect()
    }
}

impl Source {
    /// A source of messages to `topic`; with `alias`, they carry Topic Alias 1. Fails on a topic or a property that
    /// can't be written.
    pub(super) fn new(
        settings: &PublisherSettings<'_>,
        topic: &str,
        alias: bool,
    ) -> Result<Self, EncodeError> {
        let message = settings.message;
        let properties = match settings.version {
            ProtocolVersion::V3_1_1 => OwnedProperties::default(),
            ProtocolVersion::V5 => OwnedProperties {
                expiry_s: message.expiry_s,
                alias: alias.then_some(1),
                user: message.user_properties.clone(),
            },
        };
        match settings.payload {
            Payload::Bytes(size) => {
                let payload = vec![0; (*size).max(STAMP_LEN)];
                let list = properties.list();
                let publish = Publish {
                    dup: false,
                    qos: settings.qos,
                    retain: message.retain,
                    topic,
                    packet_identifier: (settings.qos != QoS::AtMostOnce).then_some(1),
                    properties: Properties::List(&list),
                    payload: &payload,
                };
                PublishTemplate::new(&publish, settings.version, Some(0)).map(Self::Template)
            }
            Payload::Text(text) => Ok(Self::Text(Box::new(Written {
                qos: settings.qos,
                retain: message.retain,
                number: settings.number,
                text: text.clone(),
                topic: topic.to_owned(),
                client_id: settings.client_id.to_owned(),
                user_name: settings.user_name.to_owned(),
                properties,
                random: settings.seed.stream(settings.client_id),
            }))),
        }
    }

    /// Where each message has the same bytes but for two places.
    pub(super) fn template(&self) -> Option<&PublishTemplate> {
        match self {
            Self::Template(template) => Some(template),
            Self::Text(_) => None,
        }
    }

    /// Bytes of the shortest PUBLISH that it writes.
    pub(super) fn packet_bytes(&self, qos: QoS, context: &Context) -> Result<usize, EncodeError> {
        let mut out = Vec::new();
        let identifier = (qos != QoS::AtMostOnce).then_some(PacketIdentifier::MIN);
        let stamp = Stamp { run: 0, publisher: 0, sequence: 0, due_us: 0, lateness_us: 0 };
        match self {
            Self::Template(template) => template.append(&mut out, identifier, stamp.bytes()),
            Self::Text(written) => written.write_with(0, stamp, identifier, context, &mut out)?,
        }
        Ok(out.len())
    }

    /// Appends the PUBLISH that carries `stamp`.
    #[inline]
    pub(super) fn write(
        &mut self,
        stamp: Stamp,
        identifier: Option<PacketIdentifier>,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Template(template) => {
                template.append(out, identifier, stamp.bytes());
                Ok(())
            }
            Self::Text(written) => {
                let random = written.random.random_range(0..1_000_000);
                written.write_with(random, stamp, identifier, context, out)
            }
        }
    }
}

impl Written {
    fn write_with(
        &self,
        random: u32,
        stamp: Stamp,
        identifier: Option<PacketIdentifier>,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let values = Values {
            number: self.number,
            client_id: &self.client_id,
            user_name: &self.user_name,
            sequence: stamp.sequence,
            milliseconds: context.started_ms + stamp.due_us / 1_000,
            random,
        };
        let mut payload = Vec::new();
        if let Some(at) = self.text.write(&values, &mut payload) {
            stamp.write_hex(&mut payload[at]);
        }
        let publish = Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_identifier: identifier.map(PacketIdentifier::get),
            properties: Properties::List(&self.properties.list()),
            payload: &payload,
        };
        publish.encode(context.version, out)
    }
}
