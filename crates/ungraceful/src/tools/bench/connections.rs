//! Modes `conn` and `sub`: clients that connect and stay, and clients that subscribe and listen.

use clap::Args;
use ungraceful_flags::{Mistake, Whole};
use ungraceful_load::pace::Pace;
use ungraceful_load::payload::Payload;
use ungraceful_load::settings::{LoadSettings, MessageSettings, Waiting};
use ungraceful_load::shape::{QosMix, Shape};
use ungraceful_mqtt::QoS;
use ungraceful_rig::run::plan::Arrival;

use super::{END_TO_END, PUBLISHED, SUBSCRIBED, add_common_flags, versions};
use crate::cli::load::{ConnectArgs, CountArgs, DurationArgs, FilterArgs, Preset, PresetArgs, take};
use crate::cli::parse::Parsed;
use crate::launch::{LoadMode, LoadPlan};

/// Mode `conn`.
pub(super) const CONN: LoadMode = LoadMode {
    name: "conn",
    about: "Clients that connect and stay connected",
    long_about: "Connects -c clients at -R per second and keeps them connected for --duration. Times TCP handshakes and \
                 CONNACKs separately, and reports how many clients were refused or lost, and why.",
    add_flags: |command| {
        let command = DurationArgs::augment_args(CountArgs::augment_args(command));
        add_common_flags(PresetArgs::augment_args(command))
    },
    defaults: &[("warmup", "0s")],
    plan: plan_connections,
};

/// Mode `sub`.
pub(super) const SUB: LoadMode = LoadMode {
    name: "sub",
    about: "Subscribers only, for messages that others publish",
    long_about: "Subscribes -c clients and counts the messages that they receive for --duration. Messages of other publishers \
                 carry no stamp of this run, so they are counted but not tracked: for times, losses and order, use pubsub.",
    add_flags: |command| {
        let command = DurationArgs::augment_args(CountArgs::augment_args(command));
        add_common_flags(FilterArgs::augment_args(command))
    },
    defaults: &[],
    plan: plan_subscribers,
};

fn plan_connections(parsed: &Parsed, _arrival: Arrival, mistakes: &mut Vec<Mistake>) -> LoadPlan {
    let preset = take(parsed.read::<PresetArgs>().preset.as_ref(), "--preset", mistakes);
    let (count, per_second) = match preset {
        None => (None, None),
        Some(Preset::Connect { clients, per_second }) => (Some(clients), Some(per_second)),
        Some(Preset::Messages { .. }) => {
            mistakes.push(Mistake::new("--preset", "is a message scenario; use it with pubsub"));
            (None, None)
        }
    };
    let load = empty_load(parsed, per_second);
    let own = parsed.read::<CountArgs>().count.map(Whole::get);
    let wanted = versions(parsed, mistakes);
    let never = [&END_TO_END[..], &PUBLISHED, &SUBSCRIBED].concat();
    let idle = own.or(count).unwrap_or(100);
    LoadPlan { wanted, load: LoadSettings { idle, ..load }, never, promise: None }
}

fn plan_subscribers(parsed: &Parsed, _arrival: Arrival, mistakes: &mut Vec<Mistake>) -> LoadPlan {
    let load = empty_load(parsed, None);
    let count = parsed.read::<CountArgs>().count.map(Whole::get);
    let filter = parsed.read::<FilterArgs>();
    if !ungraceful_mqtt::topic::is_topic_filter(&filter.topic) {
        mistakes.push(Mistake::new("--topic", format!("{:?} is not a valid Topic Filter", filter.topic)));
    }
    let wanted = versions(parsed, mistakes);
    let load = LoadSettings {
        subscribers: count.unwrap_or(100),
        filter: Some(filter.topic.clone()),
        max_packet_size: Some(filter.max_packet_size.get()),
        qos: QosMix::new(&[(filter.qos, 1)]),
        ..load
    };
    LoadPlan { wanted, load, never: [&END_TO_END[..], &PUBLISHED].concat(), promise: None }
}

/// A load without clients that publishes nothing, with the flags of connections. `per_second` is a preset's.
pub(super) fn empty_load(parsed: &Parsed, per_second: Option<f64>) -> LoadSettings {
    let connect = parsed.read::<ConnectArgs>();
    LoadSettings {
        publishers: 0,
        subscribers: 0,
        idle: 0,
        shape: Shape::Everyone,
        qos: QosMix::new(&[(QoS::AtMostOnce, 1)]),
        topic: None,
        filter: None,
        max_packet_size: None,
        pace: Pace::Nothing(parsed.read::<DurationArgs>().duration.0),
        payload: Payload::Bytes(16),
        message: MessageSettings::default(),
        in_flight: 1,
        connects_per_second: connect.connrate.map(|rate| rate.0).or(per_second).unwrap_or(1_000.0),
        connects_in_flight: connect.connects_in_flight.get(),
        keep_alive_s: u16::try_from(connect.keepalive.0).unwrap_or(u16::MAX),
        waiting: Waiting::Sleep,
        until: None,
    }
}
