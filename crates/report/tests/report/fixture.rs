//! Hand-made records for the tests of reports. All numbers differ, so that a swapped column is noticed.

use std::collections::BTreeMap;

use ungraceful_mqtt::statement;
use ungraceful_record::attempt::Case;
use ungraceful_record::check::Finding;
use ungraceful_record::ledger::{Irregularity, IrregularityKind, LedgerCounts};
use ungraceful_record::metric::{Distribution, Percentiles};
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{
    AttemptsRecord, BrokerLogRecord, BrokerOrigin, BrokerRecord, BrokerResourcesRecord,
    BystanderOutagesRecord, BystanderPhaseRecord, BystandersRecord, CaseRecord, ClockRecord, Completeness,
    Drain, GeneratorRecord, IrregularityRecord, LogPhraseRecord, MilestoneRecord, OutageRecord, PhaseRecord,
    QuantityRecord, Record, Setting, SettingSource, SlopeRecord, SysRecord, ToolRecord, VersionRecord,
    WaveRecord, WillRecord, WitnessRecord,
};
use ungraceful_record::testing;
use ungraceful_record::verdict::Force;

pub(crate) fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// A distribution with figures from `base_us` on, as far as `count` samples allow.
pub(crate) fn times(count: u64, base_us: u64) -> Percentiles {
    let at = |offset: u64, needed: u64| (count >= needed).then_some(base_us + offset);
    Percentiles {
        count,
        min_us: at(1, 1),
        p50_us: at(2, 20),
        p90_us: at(3, 100),
        p95_us: at(3, 200),
        p99_us: at(4, 1_000),
        p99_9_us: at(5, 10_000),
        p99_99_us: at(6, 100_000),
        max_us: at(7, 1),
    }
}

pub(crate) fn case_of(variant: &str, version: &str) -> Case {
    Case { fault: "double-connect".into(), variant: variant.into(), version: version.into() }
}

/// A case in which `finished` attempts all ended in the given sequences.
pub(crate) fn case(variant: &str, version: &str, finished: u64, sequences: &[(&str, u64)]) -> CaseRecord {
    CaseRecord {
        reactions: counts(&[("FIN", finished)]),
        sequences: counts(sequences),
        ..testing::case("double-connect", variant, version, &[(Outcome::Closed, finished)])
    }
}

fn setting(value: &str, source: SettingSource) -> Setting {
    Setting::new(value, source)
}

fn version(version: &str) -> VersionRecord {
    VersionRecord {
        version: version.to_owned(),
        spoken: true,
        why_not: None,
        connack_properties: BTreeMap::new(),
        connack_time_us: Some(2_001),
    }
}

fn ledger(first: u64) -> LedgerCounts {
    LedgerCounts {
        offered: first,
        sent: first + 1,
        acknowledged: first + 2,
        delivered: first + 3,
        unknown: first / 100 + 4,
        duplicated: first / 100 + 5,
        reordered: first / 100 + 6,
        ..LedgerCounts::default()
    }
}

fn bystander_phase(phase: Phase, base_us: u64, first: u64) -> BystanderPhaseRecord {
    BystanderPhaseRecord {
        phase,
        response_time: times(1_500, base_us),
        service_time: times(2_000, base_us - 50),
        acknowledge_time: times(1_000, base_us + 100),
        by_qos: BTreeMap::from([(0, ledger(first)), (1, ledger(first * 3)), (2, ledger(first * 5))]),
    }
}

fn bystanders() -> BystandersRecord {
    BystandersRecord {
        pairs: 3,
        rate_per_pair: 101,
        version: "5.0".into(),
        phases: vec![
            bystander_phase(Phase::Baseline, 310, 501),
            bystander_phase(Phase::Fault, 420, 1_001),
            bystander_phase(Phase::Recovery, 330, 123),
        ],
        drain: Some(Drain::Settled),
        recovery_limit_us: Some(1_314),
        recovery_time_us: Some(200_000),
        ..BystandersRecord::default()
    }
}

