//! The waves of a run, one row each: when the attempts reached their milestones, with how many tries, and the impact on
//! bystanders and broker. Helps to choose a back-off.

use std::collections::BTreeSet;

use ungraceful_record::run::{CaseRecord, MilestoneRecord, Record, WaveRecord};

use super::found::variants;
use crate::document::{Cell, Column, Document, Table, cell};
use crate::percentile::{Figure, NONE};
use crate::scale::{bytes, count, counted, time};

/// Measure: tries of an attempt until its milestone.
const TRIES: &str = "tries";
/// Measure: CONNACK time of the successful try.
const CONNACK: &str = "back_connack_us";
/// Measure: handshakes that took a second or more.
const LATE_HANDSHAKES: &str = "handshakes_of_1_s";

pub(super) fn section(record: &Record, document: &mut Document) {
    if record.waves.is_empty() {
        return;
    }
    let case_of = |wave: &WaveRecord| record.cases.iter().find(|case| case.case == wave.case);
    let waves: Vec<(&WaveRecord, &CaseRecord)> =
        record.waves.iter().filter_map(|wave| Some((wave, case_of(wave)?))).collect();
    document.heading("Waves, one after another");
    document.rows(table(&waves));
    if let Some(outage) = waves.iter().find_map(|(wave, _)| wave.outage.as_ref()) {
        let text = format!("each wave began with a planned outage: the broker was {}", outage.by);
        document.labelled("Outages", text);
    }
    let late: u64 =
        waves.iter().filter_map(|(_, case)| case.measures.get(LATE_HANDSHAKES)).map(|it| it.sum).sum();
    if late > 0 {
        let text = format!(
            "{} took a second or more: a full listen backlog drops SYNs, which are sent again after a second. The waits \
             then measure the backlog, not the broker; --connecting-max limits how many clients connect at once",
            counted(late, "TCP handshake")
        );
        document.labelled("Backlog", text);
    }
}

/// The optional columns of the waves.
struct Shape<'a> {
    milestones: BTreeSet<&'a str>,
    tries: bool,
    connack: bool,
    outages: bool,
    bystanders: bool,
    memory: bool,
}

impl<'a> Shape<'a> {
    fn of(waves: &[(&'a WaveRecord, &'a CaseRecord)]) -> Self {
        let measures = |name: &str| waves.iter().any(|(_, case)| case.measures.contains_key(name));
        Self {
            milestones: waves
                .iter()
                .flat_map(|(_, case)| case.milestones.keys().map(String::as_str))
                .collect(),
            tries: measures(TRIES),
            connack: measures(CONNACK),
            outages: waves.iter().any(|(wave, _)| wave.outage.is_some()),
            bystanders: waves.iter().any(|(wave, _)| wave.bystander_messages_due > 0),
            memory: waves.iter().any(|(wave, _)| wave.rss_bytes_max.is_some()),
        }
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::words("MQTT"), Column::words("variant"), Column::numbers("clients")];
        for name in &self.milestones {
            columns.extend(["50 %", "95 %", "100 %"].map(|share| Column::numbers(format!("{name} {share}"))));
            columns.push(Column::numbers(format!("not {name}")));
        }
        columns.extend(self.tries.then(|| Column::numbers("tries each")));
        columns.extend(self.connack.then(|| Column::numbers("CONNACK p99")));
        columns.extend(self.outages.then(|| Column::numbers("down")));
        if self.bystanders {
            columns.extend(["p50", "max", "missed"].map(|name| Column::numbers(name).in_group("bystanders")));
        }
        columns.extend(self.memory.then(|| Column::numbers("broker memory")));
        columns
    }

    fn row(&self, wave: &WaveRecord, case: &CaseRecord, variant: String) -> Vec<Cell> {
        let mut row = vec![cell(&case.case.version), cell(variant), cell(count(case.finished))];
        for name in &self.milestones {
            row.extend(case.milestones.get(*name).map_or_else(|| vec![cell(NONE); 4], milestone));
        }
        let reached = case.milestones.values().next().map_or(0, |milestone| milestone.reached);
        if self.tries {
            row.push(cell(
                case.measures.get(TRIES).map_or_else(|| NONE.to_owned(), |tries| each(tries.sum, reached)),
            ));
        }
        if self.connack {
            row.push(case.measures.get(CONNACK).map_or_else(
                || cell(NONE),
                |took| match (took.p99, took.max) {
                    (Some(p99), _) => cell(time(p99)),
                    (None, Some(max)) => cell(format!("≤ {}", time(max))),
                    (None, None) => cell(NONE),
                },
            ));
        }
        if self.outages {
            let down = wave
                .outage
                .as_ref()
                .and_then(|outage| Some(outage.ended_us?.saturating_sub(outage.began_us)));
            row.push(cell(down.map_or_else(|| NONE.to_owned(), time)));
        }
        if self.bystanders {
            let times = &wave.bystander_response_time;
            row.extend([Figure::P50, Figure::Max].map(|figure| cell(figure.shown(times))));
            row.push(cell(count(wave.bystander_messages_due.saturating_sub(times.count))));
        }
        if self.memory {
            row.push(cell(wave.rss_bytes_max.map_or_else(|| NONE.to_owned(), bytes)));
        }
        row
    }
}

fn table(waves: &[(&WaveRecord, &CaseRecord)]) -> Table {
    let shape = Shape::of(waves);
    let cases: Vec<&CaseRecord> = waves.iter().map(|(_, case)| *case).collect();
    let variant = variants(&cases);
    let rows = waves.iter().map(|(wave, case)| shape.row(wave, case, variant(case))).collect();
    Table { columns: shape.columns(), rows, keys: 2 }
}

/// The times until 50 %, 95 % and all reached it, and how many did not.
fn milestone(milestone: &MilestoneRecord) -> Vec<Cell> {
    let shown = |us: Option<u64>| cell(us.map_or_else(|| "never".to_owned(), time));
    vec![
        shown(milestone.half_us),
        shown(milestone.percent_95_us),
        shown(milestone.all_us),
        cell(count(milestone.of.saturating_sub(milestone.reached))),
    ]
}

/// The number per success, to a hundredth.
fn each(all: u64, successes: u64) -> String {
    match (all * 100 + successes / 2).checked_div(successes) {
        Some(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        None => NONE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::run::MilestoneRecord;

    use super::{each, milestone};

    #[test]
    fn tries_per_success_are_shown_to_a_hundredth() {
        assert_eq!((each(120, 60), each(61, 60), each(10, 3)), ("2.00".into(), "1.02".into(), "3.33".into()));
        assert_eq!(each(5, 0), "–", "all in vain");
    }

    #[test]
    fn an_unreached_share_has_no_time() {
        let record = MilestoneRecord {
            of: 100,
            reached: 96,
            half_us: Some(1_500),
            percent_95_us: Some(2_000_000),
            all_us: None,
            last_us: Some(2_500_000),
        };
        assert_eq!(milestone(&record).concat(), ["1.50 ms", "2.00 s", "never", "4"]);
    }
}
