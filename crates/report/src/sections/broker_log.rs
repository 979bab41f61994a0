//! What the broker's log said during the run, by phrases.

use ungraceful_rig::record::{BrokerLogRecord, LogPhraseRecord, Record};

use crate::document::{Block, Column, Document, Table, cell};
use crate::percentile::NONE;
use crate::scale::{bytes, count, counted};

/// Phrases shown; of the others only their number.
const SHOWN_AT_MOST: usize = 10;

pub(super) fn section(record: &Record, document: &mut Document) {
    let Some(log) = &record.broker_log else { return };
    document.heading("What the broker's log said");
    if log.lines_kept + log.lines_left_out == 0 {
        document.line(format!(
            "Nothing was appended to {} during the run. A broker that writes to a pipe may hold its lines back.",
            log.path
        ));
    } else {
        document.push(Block::Table(table(log)));
        document.line(summary(log));
    }
    if let Some(trouble) = &log.trouble {
        document.labelled("Log lost", trouble);
    }
}

/// Phrases that name attempts first: they are what the run caused.
fn table(log: &BrokerLogRecord) -> Table {
    let columns = vec![Column::numbers("lines"), Column::words("phrase"), Column::words("example")];
    let names = |phrase: &&LogPhraseRecord| phrase.example_attempt.is_some();
    let (naming, others): (Vec<_>, Vec<_>) = log.phrases.iter().partition(names);
    let row = |phrase: &LogPhraseRecord| {
        let example = phrase.example_attempt.map(|attempt| format!("attempt {attempt}"));
        vec![
            cell(count(phrase.lines)),
            cell(&*phrase.phrase),
            cell(example.unwrap_or_else(|| NONE.to_owned())),
        ]
    };
    let rows = naming.into_iter().chain(others).take(SHOWN_AT_MOST).map(row).collect();
    Table { columns, rows, keys: 0 }
}

fn summary(log: &BrokerLogRecord) -> String {
    let mut text = counted(log.lines_kept + log.lines_left_out, "line");
    text += &format!(
        "; {} of them name {}",
        count(log.lines_that_name_an_attempt),
        counted(log.attempts_named, "attempt")
    );
    if log.phrases.len() > SHOWN_AT_MOST {
        let further = (log.phrases.len() - SHOWN_AT_MOST) as u64;
        text += &format!("; {} in run.json", counted(further, "further phrase"));
    }
    if log.lines_left_out > 0 {
        text += &format!("; {} not kept (--broker-log-max)", counted(log.lines_left_out, "line"));
    }
    if log.lines_cut > 0 {
        text += &format!("; {} cut to 1,024 bytes", counted(log.lines_cut, "line"));
    }
    if log.bytes_unread > 0 {
        text += &format!("; {} came too fast to be read", bytes(log.bytes_unread));
    }
    text + "."
}
