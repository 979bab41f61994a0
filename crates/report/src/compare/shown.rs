//! A comparison as text, Markdown, JSON and CSV.

use ungraceful_record::figures::{Figure, Unit};

use super::noise::median;
use super::{By, Change, Comparison, Conclusion, Row, Side};
use crate::document::{Block, Column, Document, Table, cell};
use crate::scale::{bytes, count, counted, listed, time};
use crate::{Context, Format, escape, markdown, text};

/// The report of comparisons with the same first side, in `format`; CSV for JUnit, which has no form for it.
#[must_use]
pub fn render_comparison(comparisons: &[Comparison], format: Format, context: &Context) -> String {
    match format {
        Format::Text => text::write(&document(comparisons), context),
        Format::Markdown => markdown::write(&document(comparisons)),
        Format::Json => escape::to_json(&comparisons),
        _ => csv(comparisons),
    }
}

/// How the figures of repetitions vary, in `format`; CSV for JUnit, which has no form for it.
#[must_use]
pub fn render_spread(side: &Side, format: Format, context: &Context) -> String {
    let spread = spread(side);
    match format {
        Format::Text | Format::Markdown => {
            let mut document = Document::default();
            document.heading(format!("How the figures vary over {}", counted(side.runs.len() as u64, "run")));
            let columns = vec![
                Column::words("figure"),
                Column::numbers("median"),
                Column::numbers("lowest"),
                Column::numbers("highest"),
            ];
            let rows = spread.iter().map(|(name, unit, values)| {
                let shown = values.map(|number| value(*unit, number));
                std::iter::once(name.clone()).chain(shown).map(cell).collect()
            });
            document.push(Block::Table(Table { columns, rows: rows.collect(), keys: 1 }));
            if let Some(folder) = &context.record_dir {
                document.labelled("Records", folder.to_string_lossy());
            }
            if format == Format::Text { text::write(&document, context) } else { markdown::write(&document) }
        }
        Format::Json => {
            let rows: Vec<_> = spread
                .iter()
                .map(|(name, _, [median, lowest, highest])| {
                    serde_json::json!({ "name": name, "median": median, "lowest": lowest, "highest": highest })
                })
                .collect();
            escape::to_json(&serde_json::json!({ "runs": side.runs.len(), "figures": rows }))
        }
        Format::Csv | Format::Junit => {
            let rows = spread
                .iter()
                .map(|(name, _, [median, lowest, highest])| format!("{name},{median},{lowest},{highest}\n"));
            std::iter::once("figure,median,lowest,highest\n".to_owned()).chain(rows).collect()
        }
    }
}

/// The median, the lowest and the highest of each figure that every run has, and that is not 0 in all.
fn spread(side: &Side) -> Vec<(String, Unit, [f64; 3])> {
    let first = side.runs.first().map(|run| run.figures.as_slice()).unwrap_or_default();
    let of = |figure: &Figure| {
        let values: Option<Vec<f64>> =
            side.runs.iter().map(|run| run.figure(&figure.name).map(|figure| figure.value)).collect();
        let values = values?;
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_zero = lowest.abs() < f64::EPSILON && highest.abs() < f64::EPSILON;
        (!is_zero).then(|| (figure.name.clone(), figure.unit, [median(&values), lowest, highest]))
    };
    first.iter().filter_map(of).collect()
}

fn document(comparisons: &[Comparison]) -> Document {
    let mut document = Document::default();
    for comparison in comparisons {
        let runs = |at: usize| counted(comparison.runs[at] as u64, "run");
        document.heading(format!(
            "{} ({}) compared with {} ({})",
            comparison.after,
            runs(1),
            comparison.before,
            runs(0)
        ));
        for unlike in &comparison.unlike {
            document.alarm("UNLIKE", unlike.clone());
        }
        document.line(found(comparison));
        document.push(Block::Table(table(comparison)));
        if !comparison.missing.is_empty() {
            document.line(format!(
                "Not in every run, with too few samples or none: {}.",
                comparison.missing.join(", ")
            ));
        }
        if !comparison.zero.is_empty() {
            document.line(format!("0 on both sides: {}.", comparison.zero.join(", ")));
        }
        document.line(match comparison.by {
            By::Repetitions => {
                "The repetitions show the noise. All intervals together hold with 99.9 % confidence; more repetitions make them narrower.".to_owned()
            }
            By::Parts => format!(
                "Up to {} parts of each run show the noise, because a side has a single run: differences from run to run are not included. \
                 Repeat both sides for a better result.",
                super::BATCHES
            ),
        });
    }
    document
}

