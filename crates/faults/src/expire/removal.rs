//! How an operator removes a client: with Mosquitto's dynamic-security plug-in, or with a command given by the user.
//!
//! With the dynamic security, each client gets a user, a role and a group of its own, with rights only for the topics of the run.
//! They are deleted after the attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_rig::broker::external_command::{ExternalCommand, Running, Show};
use ungraceful_rig::broker::target::{Credentials, Secret};
use ungraceful_rig::run::seed::Seed;
use ungraceful_wire::clock::now;

use super::dynamic_security::{DynamicSecurity, Request};

/// How long the clean-up may take.
const CLEAN_UP_WITHIN: Duration = Duration::from_secs(2);

/// The placeholders of the user's command.
pub const PLACEHOLDERS: [&str; 4] = ["client_id", "username", "host", "port"];

ungraceful_record::words! {
    /// How a client is removed.
    pub enum Means: "variant" {
        /// Its user is disabled.
        Disable = "disable",
        /// Its user is deleted.
        Delete = "delete",
        /// Its user gets another password; its rights stay.
        Password = "password",
        /// Its user is removed from the group with the rights to publish and subscribe; its password stays.
        Group = "group",
        /// A command given by the user.
        Command = "command",
    }
}

impl Means {
    /// The means that need the dynamic security.
    pub const OF_DYNAMIC_SECURITY: [Self; 4] = [Self::Disable, Self::Delete, Self::Password, Self::Group];

    /// What the client loses.
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

/// What a client loses by its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// The right to connect and to publish.
    Everything,
    /// Its password; its user may still publish.
    Password,
    /// The right to publish and to subscribe; it may still connect.
    Rights,
    /// Not known: perhaps only its connection.
    Unknown,
}

/// How clients are removed.
#[derive(Clone, Debug)]
pub struct Removal {
    /// The means.
    pub means: Means,
    /// The administrator of the dynamic security; absent for that of the broker that the run started, if it has one.
    pub administrator: Option<Credentials>,
    /// The command of [`Means::Command`].
    pub command: Option<Arc<ExternalCommand>>,
}

/// A client that may connect until it is removed.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) credentials: Credentials,
    means: Means,
    client_id: String,
    command: Option<Arc<ExternalCommand>>,
    control: Option<DynamicSecurity>,
    pending: Option<Pending>,
}

/// A removal that is not confirmed yet.
#[derive(Debug)]
enum Pending {
    Request(Request),
    Command(Box<Running>),
}

/// A removal that the plug-in or the command confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// When the confirmation came.
    pub(super) at: Instant,
    /// The last line of a command; empty when it printed nothing.
    pub(super) last_line: String,
}

impl Removal {
    /// The maximum time until the confirmation.
    pub(super) fn limit(&self, stage: &Stage) -> Duration {
        let of_command = self.command.as_ref().map(|command| command.limit());
        of_command.unwrap_or(stage.options.connect_timeout)
    }

    /// Creates the user of a client where the dynamic security is used.
    ///
    /// # Errors
    /// A message for the user when there is no administrator, or the broker rejects a command.
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
            pending: None,
        };
        let Some(administrator) = administrator else {
            return match self.means {
                Means::Command => Ok(admitted),
                _ => Err("there is no way to remove a client of this broker: give --kick-cmd, --admin-username for \
                          Mosquitto's dynamic security, or --spawn mosquitto"
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

    /// Commands that create the client's user, and a role for it with rights only for the topics of this run.
    fn user(&self, name: &str, password: &str, topic_root: &str) -> Vec<Value> {
        let topics = format!("{topic_root}/#");
        let rules = ["publishClientSend", "publishClientReceive", "subscribePattern", "unsubscribePattern"];
        let rules = rules.map(|kind| json!({ "acltype": kind, "topic": topics, "allow": true }));
        let role = json!({ "command": "createRole", "rolename": name, "acls": rules });
        let roles = json!([{ "rolename": name }]);
        let mut user = json!({ "command": "createClient", "username": name, "password": password });
        if self.means == Means::Group {
            let group = json!({ "command": "createGroup", "groupname": name, "roles": roles });
            user["groups"] = json!([{ "groupname": name }]);
            return vec![role, group, user];
        }
        user["roles"] = roles;
        vec![role, user]
    }
}

/// A password that cannot be derived from the run's seed, which is in its record.
fn draw_password() -> String {
    (0..4).map(|_| format!("{:08x}", Seed::draw().0)).collect()
}

impl Admitted {
    /// Starts the removal, and returns when the request was handed to the kernel or the command was started.
    ///
    /// # Errors
    /// A message for the user when the removal cannot be started.
    pub(super) async fn remove(&mut self, stage: &Stage) -> Result<Instant, String> {
        if let (Means::Command, Some(command)) = (self.means, &self.command) {
            let address = stage.nodes.first().endpoint.address;
            let (host, port) = (address.ip().to_string(), address.port().to_string());
            let user_name = self.credentials.user_name.clone().unwrap_or_default();
            let values = [self.client_id.as_str(), user_name.as_str(), host.as_str(), port.as_str()];
            let placeholders: Vec<(&str, &str)> = PLACEHOLDERS.into_iter().zip(values).collect();
            let running = command.start(&placeholders)?;
            let at = running.started;
            self.pending = Some(Pending::Command(Box::new(running)));
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
        let control = self.control.as_mut().ok_or("there is no connection to the dynamic security")?;
        let request = control.send([command]).await?;
        let at = request.at;
        self.pending = Some(Pending::Request(request));
        Ok(at)
    }

    /// Waits until the removal is confirmed.
    ///
    /// # Errors
    /// A message for the user when the removal failed.
    pub(super) async fn confirmed(&mut self) -> Result<Confirmed, String> {
        match (self.pending.take(), self.control.as_mut()) {
            (Some(Pending::Command(running)), _) => {
                let finished = running.finished(Show::LastLine).await?;
                Ok(Confirmed { at: finished.at, last_line: finished.last_line })
            }
            (Some(Pending::Request(request)), Some(control)) => {
                Ok(Confirmed { at: control.answered(&request).await?.max(now()), last_line: String::new() })
            }
            _ => Err("the removal was not started".to_owned()),
        }
    }

    /// Deletes what was created for the client.
    pub(super) async fn undo(mut self) {
        let Some(mut control) = self.control.take() else { return };
        let name = self.client_id.as_str();
        let mut commands = vec![json!({ "command": "deleteClient", "username": name })];
        if self.means == Means::Group {
            commands.push(json!({ "command": "deleteGroup", "groupname": name }));
        }
        // Last: Mosquitto 2.0.11 crashed with a segmentation fault when groups were deleted after their roles.
        commands.push(json!({ "command": "deleteRole", "rolename": name }));
        // For a user that is already deleted the plug-in reports an error, and still runs the other commands.
        let _best_effort = timeout(CLEAN_UP_WITHIN, control.carry_out(commands)).await;
        control.leave().await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Means, Removal};

    #[test]
    fn a_user_has_its_rights_by_role_or_group_and_only_in_the_run() {
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
        assert!(commands[2].get("roles").is_none(), "only the group gives it rights");
    }
}
