//! `ungraceful-takeover flap`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::takeover::flap;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::scale::span;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Time};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flap;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct FlapArgs {
    /// From one connection to the next
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_EVERY",
        default_value = "100ms",
        allow_hyphen_values = true
    )]
    every: Given<Time>,
    /// How long each client goes on
    #[arg(
        long = "for",
        value_name = "TIME",
        env = "UNGRACEFUL_FOR",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    lasting: Given<Time>,
}

impl Mode for Flap {
    fn name(&self) -> &'static str {
        "flap"
    }

    fn about(&self) -> &'static str {
        "One ClientID connects and resets, again and again: when is it banned?"
    }

    fn long_about(&self) -> &'static str {
        "Connects, waits for CONNACK and resets the connection, with the same ClientID, every --every for the time of \
         --for. Tells after how many connections the broker refuses the client, how and for how long, whether CONNACK \
         times drift, and whether other clients are still served. --attempts clients flap per case, each with a \
         ClientID of its own; --count bounds how many at the same time."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(FlapArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "1"), ("count", "10")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = FlapArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let every = args.every.positive("--every", mistakes).unwrap_or(Duration::from_secs(1));
        let lasting = args.lasting.positive("--for", mistakes).unwrap_or(Duration::from_secs(1));
        if every >= lasting {
            let what = format!(
                "{} leaves no time to come back within the {} of --for; give less",
                span(every),
                span(lasting)
            );
            mistakes.push(Mistake::new("--every", what));
        }
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(1),
            longest_pause: lasting,
            make: Arc::new(move |spoken| {
                let cases = spoken.iter().map(|version| flap::Flap { version: *version, every, lasting });
                cases.map(|flap| Arc::new(flap) as Arc<dyn Fault>).collect()
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        flap::CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        Vec::new()
    }
}
