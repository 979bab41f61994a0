//! Modes `pubsub` and `pub`: clients that publish, with and without subscribers of ours.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_flags::{Mistake, Whole};
use ungraceful_load::pace::Pace;
use ungraceful_load::settings::{LoadSettings, PUBLISHERS_MAX};
use ungraceful_load::shape::Shape;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::rate_search::Promise;
use ungraceful_record::run::Setting;
use ungraceful_rig::run::plan::Arrival;

use super::connections::connecting;
use super::{END_TO_END, FOLLOWED_MAX, SUBSCRIBED, add_common_flags, check_subjects, is_given, versions};
use crate::cli::load::{
    ConnectArgs, CountArgs, DurationArgs, Preset, PresetArgs, PublishArgs, ShapeArgs, take,
};
use crate::launch::{LoadMode, LoadPlan};

/// How long each trial of a search for a rate is measured, unless --duration says.
const TRIAL: Duration = Duration::from_secs(10);
const READ: &str = "the flags are those of this mode's command";

/// Mode `pubsub`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PubSub;

/// Mode `pub`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pub;

impl LoadMode for PubSub {
    fn name(&self) -> &'static str {
        "pubsub"
    }

    fn about(&self) -> &'static str {
        "Publishers and subscribers: end-to-end times, losses, duplicates, order"
    }

    fn long_about(&self) -> &'static str {
        "Publishes by a schedule that does not wait for the broker (open loop), times every message from when it was due \
         until its acknowledgement and until it came to each subscriber, and accounts for every one of them: lost, \
         unknown, more than once, out of order. With --rate max, it publishes as fast as the broker takes it (closed \
         loop), and times say less: a slow broker is sent less."
    }

    fn add_flags(&self, command: Command) -> Command {
        let command = PublishArgs::augment_args(DurationArgs::augment_args(ShapeArgs::augment_args(command)));
        add_common_flags(PresetArgs::augment_args(command))
    }

    fn load_plan(
        &self,
        matches: &ArgMatches,
        given: &BTreeMap<String, Setting>,
        arrival: Arrival,
        mistakes: &mut Vec<Mistake>,
    ) -> LoadPlan {
        let preset = PresetArgs::from_arg_matches(matches).expect(READ);
        let preset = take(preset.preset.as_ref(), "--preset", mistakes);
        if let Some(Preset::Connect { .. }) = preset {
            mistakes.push(Mistake::new("--preset", "is one of connections alone: use it with conn"));
        }
        let args = ShapeArgs::from_arg_matches(matches).expect(READ);

        let (of_preset, per_second) = match preset {
            Some(Preset::Messages { shape, publishers, subscribers, per_second }) => {
                (Some((shape, publishers, subscribers)), Some(per_second))
            }
            _ => (None, None),
        };
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
        if shape == Shape::Everyone && u64::from(publishers) * u64::from(subscribers) > FOLLOWED_MAX {
            let what = format!(
                "{publishers} publishers to each of {subscribers} subscribers are more than the {FOLLOWED_MAX} pairs that \
                 can be followed"
            );
            mistakes.push(Mistake::new("--publishers", what));
        }
        let mut plan = publishing(matches, given, publishers, per_second, arrival, mistakes);
        plan.load = LoadSettings { subscribers, shape, ..plan.load };
        let topic = plan.load.topic.as_deref();
        if topic.is_some_and(|topic| shape == Shape::Pairs && !topic.contains("%i")) {
            let what = "pairs need a topic each: put %i into it, or give --shape everyone";
            mistakes.push(Mistake::new("--topic", what));
        }
        if topic.is_some_and(|topic| topic.contains("%c")) {
            let what = "a subscriber does not know its publisher's ClientID: use %i in place of %c";
            mistakes.push(Mistake::new("--topic", what));
        }
        plan
    }
}

