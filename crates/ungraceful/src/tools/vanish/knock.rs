//! `ungraceful-vanish knock`.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::knock::{self, Variant};
use ungraceful_faults::connection::knock_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Named, Readable, Time, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};
use crate::tools::flood::variants::each;

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knock;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct KnockArgs {
    /// Variants, separated by commas: closes, silent, drip [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// How long a connection without a whole CONNECT is held, at the most; brokers give up after 5 to 90 s
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_WAIT",
        default_value = "5s",
        allow_hyphen_values = true
    )]
    wait: Given<Time>,
}

impl Readable for Variant {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl Mode for Knock {
    fn name(&self) -> &'static str {
        "knock"
    }

    fn about(&self) -> &'static str {
        "Connections without CONNECT, or with one that drips: when does the broker give up?"
    }

    fn long_about(&self) -> &'static str {
        "Opens connections that close before their CONNECT, as a load balancer's health check does; that say nothing; and \
         whose CONNECT comes a byte at a time. Tells when the broker gives up, whether it bounds the whole CONNECT or only \
         the gap between two bytes, how many can be held open (raise --attempts, --count and --connrate), and whether \
         honest clients still get in. What --wait does not reach is told as still open, and accuses nobody."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(KnockArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "20")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = KnockArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let wait = args.wait.positive("--wait", mistakes).unwrap_or_default();
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            // The one that is held, and the honest client beside it.
            connections: ConnectionsOf::EachClient(2),
            longest_pause: wait,
            make: each(variants, move |variant, version| Some(knock::Knock { variant, version, wait })),
        }
    }

    fn checks(&self) -> Vec<Check> {
        CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        STATEMENTS.to_vec()
    }
}
