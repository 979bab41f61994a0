//! `ungraceful`: the tour without a tool, `ungraceful TOOL …`, and commands that print reference material. Called by the name of a
//! tool (`ungraceful-takeover`), it is that tool.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;
use ungraceful_flags::with_environment;
use ungraceful_record::exit::Exit;

use crate::cli::help;
use crate::cli::parse::{NotParsed, Parsed, parse};
use crate::hidden;
use crate::launch;
use crate::{again, explain};
use crate::{list, reference, tools, tour};

/// The binary's name.
pub(crate) const NAME: &str = "ungraceful";
/// The prefix of tools that are programs.
const PREFIX: &str = "ungraceful-";
/// A program that is no tool: it connects nowhere.
pub(crate) struct Program {
    /// The binary's name.
    pub(crate) name: &'static str,
    question: &'static str,
    /// Its command line.
    pub(crate) command: fn() -> Command,
    main: fn(Vec<OsString>) -> ExitCode,
}

/// The programs that read what there is already.
pub(crate) const PROGRAMS: [Program; 2] = [
    Program {
        name: explain::NAME,
        question: explain::QUESTION,
        command: explain::command,
        main: |arguments| explain::main(arguments),
    },
    Program {
        name: again::NAME,
        question: again::QUESTION,
        command: again::command,
        main: |arguments| again::main(arguments),
    },
];

/// The front's own command line.
#[must_use]
pub fn command() -> Command {
    let mut command = with_environment(tour::add_flags(launch::with_help(Command::new(NAME))))
        .about("Fault injection and load generation for MQTT brokers")
        .long_about(
            "Provokes the faults that make brokers disconnect clients, and measures how the broker reacts, how fast, \
             and how well-behaved clients are affected.\n\nWithout a tool: a tour of the most common causes, \
             each as a short run, in less than a minute. Without --host, --url and --spawn, an embedded broker is started.",
        )
        .subcommand_value_name("TOOL")
        .subcommand_help_heading("Tools")
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
        .after_long_help(help::end_of_runs());
    for tool in tools::ALL {
        command = command.subcommand(
            Command::new(tool.name.trim_start_matches(PREFIX)).about(tool.question).disable_help_flag(true),
        );
    }
    command
        .subcommand(with_help_flag(list::command()))
        .subcommands(PROGRAMS.map(|program| {
            let name = program.name.trim_start_matches(PREFIX);
            Command::new(name).about(program.question).disable_help_flag(true)
        }))
        .subcommands(printers().map(with_help_flag))
}

/// The commands that print information about the binaries.
fn printers() -> [Command; 3] {
    let optional = |id, default| Arg::new(id).default_value(default).action(ArgAction::Set);
    let shell = Arg::new("shell")
        .help("Shell that reads the script")
        .required(true)
        .value_parser(clap::value_parser!(Shell));
    [
        Command::new("completions")
            .about("Prints a completion script for a shell, for `ungraceful` and every tool")
            .args([shell, optional("binary", NAME).help("Name of the binary to complete")]),
        Command::new("man").about("Prints the man page of a binary or of a mode").arg(
            optional("binary", NAME).help("Name of a binary, or of a mode, such as ungraceful-takeover-duel"),
        ),
        Command::new("reference").about("Prints a page of the reference as Markdown").arg(
            optional("page", reference::INDEX).help(
                "Name of a binary; flags for the common flags, scenarios, statements; README for the index",
            ),
        ),
    ]
}

/// Adds --help, which the front disables for its subcommands because the tools have their own.
pub(crate) fn with_help_flag(command: Command) -> Command {
    command.arg(clap::arg!(--help "Print help").action(ArgAction::Help))
}

