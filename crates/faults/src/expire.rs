//! The faults of `ungraceful-expire`: credentials expire, or an operator removes a client.

pub mod dynamic_security;
pub mod kick;
pub mod kick_checks;
pub mod reauthentication_checks;
pub mod removal;
pub mod signing;
pub mod token;
pub mod token_checks;

mod authentication;
mod common;
mod reauthentication;
mod reconnect;
mod working_pair;

use crate::mode::{Mode, mode};
use ungraceful_record::fact::{FactOf, Measure};

/// The modes of `ungraceful-expire`, the default one first.
pub const MODES: &[&dyn Mode] = &[mode::<kick::Flags>(), mode::<token::Flags>()];

/// Fact: which direction the broker still served after the client's authorisation had ended.
pub const SERVED: FactOf<StillServed> = FactOf::new("still_served");
/// Measure: messages delivered to the client that were sent after its authorisation had ended.
pub const DELIVERED: Measure = Measure::new("delivered_afterwards");
/// Measure: acknowledged messages that the client published after its authorisation had ended.
pub const PUBLISHED: Measure = Measure::new("taken_afterwards");
/// Measure: from the end of the authorisation to the last such delivery.
pub const LAST_SERVED: Measure = Measure::new("last_delivery_after_us");
/// Fact: the answer to the client that connected again with the same credentials.
pub const CAME_BACK: FactOf<Return> = FactOf::new("came_back");
/// Fact: what happened to the connection after the CONNACK with a refusal.
pub const AFTER_REFUSAL: FactOf<AfterRefusal> = FactOf::new("after_the_refusal");
/// Fact: what the broker sent after its DISCONNECT.
pub const AFTER_DISCONNECT: FactOf<AfterDisconnect> = FactOf::new("after_disconnect");
/// Fact: the answer to AUTH 0x19 (re-authentication).
pub const REAUTHENTICATION: FactOf<Reauthentication> = FactOf::new("reauthentication");
/// Measure: from AUTH 0x19 to its answer.
pub const REAUTHENTICATION_TIME: Measure = Measure::new("reauthentication_us");
/// Fact: what happened to a re-authenticated client after the end of its first token.
pub const PAST_FIRST_TOKEN: FactOf<PastFirstToken> = FactOf::new("past_the_first_token");
/// Fact: what happened to the connection after a refused re-authentication.
pub const AFTER_FAILURE: FactOf<AfterFailure> = FactOf::new("after_failed_reauthentication");
/// Fact: the Authentication Method in the CONNACK.
pub const METHOD_IN_CONNACK: FactOf<Method> = FactOf::new("method_in_connack");
/// Fact: the Authentication Method in the broker's AUTH.
pub const METHOD_IN_AUTH: FactOf<Method> = FactOf::new("method_in_auth");
/// Fact: whether the client's companion, which published to it, stayed connected.
pub const COMPANION: FactOf<CompanionFate> = FactOf::new("publisher_beside");

ungraceful_record::words! {
    /// Which direction the broker still serves.
    pub enum StillServed: "service" {
        /// Nothing.
        Nothing = "nothing",
        /// It delivers messages to the client.
        Deliveries = "deliveries",
        /// It accepts messages from the client.
        Publishing = "its publishing",
        /// Both.
        BothWays = "both ways",
    }
}

ungraceful_record::words! {
    /// The answer to a client that connected again.
    pub enum Return {
        /// Accepted, with its rights.
        Accepted = "accepted",
        /// Accepted, but it receives no messages.
        WithoutRights = "accepted, without its rights",
        /// Accepted, but then neither the client nor its companion was answered.
        RightsUnknown = "accepted, and then not answered",
        /// No TCP connection.
        NotTried = "not tried",
    } else {
        /// Refused or not answered; the same text for the same cause.
        Refused = "",
    }
}

ungraceful_record::words! {
    /// What happens to a connection after the CONNACK with a refusal.
    pub enum AfterRefusal: "fate" {
        /// The broker closes it.
        Closed = "closed",
        /// It stays open, and PINGREQ is not answered.
        Open = "left open",
        /// PINGREQ is answered.
        Served = "served",
    }
}

ungraceful_record::words! {
    /// What the broker sends after its DISCONNECT.
    pub enum AfterDisconnect {
        /// Nothing.
        Nothing = "nothing",
    } else {
        /// The types of the packets.
        Packets = "",
    }
}

ungraceful_record::words! {
    /// The answer to a re-authentication.
    pub enum Reauthentication {
        /// Nothing.
        Nothing = "nothing",
        /// The connection ended without DISCONNECT.
        Closed = "closed",
        /// AUTH: success.
        Success = "AUTH 0x00",
        /// AUTH: the broker requests another step.
        Continue = "AUTH 0x18",
    } else {
        /// AUTH with another Reason Code.
        Auth = "AUTH 0x",
        /// DISCONNECT; the Reason Code.
        Disconnect = "DISCONNECT 0x",
    }
}

ungraceful_record::words! {
    /// What happens to a client after the end of its first token.
    pub enum PastFirstToken: "fate" {
        /// The broker serves it.
        Served = "served",
        /// The broker cuts it when the first token ends.
        CutAtEnd = "cut at its end",
        /// The broker cuts it earlier.
        CutBeforeEnd = "cut before its end",
        /// It is still connected, but not answered.
        NotAnswered = "neither cut nor served",
    }
}

ungraceful_record::words! {
    /// What happens to a connection after a failed re-authentication.
    pub enum AfterFailure: "fate" {
        /// The broker sends DISCONNECT and closes it.
        DisconnectAndClosed = "DISCONNECT, then closed",
        /// The broker closes it without DISCONNECT.
        ClosedWithoutDisconnect = "closed without a DISCONNECT",
        /// The broker closes it only when the first token ends.
        ClosedLate = "closed when the first token ended",
        /// The broker still serves it.
        Served = "served",
        /// It is still open, but not answered.
        NotAnswered = "neither cut nor served",
    }
}

ungraceful_record::words! {
    /// The Authentication Method of a packet.
    pub enum Method: "method" {
        /// As in the CONNECT.
        Same = "the same",
        /// Another.
        Other = "another",
        /// None.
        None = "none",
        /// None: an AUTH of two bytes, which means success and has no properties.
        NoProperties = "no properties",
    }
}

ungraceful_record::words! {
    /// What happened to the companion of a client.
    pub enum CompanionFate: "fate" {
        /// It was always served.
        Served = "served",
        /// Its connection ended.
        Cut = "cut",
    }
}