/// Irregular messages of a pair in a phase, with the instant and DUP of a delivery.
pub(crate) fn irregular(
    kind: IrregularityKind,
    (pair, qos): (u64, u8),
    phase: Phase,
    numbers: (u64, u64),
    delivered: Option<(u64, bool)>,
) -> IrregularityRecord {
    let irregularity = Irregularity {
        kind,
        first: numbers.0,
        last: numbers.1,
        code: None,
        at_us: delivered.map(|(at_us, _)| at_us),
        dup: delivered.map(|(_, dup)| dup),
    };
    IrregularityRecord { pair, qos, phase, due_us: 6_040_000 + numbers.0, irregularity }
}

/// The losses of [`violated`], and more irregularities than a report shows.
fn irregularities() -> Vec<IrregularityRecord> {
    use IrregularityKind::{AcknowledgedButLost, Duplicated, Reordered};
    let lost = |numbers| irregular(AcknowledgedButLost, (1, 1), Phase::Fault, numbers, None);
    let mut listed = vec![irregular(AcknowledgedButLost, (2, 2), Phase::Recovery, (1_600, 1_604), None)];
    listed.push(lost((520, 530)));
    listed.extend((0..6).map(|n| lost((540 + n * 2, 540 + n * 2))));
    let copy = |number, dup| {
        let delivered = Some((6_100_000 + number, dup));
        irregular(Duplicated, (2, 2), Phase::Fault, (number, number), delivered)
    };
    listed.extend((0..10).map(|n| copy(700 + n, n == 3)));
    listed.push(irregular(Reordered, (0, 0), Phase::Baseline, (77, 77), Some((1_234_567, false))));
    listed
}

fn resources() -> BrokerResourcesRecord {
    let slope = |estimate, low, high| Some(SlopeRecord { estimate, low, high, samples: 10 });
    BrokerResourcesRecord {
        samples: 10,
        rss_bytes: QuantityRecord {
            before_fault: Some(8_331_264),
            max: Some(9_437_184),
            after_fault: Some(9_375_744),
            after_recovery: Some(8_863_744),
            change: Some(532_480),
            per_1000_attempts: slope(1_411_072.125, 1_310_720.0, 1_511_424.25),
        },
        descriptors: QuantityRecord {
            before_fault: Some(16),
            max: Some(1_017),
            after_fault: Some(18),
            after_recovery: Some(14),
            change: Some(-2),
            per_1000_attempts: slope(0.714, -6.794, 8.222),
        },
        cpu_us_connecting: None,
        cpu_us_baseline_phase: Some(120_000),
        cpu_us_fault_phase: Some(1_230_000),
    }
}

pub(crate) fn phrase(phrase: &str, lines: u64, example_attempt: Option<u64>) -> LogPhraseRecord {
    LogPhraseRecord { phrase: phrase.to_owned(), lines, example_attempt }
}

fn broker_log() -> BrokerLogRecord {
    BrokerLogRecord {
        path: "/var/log/mosquitto/mosquitto.log".into(),
        lines_kept: 2_391,
        lines_that_name_an_attempt: 1_581,
        attempts_named: 790,
        phrases: vec![
            phrase("New connection from <address> on port <n>.", 810, None),
            phrase("Bad client <client> sending multiple CONNECT messages.", 791, Some(0)),
            phrase("Client <client> disconnected due to protocol error.", 790, Some(1)),
        ],
        ..BrokerLogRecord::default()
    }
}

fn phases() -> Vec<PhaseRecord> {
    let phase = |phase, began_us, ended_us| PhaseRecord { phase, began_us, ended_us };
    vec![
        phase(Phase::Warmup, 0, 1_010_000),
        phase(Phase::Baseline, 1_010_000, 6_030_000),
        phase(Phase::Fault, 6_030_000, 16_140_000),
        phase(Phase::Recovery, 16_140_000, 17_360_000),
    ]
}

fn bystanders_of(record: &mut Record) -> &mut BystandersRecord {
    record.bystanders.as_mut().expect("the fixture has bystanders")
}

fn ledger_of(bystanders: &mut BystandersRecord, phase: usize, qos: u8) -> &mut LedgerCounts {
    bystanders.phases[phase].by_qos.get_mut(&qos).expect("the fixture has every QoS in every phase")
}

