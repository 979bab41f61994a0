//! The connections that bystanders lost: to planned outages, and otherwise.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ungraceful_record::run::BystanderOutagesRecord;

use crate::broker::outage::OutageTrack;

#[derive(Debug, Default)]
pub(crate) struct LostConnections {
    outages: OutageTrack,
    to_outages: RefCell<BystanderOutagesRecord>,
    unplanned: RefCell<BTreeMap<String, u64>>,
}

impl LostConnections {
    pub(crate) fn new(outages: OutageTrack) -> Self {
        Self { outages, ..Self::default() }
    }

    /// A connection was lost at `at_us` of the run's clock. Returns that time when a planned outage took it.
    pub(crate) fn note(&self, why: String, at_us: u64) -> Option<u64> {
        if self.outages.covers(at_us) {
            self.to_outages.borrow_mut().connections_lost += 1;
            return Some(at_us);
        }
        *self.unplanned.borrow_mut().entry(why).or_default() += 1;
        None
    }

    /// A connection that a planned outage took at `lost_at_us` is back at `now_us`.
    pub(crate) fn restored(&self, lost_at_us: u64, now_us: u64) {
        let mut outages = self.to_outages.borrow_mut();
        outages.came_back += 1;
        outages.longest_away_us = outages.longest_away_us.max(Some(now_us.saturating_sub(lost_at_us)));
    }

    /// Connections lost outside planned outages, by reason.
    pub(crate) fn unplanned(&self) -> BTreeMap<String, u64> {
        self.unplanned.borrow().clone()
    }

    /// What planned outages took; absent when there was none.
    pub(crate) fn to_outages(&self) -> Option<BystanderOutagesRecord> {
        let outages = self.outages.count();
        (outages > 0).then(|| BystanderOutagesRecord { outages, ..*self.to_outages.borrow() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ungraceful_record::run::BystanderOutagesRecord;

    use super::LostConnections;
    use crate::broker::outage::OutageTrack;

    #[test]
    fn connections_lost_to_a_planned_outage_count_separately() {
        let outages = OutageTrack::default();
        let lost = LostConnections::new(outages.clone());
        assert_eq!((lost.note("reset".into(), 1_000), lost.to_outages()), (None, None));
        outages.begin(2_000);
        for at_us in [3_000, 4_000] {
            assert_eq!(lost.note("reset".into(), at_us), Some(at_us));
        }
        outages.end(5_000);
        lost.restored(4_000, 6_000);
        lost.restored(3_000, 7_500);
        assert_eq!(lost.note("closed".into(), 9_000_000), None);
        assert_eq!(lost.note("reset".into(), 9_000_001), None);
        assert_eq!(lost.unplanned(), BTreeMap::from([("closed".into(), 1), ("reset".into(), 2)]));
        let expected = BystanderOutagesRecord {
            outages: 1,
            connections_lost: 2,
            came_back: 2,
            longest_away_us: Some(4_500),
        };
        assert_eq!(lost.to_outages(), Some(expected));
    }
}
