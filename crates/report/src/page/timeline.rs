//! Reads `timeline.csv` into the points of the pictures.
//!
//! Columns are taken by name, because older records have fewer; a cell that is empty or not there stays absent. Rows after a damaged
//! one are left out, and the page says so.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use csv::StringRecord;
use ungraceful_record::files::TIMELINE_CSV;
use ungraceful_record::phase::Phase;
use ungraceful_record::run::Record;

use super::seconds::Seconds;

ungraceful_record::words! {
    /// A column of the timeline that is shown.
    pub(super) enum Column: "column" {
        Offered = "offered",
        Sent = "sent",
        Acknowledged = "acknowledged",
        Delivered = "delivered",
        AttemptsStarted = "attempts_started",
        AttemptsFinished = "attempts_finished",
        AttemptsDropped = "attempts_dropped",
        Reactions = "reactions",
        ConnectionsOpen = "connections_open",
        BystanderP50 = "bystander_response_time_us_p50",
        BystanderP99 = "bystander_response_time_us_p99",
        BystanderMax = "bystander_response_time_us_max",
        BrokerCpu = "broker_cpu_us",
        BrokerRss = "broker_rss_bytes",
        BrokerDescriptors = "broker_descriptors",
        GeneratorLag = "generator_lag_us_max",
        LoadOffered = "load_offered",
        LoadSent = "load_sent",
        LoadAcknowledged = "load_acknowledged",
        LoadDelivered = "load_delivered",
        LoadP50 = "load_response_time_us_p50",
        LoadP99 = "load_response_time_us_p99",
        LoadMax = "load_response_time_us_max",
    }
}

const COLUMNS: usize = Column::ALL.len();

impl Column {
    /// Whether the values of several seconds and phases add up; the largest is kept of others.
    const fn adds_up(self) -> bool {
        matches!(
            self,
            Self::Offered
                | Self::Sent
                | Self::Acknowledged
                | Self::Delivered
                | Self::AttemptsStarted
                | Self::AttemptsFinished
                | Self::AttemptsDropped
                | Self::Reactions
                | Self::LoadOffered
                | Self::LoadSent
                | Self::LoadAcknowledged
                | Self::LoadDelivered
        )
    }

    /// Its place among the columns.
    const fn index(self) -> usize {
        self as usize
    }
}

/// What was measured in the seconds of a point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    /// Its number, in order of time.
    pub(super) number: u64,
    /// The phases, in order.
    pub(super) phases: Vec<Phase>,
    cells: [Option<u64>; COLUMNS],
}

impl Point {
    /// The value of a column; absent where nothing was measured.
    pub(super) fn of(&self, column: Column) -> Option<u64> {
        self.cells[column.index()]
    }

    fn add(&mut self, row: &Row) {
        if !self.phases.contains(&row.phase) {
            self.phases.push(row.phase);
            self.phases.sort_unstable();
        }
        for column in Column::ALL {
            let (sum, value) = (&mut self.cells[column.index()], row.cells[column.index()]);
            *sum = match (*sum, value) {
                (Some(sum), Some(value)) if column.adds_up() => Some(sum.saturating_add(value)),
                (sum, value) => sum.max(value),
            };
        }
    }
}

/// The timeline of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) seconds: Seconds,
    /// The points in which something was counted, in order.
    pub(super) points: Vec<Point>,
    /// Why it is not complete; absent when it is.
    pub(super) trouble: Option<String>,
}

impl Timeline {
    /// Reads the timeline of `record` in `folder`.
    pub(super) fn read(record: &Record, folder: &Path) -> Self {
        let last_second = record.duration_us / 1_000_000;
        match read(&folder.join(TIMELINE_CSV), last_second) {
            Ok(timeline) => timeline,
            Err(error) => Self {
                seconds: Seconds::until(last_second),
                points: Vec::new(),
                trouble: Some(format!("{TIMELINE_CSV} can't be read: {error}")),
            },
        }
    }

