//! Modes `pubsub` and `pub`: clients that publish, with and without subscribers.

use std::time::Duration;

use clap::Args;
use ungraceful_flags::{Mistake, Whole};
use ungraceful_load::pace::Pace;
use ungraceful_load::settings::{LoadSettings, PUBLISHERS_MAX};
use ungraceful_load::shape::Shape;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::run::SettingSource;
use ungraceful_rig::run::plan::Arrival;

use super::connections::empty_load;
use super::{END_TO_END, SUBSCRIBED, TRACKED_PAIRS_MAX, add_common_flags, versions};
use crate::cli::load::{CountArgs, DurationArgs, Preset, PresetArgs, PublishArgs, ShapeArgs, take};
use crate::cli::parse::Parsed;
use crate::launch::{LoadMode, LoadPlan};

/// The default --duration of each trial of a rate search.
const TRIAL: Duration = Duration::from_secs(10);

/// The default --duration of a load that ends when a percentile is sure enough.
const UNTIL_AT_LATEST: Duration = Duration::from_mins(10);

/// Mode `pubsub`.
pub(super) const PUBSUB: LoadMode = LoadMode {
    name: "pubsub",
    about: "Publishers and subscribers: end-to-end times, losses, duplicates, order",
    long_about: "Publishes on a schedule that does not wait for the broker (open loop). Times every message from when it was \
                 due until its acknowledgement and until each subscriber received it, and accounts for every message: lost, \
                 unknown, duplicated, out of order. With --rate max, it publishes as fast as the broker accepts (closed \
                 loop), and times mean less: a slow broker is sent less.",
    add_flags: |command| {
        let command = PublishArgs::augment_args(DurationArgs::augment_args(ShapeArgs::augment_args(command)));
        add_common_flags(PresetArgs::augment_args(command))
    },
    defaults: &[],
    plan: plan_pubsub,
};

/// Mode `pub`.
pub(super) const PUB: LoadMode = LoadMode {
    name: "pub",
    about: "Publishers only: time to acknowledgement",
    long_about: "Publishes on a schedule that does not wait for the broker (open loop), and times every message of QoS 1 and 2 \
                 from when it was due until its acknowledgement. With --rate max, it publishes as fast as the broker accepts \
                 (closed loop).",
    add_flags: |command| {
        add_common_flags(PublishArgs::augment_args(DurationArgs::augment_args(CountArgs::augment_args(
            command,
        ))))
    },
    defaults: &[],
    plan: plan_pub,
};

fn plan_pubsub(parsed: &Parsed, arrival: Arrival, mistakes: &mut Vec<Mistake>) -> LoadPlan {
    let preset = take(parsed.read::<PresetArgs>().preset.as_ref(), "--preset", mistakes);
    let (of_preset, per_second) = match preset {
        Some(Preset::Messages { shape, publishers, subscribers, per_second }) => {
            (Some((shape, publishers, subscribers)), Some(per_second))
        }
        Some(Preset::Connect { .. }) => {
            mistakes.push(Mistake::new("--preset", "is a connection scenario; use it with conn"));
            (None, None)
        }
        None => (None, None),
    };
    let args = parsed.read::<ShapeArgs>();
    let publishers =
        args.publishers.map(Whole::get).or(of_preset.map(|(_, publishers, _)| publishers)).unwrap_or(10);
    let subscribers =
        args.subscribers.map(Whole::get).or(of_preset.map(|(.., subscribers)| subscribers)).unwrap_or(10);
    let usual = if publishers == subscribers { Shape::Pairs } else { Shape::Everyone };
    let shape = args.shape.or(of_preset.map(|(shape, ..)| shape)).unwrap_or(usual);
    if shape == Shape::Pairs && publishers != subscribers {
        let what = format!(
            "pairs need as many subscribers as publishers, and there are {subscribers} and {publishers}"
        );
        mistakes.push(Mistake::new("--shape", what));
    }
    if shape == Shape::Everyone && u64::from(publishers) * u64::from(subscribers) > TRACKED_PAIRS_MAX {
        let what = format!(
            "{publishers} publishers to each of {subscribers} subscribers exceed the maximum of {TRACKED_PAIRS_MAX} \
             tracked pairs"
        );
        mistakes.push(Mistake::new("--publishers", what));
    }
    let mut plan = plan_publishers(parsed, publishers, per_second, arrival, mistakes);
    plan.load = LoadSettings { subscribers, shape, ..plan.load };
    let topic = plan.load.topic.as_deref();
    if topic.is_some_and(|topic| shape == Shape::Pairs && !topic.contains("%i")) {
        let what = "each pair needs its own topic: add %i, or give --shape everyone";
        mistakes.push(Mistake::new("--topic", what));
    }
    if topic.is_some_and(|topic| topic.contains("%c")) {
        let what = "a subscriber does not know its publisher's ClientID: use %i in place of %c";
        mistakes.push(Mistake::new("--topic", what));
    }
    plan
}

