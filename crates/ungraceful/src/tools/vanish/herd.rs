//! `ungraceful-vanish herd`.

use std::sync::Arc;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::herd::{self, HerdSettings, Loss};
use ungraceful_faults::connection::herd_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::scale::span;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::backoff::{LIBRARIES, Profile};
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::broker::outage::{Restart, RestartBy};
use ungraceful_rig::broker::target::BrokerChoice;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Named, Readable, Seconds, Time, Whole};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Herd;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct HerdArgs {
    /// Back-off profiles, separated by commas, a herd for each: none, fixed:1s, exponential:1s..2m, full-jitter:1s..2m,
    /// with times of your own; or what a client library does by default: paho-python, paho-java, mqtt-js, hivemq-java,
    /// libmosquitto, esp-mqtt, aws-iot [default: all of these]
    #[arg(
        long,
        visible_alias = "backoff",
        value_name = "PROFILE",
        env = "UNGRACEFUL_VARIANT",
        value_delimiter = ','
    )]
    variant: Vec<Given<Named<Profile>>>,
    /// How the clients lose their connections: reset (RST by us); stop (the broker is asked to end and started again) or
    /// kill (SIGKILL in place of asking), for a broker that this run started [default: reset]
    #[arg(long, value_name = "HOW", env = "UNGRACEFUL_LOSS")]
    loss: Option<Given<LossBy>>,
    /// Shell command that restarts the broker that --host names; each herd loses its connections by it
    #[arg(long, value_name = "COMMAND", env = "UNGRACEFUL_RESTART_CMD")]
    restart_cmd: Option<String>,
    /// How long a restart may take until the broker accepts connections again
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_RESTART_WITHIN",
        default_value = "30s",
        allow_hyphen_values = true
    )]
    restart_within: Given<Time>,
    /// How long the clients have to come back, from the instant of the loss
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_BACK_WITHIN",
        default_value = "1m",
        allow_hyphen_values = true
    )]
    back_within: Given<Time>,
    /// Clients between SYN and CONNACK at the same time on their way back [default: as many as there are, as in life]
    #[arg(long, value_name = "N", env = "UNGRACEFUL_CONNECTING_MAX", allow_hyphen_values = true)]
    connecting_max: Option<Given<Whole<1, 1_000_000>>>,
    /// Session Expiry Interval of the clients; 3.1.1 knows none and uses Clean Session 0
    #[arg(
        short = 'x',
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_SESSION_EXPIRY_INTERVAL",
        default_value = "5m",
        allow_hyphen_values = true
    )]
    session_expiry_interval: Given<Seconds>,
}

/// What `--loss` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LossBy {
    Reset,
    Stop,
    Kill,
}

impl Readable for LossBy {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "reset" => Ok(Self::Reset),
            "stop" => Ok(Self::Stop),
            "kill" => Ok(Self::Kill),
            other => Err(format!("{other:?} is no way to lose a connection; choose from reset, stop, kill")),
        }
    }
}

/// The profiles that are tried when none is named.
fn all_profiles() -> Vec<Profile> {
    ["none", "fixed:1s", "exponential:1s..2m", "full-jitter:1s..2m"]
        .into_iter()
        .chain(LIBRARIES.map(|(library, _)| library))
        .filter_map(|text| Profile::read(text).ok())
        .collect()
}

impl HerdArgs {
    fn of(matches: &ArgMatches) -> Self {
        Self::from_arg_matches(matches).expect("the flags are those of this mode's command")
    }

    fn profiles(&self, mistakes: &mut Vec<Mistake>) -> Vec<Profile> {
        let mut profiles: Vec<Profile> = Vec::new();
        let named = self.variant.iter().filter_map(|profile| profile.take("--variant", mistakes));
        for profile in named.flat_map(|named| match named {
            Named::All => all_profiles(),
            Named::One(profile) => vec![profile],
        }) {
            if !profiles.contains(&profile) {
                profiles.push(profile);
            }
        }
        if self.variant.is_empty() { all_profiles() } else { profiles }
    }

    fn loss(&self, mistakes: &mut Vec<Mistake>) -> LossBy {
        self.loss.as_ref().and_then(|loss| loss.take("--loss", mistakes)).unwrap_or(LossBy::Reset)
    }

    fn is_restart(&self) -> bool {
        self.restart_cmd.is_some() || self.loss(&mut Vec::new()) != LossBy::Reset
    }
}