    /// Whether a column has a value.
    pub(super) fn has(&self, column: Column) -> bool {
        self.points.iter().any(|point| point.of(column).is_some())
    }

    /// Whether a column has a value that is not 0.
    pub(super) fn has_any(&self, column: Column) -> bool {
        self.points.iter().any(|point| point.of(column).is_some_and(|value| value > 0))
    }
}

fn read(path: &Path, last_second: u64) -> io::Result<Timeline> {
    let mut file = File::open(path)?;
    // First for the run's length, so that only the points are kept.
    let mut rows = Rows::of(&mut file)?;
    let last_row = rows.by_ref().map(|row| row.second).max();
    let seconds = Seconds::until(last_second.max(last_row.unwrap_or(0)).min(u64::MAX - 1));
    let trouble = rows.trouble;
    let mut points: Vec<Point> = Vec::new();
    for row in Rows::of(&mut file)? {
        let Some(number) = seconds.point(row.second) else { continue };
        let at = points.binary_search_by_key(&number, |point| point.number).unwrap_or_else(|at| {
            points.insert(at, Point { number, ..Point::default() });
            at
        });
        points[at].add(&row);
    }
    Ok(Timeline { seconds, points, trouble })
}

struct Row {
    second: u64,
    phase: Phase,
    cells: [Option<u64>; COLUMNS],
}

/// The rows of a file until its end or the first damaged one.
struct Rows<'a> {
    reader: csv::Reader<&'a mut File>,
    second: usize,
    phase: usize,
    places: [Option<usize>; COLUMNS],
    /// A row, and whether it is the last: without a line end, it was cut off.
    next: Option<StringRecord>,
    ends_with_line: bool,
    trouble: Option<String>,
}

impl<'a> Rows<'a> {
    fn of(file: &'a mut File) -> io::Result<Self> {
        let ends_with_line = ends_with_line(file)?;
        file.rewind()?;
        let mut reader = csv::Reader::from_reader(file);
        let header = reader.headers().map_err(io::Error::other)?.clone();
        let place = |name: &str| header.iter().position(|column| column == name);
        let required = |name: &str| {
            place(name)
                .ok_or_else(|| io::Error::other(format!("it has no column {name}: no timeline of a run")))
        };
        let (second, phase) = (required("second")?, required("phase")?);
        let places = Column::ALL.map(|column| place(column.name()));
        let mut rows = Self { reader, second, phase, places, next: None, ends_with_line, trouble: None };
        rows.next = rows.read();
        Ok(rows)
    }

    /// The next row of the file, whatever it holds.
    fn read(&mut self) -> Option<StringRecord> {
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(true) => Some(record),
            Ok(false) => None,
            Err(error) => {
                self.damaged(error.position().map_or(0, csv::Position::line));
                None
            }
        }
    }

    fn damaged(&mut self, line: u64) {
        let text =
            format!("{TIMELINE_CSV} is cut short or damaged at line {line}; what follows is not shown");
        self.trouble.get_or_insert(text);
    }

    fn parsed(&self, record: &StringRecord) -> Option<Row> {
        let cell = |place: usize| match record.get(place) {
            None | Some("") => Some(None),
            Some(text) => text.parse().ok().map(Some),
        };
        let mut cells = [None; COLUMNS];
        for (value, place) in cells.iter_mut().zip(self.places) {
            *value = place.map_or(Some(None), cell)?;
        }
        let second = record.get(self.second)?.parse().ok()?;
        Some(Row { second, phase: record.get(self.phase)?.parse().ok()?, cells })
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let record = self.next.take()?;
        let line = record.position().map_or(0, csv::Position::line);
        self.next = self.read();
        let is_cut_off = self.next.is_none() && self.trouble.is_none() && !self.ends_with_line;
        let row = self.parsed(&record).filter(|_| !is_cut_off);
        if row.is_none() {
            self.next = None;
            self.damaged(line);
        }
        row
    }
}

