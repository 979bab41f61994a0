//! The title, the broker, and alarms.

use ungraceful_record::ledger::IrregularityKind;
use ungraceful_record::load::LoadRecord;
use ungraceful_record::offers::Offers;
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{BrokerOrigin, BrokerRecord, Completeness, PhaseRecord, Record, transport};

use super::evidence;
use crate::document::{Block, Document};
use crate::scale::{count, counted, listed, time};
use crate::totals;

/// The alarm of a generator that was late.
pub(super) const GENERATOR_NOT_RELIABLE: &str = "GENERATOR NOT RELIABLE";

pub(super) fn section(record: &Record, document: &mut Document) {
    let tool = format!("{} {}", record.tool.name, record.tool.version);
    // Each shard has a seed of its own.
    let made_by = match &record.merged {
        Some(merged) => merged.counted(),
        None => format!("seed {}", record.seed),
    };
    document.push(Block::Title(format!("{tool} → {} · {made_by}", target(&record.broker))));
    alarms(record, "", document);
    document.line(course(record));
    if let Some(merged) = &record.merged {
        document.labelled("Shards", merged.course());
    }
    for version in record.broker.versions.iter().filter(|version| !version.spoken) {
        let why = version.why_not.as_deref().unwrap_or("the broker gave no reason");
        document.line(format!("This broker does not support MQTT {}: {why}", version.version));
    }
    if let Some(differences) = Offers::differences(&record.broker) {
        document.labelled("Hosts", differences);
    }
    if let Some(limit) = &record.broker.qos_limit {
        document.labelled("QoS", limit.in_words());
    }
}

/// The broker and the versions that it supports.
pub(crate) fn target(record: &BrokerRecord) -> String {
    format!("{} · {}", broker(record), versions(record))
}

/// Like [`target`], for several runs that each start their own broker unless it is external; `each` names a run.
pub(super) fn target_of_several(record: &BrokerRecord, each: &str) -> String {
    let name = record.name.as_deref().unwrap_or("installed broker");
    let broker = match record.origin {
        BrokerOrigin::Embedded => format!("embedded broker ({name}), restarted for each {each}"),
        BrokerOrigin::Spawned => format!("{name}, restarted for each {each}"),
        BrokerOrigin::External => broker(record),
    };
    format!("{broker} · {}", versions(record))
}

fn broker(broker: &BrokerRecord) -> String {
    let name = broker.name.as_deref().or(broker.sys_version.as_deref());
    match broker.origin {
        BrokerOrigin::Embedded => {
            let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
            format!("embedded broker{name} at {}", broker.address)
        }
        BrokerOrigin::Spawned => {
            format!("{} (started for this run) at {}", name.unwrap_or("installed broker"), broker.address)
        }
        BrokerOrigin::External => {
            let mut text = format!("broker at {}", broker.target);
            if broker.address != broker.target {
                text += &format!(" ({})", broker.address);
            }
            text += &transport(broker.tls, broker.websocket.as_ref());
            if let Some(name) = name {
                text += &format!(", {name}");
            }
            text
        }
    }
}

fn versions(broker: &BrokerRecord) -> String {
    let spoken = broker.versions.iter().filter(|version| version.spoken);
    let spoken: Vec<String> = spoken.map(|version| version.version.clone()).collect();
    if spoken.is_empty() {
        "no MQTT version supported".to_owned()
    } else {
        format!("MQTT {}", listed(&spoken))
    }
}

/// The phases with their durations, and the attempts.
fn course(record: &Record) -> String {
    let mut parts: Vec<String> = record.phases.iter().map(phase).collect();
    let attempts = &record.attempts;
    if record.load.is_none() {
        parts.push(if attempts.finished == attempts.planned {
            counted(attempts.planned, "attempt")
        } else {
            format!("{} of {}", count(attempts.finished), counted(attempts.planned, "attempt"))
        });
    }
    parts.push(format!("started {}", record.started_utc));
    parts.join(" · ")
}

fn phase(record: &PhaseRecord) -> String {
    let name = match record.phase {
        Phase::Warmup => "warm-up",
        measured => measured.name(),
    };
    format!("{name} {}", time(record.ended_us.saturating_sub(record.began_us)))
}

/// The alarms; `of` names the run where there are several.
pub(super) fn alarms(record: &Record, of: &str, document: &mut Document) {
    if let Some((word, usual)) = incompleteness(record.completeness) {
        let because = record.incomplete_because.as_deref().unwrap_or(usual);
        document.alarm(word, format!("{of}{because}"));
    }
    let unlike: Vec<&str> =
        record.merged.iter().flat_map(|merged| &merged.unlike).map(String::as_str).collect();
    if !unlike.is_empty() {
        document.alarm(
            "UNLIKE",
            format!("{of}merged by --anyway, although the shards differ: {}", unlike.join("; ")),
        );
    }
    if let Some(exit) = &record.broker.exit {
        document.alarm("BROKER PROCESS ENDED", format!("{of}{exit}"));
    }
    let lost = record.bystanders.iter().flat_map(|bystanders| &bystanders.phases);
    let lost: Vec<_> = lost
        .map(|phase| (phase.phase.name(), totals::acknowledged_but_lost(phase)))
        .filter(|(_, lost)| *lost > 0)
        .collect();
    if !lost.is_empty() {
        let sum = lost.iter().map(|(_, lost)| lost).sum();
        let where_lost: Vec<_> =
            lost.iter().map(|(phase, lost)| format!("{} in the {phase} phase", count(*lost))).collect();
        let what = format!("{of}{} (QoS 1 and 2)", counted(sum, "bystander message"));
        let what = format!("{what}: {}", listed(&where_lost));
        match record.bystanders.as_ref().and_then(|bystanders| bystanders.outages) {
            None => document.alarm("ACKNOWLEDGED BUT LOST", what),
            // A broker without persistence loses undelivered messages at a restart, as planned.
            Some(_) => {
                document.line(format!("Acknowledged but lost, in a run with planned broker outages: {what}"));
            }
        }
        let bystanders = record.bystanders.as_ref();
        let which = bystanders
            .and_then(|bystanders| evidence::line(bystanders, IrregularityKind::AcknowledgedButLost));
        if let Some(which) = which {
            document.labelled("Lost", which);
        }
    }
    if let Some(what) = record.load.as_ref().and_then(LoadRecord::missing_result) {
        document.alarm("NO RESULT", format!("{of}{what}"));
    }
    for bottleneck in &record.generator.bottlenecks {
        document.alarm(GENERATOR_NOT_RELIABLE, format!("{of}{bottleneck}"));
    }
}

/// The alarm of an incomplete record, and its text when the record gives no reason.
pub(crate) fn incompleteness(completeness: Completeness) -> Option<(&'static str, &'static str)> {
    match completeness {
        Completeness::Complete => None,
        Completeness::Partial => Some(("PARTIAL RECORD", "the run was cut short; later figures are missing")),
        Completeness::Interrupted => Some(("INTERRUPTED", "stopped before the plan was complete")),
        Completeness::OutOfTime => Some(("OUT OF TIME", "the run reached its time limit")),
        Completeness::BrokerDown => Some(("BROKER DOWN", "the broker went down during the run")),
        Completeness::RecordFailed => {
            Some(("RECORD NOT WRITTEN", "the record could not be written completely"))
        }
    }
}
