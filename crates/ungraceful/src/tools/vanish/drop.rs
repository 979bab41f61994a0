//! `ungraceful-vanish drop`.

use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::abrupt::{Abrupt, Variant};
use ungraceful_faults::connection::abrupt_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::scale::span;
use ungraceful_record::verdict::Check;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Named, Readable, Seconds, Time, Whole, chosen};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};
use crate::tools::flood::variants::each;

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drop;

/// Few enough for no broker's limit of what it keeps for a client: what happens past one is the flood's question.
const MESSAGES_MAX: u64 = 20;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct DropArgs {
    /// Variants, separated by commas: fin, rst, half-close, disconnect (the control), session-ends; and on MQTT 5 also disconnect-with-will, will-delay, back-before-will-delay, will-at-session-end, before-expiry, after-expiry [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// Session Expiry Interval of sessions that are still there when the client is back; 3.1.1 knows none and uses Clean Session 0
    #[arg(
        short = 'x',
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_SESSION_EXPIRY_INTERVAL",
        default_value = "60s",
        allow_hyphen_values = true
    )]
    session_expiry_interval: Given<Seconds>,
    /// Session Expiry Interval of will-at-session-end, before-expiry and after-expiry; 3s at the least
    #[arg(
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_SHORT_EXPIRY",
        default_value = "4s",
        allow_hyphen_values = true
    )]
    short_expiry: Given<Seconds>,
    /// Will Delay Interval of the variants with a delayed Will; 3s at the least
    #[arg(
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_WILL_DELAY",
        default_value = "3s",
        allow_hyphen_values = true
    )]
    will_delay: Given<Seconds>,
    /// How long a client is away, at the least; it waits for its Will first, where one is due
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_AWAY",
        default_value = "500ms",
        allow_hyphen_values = true
    )]
    away: Given<Time>,
    /// How long after the end of its session the client of after-expiry is back; below 10s a session that is still there is a note
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_GRACE",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    grace: Given<Time>,
    /// Messages of QoS 1, and as many of QoS 2, that are published for each client while it is away; 20 at the most
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_MESSAGES",
        default_value = "3",
        allow_hyphen_values = true
    )]
    messages: Given<Whole<0, MESSAGES_MAX>>,
}

impl Readable for Variant {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

/// Whole seconds, enough of them for a second not to matter.
fn some_seconds(given: &Given<Seconds>, flag: &str, mistakes: &mut Vec<Mistake>) -> u32 {
    const LEAST: u32 = 3;
    let seconds = given.from_one(flag, mistakes).unwrap_or(LEAST);
    if seconds < LEAST {
        let what = "brokers may count in whole seconds, so that less than 3s tells nothing; give 3s or more";
        mistakes.push(Mistake::new(flag, what));
    }
    seconds
}

/// What would leave variants without anything to tell is a mistake, and told before the first packet.
fn check_times(
    variants: &[Variant],
    expiry: Option<u32>,
    will_delay: u32,
    away: Duration,
    mistakes: &mut Vec<Mistake>,
) {
    /// Brokers may count in whole seconds.
    const SECOND: Duration = Duration::from_secs(1);
    let delay = Duration::from_secs(will_delay.into());
    if variants.contains(&Variant::BackBeforeWillDelay) && away + SECOND >= delay {
        let what = format!(
            "{} is not well before the {will_delay} s of --will-delay, before which the client of \
             back-before-will-delay is to be back; give less, or a longer --will-delay",
            span(away)
        );
        mistakes.push(Mistake::new("--away", what));
    }
    let longest = match variants.contains(&Variant::WillDelay) {
        true => delay.max(away),
        false => away,
    };
    let least = longest + 2 * SECOND;
    let is_long = |variant: &Variant| {
        !matches!(
            variant,
            Variant::WillAtSessionEnd | Variant::BeforeExpiry | Variant::AfterExpiry | Variant::SessionEnds
        )
    };
    if let Some(expiry) = expiry
        && variants.iter().any(is_long)
        && Duration::from_secs(expiry.into()) <= least
    {
        let what =
            format!("{expiry} s would be over before clients are back; give more than {} s", least.as_secs());
        mistakes.push(Mistake::new("--session-expiry-interval", what));
    }
}

impl Mode for Drop {
    fn name(&self) -> &'static str {
        "drop"
    }

    fn about(&self) -> &'static str {
        "Clients that work go by FIN, RST or half-close: what of their Will, session, messages?"
    }

    fn long_about(&self) -> &'static str {
        "Ends connections of clients that are connected, subscribed and working, without DISCONNECT, and tells whether the \
         Will is published, once and when it is due; whether the session is kept for its Session Expiry Interval and no \
         longer; and whether what was published meanwhile waits for the client, in order. DISCONNECT 0x00 and 0x04 stand \
         beside them as controls. --attempts clients go in each variant and version."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(DropArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "10")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = DropArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let variants = chosen(&Variant::ALL, &args.variant, mistakes);
        let expiry = args.session_expiry_interval.from_one("--session-expiry-interval", mistakes);
        let short_expiry = some_seconds(&args.short_expiry, "--short-expiry", mistakes);
        let will_delay = some_seconds(&args.will_delay, "--will-delay", mistakes);
        let away = args.away.positive("--away", mistakes).unwrap_or_default();
        let grace = args.grace.positive("--grace", mistakes).unwrap_or_default();
        let messages = args.messages.take("--messages", mistakes);
        if versions == [ProtocolVersion::V3_1_1]
            && !args.variant.is_empty()
            && !variants.iter().any(|variant| variant.is_in(ProtocolVersion::V3_1_1))
        {
            let what = "MQTT 3.1.1 has no Will Delay Interval, no Session Expiry Interval and no Reason Code of \
                        DISCONNECT; choose fin, rst, half-close, disconnect or session-ends, or -V 5";
            mistakes.push(Mistake::new("--variant", what));
        }
        check_times(&variants, expiry, will_delay, away, mistakes);
        let fault = Abrupt {
            variant: Variant::Fin,
            version: ProtocolVersion::V5,
            session_expiry_interval_s: expiry.unwrap_or(1),
            short_expiry_interval_s: short_expiry,
            will_delay_interval_s: will_delay,
            away,
            grace,
            messages: messages.and_then(|messages| u16::try_from(messages.0).ok()).unwrap_or(0),
        };
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let longest = variants.iter().map(|variant| match variant {
            Variant::AfterExpiry => seconds(short_expiry).saturating_add(grace),
            Variant::WillAtSessionEnd | Variant::BeforeExpiry => seconds(short_expiry),
            Variant::WillDelay | Variant::BackBeforeWillDelay => seconds(will_delay).saturating_add(away),
            _ => away,
        });
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            // The client or its return, and who publishes meanwhile.
            connections: ConnectionsOf::EachClient(2),
            longest_pause: longest.max().unwrap_or_default(),
            make: each(variants, move |variant, version| {
                variant.is_in(version).then_some(Abrupt { variant, version, ..fault })
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