fn ends_with_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ungraceful_record::phase::Phase;
    use ungraceful_record::run::Record;
    use ungraceful_record::timeline::Row;

    use super::{Column, Timeline};

    const HEADER: &str = "second,phase,offered,reactions,bystander_response_time_us_max,broker_rss_bytes\n";

    fn read(text: &str) -> Timeline {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("timeline.csv"), text).unwrap();
        Timeline::read(&Record::default(), folder.path())
    }

    #[test]
    fn every_column_is_one_that_the_generator_writes() {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(Row::default()).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let header: Vec<_> = text.lines().next().unwrap().split(',').collect();
        for column in Column::ALL {
            assert!(header.contains(&column.name()), "{column}");
        }
        assert_eq!(header.len(), Column::ALL.len() + 2, "and the others are shown, too: {header:?}");
    }

    #[test]
    fn a_second_of_two_phases_is_one_point_with_sums_and_maxima() {
        let timeline = read(&format!("{HEADER}3,baseline,10,0,700,5\n3,fault,20,4,,9\n5,fault,1,,,\n"));
        assert_eq!(timeline.trouble, None);
        let [first, second] = &timeline.points[..] else { panic!("{timeline:?}") };
        assert_eq!((first.number, &first.phases[..]), (3, &[Phase::Baseline, Phase::Fault][..]));
        let of = |column| first.of(column);
        assert_eq!((of(Column::Offered), of(Column::Reactions)), (Some(30), Some(4)));
        assert_eq!((of(Column::BystanderMax), of(Column::BrokerRss)), (Some(700), Some(9)));
        assert_eq!(second.of(Column::Reactions), None, "an empty cell is not 0");
        assert_eq!(second.of(Column::BrokerCpu), None, "and neither is a column that is not there");
    }

    #[test]
    fn a_long_run_keeps_its_maxima_in_a_bounded_number_of_points() {
        let rows: String = (0..10_000).map(|n| format!("{n},fault,1,0,{},7\n", n % 1_000)).collect();
        let timeline = read(&format!("{HEADER}{rows}"));
        assert!(timeline.points.len() <= 600);
        let sum = |column| timeline.points.iter().filter_map(|point| point.of(column)).sum::<u64>();
        assert_eq!(sum(Column::Offered), 10_000);
        let highest = timeline.points.iter().filter_map(|point| point.of(Column::BystanderMax)).max();
        assert_eq!(highest, Some(999));
    }

    #[test]
    fn a_damaged_row_and_what_follows_is_left_out_and_reported() {
        for (rows, line) in [
            ("0,fault,1,1,1,1\n1,fault,2", 3),
            ("0,fault,1,1,1,1\n1,fault,2,2,2,2", 3),
            ("0,fault,1,1,1,1\n1,nonsense,2,2,2,2\n2,fault,3,3,3,3\n", 3),
            ("0,fault,1,1,1,1\n1,fault,2,-2,2,2\n", 3),
        ] {
            let timeline = read(&format!("{HEADER}{rows}"));
            assert_eq!(timeline.points.len(), 1, "{rows:?}");
            let trouble = timeline.trouble.unwrap();
            assert!(trouble.contains(&format!("line {line};")), "{rows:?}: {trouble}");
        }
    }

    #[test]
    fn a_missing_or_foreign_file_gives_no_points_and_the_reason() {
        let missing = Timeline::read(&Record::default(), Path::new("/nonexistent"));
        assert!(missing.points.is_empty() && missing.trouble.unwrap().contains("can't be read"));
        let foreign = read("a,b\n1,2\n");
        assert!(foreign.points.is_empty() && foreign.trouble.unwrap().contains("no column second"));
        let empty = read("");
        assert!(empty.points.is_empty() && empty.trouble.is_some());
    }
}
