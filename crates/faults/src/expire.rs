//! Faults of credentials: those that run out, and those that an operator takes away.

pub mod command;
pub mod dynamic_security;
pub mod kick;
pub mod kick_checks;
pub mod reauthentication_checks;
pub mod removal;
pub mod signing;
pub mod token;
pub mod token_checks;

mod at_work;
mod coming_back;
mod judged;
mod reauthentication;
mod shown;

use crate::mode::{Mode, mode};
use ungraceful_record::fact::{FactOf, Measure};

/// The modes of `ungraceful-expire`, the default one first.
pub const MODES: &[&dyn Mode] = &[mode::<kick::Flags>(), mode::<token::Flags>()];

/// Fact: what the broker still served of what was sent after the client's right had ended.
pub const SERVED: FactOf<StillServed> = FactOf::new("still_served");
/// Measure: messages that were sent to the client after its right had ended, and delivered to it.
pub const DELIVERED: Measure = Measure::new("delivered_afterwards");
/// Measure: messages that the client published after its right had ended, and that were acknowledged.
pub const PUBLISHED: Measure = Measure::new("taken_afterwards");
/// Measure: from the end of the right until the last such delivery.
pub const LAST_SERVED: Measure = Measure::new("last_delivery_after_us");
/// Fact: what became of the client that connected again with the same credentials.
pub const CAME_BACK: FactOf<Return> = FactOf::new("came_back");
/// Fact: what became of the connection after the CONNACK that refused.
pub const AFTER_REFUSAL: FactOf<AfterRefusal> = FactOf::new("after_the_refusal");
/// Fact: what came on the connection after the broker's DISCONNECT.
pub const AFTER_DISCONNECT: FactOf<AfterDisconnect> = FactOf::new("after_disconnect");
/// Fact: what AUTH 0x19 (re-authentication) was answered.
pub const REAUTHENTICATION: FactOf<Reauthentication> = FactOf::new("reauthentication");
/// Measure: from AUTH 0x19 to what answered it.
pub const REAUTHENTICATION_TIME: Measure = Measure::new("reauthentication_us");
/// Fact: what became, past the end of its first token, of a client whose re-authentication succeeded.
pub const PAST_FIRST_TOKEN: FactOf<PastFirstToken> = FactOf::new("past_the_first_token");
/// Fact: what became of the connection after its re-authentication had been refused.
pub const AFTER_FAILURE: FactOf<AfterFailure> = FactOf::new("after_failed_reauthentication");
/// Fact: the Authentication Method in the CONNACK.
pub const METHOD_IN_CONNACK: FactOf<Method> = FactOf::new("method_in_connack");
/// Fact: the Authentication Method in the AUTH that answered.
pub const METHOD_IN_AUTH: FactOf<Method> = FactOf::new("method_in_auth");
/// Fact: what became of the client that published to this one.
pub const BESIDE: FactOf<Publisher> = FactOf::new("publisher_beside");

ungraceful_record::words! {
    /// What the broker still serves.
    pub enum StillServed: "service" {
        /// Nothing.
        Nothing = "nothing",
        /// It delivers to the client.
        Deliveries = "deliveries",
        /// It takes what the client publishes.
        Publishing = "its publishing",
        /// It does both.
        BothWays = "both ways",
    }
}

ungraceful_record::words! {
    /// What became of a client that connected again.
    pub enum Return {
        /// It was let in, with its rights.
        Accepted = "accepted",
        /// It was let in, but nothing is delivered to it.
        WithoutRights = "accepted, without its rights",
        /// It was let in, and then neither the client nor who published to it was answered.
        RightsUnknown = "accepted, and then not answered",
        /// No connection could be made: the broker was not asked.
        NotTried = "not tried",
    } else {
        /// It was refused or not answered, in words that are the same for all that met the same.
        Refused = "",
    }
}

ungraceful_record::words! {
    /// What becomes of a connection after the CONNACK that refuses.
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
        /// Packets of these types.
        Packets = "",
    }
}

ungraceful_record::words! {
    /// What answers a re-authentication.
    pub enum Reauthentication {
        /// Nothing.
        Nothing = "nothing",
        /// The connection ended without a word.
        Closed = "closed",
        /// AUTH: it succeeded.
        Success = "AUTH 0x00",
        /// AUTH: the broker asks for another step.
        Continue = "AUTH 0x18",
    } else {
        /// AUTH with another Reason Code.
        Auth = "AUTH 0x",
        /// DISCONNECT; the Reason Code.
        Disconnect = "DISCONNECT 0x",
    }
}

ungraceful_record::words! {
    /// What becomes of a client past the end of its first token.
    pub enum PastFirstToken: "fate" {
        /// It is served.
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
    /// What becomes of a connection after a re-authentication that failed.
    pub enum AfterFailure: "fate" {
        /// The broker says DISCONNECT and closes it.
        ToldAndClosed = "DISCONNECT, then closed",
        /// The broker closes it without a word.
        OnlyClosed = "closed without a DISCONNECT",
        /// The broker serves it until the first token ends.
        ClosedLate = "closed when the first token ended",
        /// The broker serves it on.
        Served = "served",
        /// It is still open, but not answered.
        NotAnswered = "neither cut nor served",
    }
}

ungraceful_record::words! {
    /// Which Authentication Method a packet names.
    pub enum Method: "method" {
        /// That of the CONNECT.
        Same = "the same",
        /// Another.
        Other = "another",
        /// None.
        None = "none",
        /// None: an AUTH of two bytes, which means success and can name nothing.
        NoProperties = "no properties",
    }
}

ungraceful_record::words! {
    /// What became of a client to which nothing was done.
    pub enum Publisher: "fate" {
        /// It was served all the time.
        Served = "served",
        /// Its connection ended.
        Cut = "cut",
    }
}
