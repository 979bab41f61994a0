//! What the broker did, case by case, and which attempts gave no result.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ungraceful_mqtt::{PacketType, ReasonCode};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord};

use super::findings::is_found;
use super::found;
use crate::document::{Cell, Column, Document, Table, cell};
use crate::percentile::{Figure, NONE};
use crate::scale::{count, counted, listed, time};
use crate::totals;

/// Maximum number of values in a cell, and of problems below the table; the others are only counted.
const SHOWN_AT_MOST: usize = 8;

pub(super) fn section(record: &Record, document: &mut Document) {
    // A load has no attempts.
    if record.load.is_some() && record.cases.is_empty() {
        return;
    }
    document.heading("What the broker did");
    if record.cases.is_empty() {
        document.line("No case was run.");
    } else if super::has_many_cases(record) {
        document.rows(summed_up(record));
        document.line("A row sums up the cases of a fault; run.json and --format csv have each case.");
    } else {
        document.rows(table(record));
    }
    reason_codes(record, document);
    omissions(record, document);
}

/// The optional columns of this record.
struct Shape<'a> {
    fault: bool,
    will: bool,
    facts: BTreeSet<&'a str>,
}

impl<'a> Shape<'a> {
    fn of(cases: &'a [CaseRecord]) -> Self {
        let faults: BTreeSet<_> = cases.iter().map(|case| &case.case.fault).collect();
        Self {
            fault: faults.len() > 1,
            will: found::wills_beside_reactions(cases),
            facts: found::beside_reactions(cases),
        }
    }

    fn keys(&self) -> usize {
        2 + usize::from(self.fault)
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::words("MQTT")];
        columns.extend(self.fault.then(|| Column::words("fault")));
        columns.extend([
            Column::words("variant"),
            Column::numbers("attempts"),
            Column::words("what the broker did"),
        ]);
        columns.extend(Figure::ALL.map(|figure| Column::numbers(figure.name()).in_group("reaction time")));
        columns.extend(self.will.then(|| Column::words("Will")));
        columns.extend(self.facts.iter().map(|name| Column::words(name.replace('_', " "))));
        columns
    }

    fn row(&self, case: &CaseRecord) -> Vec<Cell> {
        let mut row = vec![cell(&case.case.version)];
        row.extend(self.fault.then(|| cell(&case.case.fault)));
        row.extend([
            cell(&case.case.variant),
            cell(count(case.finished)),
            reactions(&case.sequences, case.finished),
        ]);
        row.extend(figures(&case.reaction_time));
        row.extend(self.will.then(|| case.will.as_ref().map_or_else(|| cell(NONE), will)));
        row.extend(self.facts.iter().map(|name| fact(case, name)));
        row
    }

    fn sum(&self, record: &Record) -> Vec<Cell> {
        let mut row = vec![cell("all")];
        row.extend(vec![cell(""); self.keys() - 1]);
        row.extend([cell(count(totals::finished(&record.cases))), cell("")]);
        row.extend(figures(&record.reaction_time));
        row.extend(vec![cell(""); usize::from(self.will) + self.facts.len()]);
        row
    }
}

fn table(record: &Record) -> Table {
    let shape = Shape::of(&record.cases);
    let mut rows: Vec<_> = record.cases.iter().map(|case| shape.row(case)).collect();
    if rows.len() > 1 {
        rows.push(shape.sum(record));
    }
    Table { columns: shape.columns(), rows, keys: shape.keys() }
}

