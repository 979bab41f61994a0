//! `ungraceful reference`: every flag as Markdown, generated from the command lines that parse them.
//!
//! There is a page per binary, a page of common flags, and an index. A mode lists only the flags that it adds, its other defaults,
//! and the common flags that it does not take. `docs/reference` keeps the printed pages, so that a test sees every change to a help
//! text. clap prints man pages and `--help`.

use std::process::ExitCode;

use clap::{Arg, ArgAction, Args, Command};
use ungraceful_flags::{Versions, variable_of, with_environment};
use ungraceful_record::exit::Exit;
use ungraceful_report::escape;

use crate::cli::common::{OutputArgs, RunArgs};
use crate::cli::help::{TIMES, end_of_runs};
use crate::cli::target::TargetArgs;
use crate::launch::{self, Mode, Tool};
use crate::{front, list, statements, tools};

/// The index, by the name that code hosts show with the folder.
pub(crate) const INDEX: &str = "README";
/// The page of common flags.
const COMMON: &str = "flags";
/// The page of the language of scenarios.
const SCENARIOS: &str = "scenarios";
/// The page of the numbered statements.
const STATEMENTS: &str = "statements";
/// The heading that clap prints for flags without one.
const OPTIONS: &str = "Options";

/// The name of each page: that of its file, without `.md`.
#[must_use]
pub fn names() -> Vec<&'static str> {
    [INDEX, COMMON, SCENARIOS, STATEMENTS].into_iter().chain(front::binaries()).collect()
}

/// The page with this name, ending in a line end; absent when there is none.
#[must_use]
pub fn page(name: &str) -> Option<String> {
    let paragraphs = match name {
        INDEX => index(),
        COMMON => common_page(&built(common())),
        SCENARIOS => scenarios_page(),
        STATEMENTS => statements::page(),
        front::NAME => front_page(),
        _ if let Some(program) = front::PROGRAMS.iter().find(|program| program.name == name) => {
            let command = built((program.command)());
            let mut paragraphs = vec![format!("# {name}"), guide(name)];
            paragraphs.extend(section(&command, &own(&command)));
            for command in command.get_subcommands() {
                paragraphs.push(format!("## {}", command.get_name()));
                paragraphs.extend(section(command, &own(command)));
            }
            paragraphs
        }
        _ => tool_page(tools::ALL.iter().find(|tool| tool.name == name)?),
    };
    Some(paragraphs.join("\n\n") + "\n")
}

/// Prints the page with this name.
pub(crate) fn main(name: &str) -> ExitCode {
    if let Some(page) = page(name) {
        return launch::print(&page).into();
    }
    launch::print_error(&format!("unknown page {name:?}; the pages are {}", names().join(", ")));
    Exit::Usage.into()
}

/// The common flags, as a command.
fn common() -> Command {
    let command = TargetArgs::augment_args(help_alone());
    with_environment(OutputArgs::augment_args(RunArgs::augment_args(Versions::augment_args(command))))
}

fn help_alone() -> Command {
    launch::with_help(Command::new(COMMON))
}

/// The command with clap's additions.
fn built(mut command: Command) -> Command {
    command.build();
    command
}

fn index() -> Vec<String> {
    let rows = front::binaries().into_iter().map(|name| {
        let command = front::command_of(name).expect("a known binary");
        // A tool has its own page, so it is not listed as a command of the front.
        let modes = command.get_subcommands().map(Command::get_name).filter(|mode| page_of(mode).is_none());
        let modes: Vec<String> = modes.map(|mode| format!("[{mode}]({name}.md#{mode})")).collect();
        row([&format!("[{name}]({name}.md)"), &about(&command), &modes.join(", ")])
    });
    vec![
        "# Reference".to_owned(),
        format!(
            "Every command, mode and flag. [Common flags]({COMMON}.md) are on one page, with environment variables, times and \
             exit codes. The page of a command has the flags that it adds, its other defaults, and the common flags that it does \
             not take. [run.schema.json](run.schema.json) is the JSON Schema of `run.json`, the main file of a record, and \
             [events.schema.json](events.schema.json) that of a line of `--events`. \
             [Scenarios]({SCENARIOS}.md) describes the language of scenarios, and [scenario.schema.json](scenario.schema.json) is \
             its JSON Schema. [Statements]({STATEMENTS}.md) lists every numbered statement of the standard, with what checks it."
        ),
        "`ungraceful takeover duel` and `ungraceful-takeover duel` are the same. These pages are generated: `ungraceful \
         reference NAME` prints one, `--help` prints the flags of a command that most calls need, `--help-all` all of them, and `ungraceful man NAME` prints \
         its man page."
            .to_owned(),
        table(["command", "purpose", "modes or further commands"], rows),
    ]
}

