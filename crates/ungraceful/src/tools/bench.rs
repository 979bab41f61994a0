//! `ungraceful-bench`: what does the broker do under honest load?

mod connections;
mod messages;

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_flags::{Mistake, Versions, Wanted};
use ungraceful_record::run::{Setting, SettingSource};
use ungraceful_record::threshold::Threshold;

use crate::cli::load::ConnectArgs;
use crate::launch::LoadMode;

/// Its modes, the default one first.
pub(super) const MODES: &[&dyn LoadMode] =
    &[&messages::PubSub, &connections::Conn, &messages::Pub, &connections::Sub];

/// Publisher-receiver pairs that are followed at the most: each takes about a hundred bytes.
const FOLLOWED_MAX: u64 = 20_000_000;

/// The flags of every mode.
fn add_common_flags(command: Command) -> Command {
    let command = Versions::augment_args(ConnectArgs::augment_args(command));
    command.mut_arg("protocol_version", |arg| {
        arg.help_heading("Load").help(
            "MQTT version: 3.1.1 (or 4), or 5 (or 5.0) [default: 5.0 where the broker speaks it, else 3.1.1]",
        )
    })
}

/// The version to speak, and whether the user named it.
fn versions(matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> Wanted {
    let wanted =
        Versions::from_arg_matches(matches).expect("the flags are those of this mode's command").wanted();
    if wanted.are_named && wanted.versions.len() > 1 {
        mistakes.push(Mistake::new("--protocol-version", "a load speaks one version; give one of them"));
    }
    wanted
}

/// Whether the user gave this flag, wherever.
fn is_given(given: &BTreeMap<String, Setting>, name: &str) -> bool {
    given.get(name).is_some_and(|setting| setting.source != SettingSource::Default)
}

/// Tells thresholds on what this mode never measures: they would be inconclusive after the whole run.
fn check_subjects(thresholds: &[Threshold], flag: &str, never: &[(&str, &str)], mistakes: &mut Vec<Mistake>) {
    for threshold in thresholds {
        if let Some((subject, cure)) = never.iter().find(|(subject, _)| *subject == threshold.subject()) {
            mistakes.push(Mistake::new(flag, format!("{subject} is not measured here: {cure}")));
        }
    }
}

/// What is measured end to end, and what would measure it.
const END_TO_END: [(&str, &str); 3] = [
    ("e2e", "it needs subscribers of ours; use pubsub"),
    ("e2e_service", "it needs subscribers of ours; use pubsub"),
    ("loss", "it needs subscribers of ours; use pubsub"),
];
/// What is measured of what is published.
const PUBLISHED: [(&str, &str); 2] = [
    ("ack", "nothing is published; use pub or pubsub"),
    ("ack_service", "nothing is published; use pub or pubsub"),
];
/// What is measured of subscribing.
const SUBSCRIBED: [(&str, &str); 1] = [("suback", "nothing is subscribed to; use sub or pubsub")];
