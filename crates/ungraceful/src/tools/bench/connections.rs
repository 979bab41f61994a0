//! Modes `conn` and `sub`: clients that connect and stay, and clients that subscribe and listen.

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_flags::{Mistake, Whole};
use ungraceful_load::pace::Pace;
use ungraceful_load::payload::Payload;
use ungraceful_load::settings::{LoadSettings, MessageSettings, Waiting};
use ungraceful_load::shape::{QosMix, Shape};
use ungraceful_mqtt::QoS;
use ungraceful_record::run::Setting;
use ungraceful_rig::run::plan::Arrival;

use super::{END_TO_END, PUBLISHED, SUBSCRIBED, add_common_flags, check_subjects, versions};
use crate::cli::load::{ConnectArgs, CountArgs, DurationArgs, FilterArgs, Preset, PresetArgs, take};
use crate::launch::{LoadMode, LoadPlan};

const READ: &str = "the flags are those of this mode's command";

/// Mode `conn`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conn;

/// Mode `sub`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sub;

impl LoadMode for Conn {
    fn name(&self) -> &'static str {
        "conn"
    }

    fn about(&self) -> &'static str {
        "Clients that connect and stay connected"
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("warmup", "0s")]
    }

    fn long_about(&self) -> &'static str {
        "Connects -c clients at -R per second and keeps them connected for --duration. Tells TCP handshakes and CONNACKs \
         apart, who was refused and why, and who was lost and how."
    }

    fn add_flags(&self, command: Command) -> Command {
        let command = PresetArgs::augment_args(DurationArgs::augment_args(CountArgs::augment_args(command)));
        add_common_flags(command)
    }

    fn load_plan(
        &self,
        matches: &ArgMatches,
        _given: &BTreeMap<String, Setting>,
        _arrival: Arrival,
        mistakes: &mut Vec<Mistake>,
    ) -> LoadPlan {
        let preset = PresetArgs::from_arg_matches(matches).expect(READ);
        let preset = take(preset.preset.as_ref(), "--preset", mistakes);
        let (count, per_second) = match preset {
            None => (None, None),
            Some(Preset::Connect { clients, per_second }) => (Some(clients), Some(per_second)),
            Some(Preset::Messages { .. }) => {
                mistakes.push(Mistake::new("--preset", "is one of messages: use it with pubsub"));
                (None, None)
            }
        };
        let load = quiet(matches, per_second);
        let own = CountArgs::from_arg_matches(matches).expect(READ).count.map(Whole::get);
        let wanted = versions(matches, mistakes);
        let thresholds = ConnectArgs::from_arg_matches(matches).expect(READ).thresholds(mistakes);
        let never = [&END_TO_END[..], &PUBLISHED, &SUBSCRIBED].concat();
        check_subjects(&thresholds, "--threshold", &never, mistakes);
        let idle = own.or(count).unwrap_or(100);
        LoadPlan { wanted, load: LoadSettings { idle, ..load }, thresholds, promise: None }
    }
}

impl LoadMode for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn about(&self) -> &'static str {
        "Subscribers only, for messages that others publish"
    }

    fn long_about(&self) -> &'static str {
        "Subscribes -c clients and counts what comes for --duration. What others publish carries no stamp of this run, so \
         it is counted and not followed: for times, losses and order, use pubsub."
    }

    fn add_flags(&self, command: Command) -> Command {
        let command = FilterArgs::augment_args(DurationArgs::augment_args(CountArgs::augment_args(command)));
        add_common_flags(command)
    }

    fn load_plan(
        &self,
        matches: &ArgMatches,
        _given: &BTreeMap<String, Setting>,
        _arrival: Arrival,
        mistakes: &mut Vec<Mistake>,
    ) -> LoadPlan {
        let load = quiet(matches, None);
        let count = CountArgs::from_arg_matches(matches).expect(READ).count.map(Whole::get);
        let filter = FilterArgs::from_arg_matches(matches).expect(READ);
        if !ungraceful_mqtt::topic::is_topic_filter(&filter.topic) {
            let what = format!("{:?} is no Topic Filter", filter.topic);
            mistakes.push(Mistake::new("--topic", what));
        }
        let wanted = versions(matches, mistakes);
        let thresholds = ConnectArgs::from_arg_matches(matches).expect(READ).thresholds(mistakes);
        check_subjects(&thresholds, "--threshold", &[&END_TO_END[..], &PUBLISHED].concat(), mistakes);
        let load = LoadSettings {
            subscribers: count.unwrap_or(100),
            filter: Some(filter.topic.clone()),
            max_packet_size: Some(filter.max_packet_size.get()),
            qos: QosMix::new(&[(filter.qos, 1)]),
            ..load
        };
        LoadPlan { wanted, load, thresholds, promise: None }
    }
}

/// A load of nobody that publishes nothing.
fn quiet(matches: &ArgMatches, per_second: Option<f64>) -> LoadSettings {
    let duration = DurationArgs::from_arg_matches(matches).expect(READ).duration;
    let connect = ConnectArgs::from_arg_matches(matches).expect(READ);
    LoadSettings {
        publishers: 0,
        subscribers: 0,
        idle: 0,
        shape: Shape::Everyone,
        qos: QosMix::new(&[(QoS::AtMostOnce, 1)]),
        topic: None,
        filter: None,
        max_packet_size: None,
        pace: Pace::Nothing(duration.0),
        payload: Payload::Bytes(16),
        message: MessageSettings::default(),
        in_flight: 1,
        connects_per_second: connect.connrate.map(|rate| rate.0).or(per_second).unwrap_or(1_000.0),
        connects_in_flight: connect.connects_in_flight.get(),
        keep_alive_s: u16::try_from(connect.keepalive.0).unwrap_or(u16::MAX),
        waiting: Waiting::Sleep,
    }
}

/// A load of nobody, for the modes that publish: connections as the flags say.
pub(super) fn connecting(matches: &ArgMatches) -> LoadSettings {
    quiet(matches, None)
}
