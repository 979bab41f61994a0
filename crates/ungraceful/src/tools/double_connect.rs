//! `ungraceful-double-connect`: what happens on a second CONNECT?

use std::sync::Arc;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::double_connect::{DoubleConnect, Variant};
use ungraceful_faults::connection::double_connect_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Named, Readable, Time, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode, Tool};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-double-connect",
    question: "What happens on a second CONNECT?",
    modes: &[&SecondConnect],
};

/// Its only mode.
#[derive(Clone, Copy, Debug)]
struct SecondConnect;

/// The flags that only this tool has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct DoubleConnectArgs {
    /// Variants, separated by commas: identical, other-client-id, same-segment, delayed, with-will [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// Pause before the second CONNECT of the variant `delayed`
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_DELAY",
        default_value = "1s",
        allow_hyphen_values = true
    )]
    delay: Given<Time>,
}

impl Readable for Variant {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl Mode for SecondConnect {
    fn name(&self) -> &'static str {
        "second-connect"
    }

    fn about(&self) -> &'static str {
        "What happens on a second CONNECT?"
    }

    fn long_about(&self) -> &'static str {
        "Sends a second CONNECT on connections that are up, in several variants, and tells what the broker does: \
         whether it closes, with which Reason Code and how fast, whether the Will is published, whether the second \
         ClientID becomes a session, and what it costs honest clients. Both versions of the standard want the \
         connection closed ([MQTT-3.1.0-2])."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(DoubleConnectArgs::augment_args(command))
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let args =
            DoubleConnectArgs::from_arg_matches(matches).expect("the flags are those of this tool's command");
        let delay = args.delay.take("--delay", mistakes).map_or_else(Default::default, |time| time.0);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let versions =
            VersionArgs::from_arg_matches(matches).expect("the flags are those of this tool's command");
        let (versions, versions_required) = versions.versions(mistakes);
        FaultPlan {
            versions_required,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(2),
            versions,
            longest_pause: if variants.contains(&Variant::Delayed) { delay } else { Default::default() },
            make: Arc::new(move |spoken| {
                let case = |version: &ProtocolVersion, variant: &Variant| {
                    let fault = DoubleConnect { variant: *variant, version: *version, delay };
                    Arc::new(fault) as Arc<dyn Fault>
                };
                spoken
                    .iter()
                    .flat_map(|version| variants.iter().map(move |variant| case(version, variant)))
                    .collect()
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