fn generator() -> GeneratorRecord {
    GeneratorRecord {
        schedule_slip: times(1_900, 70),
        loop_lag: times(1_100, 150),
        clock: ClockRecord {
            kernel_stamped: 4_190,
            program_stamped: 10,
            kernel_stamped_ends: 900,
            program_stamped_ends: 100,
            seen_late: times(1_050, 40),
        },
        cpu_us: Some(1_870_000),
        ..GeneratorRecord::default()
    }
}

/// Two cases of unequal counts, with Wills in one of them, at an embedded broker; every check holds.
pub(crate) fn all_holds() -> Record {
    let mut identical = case("identical", "5.0", 700, &[("DISCONNECT 0x82, FIN", 690), ("RST", 10)]);
    identical.disconnect_codes = BTreeMap::from([(0x82, 690)]);
    identical.outcomes = counts(&[("closed", 690), ("reset", 10)]);
    identical.reactions = counts(&[("DISCONNECT 0x82", 690), ("FIN", 690), ("RST", 10)]);
    identical.reaction_time = times(1_234, 210);
    identical.time_to_close = times(699, 230);
    identical.connack_time = times(701, 250);
    let mut with_will = case("with-will", "3.1.1", 90, &[("FIN", 90)]);
    with_will.reaction_time = times(89, 1_210);
    with_will.facts.insert("second_id_session".into(), counts(&[("none", 87), ("present", 3)]));
    with_will.will = Some(WillRecord {
        set: 90,
        due: 88,
        due_and_seen: 86,
        not_due_and_seen: 0,
        shortest_wait_of_unseen_us: Some(5_004_000),
        will_time: times(85, 1_340),
        ..WillRecord::default()
    });
    let closes = |variant: &str, version: &str, statement| {
        Finding::holds(2, "all connections were closed")
            .by(statement)
            .verdict("closes_on_second_connect", Force::Must)
            .on(&case_of(variant, version))
    };
    Record {
        tool: ToolRecord {
            mode: None,
            name: "ungraceful-double-connect".into(),
            version: "0.1.0".into(),
            commit: Some("abc1234".into()),
            chooses_variants: true,
            arguments: Vec::new(),
            chooses_faults: false,
        },
        command: vec!["ungraceful-double-connect".into()],
        settings: BTreeMap::from([
            ("attempts".to_owned(), setting("790", SettingSource::Flag)),
            ("connrate".to_owned(), setting("50/s", SettingSource::Default)),
            ("no_progress".to_owned(), setting("true", SettingSource::Flag)),
            ("format".to_owned(), setting("json", SettingSource::Environment)),
        ]),
        seed: 12_345,
        started_utc: "2026-02-03T04:05:06Z".into(),
        duration_us: 17_400_000,
        broker: BrokerRecord {
            origin: BrokerOrigin::Embedded,
            name: Some("rmqtt".into()),
            target: "127.0.0.1:40123".into(),
            address: "127.0.0.1:40123".into(),
            pid: Some(4_711),
            process_name: Some("ungraceful-doub".into()),
            versions: vec![version("3.1.1"), version("5.0")],
            ..testing::empty_record().broker
        },
        phases: phases(),
        attempts: AttemptsRecord { planned: 790, finished: 790, dropped: 0, written: 790, left_out: 0 },
        cases: vec![identical, with_will],
        reaction_time: times(1_323, 215),
        bystanders: Some(bystanders()),
        witness: Some(WitnessRecord { proved: true, unexpected: 0 }),
        broker_resources: Some(resources()),
        broker_log: Some(broker_log()),
        generator: generator(),
        verdicts: vec![
            closes("identical", "5.0", statement::V5_3_1_0_2),
            closes("with-will", "3.1.1", statement::V311_3_1_0_2),
            Finding::holds(2, "slip and lag stayed within their limits")
                .verdict("generator_kept_up", Force::Run),
        ],
        ..testing::empty_record()
    }
}

