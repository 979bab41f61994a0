//! The properties of one packet: a list to be written, or the bytes that came; and look-ups in either.
//!
//! Each property and the places where it is allowed are in `property.rs`.

use crate::encode::{self, EncodeError, Written};
use crate::oddity::{Oddities, Oddity};
use crate::property::{Property, PropertyError, PropertyPlace};
use crate::reader::Reader;
use crate::version::ProtocolVersion;

const AUTHENTICATION_METHOD: u8 = Property::AuthenticationMethod("").id();
const AUTHENTICATION_DATA: u8 = Property::AuthenticationData(&[]).id();

/// The properties of a packet, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Properties<'a> {
    /// Properties to be written.
    List(&'a [Property<'a>]),
    /// Properties as they came, without their Property Length.
    Wire(&'a [u8]),
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<'a> From<&'a [Property<'a>]> for Properties<'a> {
    fn from(list: &'a [Property<'a>]) -> Self {
        Self::List(list)
    }
}

impl PartialEq for Properties<'_> {
    /// Equal when they list the same properties in the same order, written or read.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties<'_> {}

/// The properties in order; ends with an error where the rest cannot be read.
#[derive(Clone)]
pub struct PropertyIter<'a>(Source<'a>);

#[derive(Clone)]
enum Source<'a> {
    List(std::slice::Iter<'a, Property<'a>>),
    Wire(Reader<'a>),
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = Result<Property<'a>, PropertyError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::List(list) => list.next().copied().map(Ok),
            Source::Wire(reader) if reader.is_empty() => None,
            Source::Wire(reader) => {
                let property = Property::read(reader);
                if property.is_err() {
                    reader.rest();
                }
                Some(property)
            }
        }
    }
}

