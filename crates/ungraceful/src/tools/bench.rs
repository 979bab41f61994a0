//! `ungraceful-bench`: what does the broker do under honest load?

mod connections;
mod messages;

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::run::{Setting, SettingSource};
use ungraceful_record::threshold::Threshold;
use ungraceful_rig::error::Mistake;

use crate::cli::load::ConnectArgs;
use crate::cli::versions::VersionArgs;
use crate::launch::Tool;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-bench",
    question: "What does the broker do under honest load?",
    modes: &[&messages::PubSub, &connections::Conn, &messages::Pub, &connections::Sub],
};

/// Publisher-receiver pairs that are followed at the most: each takes about a hundred bytes.
const FOLLOWED_MAX: u64 = 20_000_000;

/// The flags of every mode.
fn add_common_flags(command: Command) -> Command {
    let command = VersionArgs::augment_args(ConnectArgs::augment_args(command));
    command.mut_arg("protocol_version", |arg| {
        arg.help_heading("Load").help(
            "MQTT version: 3.1.1 (or 4), or 5 (or 5.0) [default: 5.0 where the broker speaks it, else 3.1.1]",
        )
    })
}

/// No bystanders, unless they are asked for: a load is measured by itself.
const DEFAULTS: &[(&str, &str)] = &[("bystanders", "0")];

/// The version to speak, and whether the user named it.
fn versions(matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> (Vec<ProtocolVersion>, bool) {
    let args = VersionArgs::from_arg_matches(matches).expect("the flags are those of this mode's command");
    let (versions, named) = args.versions(mistakes);
    if named && versions.len() > 1 {
        mistakes.push(Mistake::new("--protocol-version", "a load speaks one version; give one of them"));
    }
    (versions, named)
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

/// A number of clients, or what stands for it.
fn clients(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
