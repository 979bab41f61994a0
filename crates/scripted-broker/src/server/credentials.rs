//! Credentials that end: users that an administrator removes with the commands of Mosquitto's dynamic security, and tokens
//! that expire.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::time::Instant;
use ungraceful_mqtt::{Auth, Connect, ConnectReturnCode, ProtocolVersion, Publish, ReasonCode};

use super::connection::Phase;
use super::{ConnectionId, Later, Server, answer};
use crate::message::Message;
use crate::policy::{Expiry, Reauthentication, Removal};

/// The topics of commands and of their answers.
const COMMANDS: &str = "$CONTROL/dynamic-security/v1";
const ANSWERS: &str = "$CONTROL/dynamic-security/v1/response";
/// The Authentication Method that the broker supports.
pub(super) const METHOD: &str = "JWT";

/// Users without full rights, by User Name. All others may do everything.
#[derive(Default)]
pub(super) struct Users {
    /// Those that may no longer connect.
    removed: BTreeSet<String>,
    /// Those that may connect, and nothing else.
    without_rights: BTreeSet<String>,
}

impl Server {
    /// Refuses a CONNECT whose user was removed or whose token has expired. True if it did.
    pub(super) fn refuses_credentials(
        &mut self,
        id: ConnectionId,
        connect: &Connect<'_>,
        version: ProtocolVersion,
    ) -> bool {
        let is_removed = connect.user_name.is_some_and(|name| self.users.removed.contains(name));
        let is_over = |left: Option<Duration>| left.is_some_and(|left| left.is_zero());
        let has_expired = self.script.expiry != Expiry::Ignore && is_over(time_left(connect));
        let is_malformed =
            self.script.expiry != Expiry::Ignore && token_fields(connect).any(is_malformed_token);
        if !is_removed && !has_expired && !is_malformed {
            return false;
        }
        if is_removed && self.script.removal == Removal::ServeRefused {
            let refusal =
                answer::refusal(version, ReasonCode::NOT_AUTHORIZED, ConnectReturnCode::NOT_AUTHORIZED);
            self.send(id, refusal);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.version = version;
                connection.phase = Phase::Serving;
            }
        } else {
            self.refuse(id, version, ReasonCode::NOT_AUTHORIZED);
        }
        true
    }

    /// Schedules the end of this CONNECT's token.
    pub(super) fn await_expiry(&mut self, id: ConnectionId, connect: &Connect<'_>) {
        if let Some(left) = time_left(connect) {
            self.await_end_of_token(id, left);
        }
    }

    fn await_end_of_token(&mut self, id: ConnectionId, left: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.tokens += 1;
        let later = match self.script.expiry {
            Expiry::CutAfter(time) => time,
            Expiry::DeliverOn | Expiry::Ignore => return,
            Expiry::Disconnect | Expiry::DisconnectCode(_) | Expiry::Fin => Duration::ZERO,
        };
        self.timers.add(Instant::now() + left + later, Later::Expire(id, connection.tokens));
    }

    /// Acts on the expiry of the token with this number, unless the Client has sent a newer one.
    pub(super) fn expire(&mut self, id: ConnectionId, number: u32) {
        if self.connections.get(&id).is_none_or(|connection| connection.tokens != number) {
            return;
        }
        match self.script.expiry {
            Expiry::Fin => self.hang_up(id),
            Expiry::DisconnectCode(code) => self.disconnect(id, ReasonCode(code)),
            _ => self.disconnect(id, ReasonCode::NOT_AUTHORIZED),
        }
    }

    /// AUTH from a Client that named the method in its CONNECT: a new token.
    pub(super) fn authenticate_again(&mut self, id: ConnectionId, auth: &Auth<'_>) {
        let policy = self.script.reauthentication;
        if let Some(code) = self.forbids_auth(id, auth) {
            if !self.rejects(id, code) && self.version(id) == ProtocolVersion::V5 {
                self.send_auth(id, 0, METHOD);
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let properties = auth.properties;
        if matches!(policy, Reauthentication::AcceptAnything | Reauthentication::ServeRefused) {
            // Cancels the expiry of its previous token.
            connection.tokens += 1;
        }
        let token = properties.authentication_data().filter(|token| !is_malformed_token(token));
        let left = token.and_then(expires_at_s).map(time_until).filter(|left| !left.is_zero());
        match policy {
            Reauthentication::Ignore => {}
            Reauthentication::Continue => self.send_auth(id, ReasonCode::CONTINUE_AUTHENTICATION.0, METHOD),
            Reauthentication::ServeRefused => self.send_auth(id, ReasonCode::NOT_AUTHORIZED.0, METHOD),
            Reauthentication::AcceptAnything => self.send_auth(id, 0, METHOD),
            Reauthentication::Fin => self.hang_up(id),
            Reauthentication::Refuse => self.disconnect(id, ReasonCode::NOT_AUTHORIZED),
            Reauthentication::Accept | Reauthentication::KeepOldEnd | Reauthentication::OtherMethod => {
                // MQTT 5.0 [MQTT-4.12.1-2].
                let Some(left) = left else { return self.disconnect(id, ReasonCode::NOT_AUTHORIZED) };
                if policy != Reauthentication::KeepOldEnd {
                    self.await_end_of_token(id, left);
                }
                self.send_auth(id, 0, if policy == Reauthentication::OtherMethod { "other" } else { METHOD });
            }
        }
    }

    /// The Reason Code for an AUTH that its Client may not send now; absent when it may.
    fn forbids_auth(&self, id: ConnectionId, auth: &Auth<'_>) -> Option<ReasonCode> {
        let has_method = self.connections.get(&id).is_some_and(|connection| connection.has_method);
        let is_asked_for = self.script.reauthentication == Reauthentication::Continue;
        match auth.reason_code {
            // MQTT 5.0 [MQTT-4.12.0-7].
            _ if !has_method => Some(ReasonCode::PROTOCOL_ERROR),
            // MQTT 5.0 [MQTT-4.12.1-1].
            _ if auth.properties.authentication_method() != Some(METHOD) => {
                Some(ReasonCode::BAD_AUTHENTICATION_METHOD)
            }
            ReasonCode::RE_AUTHENTICATE => None,
            ReasonCode::CONTINUE_AUTHENTICATION if is_asked_for => None,
            // MQTT 5.0 section 3.15.2.1: Success is the Server's.
            _ => Some(ReasonCode::PROTOCOL_ERROR),
        }
    }

    /// Written by hand, because an AUTH may not carry some of these Reason Codes.
    fn send_auth(&self, id: ConnectionId, code: u8, method: &str) {
        let length = u8::try_from(method.len()).expect("our methods have short names");
        let head = [0xF0, length + 5, code, length + 3, 0x15, 0, length];
        self.send(id, [&head, method.as_bytes()].concat());
    }

    /// Whether the user of this connection may subscribe.
    pub(super) fn may_subscribe(&self, id: ConnectionId) -> bool {
        let name = self.connections.get(&id).and_then(|connection| connection.user_name.as_ref());
        name.is_none_or(|name| !self.users.without_rights.contains(name))
    }

    /// Carries out a request to the dynamic security. False if the PUBLISH is not one.
    pub(super) fn administers(&mut self, id: ConnectionId, publish: &Publish<'_>) -> bool {
        if publish.topic != COMMANDS {
            return false;
        }
        let request: Value = serde_json::from_slice(publish.payload).unwrap_or_default();
        let commands = request["commands"].as_array().cloned().unwrap_or_default();
        let answers: Vec<Value> = commands.iter().map(|command| self.administer(id, command)).collect();
        let text = json!({ "responses": answers }).to_string();
        let message = Message::published(&Publish::new(ANSWERS, text.as_bytes()));
        let _taken = self.accept_message(&message, "");
        true
    }

    fn administer(&mut self, id: ConnectionId, command: &Value) -> Value {
        let name = command["username"].as_str().unwrap_or_default();
        let what = command["command"].as_str().unwrap_or_default();
        let mut answer = json!({ "command": what });
        if let Some(mark) = command.get("correlationData") {
            answer["correlationData"] = mark.clone();
        }
        match what {
            "createClient" => {
                self.users.removed.remove(name);
                self.users.without_rights.remove(name);
            }
            "disableClient" | "deleteClient" | "setClientPassword" | "removeGroupClient" => {
                if self.script.removal == Removal::Refuse {
                    answer["error"] = json!("Not allowed");
                    return answer;
                }
                self.remove_user(id, name, what == "removeGroupClient");
            }
            _ => {}
        }
        answer
    }

    fn remove_user(&mut self, administrator: ConnectionId, name: &str, keeps_password: bool) {
        let removal = self.script.removal;
        if removal == Removal::Ignore {
            return;
        }
        if removal != Removal::Readmit {
            let users = if keeps_password { &mut self.users.without_rights } else { &mut self.users.removed };
            users.insert(name.to_owned());
        }
        let is_removed = |user: Option<&str>| match removal {
            Removal::Everyone => true,
            _ => user == Some(name),
        };
        let mut ids: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(id, connection)| {
                **id != administrator
                    && connection.phase == Phase::Serving
                    && is_removed(connection.user_name.as_deref())
            })
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        for id in ids {
            match removal {
                Removal::Fin => self.hang_up(id),
                Removal::DeliverOn => self.send_disconnect(id, ReasonCode::ADMINISTRATIVE_ACTION),
                Removal::DisconnectCode(code) => self.disconnect(id, ReasonCode(code)),
                _ => self.disconnect(id, ReasonCode::ADMINISTRATIVE_ACTION),
            }
        }
    }
}

/// How long the token of a CONNECT remains valid, zero when it has expired; absent when there is none.
fn time_left(connect: &Connect<'_>) -> Option<Duration> {
    token_fields(connect).find_map(expires_at_s).map(time_until)
}

/// The fields of a CONNECT that may carry a token.
fn token_fields<'a>(connect: &Connect<'a>) -> impl Iterator<Item = &'a [u8]> {
    let data = connect.properties.authentication_data();
    [connect.password, connect.user_name.map(str::as_bytes), data].into_iter().flatten()
}

/// Whether this has an expiry, as a token does, but a signature that is not Base64.
fn is_malformed_token(token: &[u8]) -> bool {
    let signature = token.split(|byte| *byte == b'.').nth(2);
    expires_at_s(token).is_some() && signature.is_none_or(|text| URL_SAFE_NO_PAD.decode(text).is_err())
}

/// The `exp` of a JSON Web Token: seconds since 1970. Absent for anything else.
fn expires_at_s(token: &[u8]) -> Option<u64> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (_header, claims) = (parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["exp"].as_u64()
}

#[expect(clippy::disallowed_methods, reason = "a token's end is a time of day")]
fn time_until(at_s: u64) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(at_s).saturating_sub(now)
}
