//! How an operator removes a client: by a command of Mosquitto's dynamic-security plug-in, or by a command that the user
//! gives.
//!
//! Where the dynamic security can be controlled, each client gets a user, a role and a group of its own, which may use the
//! topics of the run alone. They go again with the attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_rig::broker::target::{Credentials, Secret};
use ungraceful_rig::run::seed::Seed;
use ungraceful_wire::clock::now;

use super::command::{ExternalCommand, Running, Told};
use super::dynamic_security::{Asked, DynamicSecurity};

/// How long the cure may take.
const UNDONE_WITHIN: Duration = Duration::from_secs(2);

/// What may stand in the user's command.
pub const PLACEHOLDERS: [&str; 4] = ["client_id", "username", "host", "port"];

ungraceful_record::words! {
    /// How a client is removed.
    pub enum Means: "variant" {
        /// Its user is disabled.
        Disable = "disable",
        /// Its user is deleted.
        Delete = "delete",
        /// Its user gets another password; what it may do stays as it is.
        Password = "password",
        /// Its user leaves the group that lets it publish and subscribe; its password stays as it is.
        Group = "group",
        /// A command that the user gives.
        Command = "command",
    }
}

impl Means {
    /// Those that need the dynamic security.
    pub const OF_DYNAMIC_SECURITY: [Self; 4] = [Self::Disable, Self::Delete, Self::Password, Self::Group];

    /// What the client has lost afterwards.
    #[must_use]
    pub const fn takes(self) -> Takes {
        match self {
            Self::Disable | Self::Delete => Takes::Everything,
            Self::Password => Takes::Password,
            Self::Group => Takes::Rights,
            Self::Command => Takes::Unknown,
        }
    }
}

/// What a client has lost by its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// It may neither connect nor publish any more.
    Everything,
    /// It may not connect with its password any more; its user may publish as before.
    Password,
    /// It may connect, and neither publish nor subscribe any more.
    Rights,
    /// It is not known: perhaps only its connection.
    Unknown,
}

/// Who removes clients, and how.
#[derive(Clone, Debug)]
pub struct Removal {
    /// How.
    pub means: Means,
    /// As whom the dynamic security is controlled; absent for that of a broker of ours, if it has one.
    pub administrator: Option<Credentials>,
    /// The command of [`Means::Command`].
    pub command: Option<Arc<ExternalCommand>>,
}

/// A client that may connect, until it is removed.
#[derive(Debug)]
pub(super) struct Admitted {
    /// What it shows.
    pub(super) credentials: Credentials,
    means: Means,
    client_id: String,
    command: Option<Arc<ExternalCommand>>,
    control: Option<DynamicSecurity>,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
enum UnderWay {
    Asked(Asked),
    Running(Box<Running>),
}

/// The removal is confirmed by the one that carried it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// When this was told.
    pub(super) at: Instant,
    /// What a command said; empty when it said nothing.
    pub(super) said: String,
}

impl Removal {
    /// The longest that it may take until it is confirmed.
    pub(super) fn limit(&self, stage: &Stage) -> Duration {
        let of_command = self.command.as_ref().map(|command| command.limit());
        of_command.unwrap_or(stage.options.connect_timeout)
    }

    /// Lets a client in that is to be removed later.
    ///
    /// # Errors
    /// In words, when there is no administrator, or the broker does not let it in.
    pub(super) async fn admit(
        &self,
        stage: &Stage,
        version: ProtocolVersion,
        client_id: &str,
    ) -> Result<Admitted, String> {
        let administrator = self.administrator.as_ref().or(stage.administrator.as_ref());
        let mut admitted = Admitted {
            credentials: stage.credentials.clone(),
            means: self.means,
            client_id: client_id.to_owned(),
            command: self.command.clone(),
            control: None,
            under_way: None,
        };
        let Some(administrator) = administrator else {
            return match self.means {
                Means::Command => Ok(admitted),
                _ => Err("nobody is known who could remove a client of this broker: give --kick-cmd, or --admin-username \
                          for Mosquitto's dynamic security, or --spawn mosquitto"
                    .to_owned()),
            };
        };
        let name = format!("{client_id}a");
        let mut control = DynamicSecurity::connect(stage, version, administrator, name).await?;
        let password = draw_password();
        let made = control.carry_out(self.user(client_id, &password, &stage.topic_root)).await;
        admitted.credentials =
            Credentials { user_name: Some(client_id.to_owned()), password: Some(Secret::new(password)) };
        admitted.control = Some(control);
        if let Err(trouble) = made {
            admitted.undo().await;
            return Err(trouble);
        }
        Ok(admitted)
    }

