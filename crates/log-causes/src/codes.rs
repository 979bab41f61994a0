//! The cause of each Reason Code of MQTT 5.0 and Connect Return Code of MQTT 3.1.1, and of the codes of client libraries, WebSocket and
//! clouds.

use ungraceful_mqtt::ReasonCode;

use crate::cause::Cause;

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Reason Code of MQTT 5.0.
    V5,
    /// A Connect Return Code of MQTT 3.1.1.
    V3,
    /// A code or name of this library, protocol or service.
    Other(&'static str),
}

impl Kind {
    /// The text for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "MQTT 5.0",
            Self::V3 => "MQTT 3.1.1",
            Self::Other(name) => name,
        }
    }
}

/// A code as a user names it, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its number; absent for a code that is a name alone.
    pub number: Option<i32>,
    /// Whose code it is.
    pub kind: Kind,
    /// Its name in the standard or the documentation.
    pub name: &'static str,
    /// Its cause.
    pub cause: Cause,
}

const MOSQUITTO: Kind = Kind::Other("libmosquitto, mosquitto_sub and paho-mqtt (Python)");
const PUB_SUB: Kind = Kind::Other("PubSubClient (Arduino)");
const PAHO_C: Kind = Kind::Other("paho (C)");
const PAHO_JAVA: Kind = Kind::Other("paho (Java)");
const WEB_SOCKET: Kind = Kind::Other("WebSocket");
const ERRNO: Kind = Kind::Other("errno (Linux)");
const AWS: Kind = Kind::Other("AWS IoT Core");
const IOT_HUB: Kind = Kind::Other("Azure IoT Hub");

