//! The sections of a report, in the order in which a tired operator needs them: the run, alarms, the broker's reactions,
//! the impact on others, broker resources and log, findings, and reliability.

mod broker_log;
mod bystanders;
mod cases;
mod closing;
mod cost;
mod evidence;
pub(crate) mod findings;
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
pub(crate) fn has_many_cases(record: &Record) -> bool {
    record.cases.len() > CASES_ONE_BY_ONE
}

/// The parts of a report, which a page shows in another order than a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The run and its alarms.
    pub(crate) opening: Document,
    /// What was measured, section by section.
    pub(crate) measured: Document,
    /// The verdicts.
    pub(crate) findings: Document,
    /// The generator's reliability and the exit code.
    pub(crate) closing: Document,
}

impl Parts {
    /// As on a terminal, where the last lines are seen first.
    fn in_order(self) -> Document {
        let parts = [self.opening, self.measured, self.findings, self.closing];
        Document { blocks: parts.into_iter().flat_map(|part| part.blocks).collect(), ..Document::default() }
    }
}

/// The report.
pub(crate) fn parts(record: &Record, context: &Context) -> Parts {
    let mut parts = Parts::default();
    opening::section(record, &mut parts.opening);
    let measured = &mut parts.measured;
    load::section(record, measured);
    cases::section(record, measured);
    waves::section(record, measured);
    found::section(record, measured);
    measured::section(record, measured);
    bystanders::section(record, measured);
    cost::section(record, measured);
    broker_log::section(record, measured);
    findings::section(record, &mut parts.findings);
    closing::section(record, context, &parts.measured, &mut parts.closing);
    parts
}

/// The whole report.
pub(crate) fn compose(record: &Record, context: &Context) -> Document {
    parts(record, context).in_order()
}
