//! `ungraceful-expire kick`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_faults::authentication::command::ExternalCommand;
use ungraceful_faults::authentication::kick;
use ungraceful_faults::authentication::kick_checks::{CHECKS, STATEMENTS};
use ungraceful_faults::authentication::removal::{Means, PLACEHOLDERS, Removal};
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::broker::target::{Credentials, Secret};
use ungraceful_rig::error::Mistake;
use ungraceful_rig::run::input_file;

use crate::cli::given::{Given, Named, Readable, Time, named, names_all};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The client, the publisher beside it, and the administrator.
const CONNECTIONS: u64 = 3;

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kick;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct KickArgs {
    /// Variants, separated by commas: disable, delete, password, group (by Mosquitto's dynamic security), command (by --kick-cmd) [default: command with --kick-cmd, else all others]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Means>>>,
    /// Command that removes one client, run without a shell; {client_id}, {username}, {host} and {port} are replaced. Others on this machine can read a command line, so better UNGRACEFUL_KICK_CMD where a password is in it
    #[arg(long, value_name = "COMMAND", env = "UNGRACEFUL_KICK_CMD")]
    kick_cmd: Option<String>,
    /// The longest that --kick-cmd may take
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_KICK_TIMEOUT",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    kick_timeout: Given<Time>,
    /// User Name of an administrator of Mosquitto's dynamic security; the one of --spawn mosquitto needs none
    #[arg(long, value_name = "NAME", env = "UNGRACEFUL_ADMIN_USERNAME")]
    admin_username: Option<String>,
    /// The administrator's password; better UNGRACEFUL_ADMIN_PW or --admin-pw-file
    #[arg(long, value_name = "PASSWORD", env = "UNGRACEFUL_ADMIN_PW")]
    admin_pw: Option<String>,
    /// File whose first line is the administrator's password
    #[arg(long, value_name = "FILE", env = "UNGRACEFUL_ADMIN_PW_FILE")]
    admin_pw_file: Option<PathBuf>,
}

impl Readable for Means {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl KickArgs {
    /// The command; `own_users` when each client has a user of its own.
    fn command(&self, own_users: bool, mistakes: &mut Vec<Mistake>) -> Option<Arc<ExternalCommand>> {
        let limit = self.kick_timeout.positive("--kick-timeout", mistakes).unwrap_or_default();
        let command = ExternalCommand::parse(self.kick_cmd.as_ref()?, &PLACEHOLDERS, limit);
        let mut mistake = |what: String| mistakes.push(Mistake::new("--kick-cmd", what));
        let command = command.map_err(&mut mistake).ok()?;
        if !command.names("client_id") && !command.names("username") {
            mistake("names no client; write {client_id} or {username} where it goes".to_owned());
        } else if !command.names("client_id") && !own_users {
            let what = "names the user alone, whom all clients of the run share; write {client_id}, or give \
                        --admin-username so that each client gets a user of its own";
            mistake(what.to_owned());
        }
        Some(Arc::new(command))
    }

    fn administrator(&self, mistakes: &mut Vec<Mistake>) -> Option<Credentials> {
        if self.admin_pw.is_some() && self.admin_pw_file.is_some() {
            let what = "there is a password in --admin-pw or UNGRACEFUL_ADMIN_PW already; keep one of them";
            mistakes.push(Mistake::new("--admin-pw-file", what));
        }
        let from_file = self.admin_pw_file.as_ref().and_then(|path| {
            input_file::first_line(path)
                .map_err(|what| mistakes.push(Mistake::new("--admin-pw-file", what)))
                .ok()
        });
        let password = self.admin_pw.clone().map(String::into_bytes).or(from_file).map(Secret::new);
        if password.is_some() && self.admin_username.is_none() {
            mistakes.push(Mistake::new("--admin-pw", "whose password is this? give --admin-username too"));
        }
        self.admin_username.clone().map(|name| Credentials { user_name: Some(name), password })
    }

    fn means(&self, mistakes: &mut Vec<Mistake>) -> Vec<Means> {
        // `all` is all that can be had: without a command there is none to run.
        let all: Vec<Means> = Means::ALL
            .into_iter()
            .filter(|means| *means != Means::Command || self.kick_cmd.is_some() || !names_all(&self.variant))
            .collect();
        let named = named(&all, &self.variant, mistakes);
        if named.contains(&Means::Command) && self.kick_cmd.is_none() {
            mistakes.push(Mistake::new("--variant", "command needs the command: give --kick-cmd"));
        }
        if !named.is_empty() && !named.contains(&Means::Command) && self.kick_cmd.is_some() {
            mistakes
                .push(Mistake::new("--kick-cmd", "none of the variants that you chose uses it; add command"));
        }
        let is_chosen = |means: &Means| match named.is_empty() {
            true => (*means == Means::Command) == self.kick_cmd.is_some(),
            false => named.contains(means),
        };
        Means::ALL.into_iter().filter(is_chosen).collect()
    }
}

impl Mode for Kick {
    fn name(&self) -> &'static str {
        "kick"
    }

    fn about(&self) -> &'static str {
        "An operator removes clients while they work: when are they cut, and do they stay out?"
    }

    fn long_about(&self) -> &'static str {
        "Connects clients that publish and are published to, and removes each of them meanwhile: by Mosquitto's dynamic \
         security (with --spawn mosquitto no more is needed; elsewhere give --admin-username and its password), or by \
         --kick-cmd on any broker. Tells how soon the client is cut and with which Reason Code, what is still delivered to \
         it and taken from it, whether its Will is published, whether it is let in again with the same credentials, and \
         whether others are harmed. With the dynamic security each client gets a user of its own, which goes again."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(KickArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "5"), ("connrate", "40"), ("count", "100"), ("will-wait", "2s")]
    }

    fn administers(&self) -> bool {
        true
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = KickArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let administrator = args.administrator(mistakes);
        let is_ours = matches.get_one::<String>("spawn").is_some();
        let command = args.command(is_ours || administrator.is_some(), mistakes);
        let means = args.means(mistakes);
        let longest_pause = command.as_ref().map_or(Duration::ZERO, |command| command.limit());
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(CONNECTIONS),
            longest_pause,
            make: Arc::new(move |spoken| {
                let removals = means.iter().map(|means| Removal {
                    means: *means,
                    administrator: administrator.clone(),
                    command: command.clone().filter(|_| *means == Means::Command),
                });
                let cases = removals.flat_map(|removal| {
                    spoken
                        .iter()
                        .map(move |version| kick::Kick { version: *version, removal: removal.clone() })
                });
                cases.map(|kick| Arc::new(kick) as Arc<dyn Fault>).collect()
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