/// The result in a sentence or two.
fn found(comparison: &Comparison) -> String {
    let of = |conclusion| {
        let rows = comparison.rows.iter().filter(|row| row.conclusion == conclusion);
        rows.map(|row| match row.change {
            Some(change) => format!("{} by {}", row.name, size(change)),
            None => format!(
                "{} ({} before, {} after)",
                row.name,
                value(row.unit, row.before),
                value(row.unit, row.after)
            ),
        })
        .collect::<Vec<_>>()
    };
    let mut said = Vec::new();
    for (word, conclusion) in
        [("worse", Conclusion::Worse), ("better", Conclusion::Better), ("changed", Conclusion::Changed)]
    {
        let names = of(conclusion);
        if !names.is_empty() {
            said.push(format!("{word}: {}", listed(&names)));
        }
    }
    let number =
        |conclusion| comparison.rows.iter().filter(|row| row.conclusion == conclusion).count() as u64;
    if said.is_empty() {
        said.push(match number(Conclusion::Unchanged) {
            0 => "no figure can be told apart from noise".to_owned(),
            same => format!("unchanged within {}: {}", percent(comparison.matters), counted(same, "figure")),
        });
    }
    let unclear = number(Conclusion::Unclear);
    if unclear > 0 {
        said.push(format!("unclear, because of noise: {}", counted(unclear, "figure")));
    }
    let mut said = said.join("; ");
    if let Some(first) = said.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    said + "."
}

fn table(comparison: &Comparison) -> Table {
    let columns = vec![
        Column::words("figure"),
        Column::numbers("before"),
        Column::numbers("after"),
        Column::numbers("change"),
        Column::numbers("interval"),
        Column::words("result"),
    ];
    let rows = comparison.rows.iter().map(|row| {
        let (change, interval) = row.change.map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |change| (signed(change.estimate), interval(change)),
        );
        [
            row.name.clone(),
            value(row.unit, row.before),
            value(row.unit, row.after),
            change,
            interval,
            word(row).to_owned(),
        ]
        .into_iter()
        .map(cell)
        .collect()
    });
    Table { columns, rows: rows.collect(), keys: 1 }
}

const fn word(row: &Row) -> &'static str {
    match row.conclusion {
        Conclusion::Worse => "WORSE",
        Conclusion::Better => "better",
        Conclusion::Changed => "changed",
        Conclusion::Unchanged => "unchanged",
        Conclusion::Unclear => "unclear",
        Conclusion::NotJudged => "not judged",
    }
}

fn value(unit: Unit, value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures are bounded")]
    let whole = value.abs().round() as u64;
    match unit {
        Unit::Time => time(whole),
        Unit::Count => count(whole),
        Unit::Bytes => bytes(whole),
        Unit::BytesPer1000 if value < 0.0 => format!("-{}/1,000", bytes(whole)),
        Unit::BytesPer1000 => format!("{}/1,000", bytes(whole)),
        Unit::PerSecond => format!("{}/s", count(whole)),
        Unit::Cores => format!("{value:.2} cores"),
    }
}

/// Beyond a tenfold, a number says no more than that.
fn interval(change: Change) -> String {
    if change.low < -0.9 || change.high > 9.0 {
        return "too noisy".to_owned();
    }
    format!("{} to {}", signed(change.low), signed(change.high))
}

fn size(change: Change) -> String {
    percent(change.estimate.abs())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn signed(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

fn csv(comparisons: &[Comparison]) -> String {
    let mut lines =
        vec!["before,after,figure,value_before,value_after,change,change_low,change_high,result".to_owned()];
    for comparison in comparisons {
        for row in &comparison.rows {
            let of = |of: fn(&Change) -> f64| {
                row.change.as_ref().map(|change| of(change).to_string()).unwrap_or_default()
            };
            let names =
                [&comparison.before, &comparison.after].map(|name| escape::plain(name).replace(',', ";"));
            lines.push(
                [
                    names[0].clone(),
                    names[1].clone(),
                    row.name.clone(),
                    row.before.to_string(),
                    row.after.to_string(),
                    of(|change| change.estimate),
                    of(|change| change.low),
                    of(|change| change.high),
                    word(row).to_lowercase(),
                ]
                .join(","),
            );
        }
    }
    lines.join("\n") + "\n"
}
