//! Runs a tool, the same for all: arguments, plan, run, report, exit code.

mod mode;
mod preparing;

use std::ffi::OsString;
use std::io::{BufReader, IsTerminal, Stdin, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use ungraceful_load::process::Start;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::exit_of;
use ungraceful_report::progress::ProgressStyle;
use ungraceful_report::{Context, Format, annotations, render};
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::limits::Demand;
use ungraceful_rig::run::settings::{Experiment, Finished, Work};

use crate::cli::common::OutputArgs;
use crate::cli::parse::{NotParsed, Parsed, parse};
use crate::cli::{environment, passwords};
use crate::junit_file::JunitFile;
use crate::live::{LiveOutputs, terminal};
use crate::page_file::PageFile;
use crate::{find_rate, front, print_plan, print_preflight, repeated, shrinking, tools};

pub(crate) use self::mode::with_help;
pub use self::mode::{LoadMode, LoadPlan, Mode, Modes, Tool};
use self::preparing::prepare_worker;
pub(crate) use self::preparing::{ReadyLoad, prepare, prepare_load};

/// Runs a tool.
pub fn main(tool: &Tool, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    begin(tool.name);
    let named = arguments.get(1).and_then(|name| tool.mode(name.to_str()?));
    let mode = named.unwrap_or_else(|| tool.default_mode());
    let call = Call { tool, mode, arguments: &arguments };
    let parsed = match named {
        Some(mode) => parse(&tool.mode_command(mode), &call.flags()),
        None => parse(&tool.command(), &arguments),
    };
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(NotParsed::Clap(error)) => {
            let exit = print_clap(&error);
            if named.is_none()
                && error.use_stderr()
                && let Some(hint) = mode_hint(tool, &arguments[1..])
            {
                print_error(&hint);
            }
            return exit.into();
        }
        Err(NotParsed::Config(mistakes)) => return fail(&call, &RunError::Usage(mistakes)),
    };
    if let Some(text) = mode.fault().and_then(|fault| fault.prints(&parsed.matches)) {
        return print(&text).into();
    }
    match launch(&call, &parsed) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&call, &error),
    }
}

/// Makes the share of a load that `input` describes, as a worker process of its run.
///
/// The error is for a call by somebody else.
pub(crate) fn serve_worker(input: Stdin, output: impl Write + Send + 'static) -> Result<(), String> {
    let mut input = BufReader::new(input);
    let start = Start::read(&mut input)?;
    let arguments = start.arguments();
    let name = arguments.first().and_then(|name| name.to_str());
    let tool = tools::ALL.iter().find(|tool| Some(tool.name) == name).ok_or("no tool of that name")?;
    let named = arguments.get(1).and_then(|name| tool.mode(name.to_str()?));
    let call = Call { tool, mode: named.unwrap_or_else(|| tool.default_mode()), arguments: &arguments };
    let Mode::Load(mode) = call.mode else { return Err("that tool makes no load".to_owned()) };
    let prepared = match parse(&tool.mode_command(call.mode), &call.flags()) {
        Ok(parsed) => prepare_worker(mode, &parsed).map_err(|error| error.to_string()),
        Err(NotParsed::Clap(error)) => Err(error.to_string()),
        Err(NotParsed::Config(mistakes)) => Err(RunError::Usage(mistakes).to_string()),
    };
    ungraceful_load::process::serve(&start.share, prepared, Box::new(input), Box::new(output));
    Ok(())
}

/// The first steps of every tool: makes exceeding the file size limit a write error instead of the end of the process, and warns of
/// variables that no tool reads.
pub(crate) fn begin(name: &str) {
    if let Err(error) = ungraceful_rig::measure::recorder::survive_file_size_limit() {
        print_error(&format!(
            "{name}: warning: a limit on the size of files (ulimit -f) would end this process: {error}"
        ));
    }
    for warning in environment::warnings(front::all_commands) {
        print_error(&format!("{name}: {warning}"));
    }
}

/// Prints the parser's help text or error message, without passwords.
pub(crate) fn print_clap(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A closed pipe is no error here.
        let _printed = error.print();
        return Exit::Holds;
    }
    let said = error.render();
    let is_coloured = std::io::stderr().is_terminal() && wants_colour();
    let said = if is_coloured { said.ansi().to_string() } else { said.to_string() };
    let _closed_pipe = std::io::stderr().lock().write_all(passwords::redacted(&said).as_bytes());
    let names_url =
        |kind| matches!(error.get(kind), Some(ContextValue::String(text)) if text.contains("://"));
    if names_url(ContextKind::InvalidArg) || names_url(ContextKind::InvalidSubcommand) {
        print_error("give the broker with a flag: --url mqtt://user:password@host:port");
    }
    Exit::Usage
}