fn plan_pub(parsed: &Parsed, arrival: Arrival, mistakes: &mut Vec<Mistake>) -> LoadPlan {
    let count = parsed.read::<CountArgs>().count;
    let plan = plan_publishers(parsed, count.map_or(100, Whole::get), None, arrival, mistakes);
    LoadPlan { never: [&END_TO_END[..], &SUBSCRIBED].concat(), ..plan }
}

/// A load of this many publishers. `per_second` is a preset's, which comes with QoS 1 and 16 bytes.
fn plan_publishers(
    parsed: &Parsed,
    publishers: u32,
    per_second: Option<f64>,
    arrival: Arrival,
    mistakes: &mut Vec<Mistake>,
) -> LoadPlan {
    let args = parsed.read::<PublishArgs>();
    let load = empty_load(parsed, None);
    let wanted = versions(parsed, mistakes);
    if publishers > PUBLISHERS_MAX {
        let what = format!("{publishers} publishers exceed the maximum of {PUBLISHERS_MAX}");
        mistakes.push(Mistake::new("--count", what));
    }
    if let Some(topic) = &args.topic
        && !ungraceful_mqtt::topic::is_topic_name(topic)
    {
        mistakes.push(Mistake::new("--topic", format!("{topic:?} is not a valid Topic Name")));
    }
    let promise = args.promise(mistakes);
    let duration = parsed.settings.get("duration");
    let duration_given = duration.is_some_and(|setting| setting.source != SettingSource::Default);
    let duration = match (&promise, &args.until) {
        (Some(_), _) if !duration_given => TRIAL,
        (None, Some(_)) if !duration_given => UNTIL_AT_LATEST,
        _ => load.lasts(),
    };
    let pace = args.pace(publishers, per_second, arrival, duration, duration_given, mistakes);
    check_pace(&pace, mistakes);
    let qos = args.qos(per_second.map(|_| QoS::AtLeastOnce), publishers, mistakes);
    let payload = args.payload(per_second.map(|_| 16), mistakes);
    let message = args.message_settings(mistakes);
    if let Some(flag) = message.needs_5_0().filter(|_| wanted.versions == [ProtocolVersion::V3_1_1]) {
        mistakes.push(Mistake::new(flag, "MQTT 3.1.1 does not support it; leave it out, or give -V 5"));
    }
    let until = args.until(&qos, &payload, mistakes);
    let load = LoadSettings {
        publishers,
        topic: args.topic.clone(),
        qos,
        pace,
        payload,
        message,
        in_flight: args.in_flight.get(),
        waiting: args.waiting(),
        until,
        ..load
    };
    LoadPlan { wanted, load, never: Vec::new(), promise }
}

fn check_pace(pace: &Pace, mistakes: &mut Vec<Mistake>) {
    if pace.lasts() > ungraceful_flags::TIME_MAX {
        mistakes.push(Mistake::new("--stages", "exceed the maximum of 24h for a run"));
    }
    if pace.messages().is_some_and(|messages| messages < 1.0) {
        let what = "no message would be due in that time; raise it, or --duration";
        mistakes.push(Mistake::new("--rate", what));
    }
}
