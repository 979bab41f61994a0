//! `ungraceful explain --as-scenario`: the scenario of the catalogue that provokes the cause that a log names most often.

use ungraceful_faults::scenario::catalogue::{self, Entry};
use ungraceful_log_causes::Cause;
use ungraceful_log_causes::story::Incident;

/// Causes that are packets of one client, each with the scenario that provokes it. The others need state, time or several connections,
/// and have a mode of their own.
const SCENARIOS: [(Cause, &str); 15] = [
    (Cause::SecondConnect, "double-connect-same"),
    (Cause::FirstPacket, "first-packet-not-connect"),
    (Cause::EarlyPacket, "packets-before-connack"),
    (Cause::PacketTooLarge, "max-packet-exceed"),
    (Cause::PacketIdentifier, "packet-id-zero"),
    (Cause::Malformed, "string-length-lie"),
    (Cause::ProtocolError, "property-duplicate-publish"),
    (Cause::Topic, "filter-invalid"),
    (Cause::TopicAlias, "topic-alias-too-large"),
    (Cause::PayloadFormat, "publish-pfi-lie"),
    (Cause::ClientId, "connect-id-oversize"),
    (Cause::ProtocolVersion, "connect-bad-protocol-level"),
    (Cause::AuthMethod, "auth-method-unsupported"),
    (Cause::Lost, "abrupt-rst"),
    (Cause::Will, "connect-will-topic-wildcard"),
];

/// The scenario of the most frequent cause that has one, with that cause and its number of incidents; absent when none has.
pub(super) fn of(incidents: &[Incident]) -> Option<(&'static Entry, Cause, usize)> {
    let count = |cause: Cause| incidents.iter().filter(|incident| incident.cause == cause).count();
    let counted =
        SCENARIOS.iter().map(|(cause, id)| (count(*cause), *cause, *id)).filter(|(count, ..)| *count > 0);
    // Of equally frequent ones, the first of the list.
    let (count, cause, id) = counted.rev().max_by_key(|(count, ..)| *count)?;
    Some((catalogue::find(id)?, cause, count))
}

/// The text to print: the scenario, with a comment on where it comes from.
pub(super) fn print(incidents: &[Incident]) -> Option<String> {
    let (entry, cause, count) = of(incidents)?;
    let incidents = if count == 1 { "1 incident".to_owned() } else { format!("{count} incidents") };
    Some(format!(
        "# {incidents} of the cause {} in the log; this scenario of the catalogue provokes it. Save it, edit it, and run\n\
         # ungraceful replay FILE --host YOUR_STAGING_BROKER\n{}",
        cause.slug(),
        entry.source
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cause_has_one_scenario_of_the_catalogue() {
        let causes: BTreeSet<&str> = SCENARIOS.iter().map(|(cause, _)| cause.slug()).collect();
        assert_eq!(causes.len(), SCENARIOS.len());
        for (cause, id) in SCENARIOS {
            assert!(catalogue::find(id).is_some(), "{}: {id}", cause.slug());
        }
    }
}
