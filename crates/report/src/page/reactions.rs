//! Reads the reactions of each second by kind from `attempts.ndjson`, line by line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use ungraceful_record::files::ATTEMPTS_NDJSON;
use ungraceful_record::reaction::Reaction;
use ungraceful_record::run::Record;

use super::seconds::Seconds;
use crate::scale::{count, counted};

/// Maximum number of kinds that are shown; the others are summed up.
const KINDS_AT_MOST: usize = 5;
/// Maximum number of kinds that are counted each: a broker may send any packet.
const COUNTED_AT_MOST: usize = 50;
/// Maximum length of a line: a longer one is no attempt.
const LINE_AT_MOST: u64 = 16 << 20;
/// The name of the other kinds.
const OTHERS: &str = "others";

/// The reactions of a run over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reactions {
    /// The kinds, most frequent first.
    pub(super) kinds: Vec<String>,
    /// The number of reactions of each kind, by point; none where there were no reactions.
    pub(super) points: BTreeMap<u64, Vec<u64>>,
    /// What is missing; empty when nothing is.
    pub(super) notes: Vec<String>,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    reactions: Vec<Reaction>,
}

impl Reactions {
    /// Reads the reactions of `record` in `folder`.
    pub(super) fn read(record: &Record, folder: &Path, seconds: Seconds) -> Self {
        let mut counting = Counting::default();
        if let Err(why) = counting.read(&folder.join(ATTEMPTS_NDJSON), seconds) {
            counting.notes.push(why);
        }
        let left_out = record.attempts.left_out;
        if left_out > 0 {
            let attempts = counted(left_out, "finished attempt");
            counting.notes.push(format!(
                "The reactions of {attempts} are missing: --attempts-max limits {ATTEMPTS_NDJSON}."
            ));
        }
        counting.finish()
    }
}

/// Counts by point and kind.
#[derive(Default)]
struct Counting {
    kinds: Vec<String>,
    points: BTreeMap<u64, Vec<u64>>,
    notes: Vec<String>,
    /// Reactions after the run's last second.
    outside: u64,
}

impl Counting {
    fn read(&mut self, path: &Path, seconds: Seconds) -> Result<(), String> {
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = reader.by_ref().take(LINE_AT_MOST).read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(&error))? == 0 {
                break;
            }
            let parsed =
                if line.ends_with(b"\n") { serde_json::from_slice::<Line>(&line).ok() } else { None };
            let Some(parsed) = parsed else {
                return Err(format!(
                    "{ATTEMPTS_NDJSON} is cut short or damaged at line {}; what follows is not shown.",
                    count(number)
                ));
            };
            for reaction in &parsed.reactions {
                self.add(reaction, seconds);
            }
        }
        if self.outside > 0 {
            let reactions = counted(self.outside, "reaction");
            self.notes.push(format!("{reactions} came after the run's last second and are not shown."));
        }
        Ok(())
    }

    fn add(&mut self, reaction: &Reaction, seconds: Seconds) {
        let Some(point) = seconds.point(reaction.at_us / 1_000_000) else {
            self.outside += 1;
            return;
        };
        let label = reaction.label();
        let place = self.kinds.iter().position(|kind| *kind == label).unwrap_or_else(|| {
            if self.kinds.len() <= COUNTED_AT_MOST {
                self.kinds.push(label);
            }
            self.kinds.len() - 1
        });
        let counts = self.points.entry(point).or_default();
        counts.resize(counts.len().max(place + 1), 0);
        counts[place] += 1;
    }

    /// The most frequent kinds, and the sum of the others.
    fn finish(self) -> Reactions {
        let of = |counts: &Vec<u64>, place: usize| counts.get(place).copied().unwrap_or(0);
        let sum = |place| self.points.values().map(|counts| of(counts, place)).sum::<u64>();
        let mut places: Vec<usize> = (0..self.kinds.len()).collect();
        // The last of them stands for all that came when there was no place left.
        places.sort_by_key(|place| (*place == COUNTED_AT_MOST, std::cmp::Reverse(sum(*place))));
        let (shown, others) = places.split_at(places.len().min(KINDS_AT_MOST));
        let mut kinds: Vec<String> = shown.iter().map(|place| self.kinds[*place].clone()).collect();
        kinds.extend((!others.is_empty()).then(|| OTHERS.to_owned()));
        let points = self.points.iter().map(|(point, counts)| {
            let mut kept: Vec<u64> = shown.iter().map(|place| of(counts, *place)).collect();
            kept.extend(
                (!others.is_empty()).then(|| others.iter().map(|place| of(counts, *place)).sum::<u64>()),
            );
            (*point, kept)
        });
        Reactions { points: points.collect(), kinds, notes: self.notes }
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("{ATTEMPTS_NDJSON} can't be read: {error}.")
}

#[cfg(test)]
mod tests {
    use ungraceful_record::run::{AttemptsRecord, Record};

    use super::super::seconds::Seconds;
    use super::Reactions;

    fn read(text: &str) -> Reactions {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("attempts.ndjson"), text).unwrap();
        Reactions::read(&Record::default(), folder.path(), Seconds::until(9))
    }

    fn line(kind: &str, detail: &str, at_us: u64) -> String {
        format!(
            "{{\"attempt\":0,\"reactions\":[{{\"kind\":\"{kind}\",\"at_us\":{at_us},\"detail\":\"{detail}\"}}]}}\n"
        )
    }

    #[test]
    fn reactions_are_counted_by_second_and_kind_most_frequent_first() {
        let read = read(
            &[line("reset", "", 100), line("closed", "", 3_000_000), line("closed", "", 3_999_999)].concat(),
        );
        assert_eq!(read.kinds, ["FIN", "RST"]);
        assert_eq!(read.points.into_iter().collect::<Vec<_>>(), [(0, vec![0, 1]), (3, vec![2, 0])]);
        assert_eq!(read.notes, [""; 0]);
    }

    #[test]
    fn a_broker_that_sends_anything_fills_neither_memory_nor_the_legend() {
        let text: String = (0..500).map(|n| line("other_packet", &format!("packet {n}"), 1)).collect();
        let read = read(&text);
        assert_eq!((read.kinds.len(), read.kinds.last().map(String::as_str)), (6, Some("others")));
        assert_eq!(read.points[&0].iter().sum::<u64>(), 500, "all are counted");
    }

    #[test]
    fn a_line_that_is_cut_short_is_left_out_and_reported() {
        let whole = line("closed", "", 1);
        for cut in [&whole[..whole.len() - 1], &whole[..20], "{}\n", "nonsense\n"] {
            let read = read(&format!("{whole}{cut}"));
            assert_eq!(read.points[&0], [1], "{cut:?}");
            assert!(read.notes[0].contains("damaged at line 2;"), "{:?}", read.notes);
        }
    }

    #[test]
    fn attempts_that_are_not_in_the_file_are_reported() {
        let record = Record {
            attempts: AttemptsRecord { left_out: 7, ..AttemptsRecord::default() },
            ..Record::default()
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("attempts.ndjson"), line("closed", "", 11_000_000)).unwrap();
        let read = Reactions::read(&record, folder.path(), Seconds::until(9));
        assert!(read.points.is_empty());
        let [outside, left_out] = &read.notes[..] else { panic!("{:?}", read.notes) };
        assert!(outside.starts_with("1 reaction came after"), "{outside}");
        assert!(left_out.contains("7 finished attempts"), "{left_out}");
    }
}