fn scenarios_page() -> Vec<String> {
    let mut paragraphs = vec![
        "# Scenarios".to_owned(),
        "A scenario is a TOML file: clients carry out steps, then the broker is expected to do something. `ungraceful violate --show ID` \
         prints one of the catalogue, and `ungraceful replay FILE` carries out a file of yours. Every mistake in a file is reported with \
         its line, its key and what to write instead. [scenario.schema.json](scenario.schema.json) lets editors complete and check a \
         file, for example with the line `#:schema scenario.schema.json` at its top."
            .to_owned(),
    ];
    paragraphs.extend(ungraceful_scenario::reference::markdown());
    paragraphs
}

fn common_page(common: &Command) -> Vec<String> {
    let items = compared(common, &Command::new("none"));
    let mut paragraphs = vec![
        "# Common flags".to_owned(),
        format!(
            "These flags mean the same in every tool. The [page of a tool]({INDEX}.md) has the flags that it adds, its other \
             defaults, and the common flags that it does not take."
        ),
    ];
    for (heading, rows) in by_heading(&items) {
        paragraphs.extend([format!("## {heading}"), table(["flag", "default", "meaning"], rows)]);
    }
    let exit_codes = Exit::ALL.map(|exit| row([&exit.code().to_string(), &prose(exit.meaning())]));
    paragraphs.extend([
        "## Environment and configuration file".to_owned(),
        format!(
            "A flag is also set by an environment variable: `UNGRACEFUL_`, and the flag in capitals with `_` in place of `-`. \
             `{}=50` is `--bystander-rate 50`, and `{}=true` is `--quiet`, which has no value.",
            variable_of("bystander-rate"),
            variable_of("quiet"),
        ),
    ]);
    paragraphs.extend(notes(&items));
    paragraphs.extend([
        "A file that `--config` names sets flags too. The command line overrides the environment, the environment overrides \
         the file, and the file overrides the default. Of a flag that is given twice, the last one counts."
            .to_owned(),
        "## Times".to_owned(),
        prose(TIMES),
        "## Exit codes".to_owned(),
        table(["exit code", "meaning"], exit_codes),
    ]);
    paragraphs
}

/// The page of a command of the front that is also a binary; absent for its other commands.
fn page_of(command: &str) -> Option<&'static str> {
    front::binaries().into_iter().find(|binary| binary.strip_prefix("ungraceful-") == Some(command))
}

fn front_page() -> Vec<String> {
    let command = built(front::command());
    let rows = command.get_subcommands().filter_map(|subcommand| {
        let link = format!("[{0}]({1}.md)", subcommand.get_name(), page_of(subcommand.get_name())?);
        Some(row([&link, &about(subcommand)]))
    });
    let mut paragraphs = vec![
        format!("# {}", front::NAME),
        about(&command),
        format!("[running.md](../running.md) is the guide. {TAKES_COMMON}"),
    ];
    paragraphs.extend(section(&command, &own(&command)));
    paragraphs.extend(["## Tools".to_owned(), table(["tool", "purpose"], rows)]);
    for other in command.get_subcommands().filter(|other| page_of(other.get_name()).is_none()) {
        paragraphs.push(format!("## {}", other.get_name()));
        paragraphs.extend(section(other, &own(other)));
    }
    paragraphs
}

fn tool_page(tool: &Tool) -> Vec<String> {
    let mut paragraphs = vec![
        format!("# {}", tool.name),
        prose(tool.question),
        format!("{} {TAKES_COMMON}", guide(tool.name)),
    ];
    let modes: Vec<(Command, Vec<Item>)> = tool.modes().map(|mode| of_mode(tool, mode)).collect();
    if let [(command, items)] = &modes[..] {
        paragraphs.extend(section(command, items));
        return paragraphs;
    }
    let rows = modes.iter().enumerate().map(|(number, (command, _))| {
        let note = if number == 0 { " (default)" } else { "" };
        row([&format!("[{0}](#{0}){note}", command.get_name()), &about(command)])
    });
    paragraphs.push(table(["mode", "purpose"], rows));
    let mut shared = modes[0].1.clone();
    shared.retain(|item| modes.iter().all(|(_, items)| items.contains(item)));
    if !shared.is_empty() {
        paragraphs.push("In every mode:".to_owned());
        paragraphs.extend(written(&shared));
    }
    for (command, mut items) in modes {
        items.retain(|item| !shared.contains(item));
        paragraphs.push(format!("## {}", command.get_name()));
        paragraphs.extend(section(&command, &items));
    }
    paragraphs
}

