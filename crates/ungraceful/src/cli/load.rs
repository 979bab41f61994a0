//! The flags of a load, in groups from which the modes of `ungraceful-bench` choose.

mod values;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ungraceful_flags::{Given, Mistake, PerSecond, PositiveTime, Seconds, Whole, reader};
use ungraceful_load::pace::{Pace, Stage};
use ungraceful_load::payload::{Payload, Text};
use ungraceful_load::settings::{LoadSettings, MessageSettings, Waiting};
use ungraceful_load::shape::{QosMix, Shape};
use ungraceful_mqtt::QoS;
use ungraceful_record::confidence::Until;
use ungraceful_record::rate_search::Promise;
use ungraceful_rig::run::input_file;
use ungraceful_rig::run::limits::{clients_of_a_worker, raise_descriptor_limit};
use ungraceful_rig::run::plan::Arrival;

pub use self::values::{Preset, ProcessCount, QosWeights, RATE_MAX, Rate, Stages, UserProperty};

/// Where a rate search starts by default, in messages per second: over 10 s, enough for a 99th percentile.
const SEARCH_FROM: f64 = 1_000.0;

/// Maximum payload in bytes: the room in a PUBLISH beside its topic.
const PAYLOAD_BYTES_MAX: usize = 268_000_000;

/// Connections.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct ConnectArgs {
    /// Connections per second [default: 1000, or as in --preset]
    #[arg(short = 'R', long, value_name = "PER_SECOND")]
    pub connrate: Option<PerSecond>,
    /// Maximum number of connections being opened at the same time; above the broker's listen backlog (often 100), the kernel
    /// retries after a second
    #[arg(long, value_name = "N", default_value = "50")]
    pub connects_in_flight: Whole<1, 100_000>,
    /// Processes that share the clients, with one record and one view: a number, or auto for as many as the limit of file
    /// descriptors requires. Each reads the files that the flags name
    #[arg(long, value_name = "N", default_value = "1", value_parser = reader::<ProcessCount>())]
    pub processes: ProcessCount,
    /// Keep Alive in whole seconds, such as 60 or 60s; 0 for none
    #[arg(short = 'k', long, value_name = "SECONDS", default_value = "60")]
    pub keepalive: Seconds<0, 65_535>,
}

/// The duration.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct DurationArgs {
    /// Duration of the measurement, after the warm-up
    #[arg(short = 'z', long, value_name = "TIME", default_value = "30s")]
    pub duration: PositiveTime,
}

/// The number of clients, where all do the same.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct CountArgs {
    /// Clients [default: 100, or as in --preset]
    #[arg(short = 'c', long, value_name = "N")]
    pub count: Option<Whole<1, 1_000_000>>,
}

/// Subscriptions.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct FilterArgs {
    /// Topic Filter of each client; %i is its number, %c its ClientID, %u its User Name
    #[arg(short = 't', long, value_name = "FILTER", default_value = "#")]
    pub topic: String,
    /// QoS of the subscriptions
    #[arg(short = 'q', long, value_name = "QOS", default_value = "0", value_parser = reader::<QoS>())]
    pub qos: QoS,
    /// Largest packet in bytes that a client accepts, and its Maximum Packet Size (MQTT 5.0): on 5.0 the broker drops larger
    /// packets, on 3.1.1 the first one ends the connection. Each client may need this much memory
    #[arg(long, value_name = "BYTES", default_value = "262144")]
    pub max_packet_size: Whole<1_024, 268_435_460>,
}

