//! Application Messages that carry their run, attempt and number, so that the fate of each one can be tracked.

use std::hash::{DefaultHasher, Hash, Hasher};

use ungraceful_mqtt::{
    EncodeError, PacketIdentifier, ProtocolVersion, Publish, PublishTemplate, QoS, STAMP_LEN,
};

/// The key of messages whose topic alone identifies the attempt.
const UNKEYED: u64 = u64::from_be_bytes(*b"ungrace1");

/// The Application Message with this number and no attempt.
pub(crate) fn payload(sequence: u64) -> [u8; STAMP_LEN] {
    stamp(UNKEYED, sequence)
}

/// The number of such an Application Message; absent for a foreign one.
pub(crate) fn read_payload(payload: &[u8]) -> Option<u64> {
    sequence(UNKEYED, payload).filter(|_| payload.len() == STAMP_LEN)
}

/// The shortest payload that holds attempt and number.
const PAYLOAD_LEN_MIN: usize = STAMP_LEN;

/// The key of attempt `attempt` in the run with this `topic_root`. Another run with the same seed has other keys, so that its
/// leftovers at a broker are not mistaken for this run's.
pub(crate) fn key(topic_root: &str, attempt: u64) -> u64 {
    const ATTEMPT_BITS: u32 = 24;
    let mut hasher = DefaultHasher::new();
    topic_root.hash(&mut hasher);
    (hasher.finish() << ATTEMPT_BITS) ^ attempt
}

/// The beginning of the payload of message `sequence` of attempt `attempt`.
pub(crate) fn stamp(attempt: u64, sequence: u64) -> [u8; STAMP_LEN] {
    let mut stamp = [0; STAMP_LEN];
    let (first, second) = stamp.split_at_mut(size_of::<u64>());
    first.copy_from_slice(&attempt.to_be_bytes());
    second.copy_from_slice(&sequence.to_be_bytes());
    stamp
}

/// The number of a message of `attempt`; absent for a foreign payload.
pub(crate) fn sequence(attempt: u64, payload: &[u8]) -> Option<u64> {
    let (of, rest) = payload.split_first_chunk()?;
    let (sequence, _padding) = rest.split_first_chunk()?;
    (u64::from_be_bytes(*of) == attempt).then_some(u64::from_be_bytes(*sequence))
}

/// The PUBLISH of every message on `topic`, with `payload_len` bytes of payload, to be stamped.
pub(crate) fn template(
    version: ProtocolVersion,
    topic: &str,
    qos: QoS,
    payload_len: usize,
) -> Result<PublishTemplate, EncodeError> {
    let payload = vec![b'.'; payload_len.max(PAYLOAD_LEN_MIN)];
    let publish = Publish::new(topic, &payload);
    let publish = match qos {
        QoS::AtMostOnce => publish,
        QoS::AtLeastOnce => publish.at_least_once(PacketIdentifier::MIN),
        QoS::ExactlyOnce => publish.exactly_once(PacketIdentifier::MIN),
    };
    PublishTemplate::new(&publish, version, Some(0))
}

#[cfg(test)]
mod tests {
    use super::{key, sequence, stamp};

    #[test]
    fn a_message_of_another_run_is_foreign() {
        let theirs = stamp(key("ungraceful/1", 7), 3);
        assert_eq!(sequence(key("ungraceful/1", 7), &theirs), Some(3));
        assert_eq!(sequence(key("ungraceful/2", 7), &theirs), None);
        assert_eq!(sequence(key("ungraceful/1", 8), &theirs), None);
    }

    #[test]
    fn padding_does_not_hide_attempt_and_number() {
        let padded = [&stamp(7, 65_536)[..], b"...."].concat();
        assert_eq!(sequence(7, &padded), Some(65_536));
        assert_eq!(sequence(8, &padded), None, "foreign");
        assert_eq!(sequence(7, &padded[..15]), None, "cut short");
    }
}
