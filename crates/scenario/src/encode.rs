//! Packets of scenarios to bytes, by [`ungraceful_mqtt::forbidden`]: every field as it is given, legal or not.

use ungraceful_mqtt::forbidden::{
    Forged, ForgedConnect, ForgedPublish, ForgedSubscribe, ForgedWill, RemainingLength as Length,
};
use ungraceful_mqtt::{PROTOCOL_NAME, PacketType, ProtocolVersion};

use crate::model::{
    Body, Connect, Packet, Properties, Property, Publish, RemainingLength, Sending, Subscribe, Switch,
};
use crate::properties::{KINDS, USER_PROPERTY, Wire};
use crate::template::{BYTES_MAX, Bytes, Number, Random, Unresolved, Value, Variables};

/// The Keep Alive of a CONNECT that sets none, in seconds.
const KEEP_ALIVE_S: u16 = 60;
/// The Packet Identifier of a packet that needs one and sets none.
const PACKET_IDENTIFIER: u16 = 1;

/// What the bytes of a step depend on.
#[derive(Clone, Debug)]
pub struct Context {
    /// The version of the connection.
    pub version: ProtocolVersion,
    /// The variables.
    pub variables: Variables,
    /// The user name of the run's clients; absent without one.
    pub user_name: Option<Vec<u8>>,
    /// The password of the run's clients; absent without one.
    pub password: Option<Vec<u8>>,
    /// The QoS of a Will that sets none.
    pub will_qos: u8,
    /// Where random bytes come from.
    pub random: Random,
}

/// A field of a packet: what was made of it.
type Made<T> = Result<T, Unresolved>;