/// A row for each fault and version.
fn summed_up(record: &Record) -> Table {
    let mut groups: Vec<(&CaseRecord, u64, u64, BTreeMap<String, u64>)> = Vec::new();
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for case in &record.cases {
        let place = *places.entry((&case.case.fault, &case.case.version)).or_insert_with(|| {
            groups.push((case, 0, 0, BTreeMap::new()));
            groups.len() - 1
        });
        let (_, cases, attempts, sequences) = &mut groups[place];
        *cases += 1;
        *attempts += case.finished;
        for (sequence, times) in &case.sequences {
            *sequences.entry(sequence.clone()).or_default() += times;
        }
    }
    let columns = vec![
        Column::words("MQTT"),
        Column::words("fault"),
        Column::numbers("cases"),
        Column::numbers("attempts"),
        Column::words("what the broker did"),
    ];
    let row = |(case, cases, attempts, sequences): &(&CaseRecord, u64, u64, BTreeMap<String, u64>)| {
        let names = [cell(&case.case.version), cell(&case.case.fault)];
        let counts = [cell(count(*cases)), cell(count(*attempts)), reactions(sequences, *attempts)];
        names.into_iter().chain(counts).collect()
    };
    let mut rows: Vec<Vec<Cell>> = groups.iter().map(row).collect();
    let (cases, attempts) = (record.cases.len() as u64, totals::finished(&record.cases));
    rows.push(vec![cell("all"), cell(""), cell(count(cases)), cell(count(attempts)), cell("")]);
    Table { columns, rows, keys: 2 }
}

/// The reactions with their counts, which are left out where all attempts had the same.
fn reactions(sequences: &BTreeMap<String, u64>, attempts: u64) -> Cell {
    match sequences.first_key_value() {
        Some((only, times)) if *times == attempts => cell(only),
        _ => counted_values(sequences),
    }
}

fn figures(percentiles: &Percentiles) -> [Cell; 3] {
    Figure::ALL.map(|figure| cell(figure.shown(percentiles)))
}

/// The values of a fact.
pub(super) fn fact(case: &CaseRecord, name: &str) -> Cell {
    case.facts.get(name).map_or_else(|| cell(NONE), counted_values)
}

/// Values with their counts, most frequent first; values beyond the limit are only counted.
pub(super) fn counted_values(counts: &BTreeMap<String, u64>) -> Cell {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(value, count)| (Reverse(**count), *value));
    let (shown, others) = sorted.split_at(sorted.len().min(SHOWN_AT_MOST));
    let mut lines: Vec<_> =
        shown.iter().map(|(value, times)| format!("{value} ×{}", count(**times))).collect();
    if !others.is_empty() {
        let times = others.iter().map(|(_, times)| **times).sum();
        lines.push(format!("{} ×{}", counted(others.len() as u64, "other value"), count(times)));
    }
    if lines.is_empty() { cell(NONE) } else { lines }
}

fn will(will: &WillRecord) -> Cell {
    let mut lines = if will.due == 0 {
        cell("none due")
    } else {
        cell(format!("{} of {} received", count(will.due_and_seen), count(will.due)))
    };
    if will.will_time.count > 0 {
        lines.push(Figure::P50.named(&will.will_time));
    }
    lines.extend(unseen(will));
    let oddities = [
        (will.not_due_and_seen, "received but not due"),
        (will.more_than_once, "received more than once"),
        (will.of_later_connect, "from a later CONNECT"),
    ];
    lines.extend(
        oddities
            .iter()
            .filter(|(times, _)| *times > 0)
            .map(|(times, what)| format!("{} {what}", count(*times))),
    );
    lines
}

/// The due Wills that were not received.
pub(super) fn unseen(will: &WillRecord) -> Option<String> {
    let unseen = count(will.due.saturating_sub(will.due_and_seen));
    Some(format!("{unseen} not received within {}", time(will.shortest_wait_of_unseen_us?)))
}

/// The Reason Codes in DISCONNECT packets.
fn reason_codes(record: &Record, document: &mut Document) {
    let codes = totals::disconnect_codes(&record.cases);
    if codes.is_empty() {
        return;
    }
    let named = codes.iter().map(|(code, times)| {
        let name = ReasonCode(*code).name_in(PacketType::Disconnect);
        let name = name.unwrap_or("not a DISCONNECT Reason Code");
        format!("0x{code:02X} {name} ×{}", count(*times))
    });
    document.labelled("DISCONNECT", named.collect::<Vec<_>>().join(" · "));
}

