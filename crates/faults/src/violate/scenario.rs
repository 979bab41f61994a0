//! The scenarios of the catalogue: malformed and forbidden packets, each a page of data.

use std::sync::Arc;

use clap::Args;
use ungraceful_flags::{Mistake, Wanted};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_scenario::Scenario;

use crate::mode::{Call, ConnectionsOf, FaultMode};
use crate::scenario::catalogue::{self, Entry};
use crate::scenario::selection::{CaseFlags, Selection};
use crate::scenario::shrinking::Shrink;

/// The mode's name.
pub const ID: &str = "scenario";

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Scenarios: names, families, or patterns such as 'packet/*' [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// List the scenarios of the catalogue, or those of the given IDs, and exit
    #[arg(long)]
    list: bool,
    /// Print the scenario with this ID, to edit it for `ungraceful replay`, and exit
    #[arg(long, value_name = "ID")]
    show: Option<String>,
    #[command(flatten)]
    cases_of: CaseFlags,
    #[arg(skip)]
    selection: Selection,
}

impl Flags {
    /// The chosen entries of the catalogue.
    fn entries(&self) -> Vec<&'static Entry> {
        if self.ids.is_empty() {
            return catalogue::all().iter().collect();
        }
        let mut chosen: Vec<&'static Entry> = Vec::new();
        for entry in self.ids.iter().flat_map(|id| catalogue::matching(id)) {
            if !chosen.iter().any(|other| std::ptr::eq(*other, entry)) {
                chosen.push(entry);
            }
        }
        chosen
    }

    fn scenarios(&self) -> Vec<Arc<Scenario>> {
        self.entries().iter().map(|entry| Arc::clone(&entry.scenario)).collect()
    }
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "Malformed and forbidden packets from the catalogue: does the broker do what the standard requires?";
    const LONG_ABOUT: &'static str = "Carries out scenarios of the catalogue: pages of data that say what a client sends, legal or not, and \
         what the standard requires of the broker then. Name scenarios (publish-qos3), families (packet) or \
         patterns ('packet/*'); --list lists them, and --show prints one, to edit and carry out by \
         `ungraceful replay FILE`. A violation rests on the numbered statement in the scenario; a deviation from \
         a SHOULD, a MAY or prose is a note. Every scenario also shows whether the broker stays up, whether its \
         memory grows with the attempts (--attempts 10000), and what it costs the well-behaved clients.";
    const CHECKS: &'static [&'static [Check]] = &[crate::scenario::CHECKS];
    const NAMES_ITS_FAULT: bool = false;
    const CHOOSES_FAULTS: bool = true;
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "3"), ("connrate", "100"), ("count", "400"), ("reaction-timeout", "2s")];

    fn wanted(&self) -> Wanted {
        self.cases_of.wanted()
    }

    fn prints(&self) -> Option<String> {
        if let Some(id) = &self.show {
            return catalogue::find(id).map(|entry| entry.source.to_owned());
        }
        if self.cases_of.prints_hex() {
            return self.cases_of.hex(self.scenarios());
        }
        self.list.then(|| crate::scenario::selection::listed(&self.entries())).filter(|list| !list.is_empty())
    }

    fn shrink(&self) -> Option<Shrink> {
        self.cases_of.shrink(self.scenarios())
    }

    fn check(&mut self, call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        for id in self.ids.iter().filter(|id| catalogue::matching(id).is_empty()) {
            mistakes.push(Mistake::new("ID", catalogue::unknown(id)));
        }
        if let Some(id) = self.show.as_ref().filter(|id| catalogue::find(id).is_none()) {
            mistakes.push(Mistake::new("--show", catalogue::unknown(id)));
        }
        self.selection = self.cases_of.selection(self.scenarios(), call, mistakes);
    }

    fn connections(&self) -> ConnectionsOf {
        self.selection.connections()
    }

    fn longest_pause(&self) -> std::time::Duration {
        self.selection.longest_pause
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        self.selection.faults(spoken)
    }
}
