//! MQTT 3.1.1 and 5.0 packets to and from bytes, legal and illegal, without I/O.
//!
//! Reading is lenient: [`frame`] cuts one packet off a stream without consuming anything, and [`Frame::decode`] shows
//! whatever is in it, beside the set of what is odd about it ([`Oddities`]). Nothing is allocated and nothing panics.
//!
//! Writing is strict: each packet's `encode` appends to a buffer or refuses. What the standard forbids is written
//! through [`forbidden`] instead, which shares no code with the strict path.
//!
//! Sessions, timers, flow control and sockets are left out: they belong to the crates above.
//!
//! ```
//! use ungraceful_mqtt::{Framed, Oddity, Packet, ProtocolVersion, ReasonCode, frame};
//!
//! // A broker takes a session over: three bytes, without a Property Length.
//! let Framed::Complete(found) = frame(&[0xE0, 0x01, 0x8E]) else { panic!("a whole packet") };
//! let decoded = found.decode(ProtocolVersion::V5);
//! let Packet::Disconnect(disconnect) = decoded.packet else { panic!("a DISCONNECT") };
//! assert_eq!(disconnect.reason_code, ReasonCode::SESSION_TAKEN_OVER);
//! assert!(decoded.oddities.is_empty());
//!
//! // The same bytes are odd on a 3.1.1 connection, where a Server has no DISCONNECT.
//! assert!(found.decode(ProtocolVersion::V3_1_1).oddities.contains(Oddity::DisconnectOnV3_1_1));
//! ```

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
pub mod encode;
pub mod forbidden;
mod frame;
mod oddity;
mod packet;
mod packet_type;
mod properties;
mod property;
mod publish;
mod qos;
mod reader;
mod reason;
mod reason_code;
pub mod statement;
mod suback;
mod subscribe;
mod template;
pub mod topic;
mod unsubscribe;
mod version;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, PROTOCOL_NAME, Will};
pub use disconnect::Disconnect;
pub use encode::EncodeError;
pub use frame::{Frame, FrameError, Framed, REMAINING_LENGTH_MAX, frame};
pub use oddity::{Oddities, Oddity};
pub use packet::{Decoded, Packet};
pub use packet_type::PacketType;
pub use properties::{Properties, PropertyIter};
pub use property::{Property, PropertyError, PropertyPlace};
pub use publish::Publish;
pub use qos::{InvalidQoS, PacketIdentifier, QoS};
pub use reader::DecodeError;
pub use reason_code::{ConnectReturnCode, ReasonCode};
pub use suback::{SubAck, UnsubAck};
pub use subscribe::{RetainHandling, Subscribe, Subscription, SubscriptionOptions, Subscriptions};
pub use template::{PublishTemplate, STAMP_LEN};
pub use unsubscribe::{TopicFilters, Unsubscribe};
pub use version::{ProtocolVersion, UnknownVersion};