    /// Commands that make the client's user, and a role for it that reaches no further than the topics of this run.
    fn user(&self, name: &str, password: &str, topic_root: &str) -> Vec<Value> {
        let topics = format!("{topic_root}/#");
        let rules = ["publishClientSend", "publishClientReceive", "subscribePattern", "unsubscribePattern"];
        let rules = rules.map(|kind| json!({ "acltype": kind, "topic": topics, "allow": true }));
        let role = json!({ "command": "createRole", "rolename": name, "acls": rules });
        let roles = json!([{ "rolename": name }]);
        let user = json!({ "command": "createClient", "username": name, "password": password });
        if self.means == Means::Group {
            let group = json!({ "command": "createGroup", "groupname": name, "roles": roles });
            let mut user = user;
            user["groups"] = json!([{ "groupname": name }]);
            return vec![role, group, user];
        }
        let mut user = user;
        user["roles"] = roles;
        vec![role, user]
    }
}

/// A password that can't be told from the run's seed, which is in its record.
fn draw_password() -> String {
    (0..4).map(|_| format!("{:08x}", Seed::draw().0)).collect()
}

impl Admitted {
    /// Has the client removed, and tells when that was asked for: the request had been handed to the kernel, or the
    /// command had been started.
    ///
    /// # Errors
    /// In words, when it can't be asked for.
    pub(super) async fn remove(&mut self, stage: &Stage) -> Result<Instant, String> {
        if let (Means::Command, Some(command)) = (self.means, &self.command) {
            let (host, port) =
                (stage.endpoint.address.ip().to_string(), stage.endpoint.address.port().to_string());
            let user_name = self.credentials.user_name.clone().unwrap_or_default();
            let values = [self.client_id.as_str(), user_name.as_str(), host.as_str(), port.as_str()];
            let placeholders: Vec<(&str, &str)> = PLACEHOLDERS.into_iter().zip(values).collect();
            let running = command.start(&placeholders)?;
            let at = running.started;
            self.under_way = Some(UnderWay::Running(Box::new(running)));
            return Ok(at);
        }
        let name = self.client_id.as_str();
        let command = match self.means {
            Means::Disable => json!({ "command": "disableClient", "username": name }),
            Means::Delete => json!({ "command": "deleteClient", "username": name }),
            Means::Password => {
                json!({ "command": "setClientPassword", "username": name, "password": draw_password() })
            }
            Means::Group => {
                json!({ "command": "removeGroupClient", "username": name, "groupname": name })
            }
            Means::Command => return Err("there is no command to remove the client with".to_owned()),
        };
        let control = self.control.as_mut().ok_or("nobody controls the dynamic security")?;
        let asked = control.ask([command]).await?;
        let at = asked.at;
        self.under_way = Some(UnderWay::Asked(asked));
        Ok(at)
    }

    /// Waits until the removal is confirmed.
    ///
    /// # Errors
    /// In words, when it was not done.
    pub(super) async fn confirmed(&mut self) -> Result<Confirmed, String> {
        match (self.under_way.take(), self.control.as_mut()) {
            (Some(UnderWay::Running(running)), _) => {
                let finished = running.finished(Told::LastLine).await?;
                Ok(Confirmed { at: finished.at, said: finished.said })
            }
            (Some(UnderWay::Asked(asked)), Some(control)) => {
                Ok(Confirmed { at: control.answered(&asked).await?.max(now()), said: String::new() })
            }
            _ => Err("nothing was asked for".to_owned()),
        }
    }

    /// Takes away what was made for the client.
    pub(super) async fn undo(mut self) {
        let Some(mut control) = self.control.take() else { return };
        let name = self.client_id.as_str();
        let mut commands = vec![json!({ "command": "deleteClient", "username": name })];
        if self.means == Means::Group {
            commands.push(json!({ "command": "deleteGroup", "groupname": name }));
        }
        // Last: Mosquitto 2.0.11 was seen to end with a segmentation fault when groups went after their roles.
        commands.push(json!({ "command": "deleteRole", "rolename": name }));
        // A user that was deleted already is refused, and the others are deleted all the same.
        let _as_far_as_it_goes = timeout(UNDONE_WITHIN, control.carry_out(commands)).await;
        control.leave().await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Means, Removal};

    #[test]
    fn a_user_gets_its_rights_by_a_role_or_by_its_group_and_only_within_the_run() {
        let made = |means| {
            let removal = Removal { means, administrator: None, command: None };
            removal.user("c1", "secret", "ungraceful/7")
        };
        let commands = made(Means::Disable);
        assert_eq!(commands.len(), 2);
        let rules = commands[0]["acls"].as_array().unwrap();
        assert!(rules.len() == 4 && rules.iter().all(|rule| rule["topic"] == "ungraceful/7/#"), "{rules:?}");
        assert_eq!(commands[1]["roles"][0]["rolename"], "c1");
        let commands = made(Means::Group);
        assert_eq!(commands[1]["command"], "createGroup");
        assert_eq!(commands[2]["groups"][0]["groupname"], "c1");
        assert!(commands[2].get("roles").is_none(), "the group alone gives it rights");
    }
}
