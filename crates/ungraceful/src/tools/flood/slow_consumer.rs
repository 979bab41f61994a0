//! Mode `slow-consumer`: a subscriber that does not read.

use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::flow_control::slow_consumer::{SlowConsumer, Variant};
use ungraceful_faults::flow_control::slow_consumer_checks::CHECKS;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::scale::span;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use super::variants;
use crate::cli::given::{Given, Named, Readable, Time, Whole, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The longest that a subscriber does not read.
const FOR_MAX: Duration = Duration::from_secs(3_600);

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slow;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct SlowArgs {
    /// Variants, separated by commas: zero-window-qos0, zero-window-qos1, drip-qos0, drip-qos1 [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// For how long the subscriber does not read, and the publisher publishes
    #[arg(
        long = "for",
        value_name = "TIME",
        env = "UNGRACEFUL_FOR",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    time: Given<Time>,
    /// Messages per second of each attempt's publisher
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "UNGRACEFUL_PUBLISH_RATE",
        default_value = "1000",
        allow_hyphen_values = true
    )]
    publish_rate: Given<Whole<1, 100_000>>,
    /// Bytes of payload of each message
    #[arg(
        short = 's',
        long,
        value_name = "BYTES",
        env = "UNGRACEFUL_SIZE",
        default_value = "1024",
        allow_hyphen_values = true
    )]
    size: Given<Whole<16, 65_536>>,
}

impl Readable for Variant {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl Mode for Slow {
    fn name(&self) -> &'static str {
        "slow-consumer"
    }

    fn about(&self) -> &'static str {
        "A subscriber that stops reading, or reads one byte a second, while messages go on"
    }

    fn long_about(&self) -> &'static str {
        "A subscriber with a small receive buffer stops reading, or reads one byte a second, while a publisher goes on. Tells \
         whether and when the broker cuts it, how many bytes come when it reads again, what is missing at which QoS, and \
         whether the publisher was slowed; beside it stand, as in every run, what honest clients felt and what memory the \
         broker took. The standard has no word on slow clients: nothing here is a violation. The subscriber sends PINGREQ \
         all the while. A FIN that the broker sends behind bytes for which there is no room is seen only when it reads \
         again."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(SlowArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        // One after the other, or the publishers would slow each other.
        &[("attempts", "1"), ("connrate", "0.06"), ("count", "2")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = SlowArgs::from_arg_matches(matches).expect(read);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let time = args.time.take("--for", mistakes);
        if let Some(Time(time)) = time.filter(|Time(time)| time.is_zero() || *time > FOR_MAX) {
            let what = format!("{} must be above 0 and at most 1h; give one such as 10s", span(time));
            mistakes.push(Mistake::new("--for", what));
        }
        let time = time.map_or(Duration::ZERO, |time| time.0);
        let per_second = args.publish_rate.take("--publish-rate", mistakes).map_or(0, |rate| rate.0);
        let size = args.size.take("--size", mistakes).map_or(0, |size| size.0);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let longest = time + variants::longest(matches, per_second.saturating_mul(time.as_secs()), size);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            longest_pause: longest,
            connections: ConnectionsOf::EachClient(2),
            make: variants::each(variants, move |variant, version| {
                let payload_len = usize::try_from(size).unwrap_or(usize::MAX);
                Some(SlowConsumer { variant, version, time, per_second, payload_len, longest })
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        Vec::new()
    }
}
