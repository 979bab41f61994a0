//! Incidents over time by cause, in a fixed number of cells whose width grows with the log.

use std::collections::BTreeMap;

use crate::cause::Cause;
use crate::timestamp::LogTime;

/// Maximum number of cells.
const CELLS_MAX: usize = 60;

/// Incidents over time. All causes have the same cells, so that they can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Width of a cell in seconds.
    pub cell_s: i64,
    /// Begin of the first cell, in seconds since 1970; absent before the first count.
    pub begin_s: Option<i64>,
    cells: BTreeMap<Cause, Vec<u64>>,
    length: usize,
}

/// A row of a table of rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRow {
    /// Begin of the row.
    pub from: LogTime,
    /// Incidents by cause; causes without any in this row are skipped.
    pub incidents: BTreeMap<Cause, u64>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { cell_s: 1, begin_s: None, cells: BTreeMap::new(), length: 0 }
    }
}

impl Rates {
    /// Counts incidents at `time`.
    pub fn count(&mut self, cause: Cause, time: LogTime, incidents: u64) {
        let second = time.seconds();
        let begin = *self.begin_s.get_or_insert(second);
        if second < begin {
            self.begin_earlier(second);
        }
        loop {
            let begin = self.begin_s.unwrap_or(second);
            let cell = usize::try_from((second - begin) / self.cell_s).unwrap_or(usize::MAX);
            if cell < CELLS_MAX {
                self.length = self.length.max(cell + 1);
                let cells = self.cells.entry(cause).or_default();
                cells.resize(cells.len().max(cell + 1), 0);
                cells[cell] += incidents;
                return;
            }
            self.widen();
        }
    }

    /// The counts of one cause, cell by cell.
    #[must_use]
    pub fn of(&self, cause: Cause) -> Vec<u64> {
        let mut cells = self.cells.get(&cause).cloned().unwrap_or_default();
        cells.resize(self.length, 0);
        cells
    }

    /// The width of a row in seconds, and the counts in at most `rows_max` rows.
    #[must_use]
    pub fn rows(&self, rows_max: usize) -> (i64, Vec<RateRow>) {
        let Some(begin) = self.begin_s else { return (self.cell_s, Vec::new()) };
        let of_row = self.length.div_ceil(rows_max.max(1)).max(1);
        let row_s = self.cell_s * i64::try_from(of_row).unwrap_or(i64::MAX);
        let row = |number: usize| {
            let sum = |cells: &Vec<u64>| cells.iter().skip(number * of_row).take(of_row).sum::<u64>();
            let incidents = self.cells.iter().map(|(cause, cells)| (*cause, sum(cells)));
            RateRow {
                from: LogTime((begin + row_s * i64::try_from(number).unwrap_or(0)) * 1_000),
                incidents: incidents.filter(|(_, count)| *count > 0).collect(),
            }
        };
        (row_s, (0..self.length.div_ceil(of_row)).map(row).collect())
    }

    fn widen(&mut self) {
        self.cell_s *= 2;
        self.length = self.length.div_ceil(2);
        for cells in self.cells.values_mut() {
            *cells = cells.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
    }

    /// Makes room for an earlier line: logs of several processes are not ordered to the second.
    fn begin_earlier(&mut self, second: i64) {
        loop {
            let begin = self.begin_s.unwrap_or(second);
            let missing = (begin - second + self.cell_s - 1) / self.cell_s;
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            if missing.saturating_add(self.length) <= CELLS_MAX {
                for cells in self.cells.values_mut() {
                    cells.splice(0..0, std::iter::repeat_n(0, missing));
                }
                self.length += missing;
                self.begin_s = Some(begin - i64::try_from(missing).unwrap_or(0) * self.cell_s);
                return;
            }
            self.widen();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rates;
    use crate::cause::Cause;
    use crate::timestamp::LogTime;

    fn sum(rates: &Rates) -> u64 {
        rates.of(Cause::Lost).iter().sum()
    }

    #[test]
    fn cells_widen_as_the_log_grows_and_nothing_is_lost() {
        let mut rates = Rates::default();
        for second in 0..1_000 {
            rates.count(Cause::Lost, LogTime(second * 1_000), 1);
        }
        assert_eq!(sum(&rates), 1_000);
        let cells = rates.of(Cause::Lost);
        assert_eq!((rates.cell_s, cells.len(), cells[0]), (32, 32, 32));
        rates.count(Cause::Lost, LogTime(-5_000), 1);
        assert_eq!((rates.begin_s, rates.of(Cause::Lost)[0], sum(&rates)), (Some(-32), 1, 1_001));
        rates.count(Cause::Lost, LogTime(1_000_000_000_000), 1);
        assert_eq!(sum(&rates), 1_002);
        assert!(rates.of(Cause::Lost).len() <= 60);
    }

    #[test]
    fn all_causes_share_the_cells_and_rows_hold_them_all() {
        let mut rates = Rates::default();
        for second in 100..130 {
            rates.count(Cause::Lost, LogTime(second * 1_000), 1);
        }
        rates.count(Cause::TakeOver, LogTime(95_000), 1);
        assert_eq!((rates.of(Cause::Lost).len(), rates.of(Cause::TakeOver).len()), (35, 35));
        let (row_s, rows) = rates.rows(12);
        assert_eq!((row_s, rows.len()), (3, 12));
        let counts: Vec<_> =
            rows.iter().take(3).map(|row| (row.from.seconds(), row.incidents.clone())).collect();
        assert_eq!(counts[0], (95, [(Cause::TakeOver, 1)].into()));
        assert_eq!(counts[1], (98, [(Cause::Lost, 1)].into()));
        assert_eq!(counts[2], (101, [(Cause::Lost, 3)].into()));
        assert_eq!(rows.iter().flat_map(|row| row.incidents.values()).sum::<u64>(), 31);
        assert_eq!(Rates::default().rows(12).1, []);
    }
}
