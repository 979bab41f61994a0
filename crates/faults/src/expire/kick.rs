//! The kick: an operator removes a client while it works. How soon is it cut, with which Reason Code, does it still receive
//! messages, and can it return?
//!
//! No numbered statement requires that a broker cuts a client whose user was removed. The broker's log says "disconnected by
//! administrative action", or nothing while the client stays connected.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Mistake, Named, PositiveTime, Versions, Wanted, named, names_all};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::Measure;
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::broker::external_command::ExternalCommand;
use ungraceful_rig::broker::target::{BrokerChoice, Credentials, Secret};
use ungraceful_rig::run::input_file;

use super::authentication::Authentication;
use super::common;
use super::kick_checks;
use super::removal::{Admitted, Means, PLACEHOLDERS, Removal};
use super::working_pair::{Served, WorkingPair};
use crate::ending::{Unfinished, attempted, prepared, watch};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};

/// The fault's id in the catalogue.
pub const ID: &str = "kick";
/// Measure: from the request for the removal to its confirmation.
pub const CONFIRMED: Measure = Measure::new("kick_confirmed_us");

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: disable, delete, password, group (by Mosquitto's dynamic security), command (by --kick-cmd) [default: command with --kick-cmd, else all others]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Means>>,
    /// Command that removes one client, run without a shell; {client_id}, {username}, {host} and {port} are replaced. Other users can read a command line, so prefer UNGRACEFUL_KICK_CMD if it contains a password
    #[arg(long, value_name = "COMMAND")]
    kick_cmd: Option<Secret>,
    /// Maximum duration of --kick-cmd
    #[arg(long, value_name = "TIME", default_value = "10s")]
    kick_timeout: PositiveTime,
    /// User Name of an administrator of Mosquitto's dynamic security; not needed with --spawn mosquitto
    #[arg(long, value_name = "NAME")]
    admin_username: Option<String>,
    /// The administrator's password; prefer UNGRACEFUL_ADMIN_PW or --admin-pw-file
    #[arg(long, value_name = "PASSWORD")]
    admin_pw: Option<Secret>,
    /// File whose first line is the administrator's password
    #[arg(long, value_name = "FILE")]
    admin_pw_file: Option<PathBuf>,
    #[command(flatten)]
    versions: Versions,
    #[arg(skip)]
    administrator: Option<Credentials>,
    #[arg(skip)]
    command: Option<Arc<ExternalCommand>>,
    #[arg(skip)]
    means: Vec<Means>,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "An operator removes working clients: when are they disconnected, and can they return?";
    const LONG_ABOUT: &'static str = "Connects clients that publish and receive messages, and removes each of them meanwhile: by Mosquitto's dynamic \
         security (--spawn mosquitto needs no other flag; otherwise give --admin-username and its password), or by \
         --kick-cmd on any broker. Reports how soon the client is cut and with which Reason Code, whether it still \
         receives and publishes messages, whether its Will is published, whether it is accepted again with the same \
         credentials, and whether other clients are affected. With the dynamic security each client gets a user of its \
         own, which is deleted afterwards.";
    const CHECKS: &'static [&'static [Check]] = &[kick_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "5"), ("connrate", "40"), ("count", "100"), ("will-wait", "2s")];
    const ADMINISTERS: bool = true;

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        self.administrator = self.read_administrator(mistakes);
        let is_ours = call.broker.clone().administered() == BrokerChoice::SpawnAdministeredMosquitto;
        self.command = self.parse_command(is_ours || self.administrator.is_some(), mistakes);
        self.means = self.choose_means(mistakes);
    }

    fn connections(&self) -> ConnectionsOf {
        // The client, its companion, and the administrator.
        ConnectionsOf::EachClient(3)
    }

    fn longest_pause(&self) -> Duration {
        self.command.as_ref().map_or(Duration::ZERO, |command| command.limit())
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&self.means, spoken, |means, version| {
            let command = self.command.clone().filter(|_| means == Means::Command);
            let administrator = self.administrator.clone();
            Some(Kick { version, removal: Removal { means, administrator, command } })
        })
    }
}

