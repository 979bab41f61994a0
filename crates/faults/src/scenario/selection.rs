//! The scenarios of a run, and of each the chosen cases.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ungraceful_flags::{Mistake, Versions, Wanted};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_scenario::Scenario;

use super::as_hex::AsHex;
use super::catalogue::Entry;
use super::shrinking::{Shrink, ShrinkFlags};
use super::{ScenarioFault, connections, longest_pause, longest_wait_for_turn};
use crate::mode::{Call, ConnectionsOf};

/// How often an attempt gives the broker time to react: to what was sent, to the last PINGREQ, and after a stall.
const REACTIONS_OF_ATTEMPT: u32 = 4;

/// The longest time that the steps of an attempt may take by themselves.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The flags of a tool that carries out scenarios, besides those that name them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub(crate) struct CaseFlags {
    /// Cases of the scenarios, separated by commas [default: all]
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    variant: Vec<String>,
    #[command(flatten)]
    as_hex: AsHex,
    #[command(flatten)]
    shrink: ShrinkFlags,
    #[command(flatten)]
    versions: Versions,
}

impl CaseFlags {
    /// The versions to speak.
    pub(crate) fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    /// Whether bytes are printed instead of a run.
    pub(crate) const fn prints_hex(&self) -> bool {
        self.as_hex.is_given()
    }

    /// What the chosen cases send, in hexadecimal; absent when no scenario has such a case.
    pub(crate) fn hex(&self, scenarios: Vec<Arc<Scenario>>) -> Option<String> {
        self.as_hex.lines(&with_cases(scenarios, &self.variant), &self.wanted())
    }

    /// What to shrink of these scenarios; absent without the flag.
    pub(crate) fn shrink(&self, scenarios: Vec<Arc<Scenario>>) -> Option<Shrink> {
        self.shrink.wanted(&with_cases(scenarios, &self.variant), &self.wanted())
    }

    /// The chosen cases of these scenarios.
    pub(crate) fn selection(
        &self,
        scenarios: Vec<Arc<Scenario>>,
        call: &Call<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> Selection {
        Selection::new(scenarios, &self.variant, call.reaction_timeout, mistakes)
    }
}

/// These scenarios, each with the cases of these names alone; all of them without names, and by the name `all`, as in every tool.
fn with_cases(scenarios: Vec<Arc<Scenario>>, names: &[String]) -> Vec<Arc<Scenario>> {
    if names.is_empty() || names.iter().any(|name| name == "all") {
        return scenarios;
    }
    let chosen = scenarios.into_iter().filter_map(|scenario| {
        let mut scenario = Scenario::clone(&scenario);
        scenario.cases.retain(|case| names.contains(&case.name));
        (!scenario.cases.is_empty()).then(|| Arc::new(scenario))
    });
    chosen.collect()
}

/// The scenarios of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    scenarios: Vec<Arc<Scenario>>,
    /// The longest time that an attempt takes by itself, besides the wait for a reaction.
    pub(crate) longest_pause: Duration,
    /// Whether attempts that would disturb each other take turns.
    takes_turns: bool,
}

impl Selection {
    /// These scenarios, each with the cases of these names; with all when there are none.
    fn new(
        scenarios: Vec<Arc<Scenario>>,
        variants: &[String],
        reaction_timeout: Duration,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        for variant in variants.iter().filter(|variant| *variant != "all") {
            let is_one = |scenario: &Arc<Scenario>| scenario.cases.iter().any(|case| case.name == *variant);
            if !scenarios.iter().any(is_one) {
                let names: BTreeSet<&str> =
                    scenarios.iter().flat_map(|scenario| &scenario.cases).map(|case| &*case.name).collect();
                let names: Vec<&str> = names.into_iter().collect();
                let what = format!(
                    "no chosen scenario has the case {variant:?}; their cases are {}",
                    names.join(", ")
                );
                mistakes.push(Mistake::new("--variant", what));
            }
        }
        let scenarios = with_cases(scenarios, variants);
        let longest_pause = longest_pause(&scenarios, reaction_timeout);
        if longest_pause > PAUSE_MAX {
            let what = format!(
                "the steps of an attempt may take {}; at most {} are carried out: shorten pauses, waits or repetitions",
                span(longest_pause),
                span(PAUSE_MAX)
            );
            mistakes.push(Mistake::new("FILE", what));
            return Self::default();
        }
        Self { longest_pause, scenarios, takes_turns: false }
    }

    /// The same where attempts that would disturb each other take turns.
    pub(crate) fn in_turns(self, call: &Call<'_>) -> Self {
        let reactions = call.reaction_timeout.saturating_mul(REACTIONS_OF_ATTEMPT);
        let longest_attempt = self.longest_pause.saturating_add(reactions);
        let wait = longest_wait_for_turn(&self.scenarios, longest_attempt).saturating_mul(call.attempts);
        Self { longest_pause: self.longest_pause.saturating_add(wait), takes_turns: true, ..self }
    }

    pub(crate) fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(connections(&self.scenarios))
    }

    pub(crate) fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        match self.takes_turns {
            true => ScenarioFault::in_turns(&self.scenarios, spoken),
            false => ScenarioFault::of_all(&self.scenarios, spoken),
        }
    }
}

/// A list of scenarios for a terminal of 80 columns: family by family, a line or two each.
pub(crate) fn listed(entries: &[&Entry]) -> String {
    const INDENT: &str = "    ";
    const WIDTH: usize = 80;
    let mut out = String::new();
    let mut family = "";
    for entry in entries {
        if entry.family != family {
            family = entry.family;
            let _infallible = writeln!(out, "{}{family}/", if out.is_empty() { "" } else { "\n" });
        }
        let scenario = &entry.scenario;
        let _infallible = writeln!(out, "  {}", scenario.id);
        for line in wrapped(&scenario.about, WIDTH - INDENT.len()) {
            let _infallible = writeln!(out, "{INDENT}{line}");
        }
        let cases: Vec<&str> = scenario.cases.iter().map(|case| &*case.name).collect();
        if cases.len() > 1 {
            for line in wrapped(&format!("cases: {}", cases.join(", ")), WIDTH - INDENT.len()) {
                let _infallible = writeln!(out, "{INDENT}{line}");
            }
        }
    }
    out
}

/// The lines of a text.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
