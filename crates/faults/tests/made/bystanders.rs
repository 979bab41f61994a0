//! Bystanders of a record made by hand: of one pair, nothing is known but how many connections were lost.

use std::collections::BTreeMap;

use ungraceful_record::run::BystandersRecord;

/// Bystanders that speak `version` and lost so many connections, each by FIN.
pub(crate) fn who_lost_connections(version: &str, count: u64) -> BystandersRecord {
    BystandersRecord {
        pairs: 1,
        rate_per_pair: 10,
        version: version.into(),
        phases: Vec::new(),
        outages: None,
        connections_lost: if count == 0 { BTreeMap::new() } else { BTreeMap::from([("FIN".into(), count)]) },
        irregularities: Vec::new(),
        irregularities_left_out: BTreeMap::new(),
        pairs_below_qos: 0,
        drain: None,
        recovery_limit_us: None,
        recovery_time_us: None,
    }
}
