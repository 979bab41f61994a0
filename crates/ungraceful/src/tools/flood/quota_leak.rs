//! Mode `quota-leak`: a client that keeps every rule, for long.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::flow_control::quota_leak::{QuotaLeak, Variant};
use ungraceful_faults::flow_control::quota_leak_checks::CHECKS;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use super::variants;
use crate::cli::given::{Given, Named, Readable, Whole, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leak;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct LeakArgs {
    /// Variants, separated by commas: qos1, qos2 [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// Messages that each client sends: many times any quota
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_MESSAGES",
        default_value = "70000",
        allow_hyphen_values = true
    )]
    messages: Given<Whole<1, 10_000_000>>,
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

impl Mode for Leak {
    fn name(&self) -> &'static str {
        "quota-leak"
    }

    fn about(&self) -> &'static str {
        "A client that keeps every rule, for many times Receive Maximum"
    }

    fn long_about(&self) -> &'static str {
        "Publishes within the broker's Receive Maximum and answers every acknowledgement, for many times as many messages, \
         and tells how far the client is served. A broker that takes its quota for each PUBLISH and does not give it back \
         cuts a client that has done nothing wrong: DISCONNECT 0x93, acknowledgements that stop in every attempt after the \
         same count while PINGREQ is answered, or a cut without a reason in every attempt at Receive Maximum is a violation, \
         although no numbered statement carries it (MQTT 5.0, section 4.9). Any other refusal is noted. Nobody subscribes to the messages."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(LeakArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        // Two, because a cut without a reason is put down to a count only when it comes again.
        &[("attempts", "2"), ("connrate", "5"), ("count", "16")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = LeakArgs::from_arg_matches(matches).expect(read);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let messages = args.messages.take("--messages", mistakes).map_or(0, |messages| messages.0);
        let size = args.size.take("--size", mistakes).map_or(0, |size| size.0);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let longest = variants::longest(matches, messages, size);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            longest_pause: longest,
            connections: ConnectionsOf::EachClient(1),
            make: variants::each(variants, move |variant, version| {
                let payload_len = usize::try_from(size).unwrap_or(usize::MAX);
                Some(QuotaLeak { variant, version, messages, payload_len, longest })
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        Vec::new()
    }

    fn accuses_without_number(&self) -> Option<&'static str> {
        Some("MQTT 5.0 §4.9")
    }
}
