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

/// Fact: what the broker still served of what was sent after the client's right had ended: `nothing`, `deliveries`, `its
/// publishing` or `both ways`.
pub const SERVED: FactOf<String> = FactOf::new("still_served");
/// Value of [`SERVED`].
pub const NOTHING: &str = "nothing";
/// Measure: messages that were sent to the client after its right had ended, and delivered to it.
pub const DELIVERED: Measure = Measure::new("delivered_afterwards");
/// Measure: messages that the client published after its right had ended, and that were acknowledged.
pub const PUBLISHED: Measure = Measure::new("taken_afterwards");
/// Measure: from the end of the right until the last such delivery.
pub const LAST_SERVED: Measure = Measure::new("last_delivery_after_us");
/// Fact: what became of the client that connected again with the same credentials.
pub const CAME_BACK: FactOf<String> = FactOf::new("came_back");
/// How values of [`CAME_BACK`] begin that say that the client was let in.
pub const ACCEPTED: &str = "accepted";
/// Value of [`CAME_BACK`]: let in, but nothing is delivered to it.
pub const WITHOUT_RIGHTS: &str = "accepted, without its rights";
/// Value of [`CAME_BACK`]: let in, and then neither the client nor who published to it was answered.
pub const RIGHTS_UNKNOWN: &str = "accepted, and then not answered";
/// Value of [`CAME_BACK`]: no connection could be made, so nobody was asked.
pub const NOT_TRIED: &str = "not tried";
/// Fact: whether the connection was closed after the CONNACK that refused: `closed`, `left open`, or `served`.
pub const AFTER_REFUSAL: FactOf<String> = FactOf::new("after_the_refusal");
/// Fact: what came on the connection after the broker's DISCONNECT, `nothing` or names of packets.
pub const AFTER_DISCONNECT: FactOf<String> = FactOf::new("after_disconnect");
/// Fact: what AUTH 0x19 (re-authentication) was answered: `nothing`, `closed`, or a packet with its Reason Code.
pub const REAUTHENTICATION: FactOf<String> = FactOf::new("reauthentication");
/// Value of [`REAUTHENTICATION`]: the connection ended without a word.
pub const CLOSED: &str = "closed";
/// Value of [`REAUTHENTICATION`].
pub const SUCCESS: &str = "AUTH 0x00";
/// Value of [`REAUTHENTICATION`]: another step is asked for.
pub const CONTINUE: &str = "AUTH 0x18";
/// Measure: from AUTH 0x19 to what answered it.
pub const REAUTHENTICATION_TIME: Measure = Measure::new("reauthentication_us");
/// Fact: what became, past the end of its first token, of a client whose re-authentication succeeded: `served`, `cut at its
/// end`, `cut before its end`, or `neither cut nor served`.
pub const PAST_FIRST_TOKEN: FactOf<String> = FactOf::new("past_the_first_token");
/// Fact: what became of the connection after its re-authentication had been refused.
pub const AFTER_FAILURE: FactOf<String> = FactOf::new("after_failed_reauthentication");
/// Value of [`AFTER_FAILURE`].
pub const TOLD_AND_CLOSED: &str = "DISCONNECT, then closed";
/// Value of [`AFTER_FAILURE`].
pub const ONLY_CLOSED: &str = "closed without a DISCONNECT";
/// Value of [`AFTER_FAILURE`]: served until the first token ended.
pub const CLOSED_LATE: &str = "closed when the first token ended";
/// Value of [`AFTER_FAILURE`] and [`PAST_FIRST_TOKEN`].
pub const SERVED_ON: &str = "served";
/// Value of [`AFTER_FAILURE`] and [`PAST_FIRST_TOKEN`]: still open, but not answered.
pub const NOT_ANSWERED: &str = "neither cut nor served";
/// Value of [`PAST_FIRST_TOKEN`].
pub const CUT_AT_END: &str = "cut at its end";
/// Value of [`PAST_FIRST_TOKEN`].
pub const CUT_BEFORE_END: &str = "cut before its end";
/// Fact: the Authentication Method in the CONNACK: `the same` as in the CONNECT, `another`, or `none`.
pub const METHOD_IN_CONNACK: FactOf<String> = FactOf::new("method_in_connack");
/// Fact: the Authentication Method in the AUTH that answered, as in [`METHOD_IN_CONNACK`], or `no properties`.
pub const METHOD_IN_AUTH: FactOf<String> = FactOf::new("method_in_auth");
/// Value of both facts of methods.
pub const SAME_METHOD: &str = "the same";
/// Value of both facts of methods.
pub const OTHER_METHOD: &str = "another";
/// Value of both facts of methods.
pub const NO_METHOD: &str = "none";
/// Value of [`METHOD_IN_AUTH`]: an AUTH of two bytes, which means success and can name nothing.
pub const NO_PROPERTIES: &str = "no properties";
/// Fact: whether the client that published to this one was `served` all the time, or `cut`.
pub const BESIDE: FactOf<String> = FactOf::new("publisher_beside");
