//! Faults of credentials: those that run out, and those that an operator takes away.

pub mod command;
pub mod dynamic_security;
pub mod kick;
pub mod kick_checks;
pub mod removal;
pub mod signing;
pub mod token;
pub mod token_checks;

mod at_work;
mod coming_back;
mod judged;

/// Fact: what the broker still served of what was sent after the client's right had ended: `nothing`, `deliveries`, `its
/// publishing` or `both ways`.
pub const SERVED: &str = "still_served";
/// Value of [`SERVED`].
pub const NOTHING: &str = "nothing";
/// Measure: messages that were sent to the client after its right had ended, and delivered to it.
pub const DELIVERED: &str = "delivered_afterwards";
/// Measure: messages that the client published after its right had ended, and that were acknowledged.
pub const PUBLISHED: &str = "taken_afterwards";
/// Measure: from the end of the right until the last such delivery.
pub const LAST_SERVED: &str = "last_delivery_after_us";
/// Fact: what became of the client that connected again with the same credentials.
pub const CAME_BACK: &str = "came_back";
/// How values of [`CAME_BACK`] begin that say that the client was let in.
pub const ACCEPTED: &str = "accepted";
/// Value of [`CAME_BACK`]: let in, but nothing is delivered to it.
pub const WITHOUT_RIGHTS: &str = "accepted, without its rights";
/// Value of [`CAME_BACK`]: no connection could be made, so nobody was asked.
pub const NOT_TRIED: &str = "not tried";
/// Fact: whether the connection was closed after the CONNACK that refused: `closed`, `left open`, or `served`.
pub const AFTER_REFUSAL: &str = "after_the_refusal";
/// Fact: what came on the connection after the broker's DISCONNECT, `nothing` or names of packets.
pub const AFTER_DISCONNECT: &str = "after_disconnect";
/// Fact: whether the client that published to this one was `served` all the time, or `cut`.
pub const BESIDE: &str = "publisher_beside";
