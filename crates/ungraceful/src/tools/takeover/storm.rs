//! `ungraceful-takeover storm`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::takeover::judged;
use ungraceful_faults::connection::takeover::storm::{self, Situation};
use ungraceful_faults::connection::takeover::storm_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use super::VersionPairArgs;
use crate::cli::given::{Given, Named, Readable, Seconds, Time, Whole, chosen};
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storm;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct StormArgs {
    /// Variants, separated by commas: resume, discard, ended, clean, each also with -will-delay; resume-clean-start-0 [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Situation>>>,
    /// Session Expiry Interval of sessions that are to outlive their connection; 3.1.1 knows none and uses Clean Session 0
    #[arg(
        short = 'x',
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_SESSION_EXPIRY_INTERVAL",
        default_value = "60s",
        allow_hyphen_values = true
    )]
    session_expiry_interval: Given<Seconds>,
    /// Will Delay Interval of the variants with a delayed Will (MQTT 5)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_WILL_DELAY",
        default_value = "2s",
        allow_hyphen_values = true
    )]
    will_delay: Given<Seconds>,
    /// Messages of QoS 1, and as many of QoS 2, that each older client was sent and has not acknowledged
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_IN_FLIGHT",
        default_value = "2",
        allow_hyphen_values = true
    )]
    in_flight: Given<Whole<0, 1_000>>,
    /// Messages of QoS 1 that wait behind these in the session
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_QUEUED",
        default_value = "2",
        allow_hyphen_values = true
    )]
    queued: Given<Whole<0, 1_000>>,
    /// How long the broker has to send what a resumed session owes; waited for only where something is missing, which accuses from 60s on
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_RESEND_WAIT",
        default_value = "60s",
        allow_hyphen_values = true
    )]
    resend_wait: Given<Time>,
}

impl Readable for Situation {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl Mode for Storm {
    fn name(&self) -> &'static str {
        "storm"
    }

    fn about(&self) -> &'static str {
        "Many clients, connected and working, are each taken over by a new connection"
    }

    fn long_about(&self) -> &'static str {
        "Connects --count clients before the baseline, with a Will and with messages in flight, and takes each of them \
         over by a new connection with its ClientID, --connrate per second. Tells how long the new connection waits for \
         its CONNACK, what the older one is told, whether session, messages and Will fare as the standard has it, and \
         which ClientIDs end with no live connection or with two. Each client is taken over once, so --attempts and \
         --duration have no place here."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionPairArgs::augment_args(StormArgs::augment_args(command))
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = StormArgs::from_arg_matches(matches).expect(read);
        let pairs = VersionPairArgs::from_arg_matches(matches).expect(read).pairs(mistakes);
        let situations = chosen(&Situation::ALL, &args.variant, mistakes);
        let expiry = args.session_expiry_interval.from_one("--session-expiry-interval", mistakes);
        let delay = args.will_delay.from_one("--will-delay", mistakes);
        let count = |given: &Given<Whole<0, 1_000>>, flag, mistakes: &mut Vec<Mistake>| {
            given.take(flag, mistakes).and_then(|count| u16::try_from(count.0).ok()).unwrap_or(0)
        };
        let in_flight = count(&args.in_flight, "--in-flight", mistakes);
        let queued = count(&args.queued, "--queued", mistakes);
        let resend_within = args.resend_wait.positive("--resend-wait", mistakes).unwrap_or_default();
        let (expiry, delay) = (expiry.unwrap_or(1), delay.unwrap_or(1));
        let has_delay = situations.iter().any(|situation| situation.will_delay);
        let is_spoken = |situation: &Situation| pairs.pairs.iter().any(|pair| situation.is_in(pair.old));
        let unspoken = situations.iter().find(|situation| !is_spoken(situation));
        // Those that were not named, and `all`, leave out what the versions do not have.
        if let (true, Some(situation)) = (situations.len() < Situation::ALL.len(), unspoken) {
            let what = format!(
                "{situation} needs MQTT 5: MQTT 3.1.1 has no Will Delay Interval, and its sessions that are kept begin with \
                 Clean Session 0 in any case; choose another variant, or -V 5"
            );
            mistakes.push(Mistake::new("--variant", what));
        }
        let (versions, versions_required) = (pairs.versions.clone(), pairs.named);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Clients,
            connections: ConnectionsOf::EachClientAndAttempt,
            longest_pause: resend_within + Duration::from_secs(if has_delay { delay.into() } else { 0 }),
            make: Arc::new(move |spoken| {
                let cases = pairs.spoken(spoken).flat_map(|versions| {
                    let situations = situations.iter().filter(move |situation| situation.is_in(versions.old));
                    situations.map(move |situation| storm::Storm {
                        situation: *situation,
                        versions,
                        session_expiry_interval_s: expiry,
                        will_delay_interval_s: delay,
                        in_flight,
                        queued,
                        resend_within,
                    })
                });
                cases.map(|storm| Arc::new(storm) as Arc<dyn Fault>).collect()
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        [judged::CHECKS.to_vec(), CHECKS.to_vec()].concat()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        [judged::STATEMENTS, STATEMENTS].concat()
    }
}
