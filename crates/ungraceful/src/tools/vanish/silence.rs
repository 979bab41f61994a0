//! `ungraceful-vanish silence`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::connection::keep_alive::control;
use ungraceful_faults::connection::keep_alive::silence::{Cause, FallSilent, UNTOUCHED_FOR};
use ungraceful_faults::connection::keep_alive::silence_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::error::Mistake;

use super::keep_alive::{KeepAliveArgs, WithKeepAlive, longest};
use crate::cli::given::{Given, Named, Readable};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// How long an attempt takes besides its silence: connecting, and asking a broker that has not cut whether it serves.
const BESIDES: Duration = Duration::from_secs(15);

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct SilenceArgs {
    /// Variants, separated by commas: idle, half-open, downlink; with a Keep Alive of its own as idle-5s [default: all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<WithKeepAlive<Cause>>>>,
}

impl Readable for WithKeepAlive<Cause> {
    fn read(text: &str) -> Result<Self, String> {
        Self::read(text, "-")
    }
}

impl Mode for Silence {
    fn name(&self) -> &'static str {
        "silence"
    }

    fn about(&self) -> &'static str {
        "A client falls silent: when is it cut, is it told, and is its Will published?"
    }

    fn long_about(&self) -> &'static str {
        "Connects clients with a short Keep Alive that then say nothing: with a healthy socket (idle), beyond a network that \
         is lost without a word (half-open; a hop of ours on loopback stops forwarding), or while messages are delivered to \
         them (downlink). Tells after how many times the Keep Alive the broker cuts them, whether it sends DISCONNECT 0x8D, \
         and when the Will comes. Both versions of the standard want the connection closed when nothing came for one and a \
         half times the Keep Alive (5.0 [MQTT-3.1.2-22], 3.1.1 [MQTT-3.1.2-24]). A broker has --reaction-timeout beyond that \
         time, and at least three times the Keep Alive. With 30s or more, a client that is not cut by then stays silent for \
         another 30s before it asks whether it is still served, because a PINGREQ would renew its Keep Alive; only then the \
         broker is said never to cut. A client that is cut early without a reason is compared with a second one that has \
         twice the Keep Alive: what cuts both after the same time may be a proxy. The run ends as soon as all clients are cut."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(KeepAliveArgs::augment_args(SilenceArgs::augment_args(command)))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "10"), ("connrate", "50"), ("reaction-timeout", "30s")]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = SilenceArgs::from_arg_matches(matches).expect(read);
        let cases =
            KeepAliveArgs::from_arg_matches(matches).expect(read).cases(&Cause::ALL, &args.variant, mistakes);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            // The client and both ends of the hop, and what the hop listens on.
            connections: ConnectionsOf::EachClient(4),
            longest_pause: longest(&cases) * 3 + UNTOUCHED_FOR + control::longest(longest(&cases)) + BESIDES,
            make: Arc::new(move |spoken| {
                let each = spoken.iter().flat_map(|version| {
                    cases.iter().map(move |(cause, keep_alive_s)| FallSilent {
                        cause: *cause,
                        version: *version,
                        keep_alive_s: *keep_alive_s,
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
        STATEMENTS.to_vec()
    }

    fn accuses_without_number(&self) -> Option<&'static str> {
        Some("MQTT 5.0 §3.1.2.10")
    }
}
