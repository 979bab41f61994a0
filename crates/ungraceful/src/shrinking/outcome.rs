//! What shrinking came to, as text and as JSON.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use ungraceful_faults::scenario::shrinking::Sought;
use ungraceful_record::exit::Exit;
use ungraceful_rig::error::RunError;
use ungraceful_scenario::shrink::{Size, bytes_sent};
use ungraceful_scenario::{Scenario, print};

/// How often something shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) shown: u64,
    pub(super) of: u64,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.shown, self.of)
    }
}

/// The result.
pub(super) struct Shrunk {
    first: Scenario,
    pub(super) smallest: Scenario,
    /// What shows; absent if nothing does and nothing was asked for.
    sought: Option<Sought>,
    share: Share,
    /// How often the smallest shows it; absent where that was not measured.
    pub(super) last: Option<Share>,
    /// How often each candidate was carried out.
    pub(super) copies: usize,
    /// How many there were.
    pub(super) candidates: u64,
    /// Why it ended before nothing more could go.
    pub(super) ended_by: Option<String>,
    /// Whether the steps of the provoking client stayed as they were.
    pub(super) keeps_client: bool,
    pub(super) hex: Option<String>,
    /// Checks that have a note, where nothing shows.
    pub(super) other_notes: Vec<String>,
    pub(super) exit: Exit,
}

impl Shrunk {
    pub(super) fn new(first: Scenario, sought: Option<Sought>, share: Share, exit: Exit) -> Self {
        Self {
            smallest: first.clone(),
            first,
            sought,
            share,
            last: None,
            copies: 1,
            candidates: 0,
            ended_by: None,
            keeps_client: false,
            hex: None,
            other_notes: Vec::new(),
            exit,
        }
    }

    fn is_shown(&self) -> bool {
        self.share.shown > 0
    }

    /// Writes the smallest scenario into a new file. Absent if there is nothing to write.
    pub(super) fn write(&self, file: &Path) -> Result<Option<PathBuf>, RunError> {
        if !self.is_shown() {
            return Ok(None);
        }
        let written = OpenOptions::new().write(true).create_new(true).open(file);
        let written = written.and_then(|mut file| file.write_all(print(&self.smallest).as_bytes()));
        let failed = |error| RunError::Environment(format!("cannot write {}: {error}", file.display()));
        written.map_err(failed).map(|()| Some(file.to_owned()))
    }

    /// The result as text.
    pub(super) fn text(&self, command: &str, file: Option<&Path>) -> String {
        let name = format!("{} MQTT {}", self.first.id, self.version());
        if !self.is_shown() {
            return self.nothing(&name);
        }
        let mut out = String::new();
        let mut line = |text: &str| {
            let _infallible = writeln!(out, "{text}");
        };
        line(&format!("{name}: {}", self.sought_text()));
        line(&format!("Shown in   {}{}", self.share, self.shown_last()));
        line(&format!("Before     {}", sizes(&self.first)));
        line(&format!("After      {}", sizes(&self.smallest)));
        if self.candidates > 0 {
            let each = if self.copies > 1 { format!(", each {} times", self.copies) } else { String::new() };
            line(&format!("Tried      {} smaller scenarios{each}", self.candidates));
        }
        match &self.ended_by {
            Some(why) => line(&format!("Ended      early: {why}")),
            None if self.keeps_client => {
                line(
                    "Kept       the steps of the provoking client: no packet of theirs shows by itself what",
                );
                line("           is illegal about it");
            }
            None => line("Ended      when nothing more could go by itself"),
        }
        let _infallible = write!(out, "\n{}", print(&self.smallest));
        if let Some(hex) = &self.hex {
            let _infallible = write!(out, "\n{hex}\n");
        }
        if let Some(file) = file {
            let _infallible = write!(out, "\nWritten to {}\n{command}\n", file.display());
        }
        out
    }

    /// The result when nothing shows.
    fn nothing(&self, name: &str) -> String {
        let mut out = match &self.sought {
            Some(sought) => {
                format!("{name}: \"{sought}\" shows in {} tries: nothing to shrink\n", self.share)
            }
            None => format!(
                "{name}: nothing to shrink: in {} tries no check is violated, and the broker stays up\n",
                self.share.of
            ),
        };
        for check in &self.other_notes {
            let _infallible = writeln!(out, "{check} differs: give --until 'differs {check}' to shrink that");
        }
        out
    }

    /// The result as JSON.
    pub(super) fn json(&self, command: &str, file: Option<&Path>) -> String {
        let share = |share: Share| json!({ "shown": share.shown, "of": share.of });
        let is_shown = self.is_shown();
        let object = json!({
            "scenario": self.first.id,
            "version": self.version(),
            "until": self.sought.as_ref().map(ToString::to_string),
            "shown_in": share(self.share),
            "smallest_shown_in": self.last.map(share),
            "before": sizes_json(&self.first),
            "after": is_shown.then(|| sizes_json(&self.smallest)),
            "candidates": self.candidates,
            "attempts_of_each_candidate": self.copies,
            "ended_early_because": self.ended_by,
            "keeps_steps_of_provoking_client": self.keeps_client,
            "notes": self.other_notes,
            "smallest": is_shown.then(|| print(&self.smallest)),
            "hex": self.hex.as_deref().and_then(|hex| serde_json::from_str::<Value>(hex).ok()),
            "file": file,
            "command": file.map(|_| command),
        });
        format!("{object:#}\n")
    }

    fn version(&self) -> String {
        self.first.versions.first().map(ToString::to_string).unwrap_or_default()
    }

    fn sought_text(&self) -> String {
        self.sought.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn shown_last(&self) -> String {
        match self.last {
            Some(last) if last.shown == 0 => {
                format!(" tries; the smallest in {last}: it shows too rarely to be sure of the smallest")
            }
            Some(last) => format!(" tries; the smallest in {last}"),
            None => " tries".to_owned(),
        }
    }
}

/// A scenario's size, in words.
pub(super) fn sizes(scenario: &Scenario) -> String {
    let size = Size::of(scenario);
    let plural = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let bytes = bytes_sent(scenario).map(|bytes| format!(", {}", plural(bytes, "byte")));
    let (clients, steps) = (plural(size.clients, "client"), plural(size.steps, "step"));
    format!("{clients}, {steps}{}", bytes.unwrap_or_default())
}

fn sizes_json(scenario: &Scenario) -> Value {
    let size = Size::of(scenario);
    json!({ "clients": size.clients, "steps": size.steps, "bytes": bytes_sent(scenario) })
}
