//! The sections of a report, in the order in which a tired operator needs them: the run, alarms, the broker's reactions,
//! the impact on others, broker resources and log, findings, and reliability.

mod broker_log;
mod bystanders;
mod cases;
mod closing;
mod cost;
mod evidence;
mod findings;
mod found;
mod load;
mod measured;
mod opening;
pub(crate) mod search;
pub(crate) mod tour;
mod waves;

pub(crate) use findings::{by_claim, finding};
pub(crate) use opening::{incompleteness, target};

use ungraceful_record::run::Record;

use crate::Context;
use crate::document::Document;

/// Maximum number of cases that are reported one by one; where there are more, a row sums up those of a fault.
const CASES_ONE_BY_ONE: usize = 60;

/// Whether the record has too many cases to report each.
fn has_many_cases(record: &Record) -> bool {
    record.cases.len() > CASES_ONE_BY_ONE
}

/// The whole report.
pub(crate) fn compose(record: &Record, context: &Context) -> Document {
    let mut document = Document::default();
    opening::section(record, &mut document);
    load::section(record, &mut document);
    cases::section(record, &mut document);
    waves::section(record, &mut document);
    found::section(record, &mut document);
    measured::section(record, &mut document);
    bystanders::section(record, &mut document);
    cost::section(record, &mut document);
    broker_log::section(record, &mut document);
    findings::section(record, &mut document);
    closing::section(record, context, &mut document);
    document
}