/// A hint for rejected arguments that look like a mode: an unknown mode, or one after a flag.
fn mode_hint(tool: &Tool, arguments: &[OsString]) -> Option<String> {
    let arguments: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let is_misplaced = arguments.iter().any(|argument| tool.mode(argument).is_some());
    let is_unknown = arguments.first().is_some_and(|argument| !argument.starts_with('-'));
    (tool.has_several_modes() && (is_misplaced || is_unknown)).then(|| {
        let modes: Vec<&str> = tool.modes().map(Mode::name).collect();
        format!("modes of {}: {}; the mode comes first, its flags after it", tool.name, modes.join(", "))
    })
}

/// The call of a tool.
pub(crate) struct Call<'a> {
    pub(crate) tool: &'a Tool,
    pub(crate) mode: Mode,
    pub(crate) arguments: &'a [OsString],
}

impl Call<'_> {
    /// The arguments without the mode, which is optional.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let names_mode = self.arguments.get(1).is_some_and(|name| name == self.mode.name());
        let skipped = if names_mode { 2 } else { 1 };
        self.arguments[..1].iter().chain(&self.arguments[skipped..]).cloned().collect()
    }

    /// The tool and its mode, as on the command line.
    pub(crate) fn name(&self) -> String {
        let name = self.tool.name;
        self.mode_name().map_or_else(|| name.to_owned(), |mode| format!("{name} {mode}"))
    }

    /// The mode's name; absent for a tool with a single mode.
    fn mode_name(&self) -> Option<&'static str> {
        self.tool.has_several_modes().then(|| self.mode.name())
    }
}

fn launch(call: &Call<'_>, parsed: &Parsed) -> Result<Exit, RunError> {
    if let Mode::Fault(mode) = call.mode
        && !parsed.read::<OutputArgs>().only_prints()
        && let Some(shrink) = mode.shrink(&parsed.matches)
    {
        return shrinking::run(call, mode, parsed, shrink);
    }
    shrinking::reject_without_it(parsed)?;
    if repeated::is_wanted(parsed) {
        return repeated::run(call, parsed);
    }
    match call.mode {
        Mode::Load(mode) => {
            let ready = prepare_load(call, mode, parsed)?;
            let ReadyLoad { experiment, engine, output, promise } = &ready;
            let promise = promise.as_ref();
            if output.preflight {
                return Ok(print_preflight::print(
                    &experiment.common,
                    &Demand::of(experiment),
                    output.format,
                ));
            }
            if !output.print_plan {
                print_preflight::warn(call.tool.name, &Demand::of(experiment));
            }
            match promise {
                _ if output.print_plan => {
                    Ok(print(&print_plan::render_load(&experiment.common, engine, promise, output.format)))
                }
                Some(promise) => find_rate::find(call, mode, &ready, promise),
                None => {
                    let plan = || print_plan::summary_of_load(&experiment.common, engine);
                    run_and_print(call, experiment, output, plan)
                }
            }
        }
        Mode::Fault(mode) => {
            let (common, attempts, output) = prepare(call, mode, parsed)?;
            if output.print_plan {
                return Ok(print(&print_plan::render(&common, &attempts, output.format)));
            }
            let plan = (common.clone(), attempts.clone());
            let experiment = Experiment { common, work: Work::Attempts(attempts) };
            let demand = Demand::of(&experiment);
            if output.preflight {
                return Ok(print_preflight::print(&experiment.common, &demand, output.format));
            }
            print_preflight::warn(call.tool.name, &demand);
            run_and_print(call, &experiment, &output, || print_plan::summary(&plan.0, &plan.1))
        }
    }
}

/// Runs the experiment and prints its result.
fn run_and_print(
    call: &Call<'_>,
    experiment: &Experiment,
    output: &OutputArgs,
    plan: impl FnOnce() -> serde_json::Value,
) -> Result<Exit, RunError> {
    let mut junit = JunitFile::open(output)?;
    let live = junit.or_reason(&call.name(), LiveOutputs::open(output))?;
    let run = live.run(experiment, plan, &mut terminal(output));
    let watched = live.close();
    let Finished { record, directory } = junit.or_reason(&call.name(), run)?;
    let page = PageFile::of_run(&record, &directory);
    let context = Context { record_dir: Some(directory), page: page.path(), ..result_context(output) };
    let written = worse(junit.write(|| render(&record, Format::Junit, &context)), watched);
    let written = worse(page.exit(), written);
    let printed = worse(print_result(&render(&record, output.format, &context), output), written);
    annotate(&record);
    let exit = if printed == Exit::Environment { printed } else { exit_of(&record) };
    if exit == Exit::Environment && printed == Exit::Holds {
        print_error(&format!(
            "{}: {}",
            call.tool.name,
            record.incomplete_because.as_deref().unwrap_or("the record failed")
        ));
    }
    Ok(exit)
}