/// Runs the tool by whose name this program was called, else the tool or command in the first argument, else the tour.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(exit) = hidden::command(&arguments) {
        return exit;
    }
    let called = arguments.first().and_then(|called| Path::new(called).file_name()?.to_str());
    if let Some(exit) = called.and_then(|name| run_tool(name, arguments.get(1..)?)) {
        return exit;
    }
    let named = arguments.get(1).and_then(|name| name.to_str());
    let tool = named.map(|name| format!("{PREFIX}{name}"));
    if let Some(exit) = tool.and_then(|name| run_tool(&name, arguments.get(2..)?)) {
        return exit;
    }
    launch::begin(NAME);
    match parse(&command(), &arguments) {
        Ok(Parsed { matches, mistakes, .. }) if matches.subcommand().is_some() && !mistakes.is_empty() => {
            tour::reject(&NotParsed::Config(mistakes))
        }
        Ok(parsed) => match parsed.matches.subcommand() {
            None => tour::main(&arguments, &parsed),
            Some(("list", chosen)) => list::main(*chosen.get_one("format").expect("has a default")),
            Some(("completions", chosen)) => {
                let shell: Shell = *chosen.get_one("shell").expect("required by the parser");
                print_completions(shell, chosen.get_one::<String>("binary").expect("has a default"))
            }
            Some(("man", chosen)) => print_man(chosen.get_one::<String>("binary").expect("has a default")),
            Some(("reference", chosen)) => {
                reference::main(chosen.get_one::<String>("page").expect("has a default"))
            }
            _ => Exit::Bug.into(),
        },
        Err(error) => tour::reject(&error),
    }
}

/// Runs the tool with this name; absent when there is none.
fn run_tool(name: &str, arguments: &[OsString]) -> Option<ExitCode> {
    let arguments = std::iter::once(OsString::from(name)).chain(arguments.iter().cloned());
    if let Some(program) = PROGRAMS.iter().find(|program| program.name == name) {
        return Some((program.main)(arguments.collect()));
    }
    let tool = tools::ALL.iter().find(|tool| tool.name == name)?;
    Some(launch::main(tool, arguments))
}

/// The name of every binary.
#[must_use]
pub fn binaries() -> Vec<&'static str> {
    [NAME]
        .into_iter()
        .chain(tools::ALL.map(|tool| tool.name))
        .chain(PROGRAMS.map(|program| program.name))
        .collect()
}

/// The command lines of all tools and their modes.
pub(crate) fn all_commands() -> Vec<Command> {
    let modes = tools::ALL.iter().flat_map(|tool| tool.modes().map(|mode| tool.mode_command(mode)));
    let programs = PROGRAMS.iter().map(|program| (program.command)());
    std::iter::once(command()).chain(programs).chain(modes).collect()
}

/// The command line of the binary with this name; absent when there is none.
#[must_use]
pub fn command_of(binary: &str) -> Option<Command> {
    if binary == NAME {
        return Some(command());
    }
    if let Some(program) = PROGRAMS.iter().find(|program| program.name == binary) {
        return Some((program.command)());
    }
    if let Some(tool) = tools::ALL.iter().find(|tool| tool.name == binary) {
        return Some(tool.command());
    }
    // The pages of modes, such as `ungraceful-takeover-duel`.
    tools::ALL.iter().find_map(|tool| {
        let mode = tool.mode(binary.strip_prefix(tool.name)?.strip_prefix('-')?)?;
        Some(tool.mode_command(mode).name(binary.to_owned()))
    })
}

fn print_completions(shell: Shell, binary: &str) -> ExitCode {
    let Some(mut command) = command_of(binary) else { return unknown_binary(binary) };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, binary.to_owned(), &mut script);
    launch::print(&String::from_utf8_lossy(&script)).into()
}

/// The man page of a binary, in troff.
///
/// # Errors
/// Never in practice: it is written into memory.
pub fn man_page(command: Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).date("").render(&mut page)?;
    String::from_utf8(page).map_err(std::io::Error::other)
}

fn print_man(binary: &str) -> ExitCode {
    let Some(command) = command_of(binary) else { return unknown_binary(binary) };
    match man_page(command) {
        Ok(page) => launch::print(&page).into(),
        Err(_) => Exit::Bug.into(),
    }
}

fn unknown_binary(binary: &str) -> ExitCode {
    launch::print_error(&format!("unknown binary {binary:?}; the binaries are {}", binaries().join(", ")));
    Exit::Usage.into()
}