/// The first sentence on the page of a tool or of the tour.
const TAKES_COMMON: &str =
    "The [common flags](flags.md) are accepted too, except where this page says otherwise.";

/// A link to the guide.
fn guide(name: &str) -> String {
    let file = name.trim_start_matches("ungraceful-");
    format!("[{file}.md](../{file}.md) is the guide.")
}

/// A mode's command, and its items.
fn of_mode(tool: &Tool, mode: Mode) -> (Command, Vec<Item>) {
    let command = built(tool.mode_command(mode));
    let mut items = own(&command);
    if let Some(fault) = mode.fault().filter(|fault| !fault.required_flags().is_empty()) {
        items.push(Item::Note { line: CALL, text: code(&list::command_words(tool, fault)) });
    }
    (command, items)
}

/// A difference between a command and the common flags.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// An additional flag: its heading in the help text, and its row.
    Flag { heading: String, row: String },
    /// A part of the line below the flags that begins with `line`, one of [`LINES`].
    Note { line: &'static str, text: String },
}

/// The shortest call, if a flag is required.
const CALL: &str = "Shortest call";
const DEFAULTS: &str = "Other defaults of common flags";
const NOT_ACCEPTED: &str = "Common flags that are not accepted";
const NO_VARIABLE: &str = "Flags without an environment variable";
/// The lines below the flags, in order.
const LINES: [&str; 4] = [CALL, DEFAULTS, NOT_ACCEPTED, NO_VARIABLE];

/// How `command` differs from the common flags, or from no flags if it needs no broker.
fn own(command: &Command) -> Vec<Item> {
    if command.get_arguments().any(|arg| arg.get_long() == Some("host")) {
        return compared(command, &built(common()));
    }
    let has_two_texts = command.get_arguments().any(|arg| arg.get_long() == Some("help-all"));
    let helped = if has_two_texts {
        help_alone()
    } else {
        front::with_help_flag(Command::new(COMMON).disable_help_flag(true))
    };
    let mut items = compared(command, &built(helped));
    items.retain(|item| !matches!(item, Item::Note { line: NOT_ACCEPTED, .. }));
    items
}

/// How `command` differs from `common`.
fn compared(command: &Command, common: &Command) -> Vec<Item> {
    // Hidden flags are parsed, and then rejected.
    let rejected = command.get_arguments().filter(|arg| arg.is_hide_set());
    let rejected: Vec<&str> = rejected.filter_map(Arg::get_long).collect();
    let (flags, common) = (Flag::all_of(command), Flag::all_of(common));
    let mut items = Vec::new();
    for flag in &flags {
        let same = common.iter().find(|common| common.long.is_some() && flag.is_same_but_for_default(common));
        match same {
            None => {
                items.push(Item::Flag { heading: flag.heading.clone(), row: flag.row() });
                items.extend(flag.no_variable().map(|text| Item::Note { line: NO_VARIABLE, text }));
            }
            Some(common) if common.default != flag.default && !flag.is_in(&rejected) => {
                items.push(Item::Note { line: DEFAULTS, text: flag.with_default() });
            }
            Some(_) => {}
        }
    }
    for flag in common {
        if flag.is_in(&rejected) || flags.iter().all(|own| own.long != flag.long) {
            items.push(Item::Note { line: NOT_ACCEPTED, text: flag.code() });
        }
    }
    items
}

/// Description, usage and flags.
fn section(command: &Command, items: &[Item]) -> Vec<String> {
    let description = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    let mut paragraphs: Vec<String> = description.unwrap_or_default().split("\n\n").map(prose).collect();
    let usage = command.clone().render_usage().to_string();
    let calls = usage.trim_start_matches("Usage:").lines().map(|call| code(call.trim()));
    paragraphs.push(format!("Usage: {}", calls.collect::<Vec<_>>().join(" or ")));
    paragraphs.extend(written(items));
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let own = after.filter(|after| *after != end_of_runs());
    paragraphs.extend(own.map(|after| format!("```text\n{after}\n```")));
    paragraphs
}