/// An external broker answers a second CONNECT and continues to serve; bystanders lost messages.
pub(crate) fn violated() -> Record {
    let mut record = all_holds();
    let broker = &mut record.broker;
    broker.origin = BrokerOrigin::External;
    (broker.target, broker.address) = ("broker.example:1884".into(), "192.0.2.7:1884".into());
    broker.name = Some("mosquitto version 2.0.18".into());
    broker.versions[1].spoken = false;
    broker.versions[1].why_not = Some("CONNACK 0x84 Unsupported Protocol Version".into());
    let sys = |before, after| SysRecord { before, after };
    broker.sys = BTreeMap::from([
        ("$SYS/broker/clients/connected".into(), sys(Some(8), Some(1_008))),
        ("$SYS/broker/clients/maximum".into(), sys(Some(9), Some(9))),
        ("$SYS/broker/heap/current".into(), sys(Some(61_440), Some(-7))),
        ("$SYS/broker/publish/messages/dropped".into(), sys(None, Some(5))),
        ("$SYS/broker/messages/sent".into(), sys(Some(1), Some(2))),
    ]);
    record.settings.insert("threshold".into(), setting("p99 < 5ms", SettingSource::File));
    record.settings.insert("host".into(), setting("broker.example", SettingSource::Flag));
    record.settings.insert("insecure".into(), setting("true", SettingSource::Flag));

    let tolerated = "second CONNACK 0x00, still served";
    let mut identical = case("identical", "3.1.1", 120_021, &[(tolerated, 120_018), ("FIN", 2), ("RST", 1)]);
    identical.outcomes = counts(&[("tolerated", 120_018), ("closed", 2), ("reset", 1)]);
    identical.attempts_with_second_connack = 120_019;
    identical.reaction_time = times(120_020, 510);
    identical.time_to_close = times(120_022, 530);
    identical.connack_time = times(120_023, 550);
    let mut other = case("other-client-id", "3.1.1", 47, &[("nothing until the deadline", 40), ("FIN", 7)]);
    other.outcomes = counts(&[("no_reaction", 40), ("closed", 7), ("not_acted", 5)]);
    other.troubles = counts(&[("connection refused", 4), ("CONNACK 0x03 Server unavailable", 1)]);
    other.reaction_time = times(7, 3_210);
    (other.planned, other.dropped) = (55, 8);
    other.will = Some(WillRecord {
        set: 46,
        due: 45,
        due_and_seen: 32,
        not_due_and_seen: 12,
        more_than_once: 11,
        of_later_connect: 10,
        seen_before: 0,
        shortest_wait_of_unseen_us: Some(6_004_000),
        will_time: times(100_031, 2_340),
    });
    record.witness = Some(WitnessRecord { proved: true, unexpected: 9 });
    record.attempts =
        AttemptsRecord { planned: 120_076, finished: 120_068, dropped: 8, written: 120_000, left_out: 68 };
    record.verdicts = vec![
        Finding::holds(2, "all of them").verdict("will_is_published_once", Force::Must),
        Finding::violated("120,018 of 120,021 are still served")
            .by(statement::V311_3_1_0_2)
            .with_examples([3, 4])
            .verdict("closes_on_second_connect", Force::Must)
            .on(&identical.case),
        Finding::violated("40 of 47 were not closed")
            .by(statement::V311_3_1_0_2)
            .verdict("closes_on_second_connect", Force::Must)
            .on(&other.case),
        Finding::differs(2, "closes without a word", "2 of 2 by FIN alone")
            .verdict("says_why", Force::Prose)
            .on(&identical.case),
        Finding::differs(2, "closes without a word", "7 of 7 by FIN alone")
            .verdict("says_why", Force::Prose)
            .on(&other.case),
        Finding::inconclusive("no proof message came after the fault")
            .verdict("witness_is_proved", Force::Run),
    ];
    record.cases = vec![identical, other];

    let bystanders = bystanders_of(&mut record);
    let fault = ledger_of(bystanders, 1, 1);
    (fault.lost, fault.dropped, fault.waiting) = (17, 18, 19);
    fault.refused = BTreeMap::from([(0x97, 21), (0x87, 2)]);
    ledger_of(bystanders, 1, 0).lost = 24;
    ledger_of(bystanders, 2, 2).lost = 5;
    ledger_of(bystanders, 1, 2).duplicated_without_dup = 14;
    bystanders.irregularities = irregularities();
    bystanders.irregularities_left_out = BTreeMap::from([(IrregularityKind::Duplicated, 4_321)]);
    bystanders.phases[1].response_time.p99_us = Some(40_800);
    bystanders.recovery_time_us = None;
    bystanders.connections_lost = counts(&[("connection reset by peer", 6)]);
    record
}

