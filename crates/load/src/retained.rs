//! Removes what a load had retained when it is over: a message that stays behind greets every later subscriber, of
//! the next run too. It uses its own connection, so that it does not matter which connections of the load are still
//! there.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use ungraceful_mqtt::encode::pingreq;
use ungraceful_mqtt::{Framed, Packet, Publish, frame};
use ungraceful_record::load::RetainedRecord;
use ungraceful_rig::run::load::LoadStage;
use ungraceful_wire::clock::now;

use crate::handshake::connect;
use crate::settings::LoadSettings;

/// Limit of the whole removal: it keeps the user waiting after an interrupt.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
const DISCONNECT: [u8; 2] = [0xE0, 0];

pub(crate) fn remove(
    settings: &LoadSettings,
    stage: &LoadStage,
    topics: &BTreeSet<String>,
) -> RetainedRecord {
    let left_because = Remover::connect(settings, stage).and_then(|mut remover| remover.remove(topics)).err();
    RetainedRecord { topics: topics.len() as u64, left_because }
}

struct Remover<'s> {
    stage: &'s LoadStage,
    stream: TcpStream,
    read: Vec<u8>,
    deadline: std::time::Instant,
}

impl<'s> Remover<'s> {
    fn connect(settings: &LoadSettings, stage: &'s LoadStage) -> Result<Self, String> {
        let deadline = now() + WITHIN;
        let stream = TcpStream::connect_timeout(&stage.address, stage.connect_timeout.min(WITHIN))
            .map_err(|error| format!("cannot connect: {error}"))?;
        let mut remover = Self { stage, stream, read: Vec::new(), deadline };
        let client_id = format!("{}z", stage.client_id_prefix);
        let greeting = connect(&client_id, &stage.credentials, settings, stage.version)?;
        remover.write(&greeting)?;
        remover.await_packet("CONNACK", |packet| match packet {
            Packet::ConnAck(connack) if connack.is_accepted() => Some(Ok(())),
            Packet::ConnAck(connack) => Some(Err(format!("CONNACK 0x{:02X}", connack.code))),
            _ => None,
        })?;
        Ok(remover)
    }

    /// An empty retained message removes what is retained (MQTT 5.0 [MQTT-3.3.1-6], MQTT 3.1.1 [MQTT-3.3.1-10]). The PINGREQ
    /// behind them is answered when they have been taken.
    fn remove(&mut self, topics: &BTreeSet<String>) -> Result<(), String> {
        let mut bytes = Vec::new();
        for topic in topics {
            let empty = Publish { retain: true, ..Publish::new(topic, &[]) };
            empty.encode(self.stage.version, &mut bytes).map_err(|error| format!("PUBLISH: {error}"))?;
        }
        pingreq(&mut bytes);
        self.write(&bytes)?;
        self.await_packet("PINGRESP", |packet| matches!(packet, Packet::PingResp).then_some(Ok(())))?;
        let _gone_already = self.write(&DISCONNECT);
        let _gone_already = self.stream.shutdown(Shutdown::Write);
        Ok(())
    }

    fn left(&self) -> Result<Duration, String> {
        let left = self.deadline.saturating_duration_since(now());
        if left.is_zero() { Err(format!("it took longer than {} s", WITHIN.as_secs())) } else { Ok(left) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let left = self.left()?;
        self.stream
            .set_write_timeout(Some(left))
            .and_then(|()| self.stream.write_all(bytes))
            .map_err(|error| format!("cannot send: {error}"))
    }

    /// Reads until `wanted` has an answer.
    fn await_packet(
        &mut self,
        name: &str,
        wanted: impl Fn(&Packet<'_>) -> Option<Result<(), String>>,
    ) -> Result<(), String> {
        let mut buffer = [0; 4_096];
        loop {
            while let Framed::Complete(found) = frame(&self.read) {
                let length = found.bytes.len();
                if let Some(answer) = wanted(&found.decode(self.stage.version).packet) {
                    self.read.drain(..length);
                    return answer;
                }
                self.read.drain(..length);
            }
            // No broker sends anything longer here.
            if self.read.len() > buffer.len() {
                return Err(format!("something else came in place of {name}"));
            }
            let left = self.left()?;
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut buffer));
            match read {
                Ok(0) => return Err(format!("the broker closed the connection before its {name}")),
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) => return Err(format!("no {name}: {error}")),
            }
        }
    }
}
