//! `ungraceful-takeover duel`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::takeover::{duel, judged};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::scale::span;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::backoff::Backoff;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Named, Readable, Seconds, Time, Whole, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The shortest duel in which clients have time to meet.
const SHORTEST: Duration = Duration::from_millis(100);

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Duel;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct DuelArgs {
    /// Variants, separated by commas: resume (Clean Start 0, the session is kept), clean (Clean Start 1) [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Sessions>>>,
    /// Clients with one ClientID
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_CONTENDERS",
        default_value = "2",
        allow_hyphen_values = true
    )]
    contenders: Given<Whole<2, 100>>,
    /// How long each waits before it connects again: none, fixed:100ms, exponential:100ms..10s, full-jitter:100ms..10s
    #[arg(long, value_name = "PROFILE", env = "UNGRACEFUL_BACKOFF", default_value = "none")]
    backoff: Given<Backoff>,
    /// How long a duel lasts
    #[arg(
        long = "for",
        value_name = "TIME",
        env = "UNGRACEFUL_FOR",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    lasting: Given<Time>,
    /// Messages of QoS 1 that are published to the ClientID's topic, per second
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "UNGRACEFUL_PUBLISH_RATE",
        default_value = "50",
        allow_hyphen_values = true
    )]
    publish_rate: Given<Whole<1, 10_000>>,
    /// Session Expiry Interval of the variant resume; 3.1.1 knows none and uses Clean Session 0
    #[arg(
        short = 'x',
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_SESSION_EXPIRY_INTERVAL",
        default_value = "60s",
        allow_hyphen_values = true
    )]
    session_expiry_interval: Given<Seconds>,
}

/// Whether contenders ask for Clean Start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sessions {
    clean_start: bool,
}

impl Readable for Sessions {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "resume" => Ok(Self { clean_start: false }),
            "clean" => Ok(Self { clean_start: true }),
            other => Err(format!("{other:?} is no variant; choose from resume, clean")),
        }
    }
}

impl Mode for Duel {
    fn name(&self) -> &'static str {
        "duel"
    }

    fn about(&self) -> &'static str {
        "Two or more clients with one ClientID throw each other out for ever"
    }

    fn long_about(&self) -> &'static str {
        "Has --contenders clients with one ClientID connect again whenever they are thrown out, as two devices with one \
         configuration do, for the time of --for. Tells how many take-overs per minute the broker goes through, the \
         share of time in which the ClientID is connected at all, what each loser is told, and what is lost of the \
         messages that are published to the ClientID meanwhile. --attempts duels are fought per case, each with a \
         ClientID of its own."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(DuelArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "1"), ("count", "10")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = DuelArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let all = [Sessions { clean_start: false }, Sessions { clean_start: true }];
        let sessions = chosen(&all, &args.variant, mistakes);
        let contenders = args.contenders.take("--contenders", mistakes).map_or(2, |count| count.0);
        let backoff = args.backoff.take("--backoff", mistakes).unwrap_or(Backoff::None);
        let lasting = args.lasting.positive("--for", mistakes).unwrap_or(Duration::from_secs(1));
        if lasting < SHORTEST {
            let what = format!("{} is too short for a duel; give at least {}", span(lasting), span(SHORTEST));
            mistakes.push(Mistake::new("--for", what));
        }
        let rate = args.publish_rate.take("--publish-rate", mistakes).map_or(1, |rate| rate.0);
        let expiry = args.session_expiry_interval.from_one("--session-expiry-interval", mistakes);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(contenders + 2),
            longest_pause: lasting,
            make: Arc::new(move |spoken| {
                let cases = spoken.iter().flat_map(|version| {
                    sessions.iter().map(move |sessions| duel::Duel {
                        version: *version,
                        contenders: u16::try_from(contenders).unwrap_or(2),
                        backoff,
                        lasting,
                        clean_start: sessions.clean_start,
                        session_expiry_interval_s: expiry.unwrap_or(1),
                        messages_per_second: u32::try_from(rate).unwrap_or(1),
                    })
                });
                cases.map(|duel| Arc::new(duel) as Arc<dyn Fault>).collect()
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        [judged::CHECKS.to_vec(), duel::CHECKS.to_vec()].concat()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        judged::STATEMENTS.to_vec()
    }
}