impl Context {
    /// The bytes of what a step sends.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn bytes(&mut self, sending: &Sending) -> Made<Vec<u8>> {
        match sending {
            Sending::Bytes(bytes) => self.make(bytes),
            Sending::Packet(packet) => self.packet(packet),
        }
    }

    /// The bytes of a packet.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn packet(&mut self, packet: &Packet) -> Made<Vec<u8>> {
        let mut forged = self.body(&packet.body)?;
        if let Some(flags) = &packet.flags {
            forged = forged.flags(self.narrow(flags, 15)?);
        }
        if let Some(length) = &packet.truncate {
            forged = forged.truncated(self.size(length)?);
        }
        if let Some(bytes) = &packet.append {
            forged = forged.raw(&self.make(bytes)?);
        }
        forged = match &packet.remaining_length {
            None => forged,
            Some(RemainingLength::Claimed(length)) => {
                forged.remaining_length(Length::Claimed(self.narrow(length, u32::MAX.into())?))
            }
            Some(RemainingLength::Padded(width)) => {
                forged.remaining_length(Length::Padded(self.narrow(width, 8)?))
            }
            Some(RemainingLength::Bytes(bytes)) => forged.remaining_length(Length::Raw(self.make(bytes)?)),
        };
        let mut bytes = forged.to_vec();
        if let Some(length) = &packet.cut {
            bytes.truncate(self.size(length)?);
        }
        if bytes.len() > BYTES_MAX { Err(Unresolved::TooLong { max: BYTES_MAX }) } else { Ok(bytes) }
    }

    fn body(&mut self, body: &Body) -> Made<Forged> {
        match body {
            Body::Connect(connect) => self.connect(connect),
            Body::Publish(publish) => self.publish(publish),
            Body::Subscribe(subscribe) => self.subscribe(subscribe),
            Body::Ack(packet_type, ack) => {
                let identifier = self.identifier(ack.packet_identifier.as_ref())?;
                let packet = Forged::of_type(*packet_type).two_bytes(identifier);
                self.reason(packet, ack.reason_code.as_ref(), &ack.properties)
            }
            Body::Reason(PacketType::ConnAck, connack) => {
                let present = self.switch(connack.session_present.as_ref(), false)?;
                let code = self.narrow_or(connack.reason_code.as_ref(), 0_u8)?;
                let packet = Forged::of_type(PacketType::ConnAck).byte(u8::from(present)).byte(code);
                self.properties(packet, &connack.properties)
            }
            Body::Reason(packet_type, reason) => {
                self.reason(Forged::of_type(*packet_type), reason.reason_code.as_ref(), &reason.properties)
            }
            Body::Codes(packet_type, codes) => {
                let identifier = self.identifier(codes.packet_identifier.as_ref())?;
                let packet = Forged::of_type(*packet_type).two_bytes(identifier);
                let mut packet = self.properties(packet, &codes.properties)?;
                for code in &codes.reason_codes {
                    packet = packet.byte(self.narrow(code, u8::MAX.into())?);
                }
                Ok(packet)
            }
            Body::Empty(packet_type) => Ok(Forged::of_type(*packet_type)),
        }
    }

    /// Adds a Reason Code and properties, which only MQTT 5.0 has and only if there is a Reason Code.
    fn reason(&mut self, packet: Forged, code: Option<&Number>, properties: &Properties) -> Made<Forged> {
        let (Some(code), true) = (code, self.is_v5()) else { return Ok(packet) };
        let packet = packet.byte(self.narrow(code, u8::MAX.into())?);
        let has_none = properties.list.is_empty() && properties.length.is_none();
        if has_none { Ok(packet) } else { self.properties(packet, properties) }
    }

    fn connect(&mut self, connect: &Connect) -> Made<Forged> {
        let clean_start = self.switch(connect.clean_start.as_ref(), true)?;
        let will = match &connect.will {
            None => None,
            Some(will) => {
                let topic = match &will.topic {
                    Some(topic) => self.make(topic)?,
                    None => self.variable("will")?,
                };
                let qos = match &will.qos {
                    Some(qos) => self.narrow(qos, 3)?,
                    None => self.will_qos,
                };
                let retain = self.switch(will.retain.as_ref(), false)?;
                let payload = self.make(&will.payload)?;
                Some((topic, payload, qos, retain, self.property_bytes(&will.properties)?))
            }
        };
        let user_name =
            self.credential(connect.user_name.as_ref(), connect.anonymous, |it| it.user_name.clone())?;
        let password =
            self.credential(connect.password.as_ref(), connect.anonymous, |it| it.password.clone())?;
        let flags = match &connect.connect_flags {
            Some(flags) => self.narrow(flags, u8::MAX.into())?,
            None => {
                let of_will = will
                    .as_ref()
                    .map_or(0, |(_, _, qos, retain, _)| 1 << 2 | qos << 3 | u8::from(*retain) << 5);
                let (named, secret) = (u8::from(user_name.is_some()) << 7, u8::from(password.is_some()) << 6);
                u8::from(clean_start) << 1 | of_will | named | secret
            }
        };
        let protocol_name = match &connect.protocol_name {
            Some(name) => self.make(name)?,
            None => PROTOCOL_NAME.to_vec(),
        };
        let client_id = match &connect.client_id {
            Some(client_id) => self.make(client_id)?,
            None => self.variable("client_id")?,
        };
        let protocol_level = self.narrow_or(connect.protocol_level.as_ref(), self.version.level())?;
        let keep_alive_s = self.narrow_or(connect.keep_alive.as_ref(), KEEP_ALIVE_S)?;
        let of_connect = self.property_bytes(&connect.properties)?;
        let forged = ForgedConnect {
            protocol_name: &protocol_name,
            protocol_level,
            connect_flags: flags,
            keep_alive_s,
            properties: None,
            client_id: None,
            will: None,
            user_name: None,
            password: None,
        };
        // The parts behind the Keep Alive are put together here, because lengths of properties may lie.
        let mut packet = forged.forge().raw(&of_connect).string(&client_id);
        if let Some((topic, payload, _, _, properties)) = &will {
            let ForgedWill { topic, payload, .. } = ForgedWill { properties: None, topic, payload };
            packet = packet.raw(properties).string(topic).string(payload);
        }
        for field in [user_name, password].into_iter().flatten() {
            packet = packet.string(&field);
        }
        Ok(packet)
    }

    /// A user name or password: the step's, else the run's.
    fn credential(
        &mut self,
        own: Option<&Bytes>,
        anonymous: bool,
        of_run: impl FnOnce(&Self) -> Option<Vec<u8>>,
    ) -> Made<Option<Vec<u8>>> {
        match own {
            Some(bytes) => self.make(bytes).map(Some),
            None if anonymous => Ok(None),
            None => Ok(of_run(self)),
        }
    }

    fn publish(&mut self, publish: &Publish) -> Made<Forged> {
        let qos = publish.qos.as_ref().map_or(Ok(0), |qos| self.narrow(qos, 3))?;
        let identifier = match &publish.packet_identifier {
            Some(identifier) => Some(self.narrow(identifier, u16::MAX.into())?),
            None => (qos > 0).then_some(PACKET_IDENTIFIER),
        };
        let topic = self.make(&publish.topic)?;
        let forged = ForgedPublish {
            dup: self.switch(publish.dup.as_ref(), false)?,
            qos,
            retain: self.switch(publish.retain.as_ref(), false)?,
            topic: &topic,
            packet_identifier: identifier,
            properties: None,
            payload: &[],
        };
        let packet = self.properties(forged.forge(), &publish.properties)?;
        Ok(packet.raw(&self.make(&publish.payload)?))
    }

    fn subscribe(&mut self, subscribe: &Subscribe) -> Made<Forged> {
        let packet_identifier = self.identifier(subscribe.packet_identifier.as_ref())?;
        let head = ForgedSubscribe { packet_identifier, properties: None, filters: &[] };
        let packet = if subscribe.is_unsubscribe { head.forge_unsubscribe() } else { head.forge() };
        let mut packet = self.properties(packet, &subscribe.properties)?;
        for filter in &subscribe.filters {
            packet = packet.string(&self.make(&filter.filter)?);
            if !subscribe.is_unsubscribe {
                packet = packet.byte(self.narrow_or(filter.options.as_ref(), 0_u8)?);
            }
        }
        Ok(packet)
    }

    fn properties(&mut self, packet: Forged, properties: &Properties) -> Made<Forged> {
        Ok(packet.raw(&self.property_bytes(properties)?))
    }

    /// A Property Length and properties; nothing in MQTT 3.1.1.
    fn property_bytes(&mut self, properties: &Properties) -> Made<Vec<u8>> {
        if !self.is_v5() || properties.omitted {
            return Ok(Vec::new());
        }
        let mut list = Forged::packet(0);
        for property in &properties.list {
            list = self.property(list, property)?;
        }
        let true_length = u32::try_from(list.body().len()).unwrap_or(u32::MAX);
        let length = self.narrow_or(properties.length.as_ref(), true_length)?;
        let with_length = Forged::packet(0).variable(length).raw(list.body());
        Ok(with_length.body().to_vec())
    }

    fn property(&mut self, list: Forged, property: &Property) -> Made<Forged> {
        Ok(match property {
            Property::Number(index, number) => {
                let kind = KINDS[*index];
                let value: u32 = self.narrow(number, kind.wire.max().unwrap_or(0))?;
                let list = list.byte(kind.id);
                match kind.wire {
                    // Not above the maximum, so nothing is cut off.
                    Wire::Byte => list.byte(u8::try_from(value).unwrap_or(u8::MAX)),
                    Wire::TwoBytes => list.two_bytes(u16::try_from(value).unwrap_or(u16::MAX)),
                    Wire::FourBytes => list.four_bytes(value),
                    Wire::Variable | Wire::Bytes => list.variable(value),
                }
            }
            Property::Bytes(index, bytes) => list.byte(KINDS[*index].id).string(&self.make(bytes)?),
            Property::Pair(name, value) => {
                list.byte(USER_PROPERTY).string(&self.make(name)?).string(&self.make(value)?)
            }
            Property::Hex(text) => list.raw(&text.hex(&self.variables)?),
            Property::Times(times, property) => {
                let once = self.property(Forged::packet(0), property)?;
                let times = self.size(times)?;
                match once.body().len().checked_mul(times) {
                    Some(length) if length <= BYTES_MAX => list.raw(&once.body().repeat(times)),
                    _ => return Err(Unresolved::TooLong { max: BYTES_MAX }),
                }
            }
        })
    }

    const fn is_v5(&self) -> bool {
        matches!(self.version, ProtocolVersion::V5)
    }

    /// Bytes as they are given.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn make(&mut self, bytes: &Bytes) -> Made<Vec<u8>> {
        bytes.make(&self.variables, &mut self.random)
    }

    fn variable(&self, name: &str) -> Made<Vec<u8>> {
        match self.variables.get(name) {
            Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
            _ => Err(Unresolved::Unknown(name.to_owned())),
        }
    }

    fn switch(&self, switch: Option<&Switch>, default: bool) -> Made<bool> {
        match switch {
            None => Ok(default),
            Some(Switch::Fixed(value)) => Ok(*value),
            Some(Switch::Variable(name)) => match self.variables.get(name) {
                Some(Value::Switch(value)) => Ok(*value),
                Some(_) => Err(Unresolved::Kind { name: name.clone(), wanted: "true or false" }),
                None => Err(Unresolved::Unknown(name.clone())),
            },
        }
    }

    fn identifier(&self, identifier: Option<&Number>) -> Made<u16> {
        self.narrow_or(identifier, PACKET_IDENTIFIER)
    }

    fn narrow_or<T: TryFrom<u64> + Into<u64> + Copy + Bounded>(
        &self,
        number: Option<&Number>,
        default: T,
    ) -> Made<T> {
        number.map_or(Ok(default), |number| self.narrow(number, T::MAX_VALUE))
    }

    /// A number, which is at most `max`, in a type that holds `max`.
    fn narrow<T: TryFrom<u64>>(&self, number: &Number, max: u64) -> Made<T> {
        let value = number.value(&self.variables, max)?;
        T::try_from(value).map_err(|_too_large| Unresolved::Range { value: value.into(), max })
    }

    fn size(&self, number: &Number) -> Made<usize> {
        self.narrow(number, BYTES_MAX as u64)
    }
}

/// A type with a largest value.
trait Bounded {
    const MAX_VALUE: u64;
}

impl Bounded for u8 {
    const MAX_VALUE: u64 = u8::MAX as u64;
}

impl Bounded for u16 {
    const MAX_VALUE: u64 = u16::MAX as u64;
}

impl Bounded for u32 {
    const MAX_VALUE: u64 = u32::MAX as u64;
}