fn written(items: &[Item]) -> Vec<String> {
    let tables = by_heading(items).into_iter();
    tables.map(|(heading, rows)| table([&heading, "default", "meaning"], rows)).chain(notes(items)).collect()
}

/// The rows of flags below each heading, in order of appearance; [`OPTIONS`] come last.
fn by_heading(items: &[Item]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for item in items {
        let Item::Flag { heading, row } = item else { continue };
        match groups.iter_mut().find(|(of, _)| of == heading) {
            Some((_, rows)) => rows.push(row.clone()),
            None => groups.push((heading.clone(), vec![row.clone()])),
        }
    }
    groups.sort_by_key(|(heading, _)| heading == OPTIONS);
    groups
}

/// The notes about flags, as a list; absent when there are none.
fn notes(items: &[Item]) -> Option<String> {
    let of_line = |line: &'static str| {
        let texts = items.iter().filter_map(|item| match item {
            Item::Note { line: of, text } if *of == line => Some(text.as_str()),
            _ => None,
        });
        let texts: Vec<&str> = texts.collect();
        (!texts.is_empty()).then(|| format!("- {line}: {}", texts.join(", ")))
    };
    let lines: Vec<String> = LINES.into_iter().filter_map(of_line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A flag or an argument, as pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    heading: String,
    /// Its long name; absent for an argument without one.
    long: Option<String>,
    /// With its short name and the name of its value.
    name: String,
    /// Empty when there is none.
    default: String,
    meaning: String,
    has_variable: bool,
    /// Whether it prints a text and exits.
    prints: bool,
}

impl Flag {
    fn all_of(command: &Command) -> Vec<Self> {
        command.get_arguments().filter(|arg| !arg.is_hide_set()).map(Self::of).collect()
    }

    fn of(arg: &Arg) -> Self {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let takes_value = arg.get_action().takes_values();
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        // Without a default in clap, the help text may end with one.
        let at_end = help.strip_suffix(']').and_then(|help| help.rsplit_once(" [default: "));
        let (text, default) = match at_end {
            _ if takes_value && !defaults.is_empty() => (help.as_str(), defaults.join(",")),
            Some((text, default)) => (text, default.to_owned()),
            None => (help.as_str(), String::new()),
        };
        let mut meaning = vec![prose(text)];
        let values = arg.get_possible_values();
        let values: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
        if takes_value && !values.is_empty() {
            meaning.push(format!("({})", values.join(", ")));
        }
        let aliases = arg.get_visible_aliases().unwrap_or_default();
        meaning.extend(aliases.iter().map(|alias| format!("(also `--{alias}`)")));
        let variable = arg.get_env().map(|name| name.to_string_lossy());
        let by_rule = arg.get_long().map(variable_of);
        let exception = variable.as_deref().filter(|name| by_rule.as_deref() != Some(name));
        meaning.extend(exception.map(|name| format!("(environment variable `{name}`)")));
        let usual_heading = if arg.is_positional() { "Arguments" } else { OPTIONS };
        let short = arg.get_short().map_or_else(String::new, |short| format!("-{short}, "));
        Self {
            heading: arg.get_help_heading().unwrap_or(usual_heading).to_owned(),
            long: arg.get_long().map(ToOwned::to_owned),
            name: code(&format!("{short}{arg}")),
            default,
            meaning: meaning.join(" ").trim().to_owned(),
            has_variable: variable.is_some(),
            prints: matches!(
                arg.get_action(),
                ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
            ),
        }
    }

    fn is_in(&self, longs: &[&str]) -> bool {
        self.long.as_deref().is_some_and(|long| longs.contains(&long))
    }

    fn is_same_but_for_default(&self, other: &Self) -> bool {
        Self { default: other.default.clone(), ..self.clone() } == *other
    }

    fn code(&self) -> String {
        code(&format!("--{}", self.long.as_deref().unwrap_or_default()))
    }

    /// Its name, if no environment variable sets it and one could.
    fn no_variable(&self) -> Option<String> {
        (self.long.is_some() && !self.has_variable && !self.prints).then(|| self.code())
    }