/// Stopped by the user before recovery, with too few samples for most percentiles.
pub(crate) fn interrupted() -> Record {
    let mut record = all_holds();
    record.completeness = Completeness::Interrupted;
    record.incomplete_because = Some("Ctrl-C in the fault phase".into());
    record.phases.truncate(3);
    record.attempts = AttemptsRecord { planned: 790, finished: 25, dropped: 765, written: 25, left_out: 0 };
    let mut cases = [
        case("identical", "5.0", 19, &[("FIN", 16), ("interrupted", 3)]),
        case("with-will", "3.1.1", 6, &[("FIN", 6)]),
    ];
    cases[0].reaction_time = times(16, 610);
    cases[0].outcomes = counts(&[("closed", 16), ("interrupted", 3)]);
    record.cases = cases.into();
    record.reaction_time = times(22, 615);
    // Too short for a slope, without readable descriptors, and with an empty log.
    record.broker_resources = Some(BrokerResourcesRecord {
        samples: 2,
        rss_bytes: QuantityRecord {
            before_fault: Some(700),
            max: Some(701),
            after_fault: Some(701),
            ..QuantityRecord::default()
        },
        cpu_us_connecting: None,
        cpu_us_baseline_phase: Some(120_000),
        ..BrokerResourcesRecord::default()
    });
    record.broker_log = Some(BrokerLogRecord { path: "broker.log".into(), ..BrokerLogRecord::default() });
    let bystanders = bystanders_of(&mut record);
    bystanders.phases.truncate(2);
    bystanders.phases[1].response_time = times(18, 440);
    bystanders.phases[1].acknowledge_time = times(0, 0);
    bystanders.recovery_time_us = None;
    record.verdicts =
        vec![Finding::inconclusive("25 of 790 attempts").verdict("plan_was_carried_out", Force::Run)];
    record
}

/// A run that was killed: partial, without verdicts.
pub(crate) fn partial() -> Record {
    let mut record = interrupted();
    record.completeness = Completeness::Partial;
    record.incomplete_because = None;
    record.verdicts = Vec::new();
    record
}

/// A spawned broker went down, and the generator did not keep up; no bystanders.
pub(crate) fn broker_down() -> Record {
    let mut record = all_holds();
    record.completeness = Completeness::BrokerDown;
    record.incomplete_because = Some("the broker refused 3 connections in a row".into());
    record.broker.origin = BrokerOrigin::Spawned;
    record.broker.name = Some("mosquitto 2.0.18".into());
    record.broker.exit = Some("signal 11 (SIGSEGV)".into());
    record.cases[1].outcomes = counts(&[("closed", 59), ("broker_down", 31)]);
    record.cases[1].sequences = counts(&[("FIN", 59), ("broker down", 31)]);
    record.bystanders = None;
    record.witness = None;
    record.generator.bottlenecks = vec!["loop lag p99 41 ms is above 10 ms".into()];
    record.generator.attempts_waited_for_a_client = 14;
    record.verdicts = vec![
        Finding::inconclusive("down after 31 attempts, signal 11 (SIGSEGV)")
            .verdict("broker_stays_up", Force::Run),
    ];
    record
}

/// Hostile text wherever a broker or a user can choose it.
pub(crate) fn hostile() -> Record {
    let evil = "\u{1b}[2J\u{9b}31m|<script>`x`</script>\r\n=cmd,\"'\u{202e}\u{7f}";
    let mut record = violated();
    record.broker.name = Some(evil.into());
    record.broker.target = evil.into();
    record.incomplete_because = Some(evil.into());
    record.completeness = Completeness::RecordFailed;
    record.broker.exit = Some(evil.into());
    record.broker.versions[1].why_not = Some(evil.into());
    record.generator.bottlenecks = vec![evil.into()];
    record.settings.insert(evil.into(), setting(evil, SettingSource::Flag));
    let case = &mut record.cases[1];
    case.case = Case { fault: "=fault".into(), variant: evil.into(), version: evil.into() };
    case.sequences = (0..12).map(|n| (format!("unexpected {evil} {n}"), n + 1)).collect();
    case.troubles = counts(&[(evil, 4)]);
    case.facts.insert(evil.into(), counts(&[(evil, 46)]));
    bystanders_of(&mut record).connections_lost = counts(&[(evil, 6)]);
    record.broker.sys.insert(evil.into(), SysRecord { before: Some(1), after: Some(2) });
    if let Some(log) = &mut record.broker_log {
        (log.path, log.trouble) = (evil.into(), Some(evil.into()));
        log.phrases = (0..12).map(|n| phrase(&format!("{evil} {n}"), 99 - n, Some(n))).collect();
        (log.lines_left_out, log.lines_cut, log.bytes_unread) = (25, 26, 27_000);
    }
    record.verdicts = vec![
        Finding::violated(evil)
            .by(statement::V311_3_1_0_2)
            .verdict(evil, Force::Must)
            .on(&record.cases[1].case),
        Finding::differs(2, evil, evil).verdict("says_why", Force::May),
        Finding::inconclusive(evil).verdict(evil, Force::Run),
        Finding::holds(2, evil).verdict(evil, Force::Run),
    ];
    record
}

