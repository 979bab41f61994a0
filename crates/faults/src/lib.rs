//! The catalogue of ways in which an MQTT client can misbehave or be lost: one file per fault, in folders by what
//! the fault is about.
//!
//! A fault says what goes on the wire and what to watch for; the rig decides when, how often and beside whom.
//! Next to each fault stand its checks, which read the record alone.

pub mod authentication;
pub mod connection;
pub mod flow_control;
pub mod session;
pub mod vanish;
pub mod violate;

pub mod mode;

pub mod ending;
mod judging;
mod numbered;
mod outbox;
mod peer;
mod pinging;
pub mod resumption;

#[cfg(test)]
mod testing;

use mode::Mode;

/// The fault with this name, which is that of its mode and of its cases in records; absent when there is none.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Mode> {
    let families = [
        vanish::MODES,
        connection::takeover::MODES,
        flow_control::MODES,
        connection::double_connect::MODES,
        authentication::MODES,
        violate::MODES,
    ];
    families.into_iter().flatten().copied().find(|mode| mode.name() == name)
}
