//! Sums over cases and over the QoS of the bystanders' messages, shared by the writers.

use std::collections::BTreeMap;

use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{BystanderPhaseRecord, BystandersRecord, CaseRecord};

/// The fate of a phase's messages, all QoS together.
pub(crate) fn ledger(phase: &BystanderPhaseRecord) -> LedgerCounts {
    let mut sum = LedgerCounts::default();
    for counts in phase.by_qos.values() {
        sum += counts;
    }
    sum
}

/// Messages of QoS 1 and 2 that the broker acknowledged and never delivered.
pub(crate) fn acknowledged_but_lost(phase: &BystanderPhaseRecord) -> u64 {
    phase.by_qos.iter().filter(|(qos, _)| **qos > 0).map(|(_, counts)| counts.lost).sum()
}

/// Messages of QoS 0 that were sent and never delivered.
pub(crate) fn lost_at_qos_0(phase: &BystanderPhaseRecord) -> u64 {
    phase.by_qos.get(&0).map_or(0, |counts| counts.lost)
}

/// The bystanders in `phase`; absent when it was not measured.
pub(crate) fn of_phase(bystanders: &BystandersRecord, phase: Phase) -> Option<&BystanderPhaseRecord> {
    bystanders.phases.iter().find(|record| record.phase == phase)
}

/// Finished attempts, over all cases.
pub(crate) fn finished(cases: &[CaseRecord]) -> u64 {
    cases.iter().map(|case| case.finished).sum()
}

/// DISCONNECT packets by Reason Code, over all cases.
pub(crate) fn disconnect_codes(cases: &[CaseRecord]) -> BTreeMap<u8, u64> {
    let mut sum = BTreeMap::new();
    for (code, count) in cases.iter().flat_map(|case| &case.disconnect_codes) {
        *sum.entry(*code).or_default() += count;
    }
    sum
}
