//! `ungraceful-takeover dead-peer`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::keep_alive::longest_held;
use ungraceful_faults::connection::takeover::dead_peer::{self, Corpse};
use ungraceful_faults::connection::takeover::{judged, looking_on};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use super::VersionPairArgs;
use crate::cli::given::{Given, Named, Readable, Seconds, Time, Whole, chosen};
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadPeer;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct DeadPeerArgs {
    /// Variants, separated by commas: alive (the control), silent, zero-window [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Corpse>>>,
    /// MiB that are published to the older client of zero-window, which does not read them
    #[arg(
        long,
        value_name = "MIB",
        env = "UNGRACEFUL_BACKLOG",
        default_value = "8",
        allow_hyphen_values = true
    )]
    backlog: Given<Whole<1, 1_000>>,
    /// Keep Alive of the older connection, in whole seconds; the newcomer is watched until one and a half times as long after the take-over
    #[arg(
        short = 'k',
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_KEEPALIVE",
        default_value = "5s",
        allow_hyphen_values = true
    )]
    keepalive: Given<Seconds>,
    /// How much longer the newcomer is watched: brokers look for lapsed Keep Alives every few seconds
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_LOOK_ON",
        default_value = "5s",
        allow_hyphen_values = true
    )]
    look_on: Given<Time>,
}

impl Readable for Corpse {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl Mode for DeadPeer {
    fn name(&self) -> &'static str {
        "dead-peer"
    }

    fn about(&self) -> &'static str {
        "The older connection is dead: does the newcomer's CONNACK wait for it?"
    }

    fn long_about(&self) -> &'static str {
        "Takes over connections whose client reads nothing any more, with nothing under way to it (silent) or with more \
         than the buffers between it and the broker hold (zero-window), and compares the newcomer's CONNACK time with \
         that of a take-over of a living connection (alive). Then the older client reads again, to see whether the \
         broker has closed its connection. The newcomer is watched until the older connection's Keep Alive (--keepalive) \
         is well over: a late end of the older one must not cost it its connection, its subscription or its Will."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionPairArgs::augment_args(DeadPeerArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "20"), ("count", "80"), ("connrate", "5")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = DeadPeerArgs::from_arg_matches(matches).expect(read);
        let pairs = VersionPairArgs::from_arg_matches(matches).expect(read).pairs(mistakes);
        let corpses = chosen(&Corpse::ALL, &args.variant, mistakes);
        let keep_alive_s = args.keepalive.between(1, u16::MAX.into(), "--keepalive", mistakes);
        let keep_alive_s = keep_alive_s.and_then(|seconds| u16::try_from(seconds).ok()).unwrap_or(1);
        let look_on = args.look_on.within_a_day("--look-on", mistakes).unwrap_or_default();
        let backlog_bytes = args.backlog.take("--backlog", mistakes).map_or(1, |mib| mib.0) * 1_024 * 1_024;
        FaultPlan {
            versions: pairs.versions.clone(),
            versions_required: pairs.named,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(3),
            longest_pause: Duration::from_secs(1)
                + longest_held(Duration::from_secs(keep_alive_s.into())).mul_f64(1.5)
                + look_on,
            make: Arc::new(move |spoken| {
                let cases = pairs.spoken(spoken).flat_map(|versions| {
                    corpses.iter().map(move |corpse| dead_peer::DeadPeer {
                        corpse: *corpse,
                        versions,
                        backlog_bytes,
                        keep_alive_s,
                        look_on,
                    })
                });
                cases.map(|fault| Arc::new(fault) as Arc<dyn Fault>).collect()
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        [judged::CHECKS.to_vec(), dead_peer::CHECKS.to_vec(), looking_on::CHECKS.to_vec()].concat()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        [judged::STATEMENTS, looking_on::STATEMENTS].concat()
    }
}
