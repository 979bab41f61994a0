//! The two help texts: `--help` has the flags that most calls need, on one page; `--help-all` has every flag in full.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};
use ungraceful_flags::variable_of;
use ungraceful_record::exit::Exit;

/// Flags of every tool that `--help` shows, with a text that fits on a line.
const COMMON: [(&str, &str); 20] = [
    ("host", "Broker [default: an embedded one is started]"),
    ("port", "Its port [default: 1883, with TLS 8883]"),
    ("url", "Broker as mqtt://, mqtts://, ws:// or wss://"),
    ("spawn", "Start an installed broker: mosquitto"),
    ("username", "User Name of all clients"),
    ("pw-file", "File whose first line is the password"),
    ("tls", "Connect over TLS"),
    ("cafile", "Certificates to trust (PEM)"),
    ("count", "Clients that misbehave at the same time"),
    ("connrate", "Attempts per second"),
    ("attempts", "Attempts per variant and version"),
    ("duration", "Run attempts for this long instead"),
    ("bystanders", "Well-behaved pairs that measure side effects"),
    ("threshold", "Condition, such as 'reaction p(99)<50ms'"),
    ("output", "Folder for the record [default: below results/]"),
    ("format", "Result as text, json, csv, markdown or junit"),
    ("print-plan", "Print what would be sent, and send nothing"),
    ("help", "Print this page"),
    ("help-all", "Print every flag, and the exit codes"),
    ("version", "Print the version"),
];
/// The heading of [`COMMON`].
const IN_EVERY_TOOL: &str = "In every tool";
/// Headings of flags that belong to a mode or to the tour: `--help` shows these.
const OWN: [&str; 3] = ["Fault", "Load", TOUR];
const TOUR: &str = "Tour";
/// Flags of their own that `--help` leaves out, because few calls need them.
const RARE: [&str; 17] = [
    "admin-pw",
    "claims",
    "connects-in-flight",
    "file",
    "in-flight",
    "message",
    "message-expiry-interval",
    "processes",
    "retain",
    "seed",
    "slip-limit",
    "spin",
    "stages",
    "token-in",
    "topic-alias",
    "user-property",
    "wait-max",
];

/// Adds `--help` and `--help-all`.
pub(crate) fn with_flags(command: Command) -> Command {
    command
        // -h is --host, as in other MQTT tools.
        .disable_help_flag(true)
        .arg(clap::arg!(--help "Print the flags that most calls need").action(ArgAction::HelpShort))
        .arg(
            Arg::new("help_all")
                .long("help-all")
                .help("Print every flag in full")
                .action(ArgAction::HelpLong),
        )
}

/// The command as it is parsed: with the texts of `--help` if `arguments` ask for it.
pub(crate) fn for_call(command: Command, arguments: &[OsString]) -> Command {
    if arguments.iter().any(|argument| argument == "--help") { short(command) } else { command }
}

/// The command with the texts of `--help`, and its modes and tools with theirs.
fn short(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    // A tool with several modes leaves their flags to the pages of the modes.
    let is_of_mode = |arg: &Arg| arg.get_help_heading().is_some_and(|heading| heading != TOUR);
    let has_modes = !names.is_empty();
    let command = names.into_iter().fold(command, |command, name| command.mut_subcommand(name, short));
    command.mut_args(|arg| {
        let long = arg.get_long().unwrap_or_default().to_owned();
        if let Some((_, text)) = COMMON.iter().find(|(of, _)| *of == long).filter(|_| !is_own(&arg)) {
            let has_default = text.contains("[default: ");
            return arg.help(*text).hide_default_value(has_default).help_heading(IN_EVERY_TOOL);
        }
        let is_rare = RARE.contains(&&*long);
        let is_shown = arg.is_positional() || (is_own(&arg) && !is_rare && !(has_modes && is_of_mode(&arg)));
        let text = shortened(&arg);
        arg.help(text).hide_short_help(!is_shown)
    })
}

