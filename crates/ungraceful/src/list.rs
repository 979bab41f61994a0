//! `ungraceful list`: every fault, with the command that provokes it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, Command};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_report::{Entry, Format, render_catalogue, shell_command};

use crate::cli::given::Given;
use crate::launch::{Mode, Tool, complain, print, shown_here};
use crate::tools;

/// The command line of the list.
pub(crate) fn command() -> Command {
    Command::new("list")
        .about("Lists every fault, with the command that provokes it and what it can accuse a broker by")
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .help("Format of the list: text, json, csv or markdown")
                .default_value("text"),
        )
}

/// Prints the list.
pub(crate) fn main(format: &str) -> ExitCode {
    let mut mistakes = Vec::new();
    let given: Given<Format> = format.parse().unwrap_or_else(|never| match never {});
    let Some(format) = given.take("--format", &mut mistakes) else {
        for mistake in mistakes {
            complain(&format!("ungraceful list: {mistake}"));
        }
        return ungraceful_record::exit::Exit::Usage.into();
    };
    print(&render_catalogue(&entries(), format, &shown_here())).into()
}

/// Every fault of every tool, in the order of the tools and their modes. A load is no fault.
pub(crate) fn entries() -> Vec<Entry> {
    let modes = tools::ALL.iter().flat_map(|tool| tool.modes.iter().map(move |mode| (*tool, *mode)));
    let of_faults = modes.filter(|(_, mode)| mode.load().is_none());
    of_faults.flat_map(|(tool, mode)| entries_of(tool, mode)).collect()
}

/// The faults of a mode, as its defaults have them: one, for most.
fn entries_of(tool: &Tool, mode: &'static dyn Mode) -> Vec<Entry> {
    let command = tool.mode_command(mode);
    // Whatever the environment sets, the list is that of the defaults.
    let command = command.mut_args(|arg| arg.env(None::<&'static str>));
    let arguments = std::iter::once(&tool.name).chain(mode.indispensable()).map(OsString::from);
    let matches = command.try_get_matches_from(arguments).expect("a test lists every mode");
    let plan = mode.fault_plan(&matches, &mut Vec::new());
    let mut entries: Vec<Entry> = Vec::new();
    for fault in (plan.make)(&[ProtocolVersion::V3_1_1, ProtocolVersion::V5]) {
        let case = fault.case();
        let index = entries.iter().position(|entry| entry.fault == case.fault).unwrap_or_else(|| {
            entries.push(Entry {
                fault: case.fault.clone(),
                about: mode.about(),
                command: command_words(tool, mode),
                variants: Vec::new(),
                versions: Vec::new(),
                statements: mode.accuses_by(),
                without_number: mode.accuses_without_number(),
            });
            entries.len() - 1
        });
        let entry = &mut entries[index];
        for (list, value) in [(&mut entry.variants, case.variant), (&mut entry.versions, case.version)] {
            if !list.contains(&value) {
                list.push(value);
            }
        }
    }
    entries
}

fn command_words(tool: &Tool, mode: &dyn Mode) -> String {
    let words = tool.name.replacen('-', " ", 1);
    let words = if tool.modes.len() > 1 { format!("{words} {}", mode.name()) } else { words };
    let flags = mode.indispensable().iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>();
    if flags.is_empty() { words } else { format!("{words} {}", shell_command(&flags)) }
}

#[cfg(test)]
mod tests {
    use super::entries;
    use crate::tools;

    #[test]
    fn every_mode_of_every_tool_is_listed_but_those_of_load_which_are_no_faults() {
        let entries = entries();
        for tool in tools::ALL {
            for mode in tool.modes {
                let is_it = |entry: &&super::Entry| entry.about == mode.about();
                let entry = entries.iter().find(is_it);
                if mode.load().is_some() {
                    assert!(entry.is_none() && mode.accuses_by().is_empty(), "{} {}", tool.name, mode.name());
                    continue;
                }
                let entry = entry.unwrap_or_else(|| panic!("{} {} has no fault", tool.name, mode.name()));
                assert!(!entry.variants.is_empty() && !entry.versions.is_empty(), "{entry:?}");
                assert!(entry.command.starts_with("ungraceful "), "{entry:?}");
            }
        }
        let commands: Vec<&str> = entries.iter().map(|entry| entry.command.as_str()).collect();
        assert!(commands.contains(&"ungraceful double-connect"), "{commands:?}");
        assert!(commands.contains(&"ungraceful takeover storm"), "{commands:?}");
    }
}
