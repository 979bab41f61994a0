//! An administrator of Mosquitto's dynamic-security plug-in: a client that sends commands to
//! `$CONTROL/dynamic-security/v1` and reads the answers.
//!
//! The plug-in tells every answer to all that have subscribed to them, so each request carries a text of its own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ungraceful_mqtt::{Packet, ProtocolVersion, Publish, QoS};
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_rig::broker::target::Credentials;
use ungraceful_wire::Arrival;
use ungraceful_wire::clock::now;

use crate::peer::Peer;

const TOPIC: &str = "$CONTROL/dynamic-security/v1";
const ANSWERS: &str = "$CONTROL/dynamic-security/v1/response";

/// The administrator's connection.
#[derive(Debug)]
pub struct DynamicSecurity {
    client: Client,
    name: String,
    requests: u32,
    within: Duration,
}

/// A request whose answer is awaited.
#[derive(Clone, Debug)]
pub struct Asked {
    mark: String,
    /// When it had been handed to the kernel.
    pub at: Instant,
}

impl DynamicSecurity {
    /// Connects as an administrator, with the ClientID `name`.
    ///
    /// # Errors
    /// In words, when the broker does not let it.
    pub async fn connect(
        stage: &Stage,
        version: ProtocolVersion,
        administrator: &Credentials,
        name: String,
    ) -> Result<Self, String> {
        let within = stage.options.connect_timeout;
        let told = |what: String| format!("the administrator of the dynamic security: {what}");
        let connect = Client::honest_connect(&name, administrator);
        let (mut peer, _) = Peer::connect(stage, version, &connect).await.map_err(told)?;
        peer.subscribe(ANSWERS, QoS::AtMostOnce, within).await.map_err(told)?;
        Ok(Self { client: peer.client, name, requests: 0, within })
    }

    /// Sends commands, and does not wait for what becomes of them.
    ///
    /// # Errors
    /// In words, when the connection has ended.
    pub async fn ask(&mut self, commands: impl IntoIterator<Item = Value>) -> Result<Asked, String> {
        self.requests += 1;
        let mark = format!("{}-{}", self.name, self.requests);
        let commands = commands.into_iter().map(|mut command| {
            command["correlationData"] = json!(mark);
            command
        });
        let request = json!({ "commands": commands.collect::<Vec<_>>() }).to_string();
        let mut bytes = Vec::new();
        Publish::new(TOPIC, request.as_bytes())
            .encode(self.client.version, &mut bytes)
            .map_err(|error| format!("cannot encode the request: {error}"))?;
        let sent = self.client.connection.send(&bytes).await;
        let sent = sent.map_err(|error| format!("the administrator's connection has ended: {error}"))?;
        Ok(Asked { mark, at: sent.at })
    }

    /// Waits for the answer, and tells when it came.
    ///
    /// # Errors
    /// In words, when the plug-in refuses a command, or nothing comes.
    pub async fn answered(&mut self, asked: &Asked) -> Result<Instant, String> {
        let deadline = now() + self.within;
        loop {
            let arrival = tokio::select! {
                biased;
                arrival = self.client.connection.next() => arrival,
                () = tokio::time::sleep_until(tokio::time::Instant::from_std(deadline)) => {
                    return Err(format!(
                        "no answer on {ANSWERS} within {}: does the broker have Mosquitto's dynamic-security plug-in, \
                         and may this administrator control it?",
                        span(self.within)
                    ));
                }
            };
            match arrival {
                Arrival::Packet(packet) => {
                    let Packet::Publish(publish) = packet.frame().decode(self.client.version).packet else {
                        continue;
                    };
                    if let Some(answer) = answer_to(publish.payload, &asked.mark) {
                        return answer.map(|()| packet.complete_at);
                    }
                }
                Arrival::Unframeable { .. } => {}
                Arrival::End(_) => {
                    return Err("the broker ended the administrator's connection".to_owned());
                }
            }
        }
    }

    /// Sends commands and waits for the answer.
    ///
    /// # Errors
    /// As [`Self::ask`] and [`Self::answered`].
    pub async fn carry_out(&mut self, commands: impl IntoIterator<Item = Value>) -> Result<(), String> {
        let asked = self.ask(commands).await?;
        self.answered(&asked).await.map(|_| ())
    }

    /// Leaves.
    pub async fn leave(self) {
        self.client.leave().await;
    }
}

/// What the plug-in says of the request with this mark: that all of it was done, or the first command that was not.
/// Absent when the text is about another request.
fn answer_to(text: &[u8], mark: &str) -> Option<Result<(), String>> {
    let answer: Value = serde_json::from_slice(text).ok()?;
    let responses = answer["responses"].as_array()?;
    let mut ours = responses.iter().filter(|response| response["correlationData"] == mark).peekable();
    ours.peek()?;
    let refused = ours.find_map(|response| {
        let error = response["error"].as_str()?;
        Some(format!(
            "the dynamic security does not carry out {}: {error}",
            response["command"].as_str().unwrap_or("a command")
        ))
    });
    Some(refused.map_or(Ok(()), Err))
}

#[cfg(test)]
mod tests {
    use super::answer_to;

    #[test]
    fn an_answer_is_that_to_our_own_request() {
        let done = br#"{"responses":[{"command":"createRole","correlationData":"a-1"},{"command":"createClient","correlationData":"a-1"}]}"#;
        assert_eq!(answer_to(done, "a-1"), Some(Ok(())));
        for other in [&done[..], b"{}", b"no JSON", br#"{"responses":[{"command":"enableClient"}]}"#] {
            assert_eq!(answer_to(other, "b-1"), None);
        }
    }

    #[test]
    fn one_command_that_is_refused_is_told_with_its_reason() {
        let refused = br#"{"responses":[{"command":"createRole","correlationData":"a-2"},{"command":"deleteClient","error":"Client not found","correlationData":"a-2"}]}"#;
        let told = answer_to(refused, "a-2").unwrap().unwrap_err();
        assert_eq!(told, "the dynamic security does not carry out deleteClient: Client not found");
    }
}
