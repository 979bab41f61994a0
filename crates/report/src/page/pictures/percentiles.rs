//! Distributions on an axis of percentiles, and the same numbers as a table.

use ungraceful_record::metric::Percentiles;

use super::super::distributions::Named;
use super::axis::{Axis, largest_of, places_of_percentiles};
use super::chart::{Chart, LINES_AT_MOST, line};
use super::{Picture, legend};
use crate::document::{Column, Table, cell};
use crate::percentile;
use crate::scale::{count, time};

/// A percentile in µs; absent when there are too few samples.
type Figure = fn(&Percentiles) -> Option<u64>;

/// The figures of a distribution, as on the axis; the largest has its own place.
const FIGURES: [(&str, Figure); 8] = [
    ("min", |of| of.min_us),
    ("p50", |of| of.p50_us),
    ("p90", |of| of.p90_us),
    ("p95", |of| of.p95_us),
    ("p99", |of| of.p99_us),
    ("p99.9", |of| of.p99_9_us),
    ("p99.99", |of| of.p99_99_us),
    ("max", |of| of.max_us),
];

/// A line for each distribution that has samples.
pub(in crate::page) fn picture(
    id: &'static str,
    title: &'static str,
    all: &[Named],
    otherwise: &str,
) -> Picture {
    let measured: Vec<&Named> = all.iter().filter(|named| named.of.count > 0).take(LINES_AT_MOST).collect();
    let figures =
        || measured.iter().flat_map(|named| FIGURES.iter().filter_map(|(_, figure)| figure(&named.of)));
    let Some((least, most)) = figures().min().zip(figures().max()) else {
        return Picture::left_out(id, title, otherwise);
    };
    let y = Axis::powers_of_ten(least, most);
    let samples = measured.iter().map(|named| named.of.count).max().unwrap_or(0);
    let lines = measured.iter().map(|named| {
        let places = places_of_percentiles().into_iter().chain([largest_of(named.of.count)]);
        let points =
            places.zip(FIGURES).filter_map(|(x, (_, figure))| Some((x, Some(y.place(figure(&named.of)?)))));
        line(points)
    });
    let lines = lines.collect();
    let labels = measured.iter().map(|named| format!("{} ({} samples)", named.name, count(named.of.count)));
    let without = all.iter().filter(|named| named.of.count == 0);
    Picture {
        id,
        title,
        says: format!(
            "Times on a logarithmic axis by percentile: each further nine takes the same room. Highest: {}.",
            time(most)
        ),
        svg: Some(
            Chart { x: Axis::percentiles(samples), y, shades: Vec::new(), lines, has_marks: true }.svg(),
        ),
        why_not: None,
        legend: legend(labels),
        notes: without.map(|named| format!("{}: no samples.", named.name)).collect(),
    }
}

/// A row for each distribution.
pub(in crate::page) fn table(all: &[Named]) -> Table {
    let mut columns = vec![Column::words("time"), Column::numbers("samples")];
    columns.extend(FIGURES.map(|(name, _)| Column::numbers(name)));
    let row = |named: &Named| {
        let of = &named.of;
        let mut row = vec![cell(&named.name)];
        if of.count == 0 {
            row.push(cell(NO_SAMPLES));
            row.extend(FIGURES.map(|_| cell(percentile::NONE)));
            return row;
        }
        row.push(cell(count(of.count)));
        row.extend(FIGURES.map(|(_, figure)| cell(percentile::shown(of.count, figure(of).map(time)))));
        row
    };
    Table { columns, rows: all.iter().map(row).collect(), keys: 1 }
}

/// Shown in place of the number of samples.
const NO_SAMPLES: &str = "no samples";
