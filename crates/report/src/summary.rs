//! The summary of a record as JSON, for programs: the content of the text with stable field names and integer µs. The
//! full record is `run.json`.

use std::collections::BTreeMap;

use serde::Serialize;
use ungraceful_mqtt::{PacketType, ReasonCode};
use ungraceful_record::attempt::Case;
use ungraceful_record::exit::Exit;
use ungraceful_record::ledger::{IrregularityKind, LedgerCounts};
use ungraceful_record::load::LoadRecord;
use ungraceful_record::merge::MergedRecord;
use ungraceful_record::metric::{Distribution, Percentiles};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{
    AttemptsRecord, BrokerLogRecord, BrokerOrigin, BrokerResourcesRecord, BystanderOutagesRecord,
    BystandersRecord, CaseRecord, Completeness, GeneratorRecord, IrregularityRecord, LeftOutRecord,
    MilestoneRecord, Record, SysRecord, ToolRecord, WaveRecord, WillRecord, WitnessRecord,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, exit_of, why_exit};

use crate::document::Class;
use crate::{Context, escape, reproduce_command, totals};

/// Version of the summary's format; grows with every change that affects readers.
const SUMMARY_VERSION: u32 = 1;

/// Writes the summary of `record`.
pub(crate) fn write(record: &Record, context: &Context) -> String {
    escape::to_json(&Summary::of(record, context))
}

#[derive(Serialize)]
pub(crate) struct Summary<'a> {
    summary_version: u32,
    tool: &'a ToolRecord,
    target: Target<'a>,
    seed: u64,
    started_utc: &'a str,
    duration_us: u64,
    completeness: Completeness,
    incomplete_because: Option<&'a str>,
    exit: ExitSummary,
    /// The shards of which the record was merged; absent for one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    merged: Option<&'a MergedRecord>,
    phases: Vec<PhaseSummary>,
    attempts: AttemptsRecord,
    cases: Vec<CaseSummary<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cases_left_out: &'a [LeftOutRecord],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    waves: &'a [WaveRecord],
    reaction_time: Percentiles,
    measures: &'a BTreeMap<String, Distribution>,
    bystanders: Option<Bystanders<'a>>,
    witness: Option<WitnessRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<&'a LoadRecord>,
    broker_resources: Option<BrokerResourcesRecord>,
    broker_log: Option<&'a BrokerLogRecord>,
    generator: &'a GeneratorRecord,
    verdicts: Vec<VerdictSummary<'a>>,
    record_dir: Option<String>,
}

#[derive(Serialize)]
struct Target<'a> {
    origin: BrokerOrigin,
    name: Option<&'a str>,
    target: &'a str,
    address: &'a str,
    versions: Vec<Version<'a>>,
    sys_version: Option<&'a str>,
    sys: &'a BTreeMap<String, SysRecord>,
    exit: Option<&'a str>,
}

#[derive(Serialize)]
struct Version<'a> {
    version: &'a str,
    spoken: bool,
    why_not: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct ExitSummary {
    code: u8,
    /// As in the last line of the text.
    meaning: String,
}

#[derive(Serialize)]
struct PhaseSummary {
    phase: Phase,
    duration_us: u64,
}

#[derive(Serialize)]
struct CaseSummary<'a> {
    #[serde(flatten)]
    case: &'a Case,
    planned: u64,
    dropped: u64,
    finished: u64,
    outcomes: &'a BTreeMap<String, u64>,
    reactions: &'a BTreeMap<String, u64>,
    sequences: &'a BTreeMap<String, u64>,
    disconnect_codes: Vec<CodeSummary>,
    attempts_with_second_connack: u64,
    facts: &'a BTreeMap<String, BTreeMap<String, u64>>,
    measures: &'a BTreeMap<String, Distribution>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    milestones: &'a BTreeMap<String, MilestoneRecord>,
    messages: &'a BTreeMap<u8, LedgerCounts>,
    troubles: &'a BTreeMap<String, u64>,
    reaction_time: Percentiles,
    time_to_close: Percentiles,
    connack_time: Percentiles,
    will: Option<&'a WillRecord>,
}

/// A Reason Code with its name; absent when it is not a DISCONNECT Reason Code.
#[derive(Serialize)]
struct CodeSummary {
    code: u8,
    name: Option<&'static str>,
    count: u64,
}

#[derive(Serialize)]
struct Bystanders<'a> {
    pairs: u64,
    rate_per_pair: u64,
    version: &'a str,
    acknowledged_but_lost: u64,
    phases: Vec<BystanderPhase<'a>>,
    connections_lost: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outages: Option<BystanderOutagesRecord>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    irregularities: &'a [IrregularityRecord],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    irregularities_left_out: &'a BTreeMap<IrregularityKind, u64>,
    recovery_limit_us: Option<u64>,
    recovery_time_us: Option<u64>,
}

#[derive(Serialize)]
struct BystanderPhase<'a> {
    phase: Phase,
    acknowledged_but_lost: u64,
    response_time: Percentiles,
    service_time: Percentiles,
    acknowledge_time: Percentiles,
    all_qos: LedgerCounts,
    by_qos: &'a BTreeMap<u8, LedgerCounts>,
}

