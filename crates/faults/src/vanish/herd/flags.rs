//! The flags of the herd: the back-off profiles, and how the connections are lost.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Command};
use ungraceful_flags::{Mistake, Named, PositiveTime, Seconds, Versions, Wanted, Whole, reader};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::Check;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::backoff::{LIBRARIES, Profile};
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::broker::outage::{Restart, RestartBy};
use ungraceful_rig::broker::target::BrokerChoice;

use super::Herd;
use crate::mode::{AttemptsOf, Call, FaultMode, each_case};
use crate::vanish::herd_checks;

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Back-off profiles, separated by commas, one herd each: none, fixed:1s, exponential:1s..2m, full-jitter:1s..2m,
    /// with your own times; or the default of a client library: paho-python, paho-java, mqtt-js, hivemq-java,
    /// libmosquitto, esp-mqtt, aws-iot [default: all of these]
    #[arg(long, visible_alias = "backoff", value_name = "PROFILE", value_delimiter = ',')]
    variant: Vec<Named<Profile>>,
    /// How the clients lose their connections: reset (the generator sends RST); stop (the broker is stopped and restarted) or
    /// kill (SIGKILL), for a broker that this run started [default: reset]
    #[arg(long, value_name = "HOW", value_parser = reader::<LossBy>())]
    loss: Option<LossBy>,
    /// Shell command that restarts the broker at --host; each herd loses its connections by it
    #[arg(long, value_name = "COMMAND")]
    restart_cmd: Option<String>,
    /// Maximum time until a restarted broker accepts connections
    #[arg(long, value_name = "TIME", default_value = "30s")]
    restart_within: PositiveTime,
    /// Maximum time for the clients to return, from the instant of the loss
    #[arg(long, value_name = "TIME", default_value = "1m")]
    pub(super) back_within: PositiveTime,
    /// Maximum number of clients between SYN and CONNACK at the same time while they return [default: unlimited]
    #[arg(long, value_name = "N")]
    pub(super) connecting_max: Option<Whole<1, 1_000_000>>,
    /// Session Expiry Interval of the clients; 3.1.1 has none and uses Clean Session 0
    #[arg(short = 'x', long, value_name = "SECONDS", default_value = "5m")]
    pub(super) session_expiry_interval: Seconds,
    #[command(flatten)]
    versions: Versions,
    #[arg(skip)]
    pub(super) restart: Option<Restart>,
}

ungraceful_record::words! {
    /// The value of `--loss`.
    enum LossBy: "way to lose a connection" {
        /// The client sends RST.
        Reset = "reset",
        /// The broker is stopped and restarted.
        Stop = "stop",
        /// The broker is killed and restarted.
        Kill = "kill",
    }
}

/// The profiles that run by default.
fn all_profiles() -> Vec<Profile> {
    let own = ["none", "fixed:1s", "exponential:1s..2m", "full-jitter:1s..2m"];
    own.into_iter()
        .chain(LIBRARIES.map(|(library, _)| library))
        .filter_map(|text| text.parse().ok())
        .collect()
}

impl FaultMode for Flags {
    const NAME: &'static str = super::ID;
    const ABOUT: &'static str =
        "Many clients lose their connection at once and return, with one back-off profile after another";
    const LONG_ABOUT: &'static str = "Connects --count clients before the baseline, each with a persistent session and a subscription. All of \
         them lose their connection at one instant: the generator sends RST, or the broker is restarted (--loss, \
         --restart-cmd). They return with a back-off profile and stay until all are back. Reports for each profile \
         how long it takes until 50, 95 and 100 % are back, how many tries that takes, how long a CONNACK takes, the \
         impact on well-behaved clients, and which clients are left behind and why. Each profile is a herd of its \
         own; the next herd gathers when the previous one is gone.";
    const CHECKS: &'static [&'static [Check]] = &[herd_checks::CHECKS];
    // Thousands of clients that act at one instant keep a thread busy for a while; a herd's times are much longer.
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("slip-limit", "250ms")];
    const ATTEMPTS: AttemptsOf = AttemptsOf::EachWave;

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        let is_restart = self.restart_cmd.is_some() || !matches!(self.loss, None | Some(LossBy::Reset));
        if is_restart && self.back_within <= self.restart_within {
            let what = format!(
                "the clients would give up before the restart completes; give more than --restart-within ({})",
                span(*self.restart_within)
            );
            mistakes.push(Mistake::new("--back-within", what));
        }
        match self.restart_by(call.broker) {
            Ok(by) => self.restart = by.map(|by| Restart { by, within: *self.restart_within }),
            Err(mistake) => mistakes.push(mistake),
        }
    }

    fn longest_pause(&self) -> Duration {
        *self.back_within
    }

    fn restart(&self) -> Option<Restart> {
        self.restart.clone()
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let profiles = self.profiles();
        let newest = spoken.iter().max().filter(|_| !self.wanted().are_named);
        let spoken = newest.map_or(spoken, std::slice::from_ref);
        each_case(&profiles.iter().collect::<Vec<_>>(), spoken, |profile, version| {
            Some(Herd::new(profile.clone(), version, self))
        })
    }

    fn adjust(command: Command) -> Command {
        command.mut_arg("protocol_version", |arg| {
            arg.help(
                "MQTT versions, separated by commas: 3.1.1 (or 4), 5 (or 5.0) [default: the newest that the broker speaks]",
            )
        })
    }
}

impl Flags {
    /// Each once, in the order of the flag.
    fn profiles(&self) -> Vec<Profile> {
        let mut profiles: Vec<Profile> = Vec::new();
        let named = if self.variant.is_empty() { &[Named::All] } else { &self.variant[..] };
        for profile in named.iter().flat_map(|named| match named {
            Named::All => all_profiles(),
            Named::One(profile) => vec![profile.clone()],
        }) {
            if !profiles.contains(&profile) {
                profiles.push(profile);
            }
        }
        profiles
    }

    /// How the broker is restarted; absent when it is not.
    fn restart_by(&self, broker: &BrokerChoice) -> Result<Option<RestartBy>, Mistake> {
        let is_ours = matches!(broker, BrokerChoice::Embedded | BrokerChoice::SpawnMosquitto);
        let mistake = |flag: &str, what: &str| Err(Mistake::new(flag, what));
        match (self.loss, &self.restart_cmd) {
            (Some(_), Some(_)) => mistake(
                "--loss",
                "--restart-cmd already defines how the connections are lost; keep one of them",
            ),
            (None, Some(_)) if is_ours => mistake(
                "--restart-cmd",
                "this run starts and restarts its broker itself: give --loss stop or --loss kill instead, or name a running \
                 broker with --host",
            ),
            (None, Some(command)) if command.trim().is_empty() => {
                mistake("--restart-cmd", "is empty; give the command that restarts your broker")
            }
            (None, Some(command)) => Ok(Some(RestartBy::Command(command.clone()))),
            (None | Some(LossBy::Reset), None) => Ok(None),
            (Some(_), None) if !is_ours => mistake(
                "--loss",
                "this run did not start the broker and cannot restart it; give a command that does with --restart-cmd",
            ),
            (Some(LossBy::Stop), None) => Ok(Some(RestartBy::Stop)),
            (Some(LossBy::Kill), None) => Ok(Some(RestartBy::Kill)),
        }
    }
}
