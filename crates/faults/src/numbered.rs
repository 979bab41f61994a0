//! Application Messages that say which run and attempt they belong to and which number they have, so that each one's fate can be
//! told.

use std::hash::{DefaultHasher, Hash, Hasher};

use ungraceful_mqtt::{
    EncodeError, PacketIdentifier, ProtocolVersion, Publish, PublishTemplate, QoS, STAMP_LEN,
};

/// What stands for the messages of attempts that are told apart by their topics alone.
const UNKEYED: u64 = u64::from_be_bytes(*b"ungrace1");

/// The Application Message that carries this number and belongs to no attempt in particular.
pub(crate) fn payload(sequence: u64) -> [u8; STAMP_LEN] {
    stamp(UNKEYED, sequence)
}

/// The number that such an Application Message carries; absent for one that is none of ours.
pub(crate) fn read_payload(payload: &[u8]) -> Option<u64> {
    sequence(UNKEYED, payload).filter(|_| payload.len() == STAMP_LEN)
}

/// The shortest payload that holds attempt and number.
const PAYLOAD_LEN_MIN: usize = STAMP_LEN;

/// What stands for attempt `attempt` of the run with this `topic_root`: another run with the same seed has others, so that
/// what it left behind at a broker is not taken for our own.
pub(crate) fn key(topic_root: &str, attempt: u64) -> u64 {
    const ATTEMPT_BITS: u32 = 24;
    let mut hasher = DefaultHasher::new();
    topic_root.hash(&mut hasher);
    (hasher.finish() << ATTEMPT_BITS) ^ attempt
}

/// What the payload of message `sequence` of attempt `attempt` begins with.
pub(crate) fn stamp(attempt: u64, sequence: u64) -> [u8; STAMP_LEN] {
    let mut stamp = [0; STAMP_LEN];
    let (first, second) = stamp.split_at_mut(size_of::<u64>());
    first.copy_from_slice(&attempt.to_be_bytes());
    second.copy_from_slice(&sequence.to_be_bytes());
    stamp
}

/// The number of a message of `attempt`; absent when the payload is somebody else's.
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
    fn a_message_of_another_run_is_not_ours_whatever_its_attempt() {
        let theirs = stamp(key("ungraceful/1", 7), 3);
        assert_eq!(sequence(key("ungraceful/1", 7), &theirs), Some(3));
        assert_eq!(sequence(key("ungraceful/2", 7), &theirs), None);
        assert_eq!(sequence(key("ungraceful/1", 8), &theirs), None);
    }

    #[test]
    fn a_message_is_known_by_its_attempt_and_number_whatever_follows() {
        let padded = [&stamp(7, 65_536)[..], b"...."].concat();
        assert_eq!(sequence(7, &padded), Some(65_536));
        assert_eq!(sequence(8, &padded), None, "somebody else's");
        assert_eq!(sequence(7, &padded[..15]), None, "cut short");
    }
}