/// A distribution with figures from `base` on, as far as `count` values allow.
pub(crate) fn values(count: u64, base: u64) -> Distribution {
    let at = |offset: u64, needed: u64| (count >= needed).then_some(base + offset);
    Distribution {
        count,
        sum: count * (base + 2),
        min: at(1, 1),
        p50: at(2, 20),
        p90: at(3, 100),
        p99: at(4, 1_000),
        max: at(5, 1),
    }
}

fn takeover(
    mode: &str,
    variant: &str,
    version: &str,
    finished: u64,
    sequences: &[(&str, u64)],
) -> CaseRecord {
    let mut case = case(variant, version, finished, sequences);
    case.case.fault = format!("takeover-{mode}");
    case
}

/// Sets the tool, its mode, and its attempts, all of which finished.
fn tool(record: &mut Record, name: &str, mode: &str, attempts: u64) {
    record.tool.name = name.into();
    record.tool.mode = Some(mode.into());
    record.command = vec![name.into(), mode.into()];
    record.attempts =
        AttemptsRecord { planned: attempts, finished: attempts, written: attempts, ..record.attempts };
}

fn fact(case: &mut CaseRecord, name: &str, values: &[(&str, u64)]) {
    case.facts.insert(name.into(), counts(values));
}

/// Take-overs in four situations of 5.0 and two of 3.1.1, with every fate of a Will. Two facts are the same everywhere.
pub(crate) fn storm() -> Record {
    let will = |set, due, due_and_seen, not_due_and_seen, more_than_once, base_us| WillRecord {
        set,
        due,
        due_and_seen,
        not_due_and_seen,
        more_than_once,
        of_later_connect: 0,
        seen_before: 0,
        shortest_wait_of_unseen_us: (due_and_seen < due).then_some(10_004_000),
        will_time: times(due_and_seen, base_us),
    };
    let mut record = all_holds();
    tool(&mut record, "ungraceful-takeover", "storm", 2_260);
    let fin = [("DISCONNECT 0x8E, FIN", 2_000)];
    let mut resume = takeover("storm", "resume", "5.0", 2_000, &fin);
    fact(&mut resume, "session_present", &[("yes", 1_990), ("no", 10)]);
    fact(&mut resume, "sent_again", &[("all", 1_985), ("some", 5)]);
    fact(&mut resume, "identifiers", &[("kept", 1_990)]);
    fact(&mut resume, "dup", &[("set", 1_988), ("missing", 2)]);
    fact(&mut resume, "repeated", &[("once", 1_989), ("twice", 1)]);
    resume.measures = BTreeMap::from([
        ("newcomer_connack_us".to_owned(), values(2_000, 12_300)),
        ("unread_bytes".to_owned(), values(150, 4_096)),
        ("connected_permille".to_owned(), values(21, 940)),
        ("connects_refused".to_owned(), values(3, 17)),
    ]);
    let messages = |first: u64, lost| LedgerCounts { lost, ..ledger(first) };
    resume.messages = BTreeMap::from([(1, messages(8_000, 12)), (2, messages(4_000, 0))]);
    resume.will = Some(will(2_000, 2_000, 1_998, 0, 3, 12_900));
    let mut resume_delay = takeover("storm", "resume-will-delay", "5.0", 50, &[("DISCONNECT 0x8E, FIN", 50)]);
    fact(&mut resume_delay, "session_present", &[("yes", 50)]);
    fact(&mut resume_delay, "sent_again", &[("all", 50)]);
    resume_delay.will = Some(will(50, 0, 0, 4, 0, 0));
    resume_delay.measures = BTreeMap::from([("newcomer_connack_us".to_owned(), values(50, 11_300))]);
    let mut discard = takeover("storm", "discard", "5.0", 51, &[("DISCONNECT 0x8E, FIN", 51)]);
    fact(&mut discard, "session_present", &[("no", 51)]);
    fact(&mut discard, "left_over", &[("none", 51)]);
    discard.will = Some(will(51, 49, 0, 0, 0, 0));
    let mut clean = takeover("storm", "clean", "5.0", 52, &[("still served", 48), ("RST", 4)]);
    fact(&mut clean, "session_present", &[("no", 52)]);
    fact(&mut clean, "left_over", &[("none", 52)]);
    clean.will = Some(will(52, 4, 4, 1, 0, 13_900));
    let mut of_3_1_1 = takeover("storm", "resume", "3.1.1", 53, &[("FIN", 53)]);
    fact(&mut of_3_1_1, "session_present", &[("yes", 53)]);
    fact(&mut of_3_1_1, "sent_again", &[("all", 53)]);
    of_3_1_1.will = Some(will(53, 53, 53, 0, 0, 14_900));
    of_3_1_1.messages = BTreeMap::from([(1, messages(700, 0))]);
    let mut clean_3_1_1 = takeover("storm", "clean", "3.1.1", 54, &[("FIN", 54)]);
    fact(&mut clean_3_1_1, "session_present", &[("no", 54)]);
    fact(&mut clean_3_1_1, "left_over", &[("none", 54)]);
    clean_3_1_1.will = Some(will(54, 0, 0, 0, 0, 0));
    let mut cases = [resume, resume_delay, discard, clean, of_3_1_1, clean_3_1_1];
    for (case, first) in cases.iter_mut().zip([310, 320, 330, 340, 350, 360]) {
        case.reaction_time = times(case.finished, first);
        let finished = case.finished;
        fact(case, "newcomer", &[("accepted", finished)]);
        fact(case, "alive", &[("1", finished)]);
    }
    fact(&mut cases[3], "alive", &[("1", 4), ("2", 48)]);
    record.cases = cases.into();
    record.measures = BTreeMap::from([
        ("newcomer_connack_us".to_owned(), values(2_050, 12_200)),
        ("unread_bytes".to_owned(), values(150, 4_096)),
        ("connected_permille".to_owned(), values(21, 940)),
        ("connects_refused".to_owned(), values(3, 17)),
    ]);
    let both = "48 of 52 ClientIDs still had more than one live connection";
    record.verdicts = vec![
        Finding::violated(both)
            .by(statement::V5_3_1_4_3)
            .verdict("closes_the_older_connection", Force::Must)
            .on(&record.cases[3].case),
        Finding::holds(2, "slip and lag stayed within their limits").verdict("generator_kept_up", Force::Run),
    ];
    record
}

