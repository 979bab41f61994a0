//! The cases of the shards: their tallies, added.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::attempt::Case;
use crate::encoded::Encoded;
use crate::expectation::Expectation;
use crate::metric::{Distribution, Percentiles, merge};
use crate::run::{CaseRecord, OutageRecord, WaveRecord};
use crate::tally::{Tally, together};

use super::Placed;

/// The cases, and all of them together.
pub(super) struct Cases {
    pub(super) records: Vec<CaseRecord>,
    pub(super) reaction_time: Percentiles,
    pub(super) measures: BTreeMap<String, Distribution>,
}

#[derive(Default)]
struct Sum {
    tally: Tally,
    planned: u64,
    expects: Vec<Expectation>,
}

pub(super) fn of(placed: &[Placed<'_>]) -> Result<Cases, String> {
    // In the order of the first shard.
    let mut order: Vec<&Case> = Vec::new();
    let mut sums: BTreeMap<&Case, Sum> = BTreeMap::new();
    for one in placed {
        for case in &one.record().cases {
            if !sums.contains_key(&case.case) {
                order.push(&case.case);
            }
            let sum = sums.entry(&case.case).or_default();
            sum.tally.merge(&Tally::of(case, one.place.first_attempt)?);
            sum.planned += case.planned;
            if sum.expects.is_empty() {
                sum.expects.clone_from(&case.expects);
            }
        }
    }
    let record = |case: &&Case| {
        let sum = sums.get(*case)?;
        Some(CaseRecord { expects: sum.expects.clone(), ..sum.tally.record(case, sum.planned) })
    };
    let (reaction_time, measures) = together(&sums.values().map(|sum| &sum.tally).collect::<Vec<_>>());
    Ok(Cases { records: order.iter().filter_map(record).collect(), reaction_time, measures })
}

/// The waves, with the histograms of their bystanders: those of all shards in a case are one, from the first begin to the last end.
pub(super) fn waves(placed: &[Placed<'_>]) -> Result<(Vec<WaveRecord>, Vec<Encoded>), String> {
    let mut waves: Vec<(WaveRecord, Histogram<u64>)> = Vec::new();
    for one in placed {
        for (wave, times) in one.record().waves.iter().zip(&one.record().sums.wave_response_times) {
            let (wave, times) = (moved(one, wave), times.histogram()?);
            match waves.iter_mut().find(|(known, _)| known.case == wave.case) {
                Some((known, sum)) => {
                    add_wave(known, &wave);
                    merge(sum, &times);
                }
                None => waves.push((wave, times)),
            }
        }
    }
    let summed = |(wave, times): (WaveRecord, Histogram<u64>)| {
        let of_both = WaveRecord { bystander_response_time: Percentiles::of(&times), ..wave };
        (of_both, Encoded::of(&times))
    };
    Ok(waves.into_iter().map(summed).unzip())
}

fn moved(one: &Placed<'_>, wave: &WaveRecord) -> WaveRecord {
    WaveRecord {
        began_us: one.us(wave.began_us),
        ended_us: wave.ended_us.map(|ended_us| one.us(ended_us)),
        outage: wave.outage.as_ref().map(|outage| OutageRecord {
            began_us: one.us(outage.began_us),
            ended_us: outage.ended_us.map(|ended_us| one.us(ended_us)),
            by: outage.by.clone(),
        }),
        ..wave.clone()
    }
}

fn add_wave(sum: &mut WaveRecord, wave: &WaveRecord) {
    sum.began_us = sum.began_us.min(wave.began_us);
    sum.ended_us = sum.ended_us.zip(wave.ended_us).map(|(one_us, other_us)| one_us.max(other_us));
    sum.outage = sum.outage.take().or_else(|| wave.outage.clone());
    sum.bystander_messages_due += wave.bystander_messages_due;
    sum.rss_bytes_before = sum.rss_bytes_before.or(wave.rss_bytes_before);
    sum.rss_bytes_max = sum.rss_bytes_max.max(wave.rss_bytes_max);
}
