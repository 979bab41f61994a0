//! Mode `unacked-subscriber`: a subscriber that does not acknowledge what it receives.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::flow_control::unacked_subscriber::{UnackedSubscriber, Variant};
use ungraceful_faults::flow_control::unacked_subscriber_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use super::variants;
use crate::cli::given::{Given, Named, Readable, Whole, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacked;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct UnackedArgs {
    /// Variants, separated by commas: the client's Receive Maximum and the QoS, as in k1-qos1, k3-qos2, k20-qos1,
    /// absent-qos2 [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// Messages that are published while nothing is acknowledged
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_MESSAGES",
        default_value = "200",
        allow_hyphen_values = true
    )]
    messages: Given<Whole<1, 1_000_000>>,
    /// Bytes of payload of each message
    #[arg(
        short = 's',
        long,
        value_name = "BYTES",
        env = "UNGRACEFUL_SIZE",
        default_value = "16",
        allow_hyphen_values = true
    )]
    size: Given<Whole<16, 65_536>>,
}

impl Readable for Variant {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl Mode for Unacked {
    fn name(&self) -> &'static str {
        "unacked-subscriber"
    }

    fn about(&self) -> &'static str {
        "A subscriber that acknowledges nothing while messages go on, and then everything"
    }

    fn long_about(&self) -> &'static str {
        "A subscriber with a Receive Maximum acknowledges nothing while a publisher goes on. Tells how many PUBLISH packets \
         the broker has unacknowledged at the most (no more than Receive Maximum: MQTT 5.0 [MQTT-3.3.4-9]), whether it \
         answers PINGREQ meanwhile ([MQTT-4.9.0-3]), and whether everything comes, once and in order ([MQTT-4.6.0-5]), \
         when the subscriber acknowledges at last. What is lost to a limit of the broker's is noted and no violation. \
         MQTT 3.1.1 has no Receive Maximum: there it is told how many a broker sends by itself, and nothing is judged."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(UnackedArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "5"), ("connrate", "10"), ("count", "20")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = UnackedArgs::from_arg_matches(matches).expect(read);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let messages = args.messages.take("--messages", mistakes).map_or(0, |messages| messages.0);
        let size = args.size.take("--size", mistakes).map_or(0, |size| size.0);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let is_case = |variant: &Variant| versions.iter().any(|version| variant.is_in(*version));
        if mistakes.is_empty() && !variants.iter().any(is_case) {
            let what = "MQTT 3.1.1 has no Receive Maximum; give absent-qos1 or absent-qos2, or -V 5";
            mistakes.push(Mistake::new("--variant", what));
        }
        let longest = variants::longest(matches, messages, size);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            longest_pause: longest,
            connections: ConnectionsOf::EachClient(2),
            make: variants::each(variants, move |variant, version| {
                let payload_len = usize::try_from(size).unwrap_or(usize::MAX);
                let fault = UnackedSubscriber { variant, version, messages, payload_len, longest };
                variant.is_in(version).then_some(fault)
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        STATEMENTS.to_vec()
    }
}
