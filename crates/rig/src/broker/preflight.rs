//! Before a run: is there a broker, does it speak the versions, does it accept us? Any reason not to start is
//! reported here, in one sentence.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;
use ungraceful_mqtt::{Connect, ConnectReturnCode, Packet, ProtocolVersion, ReasonCode};
use ungraceful_record::run::VersionRecord;
use ungraceful_record::scale::{micros, span};
use ungraceful_wire::{Arrival, ConnectOptions, Connection, Endpoint};

use crate::attempts::client::{Client, NotConnected};
use crate::broker::clients::Identity;

/// Why a run with this broker and version is not possible.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// The broker does not speak the version.
    VersionRefused {
        why: String,
        /// It closed without a CONNACK: it may not work at all any more.
        is_closed: bool,
    },
    /// It does not answer this CONNECT: it hangs, or there is none; or it speaks only 3.1.1, takes the properties of
    /// 5.0 for a long ClientID and waits for the rest.
    Silent(String),
    /// There is no broker.
    Unreachable(String),
    /// This broker is unusable in any version.
    Unusable(String),
}

/// Tries a well-behaved CONNECT of `version`, for at most twice the connect timeout.
pub(crate) async fn try_version(
    endpoint: Endpoint,
    options: &ConnectOptions,
    client: &Identity,
    version: ProtocolVersion,
) -> Result<VersionRecord, Unfit> {
    let options = &client.options(options);
    let opened = endpoint
        .open(options)
        .await
        .map_err(|error| Unfit::Unreachable(format!("cannot connect to {}: {error}", endpoint.address)))?;
    let connect = Client::honest_connect(&client.client_id, &client.credentials);
    let mut client = Client::new(opened.connection, version);
    let within = options.connect_timeout;
    match connect_keeping_properties(&mut client, &connect, within).await {
        Ok((time, connack_properties)) => {
            client.leave().await;
            Ok(VersionRecord {
                version: version.to_string(),
                spoken: true,
                why_not: None,
                connack_properties,
                connack_time_us: Some(micros(time)),
            })
        }
        Err(why) => Err(judge(endpoint, options, why).await),
    }
}

async fn connect_keeping_properties(
    client: &mut Client,
    connect: &Connect<'_>,
    within: Duration,
) -> Result<(Duration, BTreeMap<String, String>), NotConnected> {
    let (accepted, packet) = client.connect_with_packet(connect, within).await?;
    let mut properties = BTreeMap::new();
    if let Packet::ConnAck(connack) = packet.frame().decode(client.version).packet {
        // Properties that can't be read are left out here; the CONNACK itself was accepted.
        for property in connack.properties.iter().filter_map(Result::ok) {
            properties.insert(property.name().to_owned(), property.to_string());
        }
    }
    Ok((accepted.connack_at.saturating_duration_since(accepted.connect_sent), properties))
}

async fn judge(endpoint: Endpoint, options: &ConnectOptions, why: NotConnected) -> Unfit {
    let at = endpoint.address;
    match why {
        NotConnected::Refused { version, code } if refuses_version(version, code) => {
            Unfit::VersionRefused { why: format!("{at}: {why}"), is_closed: false }
        }
        NotConnected::Refused { version, code } if refuses_credentials(version, code) => {
            Unfit::Unusable(format!(
                "{at}: {why}; check --username and --pw (a password is best given in UNGRACEFUL_PW or --pw-file)"
            ))
        }
        // A broker that speaks another version only may just close.
        NotConnected::Ended(_) | NotConnected::Closed(_) => {
            Unfit::VersionRefused { why: format!("{at}: {why}"), is_closed: true }
        }
        NotConnected::Silent(within) => match asks_like_http(endpoint, options).await {
            Some(answer) => Unfit::Unusable(format!(
                "{at} speaks HTTP and not MQTT ({answer:?}): is this the broker's web port, or one for WebSocket (add --ws)?"
            )),
            None => Unfit::Silent(format!(
                "{at} accepts connections but does not answer a CONNECT within {}: a TLS port, a proxy without \
                 a broker behind it, or a broker that hangs",
                span(within)
            )),
        },
        NotConnected::NotConnack(ref what) if what.contains("HTTP/") => Unfit::Unusable(format!(
            "{at} speaks HTTP and not MQTT ({what}): is this the broker's web port, or one for WebSocket (add --ws)?"
        )),
        NotConnected::Broken(_)
        | NotConnected::NotConnack(_)
        | NotConnected::Challenged
        | NotConnected::Refused { .. }
        | NotConnected::Encoding(_) => Unfit::Unusable(format!("{at}: {why}")),
    }
}

fn refuses_version(version: ProtocolVersion, code: u8) -> bool {
    match version {
        ProtocolVersion::V3_1_1 => {
            ConnectReturnCode(code) == ConnectReturnCode::UNACCEPTABLE_PROTOCOL_VERSION
        }
        // A server that knows no 5.0 answers as 3.1.1 does, with 0x01.
        ProtocolVersion::V5 => ReasonCode(code) == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION || code == 1,
    }
}

fn refuses_credentials(version: ProtocolVersion, code: u8) -> bool {
    match version {
        ProtocolVersion::V3_1_1 => matches!(code, 4 | 5),
        ProtocolVersion::V5 => matches!(code, 0x86 | 0x87 | 0x8C),
    }
}

/// Tries HTTP: an HTTP server waits for the end of a line, which a CONNECT does not have.
async fn asks_like_http(endpoint: Endpoint, options: &ConnectOptions) -> Option<String> {
    const ANSWER_WITHIN: Duration = Duration::from_secs(1);
    let mut connection: Connection = endpoint.open(options).await.ok()?.connection;
    connection.send(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    let arrival = timeout(ANSWER_WITHIN, connection.next()).await.ok()?;
    let bytes = match arrival {
        Arrival::Packet(packet) => packet.bytes,
        Arrival::Unframeable { bytes, .. } => bytes,
        Arrival::End(end) => end.unfinished,
    };
    connection.close();
    let text = String::from_utf8_lossy(&bytes);
    text.starts_with("HTTP/").then(|| text.lines().next().unwrap_or_default().chars().take(60).collect())
}