macro_rules! look_ups {
    ($($(#[$doc:meta])+ $name:ident: $variant:ident -> $type:ty;)+) => {
        $(
            $(#[$doc])+
            pub fn $name(&self) -> Option<$type> {
                self.find(|property| match property { Property::$variant(value) => Some(value), _ => None })
            }
        )+
    };
}

impl<'a> Properties<'a> {
    /// No properties at all.
    pub const NONE: Self = Self::List(&[]);

    /// Whether there are none, including unreadable ones.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Wire(bytes) => bytes.is_empty(),
        }
    }

    /// The properties in order; an error, if any, is the last item.
    pub fn iter(&self) -> PropertyIter<'a> {
        PropertyIter(match *self {
            Self::List(list) => Source::List(list.iter()),
            Self::Wire(bytes) => Source::Wire(Reader::new(bytes)),
        })
    }

    /// What is odd about these properties at this place.
    pub fn oddities(&self, place: impl Into<PropertyPlace>) -> Oddities {
        let place = place.into();
        let mut iter = self.iter();
        let mut seen = 0_u64;
        let mut oddities = Oddities::NONE;
        for property in iter.by_ref() {
            match property {
                Ok(property) => {
                    let bit = 1 << property.id();
                    oddities.insert_if(!property.allowed_in(place), Oddity::PropertyNotAllowedHere);
                    oddities.insert_if(
                        seen & bit != 0 && !property.may_repeat_in(place),
                        Oddity::DuplicateProperty,
                    );
                    oddities.insert_if(!property.has_legal_value(), Oddity::BadPropertyValue);
                    seen |= bit;
                }
                Err(PropertyError::UnknownProperty(_)) => oddities.insert(Oddity::UnknownProperty),
                Err(PropertyError::Truncated(_)) => oddities.insert(Oddity::MalformedProperties),
            }
        }
        let has = |id: u8| seen & 1 << id != 0;
        let data_alone = has(AUTHENTICATION_DATA) && !has(AUTHENTICATION_METHOD);
        oddities.insert_if(data_alone, Oddity::MissingAuthenticationMethod);
        match iter.0 {
            Source::Wire(reader) => oddities.union(reader.oddities),
            Source::List(_) => oddities,
        }
    }

    /// Appends Property Length and properties on a 5.0 connection, nothing on a 3.1.1 one, which must have none.
    #[inline]
    pub(crate) fn write(
        &self,
        place: impl Into<PropertyPlace>,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Written {
        match version {
            ProtocolVersion::V3_1_1 if self.is_empty() => Ok(()),
            ProtocolVersion::V3_1_1 => Err(EncodeError::NotInThisVersion("properties")),
            ProtocolVersion::V5 if self.is_empty() => {
                encode::byte(out, 0);
                Ok(())
            }
            ProtocolVersion::V5 => self.write_some(place.into(), out),
        }
    }

    fn write_some(&self, place: PropertyPlace, out: &mut Vec<u8>) -> Written {
        if let Some(oddity) = self.oddities(place).iter().next() {
            return Err(EncodeError::Forbidden(oddity));
        }
        let at = out.len();
        encode::byte(out, 0);
        for property in self.iter().flatten() {
            property.write(out)?;
        }
        encode::close_length(out, at, 0)
    }

    fn find<T>(&self, pick: impl FnMut(Property<'a>) -> Option<T>) -> Option<T> {
        self.iter().map_while(Result::ok).find_map(pick)
    }

    look_ups! {
        /// Payload Format Indicator, 0 or 1 if legal.
        payload_format_indicator: PayloadFormatIndicator -> u8;
        /// Message Expiry Interval in seconds.
        message_expiry_interval_s: MessageExpiryInterval -> u32;
        /// Content Type.
        content_type: ContentType -> &'a str;
        /// Response Topic.
        response_topic: ResponseTopic -> &'a str;
        /// Correlation Data.
        correlation_data: CorrelationData -> &'a [u8];
        /// The first Subscription Identifier; a PUBLISH may have more, see [`Self::subscription_identifiers`].
        subscription_identifier: SubscriptionIdentifier -> u32;
        /// Session Expiry Interval in seconds; absent means 0 in a CONNECT, and the CONNECT's value in a CONNACK.
        session_expiry_interval_s: SessionExpiryInterval -> u32;
        /// Assigned Client Identifier.
        assigned_client_identifier: AssignedClientIdentifier -> &'a str;
        /// Server Keep Alive in seconds; absent means that the Client's Keep Alive holds.
        server_keep_alive_s: ServerKeepAlive -> u16;
        /// Authentication Method.
        authentication_method: AuthenticationMethod -> &'a str;
        /// Authentication Data.
        authentication_data: AuthenticationData -> &'a [u8];
        /// Request Problem Information, 0 or 1 if legal; absent means 1.
        request_problem_information: RequestProblemInformation -> u8;
        /// Will Delay Interval in seconds; absent means 0.
        will_delay_interval_s: WillDelayInterval -> u32;
        /// Request Response Information, 0 or 1 if legal; absent means 0.
        request_response_information: RequestResponseInformation -> u8;
        /// Response Information.
        response_information: ResponseInformation -> &'a str;
        /// Server Reference.
        server_reference: ServerReference -> &'a str;
        /// Reason String.
        reason_string: ReasonString -> &'a str;
        /// Receive Maximum as it stands; absent means 65,535.
        receive_maximum: ReceiveMaximum -> u16;
        /// Topic Alias Maximum; absent means 0.
        topic_alias_maximum: TopicAliasMaximum -> u16;
        /// Topic Alias as it stands.
        topic_alias: TopicAlias -> u16;
        /// Maximum QoS as it stands, 0 or 1 if legal; absent means 2.
        maximum_qos: MaximumQoS -> u8;
        /// Retain Available, 0 or 1 if legal; absent means 1.
        retain_available: RetainAvailable -> u8;
        /// Maximum Packet Size in bytes; absent means that only the protocol limits it.
        maximum_packet_size: MaximumPacketSize -> u32;
        /// Wildcard Subscription Available, 0 or 1 if legal; absent means 1.
        wildcard_subscription_available: WildcardSubscriptionAvailable -> u8;
        /// Subscription Identifier Available, 0 or 1 if legal; absent means 1.
        subscription_identifier_available: SubscriptionIdentifierAvailable -> u8;
        /// Shared Subscription Available, 0 or 1 if legal; absent means 1.
        shared_subscription_available: SharedSubscriptionAvailable -> u8;
    }

    /// All Subscription Identifiers in order, as many as subscriptions matched.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> {
        self.iter().map_while(Result::ok).filter_map(|property| match property {
            Property::SubscriptionIdentifier(value) => Some(value),
            _ => None,
        })
    }

    /// All User Properties in order, as name and value.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().map_while(Result::ok).filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }
}