/// Codes outside the standard.
const OTHERS: [(Option<i32>, Kind, &str, Cause); 55] = [
    (Some(2), MOSQUITTO, "MOSQ_ERR_PROTOCOL", Cause::ProtocolError),
    (Some(4), MOSQUITTO, "MOSQ_ERR_NO_CONN", Cause::PeerClosed),
    (Some(5), MOSQUITTO, "MOSQ_ERR_CONN_REFUSED", Cause::Refused),
    (Some(7), MOSQUITTO, "MOSQ_ERR_CONN_LOST, MQTT_ERR_CONN_LOST", Cause::PeerClosed),
    (Some(8), MOSQUITTO, "MOSQ_ERR_TLS", Cause::Tls),
    (Some(9), MOSQUITTO, "MOSQ_ERR_PAYLOAD_SIZE", Cause::PacketTooLarge),
    (Some(10), MOSQUITTO, "MOSQ_ERR_NOT_SUPPORTED", Cause::NotSupported),
    (Some(11), MOSQUITTO, "MOSQ_ERR_AUTH", Cause::BadCredentials),
    (Some(12), MOSQUITTO, "MOSQ_ERR_ACL_DENIED", Cause::NotAuthorized),
    (Some(14), MOSQUITTO, "MOSQ_ERR_ERRNO", Cause::Network),
    (Some(15), MOSQUITTO, "MOSQ_ERR_EAI: the host name does not resolve", Cause::Unreachable),
    (Some(16), MOSQUITTO, "MOSQ_ERR_PROXY", Cause::Unreachable),
    (Some(18), MOSQUITTO, "MOSQ_ERR_MALFORMED_UTF8", Cause::Malformed),
    (Some(19), MOSQUITTO, "MOSQ_ERR_KEEPALIVE", Cause::NoPingresp),
    (Some(-4), PUB_SUB, "MQTT_CONNECTION_TIMEOUT", Cause::NoPingresp),
    (Some(-3), PUB_SUB, "MQTT_CONNECTION_LOST", Cause::PeerClosed),
    (Some(-2), PUB_SUB, "MQTT_CONNECT_FAILED", Cause::Unreachable),
    (Some(-1), PUB_SUB, "MQTT_DISCONNECTED", Cause::PeerClosed),
    (Some(-1), PAHO_C, "MQTTCLIENT_FAILURE, MQTTASYNC_FAILURE", Cause::Unreachable),
    (Some(-3), PAHO_C, "MQTTCLIENT_DISCONNECTED, MQTTASYNC_DISCONNECTED", Cause::PeerClosed),
    (Some(-4), PAHO_C, "MQTTCLIENT_MAX_MESSAGES_INFLIGHT", Cause::ReceiveMaximum),
    (Some(32_000), PAHO_JAVA, "REASON_CODE_CLIENT_TIMEOUT", Cause::NoPingresp),
    (Some(32_002), PAHO_JAVA, "REASON_CODE_WRITE_TIMEOUT", Cause::Network),
    (Some(32_103), PAHO_JAVA, "REASON_CODE_SERVER_CONNECT_ERROR", Cause::Unreachable),
    (Some(32_104), PAHO_JAVA, "REASON_CODE_CLIENT_NOT_CONNECTED", Cause::PeerClosed),
    (Some(32_109), PAHO_JAVA, "REASON_CODE_CONNECTION_LOST", Cause::PeerClosed),
    (Some(32_202), PAHO_JAVA, "REASON_CODE_MAX_INFLIGHT", Cause::ReceiveMaximum),
    (Some(32), ERRNO, "EPIPE, Broken pipe", Cause::PeerClosed),
    (Some(104), ERRNO, "ECONNRESET, Connection reset by peer", Cause::PeerClosed),
    (Some(110), ERRNO, "ETIMEDOUT, Connection timed out", Cause::Network),
    (Some(111), ERRNO, "ECONNREFUSED, Connection refused", Cause::Unreachable),
    (Some(113), ERRNO, "EHOSTUNREACH, No route to host", Cause::Unreachable),
    (Some(1_001), WEB_SOCKET, "Going Away", Cause::PeerClosed),
    (Some(1_002), WEB_SOCKET, "Protocol error", Cause::WebSocket),
    (Some(1_003), WEB_SOCKET, "Unsupported Data, such as a text frame", Cause::WebSocket),
    (Some(1_006), WEB_SOCKET, "closed without a Close frame", Cause::PeerClosed),
    (Some(1_008), WEB_SOCKET, "Policy Violation", Cause::Kicked),
    (Some(1_009), WEB_SOCKET, "Message Too Big", Cause::PacketTooLarge),
    (Some(1_011), WEB_SOCKET, "Internal Error", Cause::ServerError),
    (Some(1_012), WEB_SOCKET, "Service Restart", Cause::Shutdown),
    (Some(1_015), WEB_SOCKET, "TLS handshake failure", Cause::Tls),
    (None, AWS, "DUPLICATE_CLIENTID, DUPLICATE_CLIENT_ID", Cause::TakeOver),
    (None, AWS, "MQTT_KEEP_ALIVE_TIMEOUT", Cause::KeepAlive),
    (None, AWS, "CONNECTION_LOST", Cause::Lost),
    (None, AWS, "CLIENT_ERROR", Cause::ProtocolError),
    (None, AWS, "AUTH_ERROR", Cause::NotAuthorized),
    (None, AWS, "FORBIDDEN_ACCESS", Cause::NotAuthorized),
    (None, AWS, "THROTTLED", Cause::Quota),
    (None, AWS, "SERVER_ERROR", Cause::ServerError),
    (None, AWS, "SERVER_INITIATED_DISCONNECT", Cause::Shutdown),
    (None, AWS, "WEBSOCKET_TTL_EXPIRATION, CUSTOMAUTH_TTL_EXPIRATION", Cause::CredentialsExpired),
    (None, AWS, "API_INITIATED_DISCONNECT", Cause::Kicked),
    (Some(404_104), IOT_HUB, "DeviceConnectionClosedRemotely", Cause::Lost),
    (Some(400_027), IOT_HUB, "ConnectionForcefullyClosedOnNewConnection", Cause::TakeOver),
    (Some(401_003), IOT_HUB, "IoTHubUnauthorized", Cause::BadCredentials),
];

/// The Connect Return Codes of MQTT 3.1.1 (table 3.1), and the non-standard 6 of aedes.
const V3: [(u8, &str, Cause); 6] = [
    (1, "Connection Refused, unacceptable protocol version", Cause::ProtocolVersion),
    (2, "Connection Refused, identifier rejected", Cause::ClientId),
    (3, "Connection Refused, Server unavailable", Cause::Overload),
    (4, "Connection Refused, bad user name or password", Cause::BadCredentials),
    (5, "Connection Refused, not authorized", Cause::NotAuthorized),
    (6, "keep alive limit exceeded (only aedes; not in the standard)", Cause::Refused),
];

