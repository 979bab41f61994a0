//! `ungraceful-takeover race`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::takeover::{judged, race};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Whole};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Race;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct RaceArgs {
    /// CONNECTs with one ClientID that are released at once
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_CONTENDERS",
        default_value = "10",
        allow_hyphen_values = true
    )]
    contenders: Given<Whole<2, 1_000>>,
}

impl Mode for Race {
    fn name(&self) -> &'static str {
        "race"
    }

    fn about(&self) -> &'static str {
        "Many CONNECTs with one ClientID at once: exactly one may survive"
    }

    fn long_about(&self) -> &'static str {
        "Opens --contenders connections and then sends CONNECT with one ClientID on all of them, within a millisecond \
         (how closely is measured). Tells how many are accepted, what the losers are told, and how many are still \
         served at the end: exactly one should be."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(RaceArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "20"), ("count", "20"), ("connrate", "20")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = RaceArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let contenders = args.contenders.take("--contenders", mistakes).map_or(2, |count| count.0);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(contenders),
            longest_pause: Duration::ZERO,
            make: Arc::new(move |spoken| {
                let contenders = u16::try_from(contenders).unwrap_or(2);
                let cases = spoken.iter().map(|version| race::Race { version: *version, contenders });
                cases.map(|race| Arc::new(race) as Arc<dyn Fault>).collect()
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        judged::CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        judged::STATEMENTS.to_vec()
    }
}
