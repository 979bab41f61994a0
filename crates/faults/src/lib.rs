//! The catalogue of ways in which an MQTT client can misbehave or be lost: one file per fault, in the folder of its tool.
//!
//! A fault decides what goes on the wire and what to watch for; the rig decides when, how often and beside which clients. Next to
//! each fault are its checks, which read only the record.

pub mod double_connect;
pub mod double_connect_checks;
pub mod expire;
pub mod flood;
pub mod replay;
pub mod scenario;
pub mod takeover;
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
        takeover::MODES,
        flood::MODES,
        double_connect::MODES,
        expire::MODES,
        violate::MODES,
        replay::MODES,
    ];
    families.into_iter().flatten().copied().find(|mode| mode.name() == name)
}
