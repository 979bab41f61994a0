//! The events of a run, as `--events` writes them: one JSON object a line. Plain data; the writer is in the binaries. There is no
//! event for a single attempt, which `attempts.ndjson` has.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::exit::Exit;
use crate::live::Live;
use crate::phase::Phase;
use crate::run::Completeness;
use crate::verdict::Verdict;

/// The version of this format. Readers must ignore events and fields that they do not know.
pub const EVENTS_VERSION: u32 = 1;

/// One line. A run begins with `run_started` and ends with `run_ended`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins; nothing was sent yet.
    RunStarted(Timed<RunStarted>),
    /// A phase began.
    PhaseBegan(Timed<PhaseBegan>),
    /// A phase ended.
    PhaseEnded(Timed<PhaseEnded>),
    /// The state of the run, once a second from the first phase on.
    Second(Timed<Box<Live>>),
    /// A note, as on standard error.
    Note(Timed<Note>),
    /// A verdict; all come at the end.
    Verdict(Timed<Box<Verdict>>),
    /// The run ended.
    RunEnded(Timed<RunEnded>),
}

/// An event with its time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Timed<T> {
    /// When it happened, in µs since the run's start.
    pub at_us: u64,
    /// The same instant in UTC, by RFC 3339.
    pub time: String,
    /// The event.
    #[serde(flatten)]
    pub event: T,
}

/// The run and its plan.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RunStarted {
    /// The version of this format.
    pub events_version: u32,
    /// The tool, such as `ungraceful-takeover`.
    pub tool: String,
    /// Its mode; absent for a tool with a single mode.
    pub mode: Option<String>,
    /// The program's version.
    pub version: String,
    /// The broker, in words.
    pub target: String,
    /// The seed.
    pub seed: u64,
    /// The command, without secrets.
    pub command: Vec<String>,
    /// The plan: cases or stages, and the bounds of the run; as `--print-plan --format json` prints it, without the attempts.
    pub plan: Value,
}

/// The beginning of a phase.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct PhaseBegan {
    /// The phase.
    pub phase: Phase,
    /// Its maximum duration, in µs; absent when unknown.
    pub expected_us: Option<u64>,
}

/// The end of a phase.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct PhaseEnded {
    /// The phase.
    pub phase: Phase,
    /// Its duration, in µs.
    pub lasted_us: u64,
}

/// A note.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Note {
    /// One line. It may quote the broker.
    pub text: String,
}

/// The end of a run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RunEnded {
    /// The exit code of this run.
    pub exit: ExitEvent,
    /// How complete the record is; absent when the run failed and there is none.
    pub completeness: Option<Completeness>,
    /// Why the record is incomplete, or why the run failed; absent for a complete run.
    pub reason: Option<String>,
    /// The folder of the record; absent when there is none.
    pub record_dir: Option<String>,
    /// Events of this run that were dropped because their reader was too slow.
    pub events_dropped: u64,
}

/// An exit code.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct ExitEvent {
    /// The code.
    pub code: u8,
    /// Its name.
    pub name: &'static str,
}

impl From<Exit> for ExitEvent {
    fn from(exit: Exit) -> Self {
        Self { code: exit.code(), name: exit.name() }
    }
}

/// The JSON Schema of a line.
#[must_use]
pub fn json_schema() -> Value {
    schemars::schema_for!(Event).to_value()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Event, Timed};
    use crate::live::{Live, LiveBroker};
    use crate::phase::Phase;
    use crate::reaction::ReactionKind;

    #[test]
    fn a_second_is_one_flat_object_with_its_event_first() {
        let live = Live {
            second: Some(4),
            phase: Some(Phase::Fault),
            outcomes: BTreeMap::from([("closed", 7)]),
            reactions: BTreeMap::from([
                ((ReactionKind::Disconnect, Some(0x8E)), 7),
                ((ReactionKind::Closed, None), 7),
            ]),
            broker: Some(LiveBroker { rss_bytes: 9, ..LiveBroker::default() }),
            ..Live::default()
        };
        let event = Event::Second(Timed { at_us: 5_000_100, time: "t".to_owned(), event: Box::new(live) });
        let text = serde_json::to_string(&event).unwrap();
        assert!(
            text.starts_with(r#"{"event":"second","at_us":5000100,"time":"t","second":4,"phase":"fault","#)
        );
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(value["reactions"], json!({ "DISCONNECT 0x8E": 7, "FIN": 7 }));
        assert_eq!((&value["outcomes"]["closed"], &value["broker"]["rss_bytes"]), (&json!(7), &json!(9)));
    }
}