impl Flags {
    fn read_administrator(&self, mistakes: &mut Vec<Mistake>) -> Option<Credentials> {
        if self.admin_pw.is_some() && self.admin_pw_file.is_some() {
            let what = "conflicts with the password in --admin-pw or UNGRACEFUL_ADMIN_PW; keep one of them";
            mistakes.push(Mistake::new("--admin-pw-file", what));
        }
        let from_file = self.admin_pw_file.as_ref().and_then(|path| {
            input_file::first_line(path)
                .map_err(|what| mistakes.push(Mistake::new("--admin-pw-file", what)))
                .ok()
        });
        let password = self.admin_pw.clone().or(from_file.map(Secret::new));
        if password.is_some() && self.admin_username.is_none() {
            mistakes.push(Mistake::new("--admin-pw", "needs a user name; give --admin-username as well"));
        }
        self.admin_username.clone().map(|name| Credentials { user_name: Some(name), password })
    }

    /// The command; with `own_users` each client has a user of its own.
    fn parse_command(&self, own_users: bool, mistakes: &mut Vec<Mistake>) -> Option<Arc<ExternalCommand>> {
        let command = ExternalCommand::parse(self.kick_cmd.as_ref()?, &PLACEHOLDERS, *self.kick_timeout);
        let mut mistake = |what: String| mistakes.push(Mistake::new("--kick-cmd", what));
        let command = command.map_err(&mut mistake).ok()?;
        if !command.names("client_id") && !command.names("username") {
            mistake("does not name the client; write {client_id} or {username} where it belongs".to_owned());
        } else if !command.names("client_id") && !own_users {
            let what = "names only the user, which all clients of the run share; write {client_id}, or give \
                        --admin-username so that each client gets a user of its own";
            mistake(what.to_owned());
        }
        Some(Arc::new(command))
    }

    fn choose_means(&self, mistakes: &mut Vec<Mistake>) -> Vec<Means> {
        let has_command = self.kick_cmd.is_some();
        if self.variant.is_empty() {
            let is_default = |means: &Means| (*means == Means::Command) == has_command;
            return Means::ALL.into_iter().filter(is_default).collect();
        }
        let mut chosen = named(&Means::ALL, &self.variant);
        if names_all(&self.variant) && !has_command {
            // `all` means all available variants.
            chosen.retain(|means| *means != Means::Command);
        }
        match (chosen.contains(&Means::Command), has_command) {
            (true, false) => {
                mistakes
                    .push(Mistake::new("--variant", "the variant command needs a command: give --kick-cmd"));
            }
            (false, true) => {
                let what = "none of the chosen variants uses it; add command";
                mistakes.push(Mistake::new("--kick-cmd", what));
            }
            _ => {}
        }
        chosen
    }
}

/// A client that an operator removes.
#[derive(Debug)]
struct Kick {
    version: ProtocolVersion,
    removal: Removal,
}

impl Fault for Kick {
    fn case(&self) -> Case {
        Case::new(ID, self.removal.means.name(), self.version)
    }

    fn describe(&self) -> String {
        let how = match self.removal.means {
            Means::Disable => "its user is disabled".to_owned(),
            Means::Delete => "its user is deleted".to_owned(),
            Means::Password => "its user gets another password".to_owned(),
            Means::Group => "its user is removed from the group with its rights".to_owned(),
            Means::Command => {
                let program = self.removal.command.as_ref().map_or("nothing", |command| command.program());
                format!("{program} is run (--kick-cmd)")
            }
        };
        format!(
            "CONNECT with a Will, SUBSCRIBE, publish and receive messages; {how}; then CONNECT again with the same \
             credentials"
        )
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::UsesTopics]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Kick {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let client_id = log.client_id().to_owned();
        // Not interrupted when the run stops: a half-created user could not be deleted again.
        let mut admitted = self.removal.admit(stage, self.version, &client_id).await?;
        let removed = self.remove_at_work(stage, log, &mut admitted).await;
        admitted.undo().await;
        removed
    }

