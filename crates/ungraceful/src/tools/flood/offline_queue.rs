//! Mode `offline-queue`: what is kept for a subscriber that is away.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::flow_control::offline_queue::{OfflineQueue, Variant};
use ungraceful_faults::flow_control::offline_queue_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use super::variants;
use crate::cli::given::{Given, Named, Whole, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offline;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct OfflineArgs {
    /// Variants, separated by commas: qos1, qos2 [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// Messages that are published while the subscriber is away
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_MESSAGES",
        default_value = "2000",
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

impl Mode for Offline {
    fn name(&self) -> &'static str {
        "offline-queue"
    }

    fn about(&self) -> &'static str {
        "A subscriber with a session goes away, its queue is filled, and it returns"
    }

    fn long_about(&self) -> &'static str {
        "A subscriber asks for its session to be kept (Session Expiry Interval on 5.0, Clean Session 0 on 3.1.1), subscribes \
         and leaves; a publisher fills its queue; it returns. Tells whether its session was there, how much of what the \
         broker had taken is delivered, which end of the queue is missing if not all of it, whether it comes in order, and \
         whether the publisher was refused anything. What is lost or refused to a limit is noted; messages that come in \
         another order than they were published in are a violation (MQTT 5.0 [MQTT-4.6.0-5], MQTT 3.1.1 [MQTT-4.6.0-6]), as \
         is a session that is gone (MQTT 5.0 [MQTT-3.1.2-23]). The session is removed afterwards."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(OfflineArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "5"), ("connrate", "5"), ("count", "20")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = OfflineArgs::from_arg_matches(matches).expect(read);
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
            connections: ConnectionsOf::EachClient(2),
            make: variants::each(variants, move |variant, version| {
                let payload_len = usize::try_from(size).unwrap_or(usize::MAX);
                Some(OfflineQueue { variant, version, messages, payload_len, longest })
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