/// Publishing.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct PublishArgs {
    /// Topic of each publisher; %i is its number, %c its ClientID, %u its User Name [default: one of its own]
    #[arg(short = 't', long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// QoS of the messages, or weights over the publishers, such as 0:7,1:2,2:1 [default: 0, or as in --preset]
    #[arg(short = 'q', long, value_name = "QOS")]
    pub qos: Option<Given<QosWeights>>,
    /// Messages per second in total, independent of the broker (open loop); or max: as fast as the broker accepts
    /// them (closed loop) [default: one per second and publisher]
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<Given<Rate>>,
    /// Successive rates, instead of --rate and --duration, such as 10s:1k,60s:10k
    #[arg(long, value_name = "STAGES")]
    pub stages: Option<Given<Stages>>,
    /// Search for the highest rate at which the broker keeps a promise, such as 'e2e p(99)<50ms,loss==0': thresholds separated by
    /// commas. Starts at --rate [default: 1000]; each trial lasts --duration [default here: 10s].
    /// Exit code 0 when it is found, 1 when no rate keeps the promise, 3 when the generator or too few samples were the limit
    #[arg(long, value_name = "PROMISE")]
    pub find_rate: Option<Given<Promise>>,
    /// End when a percentile is this sure, such as 'e2e p(99) ±5%' (or +-5%). That is when its 95 % confidence interval is so narrow; the
    /// load lasts --duration [default here: 10m] at most. Exit code 3 if the interval is wider then, with the reason: too few samples, or
    /// a load that is not stationary
    #[arg(long, value_name = "INTERVAL")]
    pub until: Option<Given<Until>>,
    /// Payload in bytes; the first 16 are the stamp by which messages are tracked [default: 256, or as in --preset]
    #[arg(short = 's', long, value_name = "BYTES")]
    pub size: Option<Whole<16, 268_000_000>>,
    /// Payload as text with placeholders: %i the publisher's number, %c its ClientID, %u its User Name, %s the message's
    /// number, %t milliseconds since 1970, %r a random number, %x the stamp (without it, messages are not tracked), %% a %
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub message: Option<String>,
    /// As --message, read from a file
    #[arg(short = 'f', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Maximum number of unacknowledged messages per publisher (QoS 1 and 2), limited by the broker's Receive Maximum
    #[arg(short = 'F', long, value_name = "N", default_value = "100")]
    pub in_flight: Whole<1, 65_535>,
    /// Set RETAIN; retained messages are removed when the load ends
    #[arg(short = 'r', long)]
    pub retain: bool,
    /// Message Expiry Interval in whole seconds, such as 60 or 60s (MQTT 5.0)
    #[arg(long, value_name = "SECONDS")]
    pub message_expiry_interval: Option<Seconds<0, { u32::MAX }>>,
    /// Send the topic once and a Topic Alias from then on (MQTT 5.0)
    #[arg(long)]
    pub topic_alias: bool,
    /// User Property of every message, NAME=VALUE; repeatable (MQTT 5.0)
    #[arg(long, value_name = "NAME=VALUE")]
    pub user_property: Vec<Given<UserProperty>>,
    /// Poll the clock instead of sleeping: smallest schedule slip, but uses one CPU core per thread
    #[arg(long)]
    pub spin: bool,
}

/// Publishers, subscribers and the routing between them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct ShapeArgs {
    /// Clients that publish [default: 10, or as in --preset]
    #[arg(long, value_name = "N")]
    pub publishers: Option<Whole<1, 1_000_000>>,
    /// Clients that subscribe [default: 10, or as in --preset]
    #[arg(long, value_name = "N")]
    pub subscribers: Option<Whole<1, 1_000_000>>,
    /// Who receives what: pairs, everyone or shared. In pairs, subscriber n receives from publisher n; with everyone, each subscriber
    /// receives everything (fan-out, fan-in, many to many); with shared, one subscriber of a Shared Subscription receives each
    /// message [default: pairs for equal numbers of both, else everyone]
    #[arg(long, value_name = "SHAPE", value_parser = reader::<Shape>())]
    pub shape: Option<Shape>,
}

/// A named scenario.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct PresetArgs {
    /// Scenario, named as in the Open MQTT Benchmark Suite, such as fanout-1-1k-1-1K; also p2p-1K-1K-1K-1K or
    /// sharedsub-1K-5-1K-1K (publishers, subscribers, topics, messages delivered per second), each at QoS 1 with 16 bytes; or conn-tcp-1K-100 (clients, connections
    /// per second). Other numbers are accepted; explicit flags override the preset
    #[arg(long, value_name = "NAME")]
    pub preset: Option<Given<Preset>>,
}

impl ConnectArgs {
    /// How many processes make this load. A mistake is added to the list when it can't be divided.
    pub fn processes(&self, load: &LoadSettings, mistakes: &mut Vec<Mistake>) -> NonZeroU32 {
        let number = match self.processes {
            ProcessCount::Number(number) => number,
            ProcessCount::Auto => processes_needed(load.clients(), raise_descriptor_limit()),
        };
        if number > NonZeroU32::MIN && load.waits_across_pairs() {
            let what = "in a closed loop, publishers wait for their subscribers, which may be in another process: give --shape pairs \
                        or a --rate, or leave the flag out";
            mistakes.push(Mistake::new("--processes", what));
        }
        number
    }
}