    async fn remove_at_work(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        admitted: &mut Admitted,
    ) -> Result<(), Unfinished> {
        let will = stage.watch_will(log.name());
        let authentication = Authentication::from(admitted.credentials.clone());
        let open = WorkingPair::open(stage, log, self.version, &authentication, will.as_ref());
        let pair = prepared(stage, open).await?;
        let kicked_at = match admitted.remove(stage).await {
            Ok(at) => at,
            Err(trouble) => {
                pair.leave().await;
                return Err(trouble.into());
            }
        };
        log.provoked(kicked_at);
        let watch = watch(kicked_at, self.removal.limit(stage) + stage.reaction_timeout);
        let until = pair.until();
        let confirm = async {
            let confirmed = prepared(stage, admitted.confirmed()).await;
            // Without a removal there is nothing to wait for.
            let known_at =
                confirmed.as_ref().map_or(kicked_at, |removed| removed.at + stage.reaction_timeout);
            until.set(Some(known_at));
            confirmed
        };
        let (watched, confirmed) = tokio::join!(common::watch_at_work(stage, pair, watch), confirm);
        let confirmed = match confirmed {
            Ok(confirmed) => confirmed,
            Err(why) => {
                watched.pair.leave().await;
                return Err(if stage.stop.reason().is_none() { why } else { Unfinished::Stopped });
            }
        };
        log.measure(CONFIRMED, micros(confirmed.at.saturating_duration_since(kicked_at)));
        let served = Served::after(confirmed.at, &watched.pair);
        if watched.seen.ended_at_us().is_none() && !confirmed.last_line.is_empty() {
            log.trouble(format!("the command succeeded, and its last line was: {}", confirmed.last_line));
        }
        let companion = common::conclude(stage, log, watched, will, served, Some(&authentication)).await;
        if let Some(companion) = companion {
            common::leave(stage, log, companion).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{Args, Command, FromArgMatches};
    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_rig::broker::target::BrokerChoice;

    use super::Flags;
    use crate::mode::{Call, FaultMode};

    /// The checked flags, and their mistakes.
    fn checked(broker: &BrokerChoice, words: &[&str]) -> (Flags, Vec<String>) {
        let command = Flags::augment_args(Command::new("kick").no_binary_name(true));
        let mut flags = Flags::from_arg_matches(&command.get_matches_from(words)).unwrap();
        let mut mistakes = Vec::new();
        flags.check(&Call { reaction_timeout: Duration::from_secs(1), attempts: 1, broker }, &mut mistakes);
        (flags, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn debug_shows_neither_passwords_nor_words_of_a_command() {
        let words =
            ["--kick-cmd", "kick hunter2 {client_id}", "--admin-username", "me", "--admin-pw", "hunter2"];
        let (flags, mistakes) = checked(&BrokerChoice::Embedded, &words);
        assert_eq!(mistakes, Vec::<String>::new());
        let faults = flags.faults(&[ProtocolVersion::V5]);
        assert_eq!(faults.len(), 1);
        let shown = format!("{flags:?} {faults:?}");
        assert!(shown.contains("ExternalCommand(kick)") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_command_may_name_only_the_user_if_each_client_has_one() {
        let by_user = ["--kick-cmd", "kick {username}"];
        let mistakes_on = |broker| checked(&broker, &by_user).1;
        assert_eq!(mistakes_on(BrokerChoice::SpawnMosquitto), Vec::<String>::new());
        let [mistake] = &mistakes_on(BrokerChoice::Embedded)[..] else { panic!("one mistake") };
        assert!(mistake.contains("all clients of the run share"), "{mistake}");
    }

    #[test]
    fn all_means_every_available_variant() {
        let chosen = |words: &[&str]| checked(&BrokerChoice::Embedded, words).0.means.len();
        let with_command = ["--kick-cmd", "kick {client_id}", "--variant", "all"];
        assert_eq!((chosen(&with_command), chosen(&with_command[2..])), (5, 4));
        assert_eq!((chosen(&with_command[..2]), chosen(&[])), (1, 4));
    }
}
