//! `ungraceful-vanish edge`.

use std::sync::Arc;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::keep_alive::control;
use ungraceful_faults::connection::keep_alive::edge::{self, OF, Share};
use ungraceful_faults::connection::keep_alive::edge_checks::CHECKS;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use super::keep_alive::{KeepAliveArgs, WithKeepAlive, longest};
use crate::cli::given::{Given, Named, Readable, Time};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct EdgeArgs {
    /// Variants, separated by commas: a PINGREQ every 0.50, 0.75, 0.90, 0.95, 1.05, 1.25 or 1.45 times the Keep Alive; with a Keep Alive of its own as 0.95-of-5s [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<WithKeepAlive<Share>>>>,
    /// How long each client goes on sending PINGREQ; twice the Keep Alive at least
    #[arg(
        long = "for",
        value_name = "TIME",
        env = "UNGRACEFUL_FOR",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    lasting: Given<Time>,
}

impl Readable for WithKeepAlive<Share> {
    fn read(text: &str) -> Result<Self, String> {
        Self::read(text, OF)
    }
}

impl Mode for Edge {
    fn name(&self) -> &'static str {
        "edge"
    }

    fn about(&self) -> &'static str {
        "A client sends PINGREQ just in time, or a little late: is it left alone?"
    }

    fn long_about(&self) -> &'static str {
        "Connects clients that send PINGREQ and nothing else, every 0.50 to 0.95 times their Keep Alive, as a client is to, \
         and every 1.05 to 1.45 times, which a broker bears with when it waits for the one and a half times of the standard \
         (section 3.1.2.10). Tells which of them are cut. A client of 5.0 that was in time and is cut for its Keep Alive \
         accuses the broker, although no numbered statement carries it; one that was late is a note. One that is cut without a reason is compared with a \
         second client that has twice the Keep Alive: what cuts both after the same time may be a proxy. Attempts in which a \
         PINGREQ of ours went out too late are not counted."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(KeepAliveArgs::augment_args(EdgeArgs::augment_args(command)))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "5"), ("connrate", "50"), ("keepalive", "2s")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = EdgeArgs::from_arg_matches(matches).expect(read);
        let cases =
            KeepAliveArgs::from_arg_matches(matches).expect(read).cases(&Share::ALL, &args.variant, mistakes);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let lasting = args.lasting.within_a_day("--for", mistakes).unwrap_or_default();
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(1),
            longest_pause: lasting.max(longest(&cases) * 2)
                + longest(&cases) * 2
                + control::longest(longest(&cases)),
            make: Arc::new(move |spoken| {
                let each = spoken.iter().flat_map(|version| {
                    cases.iter().map(move |(share, keep_alive_s)| edge::Edge {
                        share: *share,
                        version: *version,
                        keep_alive_s: *keep_alive_s,
                        lasting,
                    })
                });
                each.map(|fault| Arc::new(fault) as Arc<dyn Fault>).collect()
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
        Some("MQTT 5.0 §3.1.2.10")
    }
}
