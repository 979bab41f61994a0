//! Counts over time in a fixed number of cells, whose width grows with the log.

use crate::timestamp::LogTime;

/// Cells at the most.
const CELLS_MAX: usize = 60;

/// Counts over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Seconds of each cell.
    pub cell_s: i64,
    /// Begin of the first cell, in seconds since 1970; absent before the first count.
    pub begin_s: Option<i64>,
    /// The counts.
    pub cells: Vec<u64>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { cell_s: 1, begin_s: None, cells: Vec::new() }
    }
}

impl Rates {
    /// Counts one at `time`.
    pub fn count(&mut self, time: LogTime) {
        let second = time.seconds();
        let begin = *self.begin_s.get_or_insert(second);
        if second < begin {
            self.begin_earlier(second);
        }
        loop {
            let begin = self.begin_s.unwrap_or(second);
            let cell = usize::try_from((second - begin) / self.cell_s).unwrap_or(usize::MAX);
            if cell < CELLS_MAX {
                if self.cells.len() <= cell {
                    self.cells.resize(cell + 1, 0);
                }
                self.cells[cell] += 1;
                return;
            }
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.cell_s *= 2;
        self.cells = self.cells.chunks(2).map(|pair| pair.iter().sum()).collect();
    }

    /// A line that is earlier than all before: logs of several processes are not in order to the second.
    fn begin_earlier(&mut self, second: i64) {
        loop {
            let begin = self.begin_s.unwrap_or(second);
            let missing = (begin - second + self.cell_s - 1) / self.cell_s;
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            if missing.saturating_add(self.cells.len()) <= CELLS_MAX {
                self.cells.splice(0..0, std::iter::repeat_n(0, missing));
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
    use crate::timestamp::LogTime;

    #[test]
    fn cells_widen_as_the_log_grows_and_nothing_is_lost() {
        let mut rates = Rates::default();
        for second in 0..1_000 {
            rates.count(LogTime(second * 1_000));
        }
        assert_eq!(rates.cells.iter().sum::<u64>(), 1_000);
        assert_eq!((rates.cell_s, rates.cells.len(), rates.cells[0]), (32, 32, 32));
        rates.count(LogTime(-5_000));
        assert_eq!((rates.begin_s, rates.cells[0], rates.cells.iter().sum::<u64>()), (Some(-32), 1, 1_001));
        rates.count(LogTime(1_000_000_000_000));
        assert_eq!(rates.cells.iter().sum::<u64>(), 1_002);
        assert!(rates.cells.len() <= 60);
    }
}