/// The cause of a Reason Code of MQTT 5.0; absent for codes that are no failure.
#[must_use]
pub fn cause_of_reason_code(code: ReasonCode) -> Option<Cause> {
    Some(match code {
        ReasonCode::UNSPECIFIED_ERROR | ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR => Cause::ServerError,
        ReasonCode::MALFORMED_PACKET => Cause::Malformed,
        ReasonCode::PROTOCOL_ERROR => Cause::ProtocolError,
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => Cause::ProtocolVersion,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => Cause::ClientId,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => Cause::BadCredentials,
        ReasonCode::NOT_AUTHORIZED => Cause::NotAuthorized,
        ReasonCode::SERVER_UNAVAILABLE | ReasonCode::SERVER_BUSY => Cause::Overload,
        ReasonCode::BANNED => Cause::Banned,
        ReasonCode::SERVER_SHUTTING_DOWN => Cause::Shutdown,
        ReasonCode::BAD_AUTHENTICATION_METHOD => Cause::AuthMethod,
        ReasonCode::KEEP_ALIVE_TIMEOUT => Cause::KeepAlive,
        ReasonCode::SESSION_TAKEN_OVER => Cause::TakeOver,
        ReasonCode::TOPIC_FILTER_INVALID | ReasonCode::TOPIC_NAME_INVALID => Cause::Topic,
        ReasonCode::PACKET_IDENTIFIER_IN_USE | ReasonCode::PACKET_IDENTIFIER_NOT_FOUND => {
            Cause::PacketIdentifier
        }
        ReasonCode::RECEIVE_MAXIMUM_EXCEEDED => Cause::ReceiveMaximum,
        ReasonCode::TOPIC_ALIAS_INVALID => Cause::TopicAlias,
        ReasonCode::PACKET_TOO_LARGE => Cause::PacketTooLarge,
        ReasonCode::MESSAGE_RATE_TOO_HIGH | ReasonCode::QUOTA_EXCEEDED => Cause::Quota,
        ReasonCode::ADMINISTRATIVE_ACTION => Cause::Kicked,
        ReasonCode::PAYLOAD_FORMAT_INVALID => Cause::PayloadFormat,
        ReasonCode::RETAIN_NOT_SUPPORTED
        | ReasonCode::QOS_NOT_SUPPORTED
        | ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        | ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
        | ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED => Cause::NotSupported,
        ReasonCode::USE_ANOTHER_SERVER | ReasonCode::SERVER_MOVED => Cause::Moved,
        ReasonCode::CONNECTION_RATE_EXCEEDED => Cause::ConnectionRate,
        ReasonCode::MAXIMUM_CONNECT_TIME => Cause::CredentialsExpired,
        _ => return None,
    })
}

/// The cause of a code of either kind.
pub(crate) fn cause_of(byte: u8) -> Option<Cause> {
    let v3 = V3.iter().find(|(code, ..)| *code == byte).map(|(.., cause)| *cause);
    v3.or_else(|| cause_of_reason_code(ReasonCode(byte)))
}

/// The codes that `text` names: `0x8E`, `142`, `rc=7`, `-3`, `1006`, or a name such as `session taken over`. A number may be a code of
/// several kinds; those of the standard come first. An error lists valid examples.
pub fn find(text: &str) -> Result<Vec<Code>, String> {
    let text = text.trim();
    // As logs print it.
    let prefixes = ["rc=", "rc ", "rc:", "RC=", "errno=", "reason=", "code="];
    let bare = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text).trim();
    let hex = bare.strip_prefix("0x").or_else(|| bare.strip_prefix("0X"));
    let number = match hex {
        Some(digits) => i32::from_str_radix(digits, 16).ok(),
        None => bare.parse().ok(),
    };
    let wanted = plain(bare);
    let is_it = |code: &Code| match number {
        // Hexadecimal is the standard's way to write its codes.
        Some(number) => {
            code.number == Some(number) && (hex.is_none() || !matches!(code.kind, Kind::Other(_)))
        }
        None => wanted.len() >= 4 && plain(code.name).contains(&wanted),
    };
    let codes: Vec<Code> = all().filter(is_it).collect();
    if codes.is_empty() {
        return Err(format!(
            "{text:?} is not a code that ends or refuses a connection; use one such as 0x8E, 142, \"session taken over\", 1 to 5 \
             for a CONNACK of MQTT 3.1.1, rc=7 or -3 of a client library, 1006 of a WebSocket, or a name such as DUPLICATE_CLIENTID"
        ));
    }
    Ok(codes)
}

