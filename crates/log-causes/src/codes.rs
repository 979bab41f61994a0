//! The cause of each Reason Code of MQTT 5.0 and Connect Return Code of MQTT 3.1.1.

use ungraceful_mqtt::ReasonCode;

use crate::cause::Cause;

/// A code as a user names it, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The byte.
    pub byte: u8,
    /// Whether it is a Connect Return Code of MQTT 3.1.1 and not a Reason Code of MQTT 5.0.
    pub is_v3: bool,
    /// Its name in the standard.
    pub name: &'static str,
    /// Its cause.
    pub cause: Cause,
}

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

/// The codes that `text` names: `0x8E`, `142`, `5`, or a name such as `session taken over`. A small number is a Connect
/// Return Code. An error lists valid examples.
pub fn find(text: &str) -> Result<Vec<Code>, String> {
    let text = text.trim();
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let byte = match hex {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let wanted = plain(text);
    let is_it = |code: &Code| match byte {
        Some(byte) => code.byte == byte,
        None => wanted.len() >= 4 && plain(code.name).contains(&wanted),
    };
    let codes: Vec<Code> = all().filter(is_it).collect();
    if codes.is_empty() {
        return Err(format!(
            "{text:?} is not a code that ends or refuses a connection; use one such as 0x8E, 142, \"session taken over\", or \
             1 to 5 for a CONNACK of MQTT 3.1.1"
        ));
    }
    Ok(codes)
}

/// Every failure code, those of MQTT 5.0 first.
pub fn all() -> impl Iterator<Item = Code> {
    let v5 = (0x80..=0xFF).filter_map(|byte| {
        let code = ReasonCode(byte);
        Some(Code { byte, is_v3: false, name: code.name()?, cause: cause_of_reason_code(code)? })
    });
    v5.chain(V3.iter().map(|(byte, name, cause)| Code { byte: *byte, is_v3: true, name, cause: *cause }))
}

/// Letters and digits only, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::{all, find};
    use crate::cause::Cause;

    #[test]
    fn every_reason_code_that_ends_a_connection_has_a_cause() {
        let v5: Vec<u8> = all().filter(|code| !code.is_v3).map(|code| code.byte).collect();
        let expected: Vec<u8> = (0x80..=0xA2).collect();
        assert_eq!(v5, expected);
        let v3: Vec<u8> = all().filter(|code| code.is_v3).map(|code| code.byte).collect();
        assert_eq!(v3, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_code_is_found_by_hex_or_decimal_number_or_name() {
        for text in ["0x8E", "0x8e", "142", "session taken over", "SESSION_TAKEN_OVER", "SessionTakenOver"] {
            let codes = find(text).unwrap();
            assert_eq!((codes.len(), codes[0].byte, codes[0].cause), (1, 0x8E, Cause::TakeOver), "{text}");
        }
        let refused = find("4").unwrap();
        assert_eq!((refused[0].is_v3, refused[0].cause), (true, Cause::BadCredentials));
        let both = find("not authorized").unwrap();
        assert_eq!(both.iter().map(|code| code.byte).collect::<Vec<_>>(), [0x87, 5]);
        for text in ["0x00", "300", "", "no", "0xZZ", "fine"] {
            assert!(find(text).is_err(), "{text}");
        }
    }
}