/// What the table omits: attempts that were skipped, did not end, were not written, or did not act.
fn omissions(record: &Record, document: &mut Document) {
    let attempts = &record.attempts;
    let mut left_out: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in &record.cases_left_out {
        left_out.entry(&case.why).or_default().push(case.case.to_string());
    }
    for (why, cases) in left_out {
        document.labelled("Skipped", format!("{}: {why}", listed(&cases)));
    }
    // A finding says it with more words.
    if attempts.dropped > 0 && !is_found(record, "carries_out_the_plan", "") {
        let planned = counted(attempts.planned, "planned attempt");
        let why = match record.completeness {
            Completeness::Complete => "could not start in time",
            _ => "not started, or cut off when the run stopped",
        };
        document.labelled("Not completed", format!("{} of {planned}: {why}", count(attempts.dropped)));
    }
    if attempts.left_out > 0 {
        let left_out = counted(attempts.left_out, "finished attempt");
        let text = format!("{left_out}: --attempts-max limits attempts.ndjson");
        document.labelled("Not written", text);
    }
    troubles(&record.cases, document);
    let wills = record.cases.iter().any(|case| case.will.is_some());
    match record.witness {
        _ if !wills => {}
        Some(witness) if witness.proved => {
            if witness.unexpected > 0 {
                let late = counted(witness.unexpected, "message");
                document.labelled("Witness", format!("{late} arrived after the wait for them had ended"));
            }
        }
        Some(_) | None if is_found(record, "", "witness") => {}
        Some(_) => {
            document.labelled("Witness", "not proved to receive messages: a missing Will proves nothing");
        }
        None => document.labelled("Witness", "could not subscribe: no conclusion about Wills is possible"),
    }
}

fn troubles(cases: &[CaseRecord], document: &mut Document) {
    let mut by_text: BTreeMap<&str, (u64, Vec<&CaseRecord>)> = BTreeMap::new();
    for case in cases {
        for (text, times) in &case.troubles {
            let (sum, met_in) = by_text.entry(text).or_default();
            *sum += times;
            met_in.push(case);
        }
    }
    let mut sorted: Vec<_> = by_text.into_iter().collect();
    sorted.sort_by_key(|(text, (times, _))| (Reverse(*times), *text));
    for (text, (times, met_in)) in sorted.iter().take(SHOWN_AT_MOST) {
        let place = match &met_in[..] {
            [only] => only.case.to_string(),
            several => counted(several.len() as u64, "case"),
        };
        document.labelled("Problem", format!("×{} in {place}: {text}", count(*times)));
    }
    let others = sorted.get(SHOWN_AT_MOST..).unwrap_or_default();
    if !others.is_empty() {
        let times = others.iter().map(|(_, (times, _))| *times).sum();
        document.labelled(
            "Problem",
            format!("×{}: {}", count(times), counted(others.len() as u64, "other problem")),
        );
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::testing::{case, empty_record};

    use super::*;
    use ungraceful_record::reaction::Outcome;

    #[test]
    fn many_cases_of_a_fault_share_a_row() {
        let of = |index: u64| {
            let fault = if index.is_multiple_of(2) { "even" } else { "odd" };
            let sequences = BTreeMap::from([("FIN".to_owned(), 3)]);
            CaseRecord { sequences, ..case(fault, &index.to_string(), "5.0", &[(Outcome::Closed, 3)]) }
        };
        let record = Record { cases: (0..61).map(of).collect(), ..empty_record() };
        assert!(super::super::has_many_cases(&record));
        let table = summed_up(&record);
        let rows: Vec<String> = table.rows.iter().map(|row| row.concat().join(" ")).collect();
        assert_eq!(rows, ["5.0 even 31 93 FIN", "5.0 odd 30 90 FIN", "all  61 183 "]);
    }
}
