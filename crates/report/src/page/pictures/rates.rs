//! The trials of a rate search: the offered rate of each against what it measured of the promise, and the promise as a line.

use ungraceful_record::rate_search::TrialResult;
use ungraceful_record::threshold::{Measured, MeasuredUnit, Threshold};

use super::axis::Axis;
use super::chart::{Chart, Line};
use super::{Key, Picture};
use crate::scale::{counted, listed};
use crate::search::{Search, Trial};

const ID: &str = "rates";
const TITLE: &str = "Offered rate and what was promised";
/// Parts of a share in the picture.
const PARTS: f64 = 1e6;

/// The picture of the first threshold of the promise that any trial measured; times go before numbers.
pub(in crate::page) fn of_search(search: &Search) -> Picture {
    let mut all: Vec<_> =
        search.promise.thresholds().iter().map(|one| (one, measured(search, one))).collect();
    all.retain(|(_, points)| !points.is_empty());
    all.sort_by_key(|(_, points)| points.iter().any(|(_, of)| of.unit != MeasuredUnit::Time));
    match all.first() {
        Some((threshold, points)) => picture(search, threshold, points),
        None => Picture::left_out(ID, TITLE, "No trial has enough samples of what was promised."),
    }
}

/// What each trial measured, where it has enough samples.
fn measured<'a>(search: &'a Search, threshold: &Threshold) -> Vec<(&'a Trial, Measured)> {
    search.trials.iter().filter_map(|trial| Some((trial, threshold.measured(&trial.record)?))).collect()
}

fn picture(search: &Search, threshold: &Threshold, points: &[(&Trial, Measured)]) -> Picture {
    let values = || points.iter().flat_map(|(_, of)| [of.value, of.limit]);
    let unit = points.first().map_or(MeasuredUnit::Number, |(_, of)| of.unit);
    let parts = |value: f64| if unit == MeasuredUnit::Share { value * PARTS } else { value };
    let most = whole(parts(values().fold(0.0, f64::max)));
    let least = whole(parts(values().fold(f64::INFINITY, f64::min)));
    let y = match unit {
        MeasuredUnit::Time => Axis::powers_of_ten(least, most),
        MeasuredUnit::Number => Axis::counts(most),
        MeasuredUnit::Share => Axis::shares(most),
    };
    let x = Axis::rates(whole(points.iter().map(|(trial, _)| trial.per_second).fold(0.0, f64::max)));
    let place = |trial: &Trial, value: f64| (trial.per_second, y.place(whole(parts(value))));
    let mut sorted: Vec<&(&Trial, Measured)> = points.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.per_second.total_cmp(&other.per_second));
    let of = |is_it: fn(TrialResult) -> bool| -> Vec<(f64, f64)> {
        let of_it = sorted.iter().filter(|(trial, _)| is_it(trial.came));
        of_it.map(|(trial, of)| place(trial, of.value)).collect()
    };
    let kept = of(|came| came == TrialResult::Kept);
    let marks = |points: &[(f64, f64)]| points.iter().map(|point| vec![*point]).collect::<Line>();
    let kinds: [(&str, Line); 4] = [
        ("promise kept", [vec![kept.clone()], marks(&kept)].concat()),
        ("promise broken", marks(&of(|came| came == TrialResult::Broken))),
        ("the promise", vec![promise(&sorted, &x, place)]),
        (
            "generator late or inconclusive",
            marks(&of(|came| matches!(came, TrialResult::GeneratorLate | TrialResult::Unknown))),
        ),
    ];
    let is_drawn = |line: &Line| line.iter().any(|part| !part.is_empty());
    let legend = (1..).zip(&kinds).filter(|(_, (_, line))| is_drawn(line));
    let legend = legend.map(|(line, (label, _))| Key { line, label: (*label).to_owned() }).collect();
    let lines = kinds.into_iter().map(|(_, line)| line.into_iter().filter(|part| !part.is_empty()).collect());
    Picture {
        id: ID,
        title: TITLE,
        says: format!(
            "Each mark is a trial: its offered rate, and what it measured of {threshold}. Result: {}.",
            search.found()
        ),
        svg: Some(Chart { x, y, shades: Vec::new(), lines: lines.collect(), has_marks: false }.svg()),
        why_not: None,
        legend,
        notes: notes(search, threshold, points),
    }
}

/// The limit over all rates; one that differs between trials is a line through theirs.
fn promise(
    sorted: &[&(&Trial, Measured)],
    x: &Axis,
    place: impl Fn(&Trial, f64) -> (f64, f64),
) -> Vec<(f64, f64)> {
    let limits: Vec<(f64, f64)> = sorted.iter().map(|(trial, of)| place(trial, of.limit)).collect();
    match limits.first() {
        Some((_, y)) if limits.iter().all(|(_, other)| other.total_cmp(y).is_eq()) => {
            vec![(x.range.0, *y), (x.range.1, *y)]
        }
        _ => limits,
    }
}

/// The trials that are not in the picture, and the thresholds that it does not show.
fn notes(search: &Search, threshold: &Threshold, points: &[(&Trial, Measured)]) -> Vec<String> {
    let mut notes = Vec::new();
    let missing = search.trials.len().saturating_sub(points.len()) as u64;
    if missing > 0 {
        notes.push(format!("{} without enough samples.", counted(missing, "trial")));
    }
    let others = search.promise.thresholds().iter().filter(|other| *other != threshold);
    let others: Vec<String> = others.map(ToString::to_string).collect();
    if !others.is_empty() {
        notes.push(format!(
            "The promise is also {}; the table has the result of each trial.",
            listed(&others)
        ));
    }
    notes
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a picture, never negative; the cast saturates"
)]
fn whole(value: f64) -> u64 {
    value.ceil() as u64
}
