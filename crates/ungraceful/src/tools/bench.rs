//! `ungraceful-bench`: how the broker performs under well-behaved load.

mod connections;
mod messages;

use clap::{Args, Command};
use ungraceful_flags::{Mistake, Versions, Wanted};

use crate::cli::load::ConnectArgs;
use crate::cli::parse::Parsed;
use crate::launch::LoadMode;

/// Its modes, the default one first.
pub(super) const MODES: &[LoadMode] = &[messages::PUBSUB, connections::CONN, messages::PUB, connections::SUB];

/// Maximum number of tracked publisher/subscriber pairs: each takes about a hundred bytes.
const TRACKED_PAIRS_MAX: u64 = 20_000_000;

/// The flags of every mode.
fn add_common_flags(command: Command) -> Command {
    let command = Versions::augment_args(ConnectArgs::augment_args(command));
    command.mut_arg("protocol_version", |arg| {
        arg.help_heading("Load").help(
            "MQTT version: 3.1.1 (or 4), or 5 (or 5.0) [default: 5.0 if the broker supports it, else 3.1.1]",
        )
    })
}

/// The MQTT version, and whether the user gave it.
fn versions(parsed: &Parsed, mistakes: &mut Vec<Mistake>) -> Wanted {
    let wanted = parsed.read::<Versions>().wanted();
    if wanted.are_named && wanted.versions.len() > 1 {
        mistakes.push(Mistake::new("--protocol-version", "a load uses one MQTT version; give only one"));
    }
    wanted
}

/// What is measured end to end, and what would measure it.
const END_TO_END: [(&str, &str); 3] = [
    ("e2e", "it needs publishers and subscribers; use pubsub"),
    ("e2e_service", "it needs publishers and subscribers; use pubsub"),
    ("loss", "it needs publishers and subscribers; use pubsub"),
];
/// What is measured of publishing.
const PUBLISHED: [(&str, &str); 2] = [
    ("ack", "nothing is published; use pub or pubsub"),
    ("ack_service", "nothing is published; use pub or pubsub"),
];
/// What is measured of subscribing.
const SUBSCRIBED: [(&str, &str); 1] = [("suback", "nothing is subscribed to; use sub or pubsub")];