impl Mode for Herd {
    fn name(&self) -> &'static str {
        "herd"
    }

    fn about(&self) -> &'static str {
        "Many clients lose their connection at one instant and come back, by one back-off profile after another"
    }

    fn long_about(&self) -> &'static str {
        "Connects --count clients before the baseline, each with a session that is kept and a subscription. All of them \
         lose their connection at one instant: we reset it, or the broker is restarted (--loss, --restart-cmd). They come \
         back by a back-off profile and stay until all are back. Tells for each profile how long it takes until 50, 95 and \
         100 % are back, how many tries that takes, how long a CONNACK takes, what the others feel of it, and who is left \
         behind, and why. Each profile is a herd of its own; the next one is gathered when the one before is gone."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(HerdArgs::augment_args(command)).mut_arg("protocol_version", |arg| {
            arg.help(
                "MQTT versions, separated by commas: 3.1.1 (or 4), 5 (or 5.0) [default: the newest that the broker speaks]",
            )
        })
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        // Thousands of clients that act at one instant keep a thread busy for a while; a herd's times are longer than that.
        &[("slip-limit", "250ms")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let args = HerdArgs::of(matches);
        let (versions, versions_required) = VersionArgs::from_arg_matches(matches)
            .expect("the flags are those of this mode's command")
            .versions(mistakes);
        let profiles = args.profiles(mistakes);
        let _told_once = args.loss(mistakes);
        let restart_within = args.restart_within.positive("--restart-within", mistakes).unwrap_or_default();
        let back_within = args.back_within.positive("--back-within", mistakes);
        if args.is_restart() && back_within.is_some_and(|within| within <= restart_within) {
            let what = format!(
                "the clients would give up before the restart may be over; give more than --restart-within \
                 ({})",
                span(restart_within)
            );
            mistakes.push(Mistake::new("--back-within", what));
        }
        let connecting_max =
            args.connecting_max.as_ref().and_then(|max| max.take("--connecting-max", mistakes));
        let expiry_s = args.session_expiry_interval.from_one("--session-expiry-interval", mistakes);
        let back_within = back_within.unwrap_or_default();
        let settings = HerdSettings {
            loss: if args.is_restart() { Loss::Restart(restart_within) } else { Loss::Reset },
            back_within,
            session_expiry_interval_s: expiry_s.unwrap_or(1),
            connecting_max: connecting_max.and_then(|max| usize::try_from(max.0).ok()),
        };
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::EachWave,
            connections: ConnectionsOf::EachClient(1),
            longest_pause: back_within,
            make: Arc::new(move |spoken| {
                let newest = spoken.iter().max();
                let versions = spoken.iter().filter(|version| versions_required || Some(*version) == newest);
                let herds = versions.flat_map(|version| {
                    profiles.iter().map(|profile| herd::Herd::new(profile.clone(), *version, settings))
                });
                herds.map(|herd| Arc::new(herd) as Arc<dyn Fault>).collect()
            }),
        }
    }

    fn restart(
        &self,
        matches: &ArgMatches,
        broker: &BrokerChoice,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Restart> {
        let args = HerdArgs::of(matches);
        let is_ours = matches!(broker, BrokerChoice::Embedded | BrokerChoice::SpawnMosquitto);
        let by = match (args.loss(&mut Vec::new()), &args.restart_cmd) {
            (_, Some(_)) if args.loss.is_some() => {
                let what = "--restart-cmd says already how the connections are lost; keep one of them";
                mistakes.push(Mistake::new("--loss", what));
                return None;
            }
            (_, Some(_)) if is_ours => {
                let what = "this run starts its broker itself, and restarts it itself: leave it out and give --loss stop or \
                            --loss kill; or name a running broker with --host";
                mistakes.push(Mistake::new("--restart-cmd", what));
                return None;
            }
            (_, Some(command)) if command.trim().is_empty() => {
                let what = "is empty; give the command that restarts your broker";
                mistakes.push(Mistake::new("--restart-cmd", what));
                return None;
            }
            (_, Some(command)) => RestartBy::Command(command.clone()),
            (LossBy::Reset, None) => return None,
            (LossBy::Stop | LossBy::Kill, None) if !is_ours => {
                let what = "this run did not start the broker and can't restart it; give the command that does with \
                            --restart-cmd";
                mistakes.push(Mistake::new("--loss", what));
                return None;
            }
            (LossBy::Stop, None) => RestartBy::Stop,
            (LossBy::Kill, None) => RestartBy::Kill,
        };
        let within = args.restart_within.take("--restart-within", &mut Vec::new())?.0;
        Some(Restart { by, within })
    }

    fn checks(&self) -> Vec<Check> {
        CHECKS.to_vec()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        STATEMENTS.to_vec()
    }
}