impl LoadMode for Pub {
    fn name(&self) -> &'static str {
        "pub"
    }

    fn about(&self) -> &'static str {
        "Publishers only: time to acknowledgement"
    }

    fn long_about(&self) -> &'static str {
        "Publishes by a schedule that does not wait for the broker (open loop), and times every message of QoS 1 and 2 from \
         when it was due until its acknowledgement. With --rate max, as fast as the broker takes it (closed loop)."
    }

    fn add_flags(&self, command: Command) -> Command {
        let command = PublishArgs::augment_args(DurationArgs::augment_args(CountArgs::augment_args(command)));
        add_common_flags(command)
    }

    fn load_plan(
        &self,
        matches: &ArgMatches,
        given: &BTreeMap<String, Setting>,
        arrival: Arrival,
        mistakes: &mut Vec<Mistake>,
    ) -> LoadPlan {
        let count = CountArgs::from_arg_matches(matches).expect(READ).count;
        let plan = publishing(matches, given, count.map_or(100, Whole::get), None, arrival, mistakes);
        let never = [&END_TO_END[..], &SUBSCRIBED].concat();
        check_subjects(&plan.thresholds, "--threshold", &never, mistakes);
        let promised = plan.promise.as_ref().map(Promise::thresholds).unwrap_or_default();
        check_subjects(promised, "--find-rate", &never, mistakes);
        plan
    }
}

/// A load of so many publishers. `per_second` is a preset's, which comes with QoS 1 and 16 bytes.
fn publishing(
    matches: &ArgMatches,
    given: &BTreeMap<String, Setting>,
    publishers: u32,
    per_second: Option<f64>,
    arrival: Arrival,
    mistakes: &mut Vec<Mistake>,
) -> LoadPlan {
    let args = PublishArgs::from_arg_matches(matches).expect(READ);
    let load = connecting(matches);
    let wanted = versions(matches, mistakes);
    if publishers > PUBLISHERS_MAX {
        let what =
            format!("{publishers} publishers are more than the {PUBLISHERS_MAX} that a stamp tells apart");
        mistakes.push(Mistake::new("--count", what));
    }
    if let Some(topic) = &args.topic
        && !ungraceful_mqtt::topic::is_topic_name(topic)
    {
        mistakes.push(Mistake::new("--topic", format!("{topic:?} is no topic that can be published to")));
    }
    let promise = args.promise(mistakes);
    let duration_given = is_given(given, "duration");
    let duration = match &promise {
        Some(_) if !duration_given => TRIAL,
        _ => load.lasts(),
    };
    let pace = args.pace(publishers, per_second, arrival, duration, duration_given, mistakes);
    check_pace(&pace, mistakes);
    let qos = args.qos(per_second.map(|_| QoS::AtLeastOnce), publishers, mistakes);
    let payload = args.payload(per_second.map(|_| 16), mistakes);
    let message = args.message_settings(mistakes);
    if let Some(flag) = message.needs_5_0().filter(|_| wanted.versions == [ProtocolVersion::V3_1_1]) {
        mistakes.push(Mistake::new(flag, "MQTT 3.1.1 has none; leave it out, or give -V 5"));
    }
    let thresholds = ConnectArgs::from_arg_matches(matches).expect(READ).thresholds(mistakes);
    let load = LoadSettings {
        publishers,
        topic: args.topic.clone(),
        qos,
        pace,
        payload,
        message,
        in_flight: args.in_flight.get(),
        waiting: args.waiting(),
        ..load
    };
    LoadPlan { wanted, load, thresholds, promise }
}

fn check_pace(pace: &Pace, mistakes: &mut Vec<Mistake>) {
    if pace.lasts() > ungraceful_flags::TIME_MAX {
        mistakes.push(Mistake::new("--stages", "last longer than the 24h of a run"));
    }
    if pace.messages().is_some_and(|messages| messages < 1.0) {
        let what = "not a single message would fall due in that time; raise it, or --duration";
        mistakes.push(Mistake::new("--rate", what));
    }
}