/// Two herds in one wave each; some clients of the second did not reconnect.
pub(crate) fn herd() -> Record {
    let mut record = all_holds();
    tool(&mut record, "ungraceful-vanish", "herd", 10_000);
    let herd = |variant: &str, left_out: u64, base_us: u64| {
        let mut case = takeover("herd", variant, "5.0", 5_000, &[("still served", 5_000 - left_out)]);
        case.reaction_time = Percentiles::default();
        fact(&mut case, "back", &[("yes", 5_000 - left_out)]);
        let reached = 5_000 - left_out;
        let back = MilestoneRecord {
            of: 5_000,
            reached,
            half_us: Some(base_us),
            percent_95_us: (left_out <= 250).then_some(base_us * 3),
            all_us: (left_out == 0).then_some(base_us * 4),
            last_us: Some(base_us * 4),
        };
        case.milestones = BTreeMap::from([("back".to_owned(), back)]);
        let tries =
            Distribution { count: 5_000, sum: reached * 2, min: Some(1), max: Some(9), ..values(5_000, 1) };
        let connack = Distribution { p99: Some(base_us / 4), ..values(reached, 900) };
        let measured = [("tries", tries), ("back_connack_us", connack)];
        case.measures = measured.map(|(name, values)| (name.to_owned(), values)).into();
        case
    };
    let mut lost = herd("exponential:1s..2m", 400, 2_300_000);
    fact(&mut lost, "back", &[("CONNACK 0x97 Quota exceeded", 400)]);
    let late = Distribution { count: 120, sum: 130, min: Some(1), max: Some(2), ..values(120, 1) };
    lost.measures.insert("handshakes_of_1_s".into(), late);
    record.cases = vec![herd("none", 0, 120_000), lost];
    let wave = |case: &CaseRecord, began_us: u64| WaveRecord {
        case: case.case.clone(),
        began_us,
        ended_us: Some(began_us + 9_000_000),
        outage: Some(OutageRecord {
            began_us: began_us + 40,
            ended_us: Some(began_us + 61_040),
            by: "killed and started again".into(),
        }),
        bystander_messages_due: 2_700,
        bystander_response_time: times(2_650, 330),
        rss_bytes_before: Some(20 << 20),
        rss_bytes_max: Some(48 << 20),
    };
    record.waves = vec![wave(&record.cases[0], 6_000_000), wave(&record.cases[1], 17_000_000)];
    bystanders_of(&mut record).outages = Some(BystanderOutagesRecord {
        outages: 2,
        connections_lost: 12,
        came_back: 12,
        longest_away_us: Some(213_000),
    });
    record.verdicts = vec![
        Finding::differs(
            2,
            "400 of 5000 clients were not back: CONNACK 0x97 Quota exceeded (×400)",
            "4600 of 5000 clients were back in time, by 9200 tries",
        )
        .verdict("lets_everybody_in_again", Force::Prose)
        .on(&record.cases[1].case),
    ];
    record
}