/// The fewest processes that hold so many clients within this limit of file descriptors.
fn processes_needed(clients: u32, descriptors: u64) -> NonZeroU32 {
    let needed = u64::from(clients).div_ceil(clients_of_a_worker(descriptors).max(1));
    u32::try_from(needed).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// The value of a flag; absent when it was not given or can't be read.
pub fn take<T: Clone>(given: Option<&Given<T>>, flag: &str, mistakes: &mut Vec<Mistake>) -> Option<T> {
    given.and_then(|given| given.take(flag, mistakes))
}

impl PublishArgs {
    /// The QoS of each of `publishers`.
    pub fn qos(&self, preset: Option<QoS>, publishers: u32, mistakes: &mut Vec<Mistake>) -> QosMix {
        let weights = take(self.qos.as_ref(), "--qos", mistakes).map(|weights| weights.0);
        let mix = QosMix::new(&weights.unwrap_or_else(|| vec![(preset.unwrap_or(QoS::AtMostOnce), 1)]));
        if mix.all().len() > publishers as usize {
            let what = format!(
                "{} different QoS for {publishers} publishers: each publisher has one QoS, so give at least that many",
                mix.all().len()
            );
            mistakes.push(Mistake::new("--qos", what));
        }
        mix
    }

    /// The promise of a rate search.
    pub fn promise(&self, mistakes: &mut Vec<Mistake>) -> Option<Promise> {
        let promise = take(self.find_rate.as_ref(), "--find-rate", mistakes)?;
        if self.stages.is_some() {
            mistakes.push(Mistake::new("--stages", "--find-rate chooses the rates; leave out one of them"));
        }
        if matches!(take(self.rate.as_ref(), "--rate", &mut Vec::new()), Some(Rate::Max)) {
            let what = "max is no rate to start the search at; give a number or leave the flag out";
            mistakes.push(Mistake::new("--rate", what));
        }
        Some(promise)
    }

    /// The percentile that ends the load.
    pub fn until(&self, qos: &QosMix, payload: &Payload, mistakes: &mut Vec<Mistake>) -> Option<Until> {
        const FLAG: &str = "--until";
        let until = take(self.until.as_ref(), FLAG, mistakes)?;
        let never_ends = [
            (self.find_rate.is_some(), "each trial of --find-rate lasts --duration; leave out one of them"),
            (
                self.stages.is_some(),
                "--stages change the rate, and with it every percentile; give --rate instead",
            ),
            (
                until.subject().starts_with("ack") && qos.highest() == QoS::AtMostOnce,
                "messages of QoS 0 are not acknowledged; give -q 1",
            ),
            (
                until.subject().starts_with("e2e") && !payload.has_stamp(),
                "messages without a stamp are not followed; add %x to --message",
            ),
        ];
        mistakes
            .extend(never_ends.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| Mistake::new(FLAG, *what)));
        Some(until)
    }

    /// The schedule of publishing. `duration_given`: the user gave --duration.
    pub fn pace(
        &self,
        publishers: u32,
        preset: Option<f64>,
        arrival: Arrival,
        duration: Duration,
        duration_given: bool,
        mistakes: &mut Vec<Mistake>,
    ) -> Pace {
        let rate = take(self.rate.as_ref(), "--rate", mistakes);
        if let Some(stages) = take(self.stages.as_ref(), "--stages", mistakes) {
            for (given, flag) in [(rate.is_some(), "--rate"), (duration_given, "--duration")] {
                if given {
                    mistakes.push(Mistake::new(flag, "--stages already sets it; leave out one of them"));
                }
            }
            return Pace::Open(stages.0, arrival);
        }
        let per_second = match rate {
            Some(Rate::Max) => return Pace::Closed(duration),
            Some(Rate::PerSecond(per_second)) => per_second,
            None if self.find_rate.is_some() => preset.unwrap_or(SEARCH_FROM),
            None => preset.unwrap_or_else(|| f64::from(publishers)),
        };
        Pace::Open(vec![Stage { lasts: duration, per_second }], arrival)
    }

    /// The payload of every message.
    pub fn payload(&self, preset: Option<usize>, mistakes: &mut Vec<Mistake>) -> Payload {
        let given = [
            ("--size", self.size.is_some()),
            ("--message", self.message.is_some()),
            ("--file", self.file.is_some()),
        ];
        let flags: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag).collect();
        if flags.len() > 1 {
            let what = format!("{} all set the payload; give only one", flags.join(" and "));
            mistakes.push(Mistake::new(flags[0], what));
        }
        let text = match (&self.message, &self.file) {
            (Some(text), _) => Some(("--message", text.clone().into_bytes())),
            (None, Some(path)) => match input_file::whole(path, PAYLOAD_BYTES_MAX) {
                Ok(bytes) => Some(("--file", bytes)),
                Err(what) => {
                    mistakes.push(Mistake::new("--file", what));
                    None
                }
            },
            (None, None) => None,
        };
        if let Some((flag, text)) = text {
            match Text::read(&text) {
                Ok(text) => return Payload::Text(text),
                Err(why) => mistakes.push(Mistake::new(flag, why)),
            }
        }
        Payload::Bytes(self.size.map(Whole::get).or(preset).unwrap_or(256))
    }

    /// Properties and flags of every message.
    pub fn message_settings(&self, mistakes: &mut Vec<Mistake>) -> MessageSettings {
        let properties =
            self.user_property.iter().filter_map(|property| property.take("--user-property", mistakes));
        let user_properties = properties.map(|UserProperty(name, value)| (name, value)).collect();
        MessageSettings {
            retain: self.retain,
            expiry_s: self.message_expiry_interval.map(|seconds| seconds.0),
            topic_alias: self.topic_alias,
            user_properties,
        }
    }

    /// How threads wait.
    pub fn waiting(&self) -> Waiting {
        if self.spin { Waiting::Spin } else { Waiting::Sleep }
    }
}