/// Within GitHub Actions, shows what the run found beside the job. Its runner reads standard error as well, so that the result on
/// standard output stays as it is.
pub(crate) fn annotate(record: &Record) {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        annotations(record).iter().for_each(|line| print_error(line));
    }
}

/// Of two attempts to output a result, the one that failed.
pub(crate) fn worse(printed: Exit, written: Exit) -> Exit {
    if written == Exit::Environment { written } else { printed }
}

/// The exit codes of a program that reads, each with its meaning there.
pub(crate) fn exit_codes(when: impl Fn(Exit) -> &'static str) -> String {
    let lines = Exit::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), when(exit)));
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// How the progress of a run is shown.
pub(crate) fn progress_style(output: &OutputArgs) -> ProgressStyle {
    if output.quiet || output.no_progress { ProgressStyle::None } else { ProgressStyle::for_stderr() }
}

/// The format of results on standard output: as wide as the terminal, and unlimited in a pipe.
pub(crate) fn stdout_context() -> Context {
    context_of(std::io::stdout().is_terminal(), &console::Term::stdout())
}

/// The format of a run's result, where it is printed.
pub(crate) fn result_context(output: &OutputArgs) -> Context {
    if output.events_on_stdout() {
        context_of(std::io::stderr().is_terminal(), &console::Term::stderr())
    } else {
        stdout_context()
    }
}

fn context_of(is_terminal: bool, terminal: &console::Term) -> Context {
    let size = terminal.size_checked().filter(|_| is_terminal);
    Context {
        record_dir: None,
        page: None,
        colour: is_terminal && wants_colour(),
        width: size.map(|(_rows, columns)| columns),
    }
}

fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn fail(call: &Call<'_>, error: &RunError) -> ExitCode {
    fail_as(call.tool.name, &call.name(), error)
}

/// Reports on standard error why a program that only reads has no result.
pub(crate) fn fail_reading(name: &str, error: &RunError) -> ExitCode {
    match error {
        RunError::Usage(mistakes) => {
            mistakes.iter().for_each(|mistake| print_error(&format!("{name}: {mistake}")));
        }
        error => print_error(&format!("{name}: {error}")),
    }
    error.exit().into()
}

/// Reports on standard error why there was no run; `called` is the command with the help text.
pub(crate) fn fail_as(name: &str, called: &str, error: &RunError) -> ExitCode {
    match error {
        RunError::Usage(mistakes) => {
            for mistake in mistakes {
                print_error(&format!("{name}: {mistake}"));
            }
            print_error(&format!("nothing was sent; see {called} --help"));
        }
        RunError::Environment(_)
        | RunError::Unreachable(_)
        | RunError::OutOfTime(_)
        | RunError::Interrupted
        | RunError::Bug(_) => print_error(&format!("{name}: {error}")),
    }
    error.exit().into()
}

/// Prints a result. A closed pipe (`| head`) is no error; any other failure to write is one.
pub(crate) fn print(text: &str) -> Exit {
    print_to(std::io::stdout().lock(), "standard output", text)
}

/// Prints the result of a run: on standard output, or on standard error if the events are on standard output.
pub(crate) fn print_result(text: &str, output: &OutputArgs) -> Exit {
    if output.events_on_stdout() {
        print_to(std::io::stderr().lock(), "standard error", text)
    } else {
        print(text)
    }
}

fn print_to(mut to: impl Write, name: &str, text: &str) -> Exit {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            drop(to);
            print_error(&format!("cannot write the result to {name}: {error}"));
            Exit::Environment
        }
        Ok(()) | Err(_) => Exit::Holds,
    }
}

/// Prints part of a continuing result. Returns false when standard output is closed.
pub(crate) fn print_part(text: &str) -> bool {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_ok()
}

/// Prints an error or a warning. It may quote outside text, so control characters are escaped and passwords redacted.
pub(crate) fn print_error(text: &str) {
    let mut errors = std::io::stderr().lock();
    let _closed_pipe = writeln!(errors, "{}", ungraceful_report::escape::plain(&passwords::redacted(text)));
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::mode_hint;
    use crate::tools;

    #[test]
    fn an_unknown_or_misplaced_mode_lists_the_modes() {
        let hint = |tool, arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            mode_hint(tool, &arguments)
        };
        let flood = &tools::FLOOD;
        for arguments in [&["nope"][..], &["--attempts", "3", "quota-leak"]] {
            let hint = hint(flood, arguments).unwrap();
            assert!(hint.contains("quota-leak, ") && hint.contains("the mode comes first"), "{hint}");
        }
        assert_eq!(hint(flood, &["--no-such-flag"]), None, "an unknown flag is another mistake");
        assert_eq!(hint(&tools::DOUBLE_CONNECT, &["nope"]), None, "it has a single mode");
    }
}