    /// As on a command line, if the default is a value and not a description.
    fn with_default(&self) -> String {
        if self.default.contains(' ') {
            return format!("{} ({})", self.code(), prose(&self.default));
        }
        code(&format!("--{} {}", self.long.as_deref().unwrap_or_default(), self.default))
    }

    fn row(&self) -> String {
        row([&self.name, &prose(&self.default), &self.meaning])
    }
}

fn about(command: &Command) -> String {
    prose(&command.get_about().map(ToString::to_string).unwrap_or_default())
}

pub(crate) fn table<const N: usize>(columns: [&str; N], rows: impl IntoIterator<Item = String>) -> String {
    let head = [row(columns), "|---".repeat(N) + "|"];
    head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

pub(crate) fn row<const N: usize>(cells: [&str; N]) -> String {
    format!("| {} |", cells.join(" | ")).replace("|  |", "| |")
}

/// A help text as Markdown: escaped, with text in backticks, flags and variables as code.
fn prose(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = text.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 1 { code(part) } else { flags_as_code(part) }).collect()
}

pub(crate) fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn flags_as_code(text: &str) -> String {
    let Some(start) = ["--", "UNGRACEFUL_"].into_iter().filter_map(|begin| text.find(begin)).min() else {
        return escape::markdown(text);
    };
    let (before, word) = text.split_at(start);
    let is_name = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let (word, after) = word.split_at(word.find(|character| !is_name(character)).unwrap_or(word.len()));
    format!("{}{}{}", escape::markdown(before), code(word), flags_as_code(after))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::{built, common, common_page, own, prose, section};
    use crate::{explain, front, tools};

    type Change = fn(Arg) -> Arg;

    /// A change to each property of a flag.
    const CHANGES: [(&str, Change); 5] = [
        ("help", |arg| arg.help("Something else")),
        ("short name", |arg| arg.short('Y')),
        ("variable", |arg| arg.env("UNGRACEFUL_SOMETHING_ELSE")),
        ("heading", |arg| arg.help_heading("Something else")),
        ("default or name of the value", |arg| match arg.get_action().takes_values() {
            true => arg.default_value("else").value_name("ELSE"),
            false => arg.visible_alias("else"),
        }),
    ];

    fn assert_seen(command: &Command, page: impl Fn(&Command) -> Vec<String>) {
        let page = |command: Command| page(&built(command));
        let before = page(command.clone());
        let mut changed = 0;
        for arg in command.get_arguments() {
            for (what, change) in CHANGES {
                let after = page(command.clone().mut_arg(arg.get_id(), change));
                assert_ne!(before, after, "{what} of {arg} in {}", command.get_name());
                changed += 1;
            }
        }
        assert!(changed > 0, "{} has no flags", command.get_name());
    }

    #[test]
    fn every_change_to_a_flag_changes_its_page() {
        let mode = |tool: &crate::launch::Tool, name| tool.mode_command(tool.mode(name).unwrap());
        let commands = [
            front::command(),
            explain::command(),
            mode(&tools::TAKEOVER, "duel"),
            mode(&tools::BENCH, "pubsub"),
        ];
        for command in commands {
            assert_seen(&command, |command| section(command, &own(command)));
        }
        assert_seen(&common(), common_page);
    }

    #[test]
    fn a_rejected_common_flag_is_listed_without_a_default() {
        let duel = tools::TAKEOVER.mode("duel").unwrap();
        let command = tools::TAKEOVER.mode_command(duel).mut_arg("attempts", |arg| arg.hide(true));
        let page = section(&built(command.clone()), &own(&built(command))).join("\n");
        assert!(page.contains("- Common flags that are not accepted: `--attempts`"), "{page}");
        assert!(!page.contains("--attempts 1"), "no default: {page}");
    }

    #[test]
    fn text_is_escaped_and_flags_are_code() {
        for (text, shown) in [
            ("Command of (--kick-cmd), or\nUNGRACEFUL_PW.", "Command of (`--kick-cmd`), or `UNGRACEFUL_PW`."),
            ("e2e p(99)<50ms|x *y*", "e2e p(99)&lt;50ms\\|x \\*y\\*"),
            ("as `mqtt://a|b` or `<x>`", "as `mqtt://a\\|b` or `<x>`"),
            ("--host/--port", "`--host`/`--port`"),
        ] {
            assert_eq!(prose(text), shown);
        }
    }
}