/// One duel per case, with single values.
pub(crate) fn duel() -> Record {
    let mut record = all_holds();
    tool(&mut record, "ungraceful-takeover", "duel", 2);
    let duel = |variant, takeovers, lost| {
        let mut case = takeover("duel", variant, "5.0", 1, &[("DISCONNECT 0x8E, FIN", 1)]);
        case.reaction_time = times(1, 410 + takeovers);
        fact(&mut case, "newcomer", &[("accepted", 1)]);
        fact(&mut case, "alive", &[("1", 1)]);
        fact(&mut case, "thrown_out_by", &[("DISCONNECT 0x8E, FIN or RST", 1)]);
        let one =
            |value| Distribution { count: 1, sum: value, min: Some(value), max: Some(value), ..values(0, 0) };
        case.measures = BTreeMap::from([
            ("takeovers".to_owned(), one(takeovers)),
            ("takeovers_per_minute".to_owned(), one(takeovers * 6)),
            ("connected_permille".to_owned(), one(987)),
            ("connects_refused".to_owned(), one(0)),
            ("newcomer_connack_us".to_owned(), one(1_203)),
            ("newcomer_connack_max_us".to_owned(), one(45_600)),
        ]);
        if variant == "resume" {
            fact(&mut case, "session_present", &[("always", 1)]);
            case.measures.insert("lost_per_1000_takeovers".to_owned(), one(lost * 1_000 / takeovers));
            case.messages = BTreeMap::from([(1, LedgerCounts { lost, ..ledger(500) })]);
        }
        case
    };
    record.cases = vec![duel("resume", 4_321, 17), duel("clean", 5_432, 0)];
    record.verdicts = vec![
        Finding::differs(2, "acknowledged messages were lost in take-overs", "502 messages acknowledged, 17 of them never delivered, 9 delivered more than once, in 4321 take-overs").verdict("keeps_messages_across_takeovers", Force::Prose)
        .on(&record.cases[0].case),
    ];
    record
}

/// Every fixture of a finished run, with its name.
pub(crate) fn all() -> [(&'static str, Record); 8] {
    [
        ("all_holds", all_holds()),
        ("violated", violated()),
        ("storm", storm()),
        ("duel", duel()),
        ("herd", herd()),
        ("interrupted", interrupted()),
        ("broker_down", broker_down()),
        ("hostile", hostile()),
    ]
}
