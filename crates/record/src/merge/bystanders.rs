//! The bystanders of the shards: different clients, whose messages are counted together.

use std::collections::BTreeMap;

use crate::counts::Count;
use crate::ledger::{EVIDENCE_AT_MOST, IrregularityKind, LedgerCounts};
use crate::metric::Histograms;
use crate::phase::Phase;
use crate::recovery::RecoveryOutcome;
use crate::run::{BystanderOutagesRecord, BystanderPhaseRecord, BystandersRecord, Drain, IrregularityRecord};

use super::{Placed, listed};

pub(super) fn of(placed: &[Placed<'_>], histograms: &Histograms) -> Option<BystandersRecord> {
    let with: Vec<(&Placed<'_>, &BystandersRecord)> =
        placed.iter().filter_map(|one| Some((one, one.record().bystanders.as_ref()?))).collect();
    let (_, first) = with.first()?;
    let mut connections_lost: BTreeMap<String, u64> = BTreeMap::new();
    let mut left_out: BTreeMap<IrregularityKind, u64> = BTreeMap::new();
    for (_, bystanders) in &with {
        connections_lost.add(&bystanders.connections_lost);
        left_out.add(&bystanders.irregularities_left_out);
    }
    let irregularities = irregularities(&with, &mut left_out);
    let (recovery_limit_us, recovery_time_us) = recovery(placed);
    Some(BystandersRecord {
        pairs: with.iter().map(|(_, bystanders)| bystanders.pairs).sum(),
        rate_per_pair: first.rate_per_pair,
        version: listed(with.iter().map(|(_, bystanders)| bystanders.version.clone())),
        phases: phases(&with, histograms),
        connections_lost,
        outages: with.iter().map(|(_, bystanders)| bystanders.outages).fold(None, outages),
        irregularities,
        irregularities_left_out: left_out,
        pairs_below_qos: with.iter().map(|(_, bystanders)| bystanders.pairs_below_qos).sum(),
        drain: drain(&with),
        recovery_limit_us,
        recovery_time_us,
    })
}

fn phases(with: &[(&Placed<'_>, &BystandersRecord)], histograms: &Histograms) -> Vec<BystanderPhaseRecord> {
    let of = |phase: Phase| {
        let these = || {
            with.iter()
                .flat_map(|(_, bystanders)| &bystanders.phases)
                .filter(move |record| record.phase == phase)
        };
        these().next()?;
        let mut by_qos: BTreeMap<u8, LedgerCounts> = BTreeMap::new();
        for (qos, counts) in these().flat_map(|record| &record.by_qos) {
            *by_qos.entry(*qos).or_default() += counts;
        }
        Some(BystanderPhaseRecord::of(phase, histograms, by_qos))
    };
    Phase::MEASURED.into_iter().filter_map(of).collect()
}

/// The first entries of each kind by due time, as in the record of one run; the others are counted.
fn irregularities(
    with: &[(&Placed<'_>, &BystandersRecord)],
    left_out: &mut BTreeMap<IrregularityKind, u64>,
) -> Vec<IrregularityRecord> {
    let moved = |one: &Placed<'_>, entry: &IrregularityRecord| {
        let mut entry = entry.clone();
        entry.pair += one.place.first_pair;
        entry.due_us = one.us(entry.due_us);
        entry.irregularity.at_us = entry.irregularity.at_us.map(|at_us| one.us(at_us));
        entry
    };
    let mut all: Vec<IrregularityRecord> = with
        .iter()
        .flat_map(|(one, bystanders)| bystanders.irregularities.iter().map(|entry| moved(one, entry)))
        .collect();
    all.sort_by_key(|entry| entry.due_us);
    let mut listed: BTreeMap<IrregularityKind, usize> = BTreeMap::new();
    all.retain(|entry| {
        let kind = entry.irregularity.kind;
        let count = listed.entry(kind).or_default();
        *count += 1;
        if *count > EVIDENCE_AT_MOST {
            *left_out.entry(kind).or_default() += entry.irregularity.messages();
        }
        *count <= EVIDENCE_AT_MOST
    });
    all
}

fn outages(
    sum: Option<BystanderOutagesRecord>,
    one: Option<BystanderOutagesRecord>,
) -> Option<BystanderOutagesRecord> {
    let (Some(sum), Some(one)) = (sum, one) else { return sum.or(one) };
    Some(BystanderOutagesRecord {
        outages: sum.outages + one.outages,
        connections_lost: sum.connections_lost + one.connections_lost,
        came_back: sum.came_back + one.came_back,
        longest_away_us: sum.longest_away_us.max(one.longest_away_us),
    })
}

/// The least certain end of the wait; absent when one shard did not record it.
fn drain(with: &[(&Placed<'_>, &BystandersRecord)]) -> Option<Drain> {
    let certainty = |drain: &Drain| match drain {
        Drain::StillArriving => 0,
        Drain::Quiet => 1,
        Drain::Settled => 2,
    };
    let all: Option<Vec<Drain>> = with.iter().map(|(_, bystanders)| bystanders.drain).collect();
    all?.into_iter().min_by_key(certainty)
}

/// Limit and time of the shard whose bystanders took longest, or did not recover: a run of several has recovered when all have.
fn recovery(placed: &[Placed<'_>]) -> (Option<u64>, Option<u64>) {
    let rank = |outcome: RecoveryOutcome| match outcome {
        RecoveryOutcome::NoLimit | RecoveryOutcome::NoPhase => (0, 0),
        RecoveryOutcome::After(us) => (1, us),
        RecoveryOutcome::TooShort(us) => (2, us),
        RecoveryOutcome::NotRecovered(us) => (3, us),
    };
    let outcomes = placed.iter().filter_map(|one| Some((RecoveryOutcome::of(one.record())?, one.record())));
    let slowest =
        outcomes.max_by_key(|(outcome, _)| rank(*outcome)).and_then(|(_, record)| record.bystanders.as_ref());
    slowest.map_or((None, None), |bystanders| (bystanders.recovery_limit_us, bystanders.recovery_time_us))
}
