//! Removes what a load had retained when it is over: a message that stays behind greets every later subscriber, of
//! the next run too. It uses its own connection, so that it does not matter which connections of the load are still
//! there.

use std::time::Duration;

use tokio::time::timeout;
use ungraceful_mqtt::encode::pingreq;
use ungraceful_mqtt::{Packet, ProtocolVersion, Publish};
use ungraceful_record::load::RetainedRecord;
use ungraceful_rig::broker::clients::Identity;
use ungraceful_rig::run::load::LoadStage;
use ungraceful_wire::{Arrival, ConnectOptions, Connection};

use crate::handshake::connect;
use crate::settings::LoadSettings;

/// Limit of the whole removal: it keeps the user waiting after an interrupt.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
const DISCONNECT: [u8; 2] = [0xE0, 0];

/// Each client removes what is retained on its topics.
pub(crate) fn remove(
    settings: &LoadSettings,
    stage: &LoadStage,
    topics: &[(Identity, Vec<String>)],
) -> RetainedRecord {
    let count = topics.iter().map(|(_, topics)| topics.len() as u64).sum();
    let removing = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        runtime.block_on(async {
            let all = async {
                for (who, topics) in topics {
                    remove_each(settings, stage, who, topics).await?;
                }
                Ok(())
            };
            let removed = timeout(WITHIN, all).await;
            removed.unwrap_or_else(|_elapsed| Err(format!("it took longer than {} s", WITHIN.as_secs())))
        })
    };
    // On a thread of its own, because the caller's may have a runtime already.
    let removed = std::thread::scope(|scope| scope.spawn(removing).join());
    let left_because = removed.unwrap_or_else(|_panic| Err("its thread panicked".to_owned())).err();
    RetainedRecord { topics: count, left_because }
}

/// An empty retained message removes what is retained (MQTT 5.0 [MQTT-3.3.1-6], MQTT 3.1.1 [MQTT-3.3.1-10]). The PINGREQ behind them
/// is answered when they have been taken.
async fn remove_each(
    settings: &LoadSettings,
    stage: &LoadStage,
    who: &Identity,
    topics: &[String],
) -> Result<(), String> {
    let version = stage.version;
    let options = ConnectOptions {
        connect_timeout: stage.connect_timeout.min(WITHIN),
        transport: who.transport(&stage.transport),
        ..ConnectOptions::default()
    };
    let node = stage.nodes.first();
    let opened = node.endpoint.open(&node.options(&options)).await;
    let mut connection = opened.map_err(|error| format!("cannot connect: {error}"))?.connection;
    send(&mut connection, &connect(who, settings, version)?).await?;
    await_packet(&mut connection, version, "CONNACK", |packet| match packet {
        Packet::ConnAck(connack) if connack.is_accepted() => Some(Ok(())),
        Packet::ConnAck(connack) => Some(Err(format!("CONNACK 0x{:02X}", connack.code))),
        _ => None,
    })
    .await?;
    let mut bytes = Vec::new();
    for topic in topics {
        let empty = Publish { retain: true, ..Publish::new(topic, &[]) };
        empty.encode(version, &mut bytes).map_err(|error| format!("PUBLISH: {error}"))?;
    }
    pingreq(&mut bytes);
    send(&mut connection, &bytes).await?;
    let is_answer = |packet: &Packet<'_>| matches!(packet, Packet::PingResp).then_some(Ok(()));
    await_packet(&mut connection, version, "PINGRESP", is_answer).await?;
    let _gone_already = send(&mut connection, &DISCONNECT).await;
    connection.close_properly();
    Ok(())
}

async fn send(connection: &mut Connection, bytes: &[u8]) -> Result<(), String> {
    connection.send(bytes).await.map(drop).map_err(|error| format!("cannot send: {error}"))
}

/// Reads until `wanted` has an answer.
async fn await_packet(
    connection: &mut Connection,
    version: ProtocolVersion,
    name: &str,
    wanted: impl Fn(&Packet<'_>) -> Option<Result<(), String>>,
) -> Result<(), String> {
    loop {
        match connection.next().await {
            Arrival::Packet(packet) => {
                if let Some(answer) = wanted(&packet.frame().decode(version).packet) {
                    return answer;
                }
            }
            Arrival::Unframeable { why, .. } => return Err(format!("{why} came in place of {name}")),
            Arrival::End(_) => return Err(format!("the broker closed the connection before its {name}")),
        }
    }
}
