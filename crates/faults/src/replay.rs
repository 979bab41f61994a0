//! Scenarios, hexadecimal and captures of the user's own, carried out as those of the catalogue are.

mod cases;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ungraceful_flags::{Mistake, Wanted};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_scenario::Scenario;

use self::sources::Reading;
use crate::mode::{Call, ConnectionsOf, FaultMode, Mode, mode};
use crate::scenario::selection::{CaseFlags, Selection};
use crate::scenario::shrinking::Shrink;

/// The mode of `ungraceful-replay`.
pub const MODES: &[&dyn Mode] = &[mode::<Flags>()];

/// The mode's name.
pub const ID: &str = "replay";

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Scenarios (.toml), hexadecimal text, packet captures (pcap, pcapng), or folders of these
    #[arg(value_name = "FILE", required_unless_present = "cases", conflicts_with = "cases")]
    files: Vec<PathBuf>,
    /// File of cases instead of FILE: tests of a broker as data, a JSON object a line, each carried out once
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Of a capture, the connections of this ClientID or client port [default: all that begin with CONNECT]
    #[arg(long, value_name = "CLIENT")]
    connection: Option<String>,
    /// Speed of a capture or of pauses in hexadecimal text: 1 keeps its times, 2 halves them, 0 leaves them out
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    speed: f64,
    /// Print what would be carried out as scenarios, and exit
    #[arg(long)]
    as_scenario: bool,
    #[command(flatten)]
    cases_of: CaseFlags,
    #[arg(skip)]
    selection: Selection,
}

impl Flags {
    fn reading(&self) -> Reading<'_> {
        Reading { connection: self.connection.as_deref(), speed: self.speed }
    }

    fn scenarios(&self) -> Result<Vec<Scenario>, Vec<Mistake>> {
        match &self.cases {
            Some(file) => cases::read(file),
            None => self.reading().all(&self.files),
        }
    }
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "Carries out scenarios, hexadecimal text and packet captures of yours";
    const LONG_ABOUT: &'static str = "Sends what a file contains, and reports what the broker does, with all that a run measures: a scenario \
         in TOML (`ungraceful violate --show ID` prints one to begin with), packets in hexadecimal as in bug \
         reports (a line each; > and < mark the client's and the broker's), or a packet capture (pcap or pcapng \
         of plain TCP), whose client side is sent again and whose answers are expected. A folder is carried out \
         file by file: a gate for faults that were mended. --as-scenario prints the scenario, to edit. --cases \
         carries out a file of tests, one a line, of which each says whether the broker closes the connection.";
    const CHECKS: &'static [&'static [Check]] = &[crate::scenario::CHECKS];
    const NAMES_ITS_FAULT: bool = false;
    const REQUIRED_FLAGS: &'static [&'static str] = &["FILE"];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "3"), ("connrate", "5"), ("count", "100"), ("reaction-timeout", "2s")];
    // A broker that answers two PINGREQs has read all that came before, however short the time.
    const DEFAULTS_WITH: &'static [(&'static str, &'static str, &'static str)] = &[
        ("cases", "attempts", "1"),
        ("cases", "connrate", "60"),
        ("cases", "count", "500"),
        ("cases", "reaction-timeout", "500ms"),
    ];

    fn wanted(&self) -> Wanted {
        self.cases_of.wanted()
    }

    fn prints(&self) -> Option<String> {
        if !self.as_scenario && !self.cases_of.prints_hex() {
            return None;
        }
        let scenarios = self.scenarios().ok()?;
        if self.cases_of.prints_hex() {
            return self.cases_of.hex(scenarios.into_iter().map(Arc::new).collect());
        }
        match &scenarios[..] {
            [scenario] => Some(ungraceful_scenario::print(scenario)),
            _ => None,
        }
    }

    fn shrink(&self) -> Option<Shrink> {
        let scenarios = self.scenarios().unwrap_or_default();
        self.cases_of.shrink(scenarios.into_iter().map(Arc::new).collect())
    }

    fn check(&mut self, call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        if !self.speed.is_finite() || !(0.0..=1_000.0).contains(&self.speed) {
            mistakes.push(Mistake::new("--speed", "must be a number from 0 to 1000"));
            return;
        }
        match self.scenarios() {
            Ok(scenarios) if self.as_scenario && scenarios.len() != 1 => {
                const SHOWN: usize = 4;
                let shown: Vec<&str> =
                    scenarios.iter().take(SHOWN).map(|scenario| &*scenario.about).collect();
                let what = format!(
                    "there are {} scenarios, and a file holds one: give one FILE, and of a capture one connection by --connection \
                     ({}{})",
                    scenarios.len(),
                    shown.join("; "),
                    if scenarios.len() > SHOWN { "; …" } else { "" }
                );
                mistakes.push(Mistake::new("--as-scenario", what));
            }
            Ok(scenarios) => {
                let scenarios = scenarios.into_iter().map(Arc::new).collect();
                self.selection = self.cases_of.selection(scenarios, call, mistakes).in_turns(call);
            }
            Err(found) => mistakes.extend(found),
        }
    }

    fn connections(&self) -> ConnectionsOf {
        self.selection.connections()
    }

    fn longest_pause(&self) -> Duration {
        self.selection.longest_pause
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        self.selection.faults(spoken)
    }
}
