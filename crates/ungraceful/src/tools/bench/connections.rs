//! Modes `conn` and `sub`: clients that connect and stay, and clients that subscribe and listen.

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_load::checks::CHECKS;
use ungraceful_load::pace::Pace;
use ungraceful_load::payload::Payload;
use ungraceful_load::settings::{LoadSettings, MessageSettings, Waiting};
use ungraceful_load::shape::{QosMix, Shape};
use ungraceful_mqtt::QoS;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::run::Setting;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;
use ungraceful_rig::run::plan::Arrival;

use super::{
    DEFAULTS, END_TO_END, PUBLISHED, SUBSCRIBED, add_common_flags, check_subjects, clients, versions,
};
use crate::cli::load::{ConnectArgs, CountArgs, DurationArgs, FilterArgs, Preset, PresetArgs, take};
use crate::launch::{LoadMode, LoadPlan, Mode};

const READ: &str = "the flags are those of this mode's command";

/// Mode `conn`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conn;

/// Mode `sub`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sub;

impl Mode for Conn {
    fn name(&self) -> &'static str {
        "conn"
    }

    fn about(&self) -> &'static str {
        "Clients that connect and stay connected"
    }

    fn long_about(&self) -> &'static str {
        "Connects -c clients at -R per second and keeps them connected for --duration. Tells TCP handshakes and CONNACKs \
         apart, who was refused and why, and who was lost and how."
    }

    fn add_flags(&self, command: Command) -> Command {
        let command = PresetArgs::augment_args(DurationArgs::augment_args(CountArgs::augment_args(command)));
        add_common_flags(command)
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("bystanders", "0"), ("warmup", "0s")]
    }

    fn load(&self) -> Option<&'static dyn LoadMode> {
        Some(&Conn)
    }

    fn checks(&self) -> Vec<Check> {
        CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        // A load accuses nobody: what a broker drops is its operator's choice, and what is too much the user's threshold.
        Vec::new()
    }
}

impl LoadMode for Conn {
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
        let load = quiet(matches, per_second, mistakes);
        let own = CountArgs::from_arg_matches(matches).expect(READ).count;
        let own = take(own.as_ref(), "--count", mistakes).map(|count| clients(count.0));
        let (versions, versions_required) = versions(matches, mistakes);
        let thresholds = ConnectArgs::from_arg_matches(matches).expect(READ).thresholds(mistakes);
        let never = [&END_TO_END[..], &PUBLISHED, &SUBSCRIBED].concat();
        check_subjects(&thresholds, "--threshold", &never, mistakes);
        let idle = own.or(count).unwrap_or(100);
        LoadPlan {
            versions,
            versions_required,
            load: load.map(|load| LoadSettings { idle, ..load }),
            thresholds,
            promise: None,
        }
    }
}

impl Mode for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn about(&self) -> &'static str {
        "Clients that subscribe and receive what others publish"
    }

    fn long_about(&self) -> &'static str {
        "Subscribes -c clients and counts what comes for --duration. What others publish carries no stamp of this run, so \
         it is counted and not followed: for times, losses and order, use pubsub."
    }

    fn add_flags(&self, command: Command) -> Command {
        let command = FilterArgs::augment_args(DurationArgs::augment_args(CountArgs::augment_args(command)));
        add_common_flags(command)
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        DEFAULTS
    }

    fn load(&self) -> Option<&'static dyn LoadMode> {
        Some(&Sub)
    }

    fn checks(&self) -> Vec<Check> {
        CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        // A load accuses nobody: what a broker drops is its operator's choice, and what is too much the user's threshold.
        Vec::new()
    }
}

impl LoadMode for Sub {
    fn load_plan(
        &self,
        matches: &ArgMatches,
        _given: &BTreeMap<String, Setting>,
        _arrival: Arrival,
        mistakes: &mut Vec<Mistake>,
    ) -> LoadPlan {
        let load = quiet(matches, None, mistakes);
        let count = CountArgs::from_arg_matches(matches).expect(READ).count;
        let count = take(count.as_ref(), "--count", mistakes).map(|count| clients(count.0));
        let filter = FilterArgs::from_arg_matches(matches).expect(READ);
        let max_packet_size = filter.max_packet_size.take("--max-packet-size", mistakes);
        let qos = filter.qos.take("--qos", mistakes).unwrap_or(QoS::AtMostOnce);
        if !ungraceful_mqtt::topic::is_topic_filter(&filter.topic) {
            let what = format!("{:?} is no Topic Filter", filter.topic);
            mistakes.push(Mistake::new("--topic", what));
        }
        let (versions, versions_required) = versions(matches, mistakes);
        let thresholds = ConnectArgs::from_arg_matches(matches).expect(READ).thresholds(mistakes);
        check_subjects(&thresholds, "--threshold", &[&END_TO_END[..], &PUBLISHED].concat(), mistakes);
        let load = load.map(|load| LoadSettings {
            subscribers: count.unwrap_or(100),
            filter: Some(filter.topic.clone()),
            max_packet_size: max_packet_size.and_then(|bytes| usize::try_from(bytes.0).ok()),
            qos: QosMix::new(&[(qos, 1)]),
            ..load
        });
        LoadPlan { versions, versions_required, load, thresholds, promise: None }
    }
}

/// A load of nobody that publishes nothing.
fn quiet(matches: &ArgMatches, per_second: Option<f64>, mistakes: &mut Vec<Mistake>) -> Option<LoadSettings> {
    let duration = DurationArgs::from_arg_matches(matches).expect(READ).duration(mistakes);
    let connect = ConnectArgs::from_arg_matches(matches).expect(READ);
    let own = take(connect.connrate.as_ref(), "--connrate", mistakes).map(|rate| rate.0);
    let in_flight = connect.connects_in_flight.take("--connects-in-flight", mistakes);
    let keep_alive_s = connect.keepalive.between(0, u16::MAX.into(), "--keepalive", mistakes);
    Some(LoadSettings {
        publishers: 0,
        subscribers: 0,
        idle: 0,
        shape: Shape::Everyone,
        qos: QosMix::new(&[(QoS::AtMostOnce, 1)]),
        topic: None,
        filter: None,
        max_packet_size: None,
        pace: Pace::Nothing(duration?),
        payload: Payload::Bytes(16),
        message: MessageSettings::default(),
        in_flight: 1,
        connects_per_second: own.or(per_second).unwrap_or(1_000.0),
        connects_in_flight: clients(in_flight?.0),
        keep_alive_s: u16::try_from(keep_alive_s?).unwrap_or(u16::MAX),
        waiting: Waiting::Sleep,
    })
}

/// A load of nobody, for the modes that publish: connections as the flags say.
pub(super) fn connecting(matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> Option<LoadSettings> {
    quiet(matches, None, mistakes)
}
