//! Records to judge, made by hand: empty ones, to which a test adds the one thing it is about. The tests of other
//! crates' checks include this file too.

use std::collections::BTreeMap;

use ungraceful_record::attempt::Case;
use ungraceful_record::metric::Percentiles;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{
    AttemptsRecord, BrokerOrigin, BrokerRecord, CaseRecord, ClockRecord, Completeness, FORMAT_VERSION,
    GeneratorRecord, HostRecord, Record, ToolRecord,
};

/// A run that was complete and saw nothing at all.
pub(crate) fn empty_record() -> Record {
    Record {
        format_version: FORMAT_VERSION,
        completeness: Completeness::Complete,
        incomplete_because: None,
        tool: ToolRecord {
            name: "ungraceful-test".into(),
            mode: None,
            version: "0".into(),
            commit: None,
            chooses_variants: true,
        },
        command: Vec::new(),
        settings: BTreeMap::new(),
        seed: 1,
        started_utc: "2026-01-01T00:00:00.000Z".into(),
        duration_us: 0,
        host: HostRecord::default(),
        broker: BrokerRecord {
            origin: BrokerOrigin::External,
            name: None,
            target: "127.0.0.1:1883".into(),
            address: "127.0.0.1:1883".into(),
            pid: None,
            process_name: None,
            versions: Vec::new(),
            qos_limit: None,
            sys_version: None,
            sys: BTreeMap::new(),
            sys_last_heard_us: None,
            honest_connections_lost: 0,
            exit: None,
        },
        phases: Vec::new(),
        attempts: AttemptsRecord::default(),
        cases: Vec::new(),
        cases_left_out: Vec::new(),
        waves: Vec::new(),
        reaction_time: Percentiles::default(),
        measures: BTreeMap::new(),
        bystanders: None,
        witness: None,
        broker_resources: None,
        broker_log: None,
        load: None,
        generator: GeneratorRecord {
            schedule_slip: Percentiles::default(),
            loop_lag: Percentiles::default(),
            clock: ClockRecord::default(),
            cpu_us: None,
            attempts_waited_for_a_client: 0,
            discarded: Default::default(),
            bottlenecks: Vec::new(),
        },
        metrics: Vec::new(),
        verdicts: Vec::new(),
    }
}

/// A case of which these many attempts ended in each outcome, and nothing more is known.
pub(crate) fn case(case: Case, outcomes: &[(Outcome, u64)]) -> CaseRecord {
    let finished = outcomes.iter().map(|(_, count)| count).sum();
    CaseRecord {
        case,
        planned: finished,
        dropped: 0,
        finished,
        outcomes: outcomes.iter().map(|(outcome, count)| (outcome.name().to_owned(), *count)).collect(),
        reactions: BTreeMap::new(),
        sequences: BTreeMap::new(),
        disconnect_codes: BTreeMap::new(),
        attempts_with_second_connack: 0,
        examples: BTreeMap::new(),
        facts: BTreeMap::new(),
        measures: BTreeMap::new(),
        milestones: BTreeMap::new(),
        messages: BTreeMap::new(),
        troubles: BTreeMap::new(),
        reaction_time: Percentiles::default(),
        time_to_close: Percentiles::default(),
        connack_time: Percentiles::default(),
        will: None,
    }
}