/// Whether the flag belongs to a mode, to the tour or to a program that reads.
fn is_own(arg: &Arg) -> bool {
    let is_of_all = ["help", "help-all", "version"].map(Some).contains(&arg.get_long());
    arg.get_help_heading().is_none_or(|heading| OWN.contains(&heading)) && !is_of_all
}

/// The first part of a flag's text, up to a full stop or semicolon, and the default that ends it.
fn shortened(arg: &Arg) -> String {
    let whole = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let at_end = whole.strip_suffix(']').and_then(|rest| rest.rsplit_once(" [default: "));
    let (text, default) = match at_end {
        Some((text, default)) => (text, format!(" [default: {default}]")),
        None => (&*whole, String::new()),
    };
    let end = ["; ", ". "].into_iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    format!("{}{default}", &text[..end])
}

/// The syntax of times.
pub(crate) const TIMES: &str = "A TIME needs a unit: 250ms, 5s, 1m 30s. SECONDS stands for a field that MQTT counts in whole seconds: a plain number \
                                means seconds, and a time with a unit is accepted too: 60, 60s, 1m.";

/// What ends the help text of a run: environment variables, the syntax of times, and the exit codes.
#[must_use]
pub(crate) fn end_of_runs() -> String {
    let codes = Exit::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()));
    format!(
        "Environment:\n  A variable sets a flag: {}=50 is --bystander-rate 50, and {}=true is --quiet. The command line overrides the \
         environment, and that overrides the file of --config.\n\nTimes:\n  {TIMES}\n\nExit codes:\n{}",
        variable_of("bystander-rate"),
        variable_of("quiet"),
        codes.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::{COMMON, RARE, short, shortened};
    use crate::{front, tools};

    /// Every binary and every mode, as `--help` shows it.
    fn commands() -> Vec<Command> {
        let modes = tools::ALL.iter().flat_map(|tool| tool.modes().map(|mode| tool.mode_command(mode)));
        modes.chain(front::binaries().into_iter().filter_map(front::command_of)).map(short).collect()
    }

    fn has(command: &Command, long: &str) -> bool {
        command.get_arguments().any(|arg| arg.get_long() == Some(long))
    }

    #[test]
    fn the_short_help_fits_on_one_page_and_names_the_long_one() {
        let commands = commands();
        assert!(commands.len() > 20, "{}", commands.len());
        for command in commands {
            let help = command.clone().term_width(80).render_help().to_string();
            let lines = help.lines().count();
            assert!(lines < 60, "{} has {lines} lines:\n{help}", command.get_name());
            let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= 80, "{widest} columns:\n{help}");
            assert!(!has(&command, "host") || help.contains("--help-all"), "{help}");
        }
    }

    #[test]
    fn no_help_text_names_the_variable_of_each_flag() {
        for mut command in commands() {
            assert!(!command.render_long_help().to_string().contains("[env:"), "{}", command.get_name());
        }
    }

    #[test]
    fn the_long_help_has_what_the_short_one_leaves_out() {
        let commands = commands();
        for long in RARE.into_iter().chain(["junit", "seed", "ws-header"]) {
            let mut command = commands.iter().find(|command| has(command, long)).unwrap().clone();
            let is_in = |text: String| text.split_whitespace().any(|word| word == format!("--{long}"));
            assert!(!is_in(command.render_help().to_string()), "{long}");
            assert!(is_in(command.render_long_help().to_string()), "{long}");
        }
    }

    #[test]
    fn the_common_flags_are_flags_of_a_tool() {
        let commands = commands();
        for (long, text) in COMMON {
            assert!(commands.iter().any(|command| has(command, long)), "{long}");
            assert!(!text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn a_short_text_is_the_first_part_with_its_default() {
        for (whole, expected) in [
            ("Port [default: 1883, with TLS 8883; else]", "Port [default: 1883, with TLS 8883; else]"),
            ("Pairs of clients; 0 for none", "Pairs of clients"),
            ("Condition. Repeatable; or not", "Condition"),
            ("Lifetime; short [default: 60s]", "Lifetime [default: 60s]"),
            ("File whose first line is it", "File whose first line is it"),
        ] {
            assert_eq!(shortened(&Arg::new("flag").help(whole)), expected);
        }
    }
}