#[derive(Serialize)]
struct VerdictSummary<'a> {
    check: &'a str,
    case: Option<&'a Case>,
    conclusion: Conclusion,
    differs: Option<&'a str>,
    citation: Option<&'a str>,
    force: Force,
    evidence: &'a str,
    /// Why the user accepts this violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<&'a str>,
    examples: &'a [u64],
    /// Absent for a verdict that holds without a note.
    reproduce: Option<String>,
}

impl ExitSummary {
    pub(crate) const fn of(exit: Exit, meaning: String) -> Self {
        Self { code: exit.code(), meaning }
    }
}

impl<'a> Summary<'a> {
    pub(crate) fn of(record: &'a Record, context: &Context) -> Self {
        let phases = record.phases.iter().map(|phase| PhaseSummary {
            phase: phase.phase,
            duration_us: phase.ended_us.saturating_sub(phase.began_us),
        });
        Self {
            summary_version: SUMMARY_VERSION,
            tool: &record.tool,
            target: Target::of(record),
            seed: record.seed,
            started_utc: &record.started_utc,
            duration_us: record.duration_us,
            completeness: record.completeness,
            incomplete_because: record.incomplete_because.as_deref(),
            exit: ExitSummary::of(exit_of(record), why_exit(record)),
            merged: record.merged.as_ref(),
            phases: phases.collect(),
            attempts: record.attempts,
            cases: record.cases.iter().map(CaseSummary::of).collect(),
            cases_left_out: &record.cases_left_out,
            waves: &record.waves,
            reaction_time: record.reaction_time,
            measures: &record.measures,
            bystanders: record.bystanders.as_ref().map(Bystanders::of),
            witness: record.witness,
            load: record.load.as_ref(),
            broker_resources: record.broker_resources,
            broker_log: record.broker_log.as_ref(),
            generator: &record.generator,
            verdicts: record.verdicts.iter().map(|verdict| VerdictSummary::of(record, verdict)).collect(),
            record_dir: context.record_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
        }
    }
}

impl<'a> Target<'a> {
    fn of(record: &'a Record) -> Self {
        let broker = &record.broker;
        let versions = broker.versions.iter().map(|version| Version {
            version: &version.version,
            spoken: version.spoken,
            why_not: version.why_not.as_deref(),
        });
        Self {
            origin: broker.origin,
            name: broker.name.as_deref(),
            target: &broker.target,
            address: &broker.address,
            versions: versions.collect(),
            sys_version: broker.sys_version.as_deref(),
            sys: &broker.sys,
            exit: broker.exit.as_deref(),
        }
    }
}

impl<'a> CaseSummary<'a> {
    fn of(case: &'a CaseRecord) -> Self {
        let disconnect_codes = case.disconnect_codes.iter().map(|(code, count)| CodeSummary {
            code: *code,
            name: ReasonCode(*code).name_in(PacketType::Disconnect),
            count: *count,
        });
        Self {
            case: &case.case,
            planned: case.planned,
            dropped: case.dropped,
            finished: case.finished,
            outcomes: &case.outcomes,
            reactions: &case.reactions,
            sequences: &case.sequences,
            disconnect_codes: disconnect_codes.collect(),
            attempts_with_second_connack: case.attempts_with_second_connack,
            facts: &case.facts,
            measures: &case.measures,
            milestones: &case.milestones,
            messages: &case.messages,
            troubles: &case.troubles,
            reaction_time: case.reaction_time,
            time_to_close: case.time_to_close,
            connack_time: case.connack_time,
            will: case.will.as_ref(),
        }
    }
}

impl<'a> Bystanders<'a> {
    fn of(bystanders: &'a BystandersRecord) -> Self {
        let phases = bystanders.phases.iter().map(|phase| BystanderPhase {
            phase: phase.phase,
            acknowledged_but_lost: totals::acknowledged_but_lost(phase),
            response_time: phase.response_time,
            service_time: phase.service_time,
            acknowledge_time: phase.acknowledge_time,
            all_qos: totals::ledger(phase),
            by_qos: &phase.by_qos,
        });
        Self {
            pairs: bystanders.pairs,
            rate_per_pair: bystanders.rate_per_pair,
            version: &bystanders.version,
            acknowledged_but_lost: bystanders.phases.iter().map(totals::acknowledged_but_lost).sum(),
            phases: phases.collect(),
            connections_lost: &bystanders.connections_lost,
            outages: bystanders.outages,
            irregularities: &bystanders.irregularities,
            irregularities_left_out: &bystanders.irregularities_left_out,
            recovery_limit_us: bystanders.recovery_limit_us,
            recovery_time_us: bystanders.recovery_time_us,
        }
    }
}

impl<'a> VerdictSummary<'a> {
    fn of(record: &Record, verdict: &'a Verdict) -> Self {
        Self {
            check: &verdict.check,
            case: verdict.case.as_ref(),
            conclusion: verdict.conclusion,
            differs: verdict.differs.as_deref(),
            citation: verdict.citation.as_deref(),
            force: verdict.force,
            evidence: &verdict.evidence,
            accepted: verdict.accepted.as_deref(),
            examples: &verdict.examples,
            reproduce: (Class::of(verdict) != Class::Holds).then(|| reproduce_command(record, verdict)),
        }
    }
}
