//! The points of a picture over time: each covers one second, or several in a long run.

use std::ops::Range;

/// Maximum number of points of a picture.
pub(super) const POINTS_AT_MOST: u64 = 600;

/// How the seconds of a run are grouped into points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds {
    /// Seconds of each point.
    pub(super) each: u64,
    /// The last point.
    pub(super) last: u64,
}

impl Seconds {
    /// The points of a run whose last second is `last_second`.
    pub(super) const fn until(last_second: u64) -> Self {
        let each = last_second / POINTS_AT_MOST + 1;
        Self { each, last: last_second / each }
    }

    /// The point of a second; absent after the run.
    pub(super) fn point(self, second: u64) -> Option<u64> {
        Some(second / self.each).filter(|point| *point <= self.last)
    }

    /// The seconds of a point.
    pub(super) const fn of(self, point: u64) -> Range<u64> {
        point * self.each..(point + 1) * self.each
    }

    /// The seconds of a point as text: `7`, `10–14`.
    pub(super) fn shown(self, point: u64) -> String {
        let seconds = self.of(point);
        match self.each {
            1 => format!("{}", seconds.start),
            _ => format!("{}–{}", seconds.start, seconds.end - 1),
        }
    }

    /// `second`, or `5 seconds`: what a count of a point is for.
    pub(super) fn unit(self) -> String {
        match self.each {
            1 => "second".to_owned(),
            several => format!("{several} seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{POINTS_AT_MOST, Seconds};

    #[test]
    fn a_short_run_has_a_point_per_second_and_a_long_one_a_bounded_number() {
        for (last_second, each) in [(0, 1), (599, 1), (600, 2), (86_400, 145)] {
            let seconds = Seconds::until(last_second);
            assert_eq!(seconds.each, each);
            assert!(seconds.last < POINTS_AT_MOST);
            assert_eq!(seconds.point(last_second), Some(seconds.last));
            assert_eq!(seconds.point((seconds.last + 1) * each), None);
        }
        let endless = Seconds::until(u64::MAX - 1);
        assert!(endless.last < POINTS_AT_MOST, "{endless:?}");
    }

    #[test]
    fn a_point_is_named_by_its_seconds() {
        assert_eq!((Seconds::until(9).shown(7), Seconds::until(9).unit()), ("7".into(), "second".into()));
        let long = Seconds::until(1_799);
        assert_eq!((long.shown(2), long.unit()), ("6–8".into(), "3 seconds".into()));
    }
}
