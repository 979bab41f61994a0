//! An administrator of Mosquitto's dynamic-security plug-in: a client that sends commands to `$CONTROL/dynamic-security/v1`
//! and reads the answers.
//!
//! The plug-in sends every answer to all subscribers, so each request carries an identifier of its own.

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

/// A request that awaits its answer.
#[derive(Clone, Debug)]
pub struct Request {
    id: String,
    /// When it was handed to the kernel.
    pub at: Instant,
}

impl DynamicSecurity {
    /// Connects as an administrator, with the ClientID `name`.
    ///
    /// # Errors
    /// A message for the user when the broker refuses the connection.
    pub async fn connect(
        stage: &Stage,
        version: ProtocolVersion,
        administrator: &Credentials,
        name: String,
    ) -> Result<Self, String> {
        let within = stage.options.connect_timeout;
        let error = |what: String| format!("the administrator of the dynamic security: {what}");
        let connect = Client::honest_connect(&name, administrator);
        let (mut peer, _) = Peer::connect(stage, version, &connect).await.map_err(error)?;
        peer.subscribe(ANSWERS, QoS::AtMostOnce, within).await.map_err(error)?;
        Ok(Self { client: peer.client, name, requests: 0, within })
    }

    /// Sends commands, and does not wait for the answer.
    ///
    /// # Errors
    /// A message for the user when the connection has ended.
    pub async fn send(&mut self, commands: impl IntoIterator<Item = Value>) -> Result<Request, String> {
        self.requests += 1;
        let id = format!("{}-{}", self.name, self.requests);
        let commands = commands.into_iter().map(|mut command| {
            command["correlationData"] = json!(id);
            command
        });
        let request = json!({ "commands": commands.collect::<Vec<_>>() }).to_string();
        let mut bytes = Vec::new();
        Publish::new(TOPIC, request.as_bytes())
            .encode(self.client.version, &mut bytes)
            .map_err(|error| format!("cannot encode the request: {error}"))?;
        let sent = self.client.connection.send(&bytes).await;
        let sent = sent.map_err(|error| format!("the administrator's connection has ended: {error}"))?;
        Ok(Request { id, at: sent.at })
    }

    /// Waits for the answer, and returns when it came.
    ///
    /// # Errors
    /// A message for the user when the plug-in refuses a command, or no answer comes.
    pub async fn answered(&mut self, request: &Request) -> Result<Instant, String> {
        let deadline = now() + self.within;
        loop {
            let arrival = tokio::select! {
                biased;
                arrival = self.client.connection.next() => arrival,
                () = tokio::time::sleep_until(tokio::time::Instant::from_std(deadline)) => {
                    return Err(format!(
                        "no answer on {ANSWERS} within {}: check that the broker has Mosquitto's dynamic-security plug-in \
                         and that this administrator may control it",
                        span(self.within)
                    ));
                }
            };
            match arrival {
                Arrival::Packet(packet) => {
                    let Packet::Publish(publish) = packet.frame().decode(self.client.version).packet else {
                        continue;
                    };
                    if let Some(answer) = answer_to(publish.payload, &request.id) {
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
    /// As [`Self::send`] and [`Self::answered`].
    pub async fn carry_out(&mut self, commands: impl IntoIterator<Item = Value>) -> Result<(), String> {
        let request = self.send(commands).await?;
        self.answered(&request).await.map(|_| ())
    }

    /// Disconnects, and reads to the end: the plug-in sends this client the answers to other administrators too, and a broker that
    /// writes one to a closed socket before it reads the DISCONNECT logs a lost connection.
    pub async fn leave(self) {
        self.client.leave_and_await_close().await;
    }
}

/// The plug-in's answer to the request with this identifier: success, or the first command that failed. Absent when the text is
/// about another request.
fn answer_to(text: &[u8], id: &str) -> Option<Result<(), String>> {
    let answer: Value = serde_json::from_slice(text).ok()?;
    let responses = answer["responses"].as_array()?;
    let mut ours = responses.iter().filter(|response| response["correlationData"] == id).peekable();
    ours.peek()?;
    let refused = ours.find_map(|response| {
        let error = response["error"].as_str()?;
        Some(format!(
            "the dynamic security rejected {}: {error}",
            response["command"].as_str().unwrap_or("a command")
        ))
    });
    Some(refused.map_or(Ok(()), Err))
}

#[cfg(test)]
mod tests {
    use super::answer_to;

    #[test]
    fn only_the_answer_to_the_own_request_counts() {
        let done = br#"{"responses":[{"command":"createRole","correlationData":"a-1"},{"command":"createClient","correlationData":"a-1"}]}"#;
        assert_eq!(answer_to(done, "a-1"), Some(Ok(())));
        for other in [&done[..], b"{}", b"no JSON", br#"{"responses":[{"command":"enableClient"}]}"#] {
            assert_eq!(answer_to(other, "b-1"), None);
        }
    }

    #[test]
    fn a_rejected_command_is_reported_with_its_reason() {
        let refused = br#"{"responses":[{"command":"createRole","correlationData":"a-2"},{"command":"deleteClient","error":"Client not found","correlationData":"a-2"}]}"#;
        let why = answer_to(refused, "a-2").unwrap().unwrap_err();
        assert_eq!(why, "the dynamic security rejected deleteClient: Client not found");
    }
}
