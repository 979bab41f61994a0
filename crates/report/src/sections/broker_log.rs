//! The broker's log during the run, by phrases.

use ungraceful_record::run::{BrokerLogRecord, LogPhraseRecord, Record};

use crate::document::{Block, Column, Document, Table, cell};
use crate::escape;
use crate::percentile::NONE;
use crate::scale::{bytes, count, counted};

/// Maximum number of phrases; the others are only counted.
const SHOWN_AT_MOST: usize = 10;
/// Maximum number of characters of a phrase.
const PHRASE_CHARACTERS_MAX: usize = 80;

pub(super) fn section(record: &Record, document: &mut Document) {
    let Some(log) = &record.broker_log else { return };
    document.heading("Broker log");
    if log.lines_kept + log.lines_left_out == 0 {
        document.line(format!(
            "Nothing was appended to {} during the run. A broker that writes to a pipe may buffer its output.",
            log.path
        ));
    } else {
        document.push(Block::Table(table(log)));
        document.line(summary(log, record.load.is_some()));
    }
    if let Some(trouble) = &log.trouble {
        document.labelled("Log error", trouble);
    }
}

/// Phrases that name attempts come first: the run caused them.
fn table(log: &BrokerLogRecord) -> Table {
    let columns = vec![Column::numbers("lines"), Column::words("phrase"), Column::words("example")];
    let names = |phrase: &&LogPhraseRecord| phrase.example_attempt.is_some();
    let (naming, others): (Vec<_>, Vec<_>) = log.phrases.iter().partition(names);
    let row = |phrase: &LogPhraseRecord| {
        let example = phrase.example_attempt.map(|attempt| format!("attempt {attempt}"));
        vec![
            cell(count(phrase.lines)),
            cell(cut(&phrase.phrase)),
            cell(example.unwrap_or_else(|| NONE.to_owned())),
        ]
    };
    let rows = naming.into_iter().chain(others).take(SHOWN_AT_MOST).map(row).collect();
    Table { columns, rows, keys: 0 }
}

/// The causes that `ungraceful explain` finds in the lines that name attempts.
fn causes(log: &BrokerLogRecord) -> String {
    let causes = log.causes.iter();
    let causes = causes.map(|cause| format!("{} ({})", cause.cause, counted(cause.attempts, "attempt")));
    causes.collect::<Vec<_>>().join(", ")
}

/// The phrase, truncated with `…` so that it stays within the limit after escaping.
fn cut(phrase: &str) -> String {
    let (mut taken, mut room_for_mark) = (0, 0);
    for (at, character) in phrase.char_indices() {
        if taken < PHRASE_CHARACTERS_MAX {
            room_for_mark = at;
        }
        taken += escape::plain(character.encode_utf8(&mut [0; 4])).chars().count();
        if taken > PHRASE_CHARACTERS_MAX {
            return format!("{}…", &phrase[..room_for_mark]);
        }
    }
    phrase.to_owned()
}

fn summary(log: &BrokerLogRecord, is_of_load: bool) -> String {
    let mut text = counted(log.lines_kept + log.lines_left_out, "line");
    // A load has no attempts.
    if !is_of_load {
        text += &format!(
            "; {} of them name {}",
            count(log.lines_that_name_an_attempt),
            counted(log.attempts_named, "attempt")
        );
    }
    if !log.causes.is_empty() {
        text += &format!("; causes: {}", causes(log));
    }
    if log.phrases.len() > SHOWN_AT_MOST {
        let further = (log.phrases.len() - SHOWN_AT_MOST) as u64;
        text += &format!("; {} in run.json", counted(further, "further phrase"));
    }
    if log.lines_left_out > 0 {
        text += &format!("; {} not kept (--broker-log-max)", counted(log.lines_left_out, "line"));
    }
    if log.lines_cut > 0 {
        text += &format!("; {} truncated to 1,024 bytes", counted(log.lines_cut, "line"));
    }
    if log.bytes_unread > 0 {
        text += &format!("; {} written too fast to be read", bytes(log.bytes_unread));
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use ungraceful_record::run::{BrokerLogRecord, LogCauseRecord};

    use super::{cut, summary};
    use crate::escape;

    #[test]
    fn the_causes_in_the_lines_are_summarised() {
        let cause =
            |cause: &str, attempts| LogCauseRecord { cause: cause.into(), attempts, example_attempt: 0 };
        let causes = vec![cause("double-connect", 790), cause("lost", 1)];
        let log =
            BrokerLogRecord { lines_kept: 800, attempts_named: 791, causes, ..BrokerLogRecord::default() };
        let expected = "; causes: double-connect (790 attempts), lost (1 attempt).";
        assert!(summary(&log, false).ends_with(expected), "{}", summary(&log, false));
    }

    #[test]
    fn a_phrase_takes_at_most_80_characters_after_escaping() {
        let whole = "ä".repeat(80);
        assert_eq!(cut(&whole), whole);
        assert_eq!(cut(&format!("{whole}b")), format!("{}…", "ä".repeat(79)));
        for binary in ["\0", "\u{fffd}", "a\0\u{1b}", "\u{202e}"] {
            let shown = escape::plain(&cut(&binary.repeat(500))).chars().count();
            assert!((72..=80).contains(&shown), "{binary:?} {shown}");
        }
        assert_eq!(cut(""), "");
    }
}
