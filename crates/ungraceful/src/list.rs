//! `ungraceful list`: every fault, with the command that provokes it.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command};
use ungraceful_faults::mode::{Call, Mode as FaultMode};
use ungraceful_faults::scenario::catalogue;
use ungraceful_flags::{collecting, reader};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::{section, statements};
use ungraceful_record::exit::Exit;
use ungraceful_report::{Entry, Format, render_catalogue, shell_command};
use ungraceful_rig::broker::target::BrokerChoice;

use crate::launch::{Mode, Tool, print, print_error, stdout_context};
use crate::tools;

/// The command line of the list.
pub(crate) fn command() -> Command {
    Command::new("list")
        .about("Lists every fault, with the command that provokes it and the statements it checks")
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .help("Format of the list: text, json, csv or markdown")
                .default_value("text")
                .value_parser(reader::<Format>()),
        )
}

/// Prints the list.
pub(crate) fn main(format: Format) -> ExitCode {
    if format == Format::Junit {
        print_error(
            "ungraceful list: --format: junit is for the verdicts of a run, and a list has none; choose text, json, csv or markdown",
        );
        return Exit::Usage.into();
    }
    print(&render_catalogue(&entries(), format, &stdout_context())).into()
}

/// Every fault, in the order of the tools and their modes. A load is no fault.
pub(crate) fn entries() -> Vec<Entry> {
    let modes = tools::ALL.iter().flat_map(|tool| tool.modes().map(move |mode| (*tool, mode)));
    modes.filter_map(|(tool, mode)| entry_of(tool, mode.fault()?)).collect()
}

/// The fault of a mode, with the cases of its defaults.
fn entry_of(tool: &Tool, fault: &'static dyn FaultMode) -> Option<Entry> {
    if !fault.names_its_fault() {
        return Some(entry_of_scenarios(tool, fault));
    }
    let command = tool.mode_command(Mode::Fault(fault));
    // The list shows the defaults, whatever the environment sets.
    let command = command.mut_args(|arg| arg.env(None::<&'static str>));
    let arguments = std::iter::once(&tool.name).chain(fault.required_flags()).map(OsString::from);
    let (matches, _) = collecting(|| command.try_get_matches_from(arguments));
    let call = Call { reaction_timeout: Duration::ZERO, attempts: 1, broker: &BrokerChoice::Embedded };
    let plan = fault.plan(&matches.expect("a test lists every mode"), &call, &mut Vec::new());
    let mut entry: Option<Entry> = None;
    for case in (plan.make)(&ProtocolVersion::ALL).iter().map(|fault| fault.case()) {
        let entry = entry.get_or_insert_with(|| Entry {
            fault: case.fault.clone(),
            about: fault.about(),
            command: command_words(tool, fault),
            variants: Vec::new(),
            versions: Vec::new(),
            statements: statements(&fault.checks()),
            without_number: section(&fault.checks()),
        });
        for (list, value) in [(&mut entry.variants, case.variant), (&mut entry.versions, case.version)] {
            if !list.contains(&value) {
                list.push(value);
            }
        }
    }
    entry
}

/// The scenarios of a mode: those of the catalogue by their families, or those in the user's files.
fn entry_of_scenarios(tool: &Tool, fault: &'static dyn FaultMode) -> Entry {
    let is_catalogue = fault.chooses_faults();
    let families: Vec<String> = catalogue::families().iter().map(|family| format!("{family}/*")).collect();
    Entry {
        fault: fault.name().to_owned(),
        about: fault.about(),
        command: command_words(tool, fault),
        variants: if is_catalogue { families } else { vec!["any".to_owned()] },
        versions: ProtocolVersion::ALL.iter().map(ToString::to_string).collect(),
        statements: if is_catalogue { catalogue::statements() } else { Vec::new() },
        without_number: None,
    }
}

/// The command of a mode as a user types it, with its required flags.
pub(crate) fn command_words(tool: &Tool, fault: &dyn FaultMode) -> String {
    let words = tool.name.replacen('-', " ", 1);
    let words = if tool.has_several_modes() { format!("{words} {}", fault.name()) } else { words };
    let flags: Vec<String> = fault.required_flags().iter().map(|flag| (*flag).to_owned()).collect();
    if flags.is_empty() { words } else { format!("{words} {}", shell_command(&flags)) }
}

#[cfg(test)]
mod tests {
    use super::entries;
    use crate::tools;

    #[test]
    fn every_mode_except_those_of_load_is_listed() {
        let entries = entries();
        for tool in tools::ALL {
            for mode in tool.modes() {
                let is_it = |entry: &&super::Entry| entry.about == mode.about();
                let entry = entries.iter().find(is_it);
                if mode.fault().is_none() {
                    assert!(entry.is_none(), "{} {}", tool.name, mode.name());
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
