//! Mode `receive-maximum`: more PUBLISH packets than the broker's Receive Maximum allows.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::flow_control::receive_maximum::{BeyondReceiveMaximum, Variant};
use ungraceful_faults::flow_control::receive_maximum_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use super::variants;
use crate::cli::given::{Given, Named, Readable, Whole, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveMaximum;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct ReceiveMaximumArgs {
    /// Variants, separated by commas: qos2, qos1 [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// PUBLISH packets beyond Receive Maximum
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_EXCESS",
        default_value = "10",
        allow_hyphen_values = true
    )]
    excess: Given<Whole<1, 65_535>>,
    /// PUBLISH packets of one attempt at the most, for brokers that announce a large Receive Maximum or none; there are
    /// no more than 65,535 Packet Identifiers
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_FLOOD_MAX",
        default_value = "70000",
        allow_hyphen_values = true
    )]
    flood_max: Given<Whole<1, 70_000>>,
    /// Bytes of payload of each PUBLISH
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

impl Mode for ReceiveMaximum {
    fn name(&self) -> &'static str {
        "receive-maximum"
    }

    fn about(&self) -> &'static str {
        "More PUBLISH packets than Receive Maximum allows, all at once"
    }

    fn long_about(&self) -> &'static str {
        "Reads Receive Maximum from the CONNACK, sends as many PUBLISH packets and some more in as few writes as the \
         socket takes, and never releases one of QoS 2. Tells what the broker answers (DISCONNECT 0x93, an \
         acknowledgement 0x97, a close, nothing), after how many, whether what was beyond the limit was delivered, and \
         whether the client is still served. DISCONNECT 0x93 is what the standard has in mind (prose of MQTT 5.0, \
         sections 3.3.4 and 4.9); another answer is noted and no violation. QoS 1 rarely shows anything, because brokers \
         acknowledge at once. MQTT 3.1.1 has no Receive Maximum: there as many are sent as there are Packet Identifiers, \
         and nothing is judged."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(ReceiveMaximumArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        // An attempt on a broker without a limit is a flood of 65,535.
        &[("attempts", "5"), ("connrate", "5"), ("count", "10")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = ReceiveMaximumArgs::from_arg_matches(matches).expect(read);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let excess = args.excess.take("--excess", mistakes).map_or(0, |excess| excess.0);
        let flood_max = args.flood_max.take("--flood-max", mistakes).map_or(0, |max| max.0);
        let size = args.size.take("--size", mistakes).map_or(0, |size| size.0);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let longest = variants::longest(matches, flood_max, size);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            longest_pause: longest,
            connections: ConnectionsOf::EachClient(2),
            make: variants::each(variants, move |variant, version| {
                let payload_len = usize::try_from(size).unwrap_or(usize::MAX);
                Some(BeyondReceiveMaximum { variant, version, excess, flood_max, payload_len, longest })
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
