//! `ungraceful-vanish will-storm`.

use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::session::will_storm::{self, Variant};
use ungraceful_faults::session::will_storm_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Named, Readable, Seconds, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};
use crate::tools::flood::variants::each;

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct WillStorm;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct WillStormArgs {
    /// Variants, separated by commas: plain, retained, back; and on MQTT 5 also back-will-delay [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// Will Delay Interval of back-will-delay
    #[arg(
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_WILL_DELAY",
        default_value = "4s",
        allow_hyphen_values = true
    )]
    will_delay: Given<Seconds>,
}

impl Readable for Variant {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl Mode for WillStorm {
    fn name(&self) -> &'static str {
        "will-storm"
    }

    fn about(&self) -> &'static str {
        "Many clients with a Will are lost in one instant: do all Wills come, how late, and what is retained?"
    }

    fn long_about(&self) -> &'static str {
        "Connects --count clients with a Will before the baseline and resets them all, --connrate per second: so many that \
         it is one instant. Tells how many of the Wills come and how they are spread in time, whether retained Wills are \
         retained, and whether clients that are back at once stay \"offline\" for whoever subscribes then; with a Will \
         Delay Interval they must not. Each client is lost once, so --attempts and --duration have no place here."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(WillStormArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        // A witness that is sent more than a thousand messages at once is more than some brokers queue by default.
        // And what is all due at once is begun one after the other: times of Wills begin when their own client was lost.
        &[("count", "700"), ("connrate", "10000"), ("slip-limit", "200ms")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = WillStormArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let will_delay = args.will_delay.from_one("--will-delay", mistakes).unwrap_or(1);
        if versions == [ProtocolVersion::V3_1_1]
            && args.variant.len() == 1
            && variants == [Variant::BackWillDelay]
        {
            let what = "MQTT 3.1.1 has no Will Delay Interval; choose plain, retained or back, or -V 5";
            mistakes.push(Mistake::new("--variant", what));
        }
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Clients,
            // The client or its return, and who looks at what is retained.
            connections: ConnectionsOf::EachClient(2),
            longest_pause: Duration::from_secs(will_delay.into()),
            make: each(variants, move |variant, version| {
                let storm = will_storm::WillStorm { variant, version, will_delay_interval_s: will_delay };
                variant.is_in(version).then_some(storm)
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