/// Every failure code: those of MQTT 5.0, those of 3.1.1, and the others.
pub fn all() -> impl Iterator<Item = Code> {
    let v5 = (0x80..=0xFF).filter_map(|byte| {
        let code = ReasonCode(byte);
        Some(Code {
            number: Some(byte.into()),
            kind: Kind::V5,
            name: code.name()?,
            cause: cause_of_reason_code(code)?,
        })
    });
    let v3 = V3.iter().map(|(byte, name, cause)| Code {
        number: Some((*byte).into()),
        kind: Kind::V3,
        name,
        cause: *cause,
    });
    let others = OTHERS.iter().map(|(number, kind, name, cause)| Code {
        number: *number,
        kind: *kind,
        name,
        cause: *cause,
    });
    v5.chain(v3).chain(others)
}

/// Letters and digits only, in lower case.
fn plain(name: &str) -> String {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    // Libraries write it in both ways.
    plain.replace("authoris", "authoriz")
}

#[cfg(test)]
mod tests {
    use super::{Kind, all, find};
    use crate::cause::Cause;

    #[test]
    fn every_reason_code_that_ends_a_connection_has_a_cause() {
        let of = |kind: Kind| {
            all().filter(|code| code.kind == kind).filter_map(|code| code.number).collect::<Vec<_>>()
        };
        assert_eq!(of(Kind::V5), (0x80..=0xA2).collect::<Vec<_>>());
        assert_eq!(of(Kind::V3), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_code_is_found_by_hex_or_decimal_number_or_name() {
        for text in ["0x8E", "0x8e", "142", "session taken over", "SESSION_TAKEN_OVER", "SessionTakenOver"] {
            let codes = find(text).unwrap();
            assert_eq!(
                (codes.len(), codes[0].number, codes[0].cause),
                (1, Some(0x8E), Cause::TakeOver),
                "{text}"
            );
        }
        let refused = find("4").unwrap();
        assert_eq!((refused[0].kind, refused[0].cause), (Kind::V3, Cause::BadCredentials));
        let both = find("not authorized").unwrap();
        assert_eq!(both.iter().filter_map(|code| code.number).collect::<Vec<_>>(), [0x87, 5]);
        for text in ["0x00", "300", "", "no", "0xZZ", "fine", "0x07"] {
            assert!(find(text).is_err(), "{text}");
        }
    }

    #[test]
    fn codes_of_libraries_and_clouds_are_found() {
        let cause = |text: &str| find(text).unwrap()[0].cause;
        assert_eq!(cause("rc=7"), Cause::PeerClosed);
        assert_eq!(cause("rc=5"), Cause::NotAuthorized, "the CONNACK of MQTT 3.1.1 first");
        assert_eq!(cause("-2"), Cause::Unreachable);
        assert_eq!(cause("0x05"), Cause::NotAuthorized);
        assert_eq!(cause("not authorised"), Cause::NotAuthorized);
        assert_eq!(cause("SERVER_ERROR"), Cause::ServerError);
        assert_eq!(cause("errno=104"), Cause::PeerClosed);
        assert_eq!(cause("1006"), Cause::PeerClosed);
        assert_eq!(cause("DUPLICATE_CLIENTID"), Cause::TakeOver);
        assert_eq!(cause("MQTT_ERR_CONN_LOST"), Cause::PeerClosed);
        assert_eq!(cause("400027"), Cause::TakeOver);
        let lost: Vec<&str> = find("-3").unwrap().iter().map(|code| code.kind.name()).collect();
        assert_eq!(lost.len(), 2, "{lost:?}");
    }
}
