//! The launch of a tool, the same for all: arguments, plan, run, report, exit code.

mod mode;
mod preparing;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use ungraceful_record::exit::Exit;
use ungraceful_record::verdict::exit_of;
use ungraceful_report::progress::{ProgressStyle, Terminal};
use ungraceful_report::{Context, render};
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::run;
use ungraceful_rig::run::settings::{Experiment, Finished, Work};

use crate::cli::common::OutputArgs;
use crate::cli::parse::{NotParsed, Parsed, parse};
use crate::cli::{environment, passwords};
use crate::{find_rate, front, print_plan};

pub(crate) use self::mode::with_help;
pub use self::mode::{LoadMode, LoadPlan, Mode, Modes, Tool};
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
                && let Some(cure) = mode_comes_first(tool, &arguments[1..])
            {
                complain(&cure);
            }
            return exit.into();
        }
        Err(NotParsed::Config(mistakes)) => return fail(&call, &RunError::Usage(mistakes)),
    };
    match launch(&call, &parsed) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&call, &error),
    }
}

/// What every tool does first: from now on a file that may grow no further is an error of its write and not the end of the
/// process, and variables that no tool reads are warned of.
pub(crate) fn begin(name: &str) {
    if let Err(error) = ungraceful_rig::measure::recorder::survive_file_size_limit() {
        complain(&format!(
            "{name}: warning: a limit on the size of files (ulimit -f) would end this process: {error}"
        ));
    }
    for warning in environment::warnings(front::all_commands) {
        complain(&format!("{name}: {warning}"));
    }
}

/// Prints what the parser has to say: a help text or a mistake, without passwords in it.
pub(crate) fn print_clap(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A closed pipe is no error here.
        let _printed = error.print();
        return Exit::Holds;
    }
    let said = error.render();
    let is_coloured = std::io::stderr().is_terminal() && wants_colour();
    let said = if is_coloured { said.ansi().to_string() } else { said.to_string() };
    let _closed_pipe = std::io::stderr().lock().write_all(passwords::hidden(&said).as_bytes());
    let names_url =
        |kind| matches!(error.get(kind), Some(ContextValue::String(text)) if text.contains("://"));
    if names_url(ContextKind::InvalidArg) || names_url(ContextKind::InvalidSubcommand) {
        complain("a broker is named by a flag: --url mqtt://user:password@host:port");
    }
    Exit::Usage
}

/// The cure for arguments that were refused and look as if a mode was meant: one that there is not, or one that comes
/// after a flag.
fn mode_comes_first(tool: &Tool, arguments: &[OsString]) -> Option<String> {
    let arguments: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let is_misplaced = arguments.iter().any(|argument| tool.mode(argument).is_some());
    let is_unknown = arguments.first().is_some_and(|argument| !argument.starts_with('-'));
    (tool.names_modes() && (is_misplaced || is_unknown)).then(|| {
        let modes: Vec<&str> = tool.modes().map(Mode::name).collect();
        format!("modes of {}: {}; the mode comes first, its flags after it", tool.name, modes.join(", "))
    })
}

/// What was called, and how.
pub(crate) struct Call<'a> {
    pub(crate) tool: &'a Tool,
    pub(crate) mode: Mode,
    pub(crate) arguments: &'a [OsString],
}

impl Call<'_> {
    /// The arguments without the mode, which need not be named.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let names_mode = self.arguments.get(1).is_some_and(|name| name == self.mode.name());
        let skipped = if names_mode { 2 } else { 1 };
        self.arguments[..1].iter().chain(&self.arguments[skipped..]).cloned().collect()
    }

    /// The tool with its mode, as it is called.
    pub(crate) fn name(&self) -> String {
        let name = self.tool.name;
        self.mode_name().map_or_else(|| name.to_owned(), |mode| format!("{name} {mode}"))
    }

    /// The mode's name; absent for a tool that has one alone.
    fn mode_name(&self) -> Option<&'static str> {
        self.tool.names_modes().then(|| self.mode.name())
    }
}

fn launch(call: &Call<'_>, parsed: &Parsed) -> Result<Exit, RunError> {
    match call.mode {
        Mode::Load(mode) => {
            let ready = prepare_load(call, mode, parsed)?;
            let ReadyLoad { experiment, engine, output, promise } = &ready;
            let promise = promise.as_ref();
            match promise {
                _ if output.print_plan => {
                    Ok(print(&print_plan::render_load(&experiment.common, engine, promise, output.format)))
                }
                Some(promise) => find_rate::find(call, mode, &ready, promise, output.format),
                None => carry_out(call, experiment, output),
            }
        }
        Mode::Fault(mode) => {
            let (common, attempts, output) = prepare(call, mode, parsed)?;
            if output.print_plan {
                return Ok(print(&print_plan::render(&common, &attempts, output.format)));
            }
            carry_out(call, &Experiment { common, work: Work::Attempts(attempts) }, &output)
        }
    }
}

/// Makes the run and prints its result.
fn carry_out(call: &Call<'_>, experiment: &Experiment, output: &OutputArgs) -> Result<Exit, RunError> {
    let format = output.format;
    let mut observer = Terminal::new(progress_style(output));
    let Finished { record, directory } = run(experiment, &mut observer)?;
    let context = Context { record_dir: Some(directory), ..shown_here() };
    let printed = print(&render(&record, format, &context));
    let exit = if printed == Exit::Environment { printed } else { exit_of(&record) };
    if exit == Exit::Environment && printed == Exit::Holds {
        complain(&format!(
            "{}: {}",
            call.tool.name,
            record.incomplete_because.as_deref().unwrap_or("the record failed")
        ));
    }
    Ok(exit)
}

/// How the progress of a run is shown.
pub(crate) fn progress_style(output: &OutputArgs) -> ProgressStyle {
    if output.quiet || output.no_progress { ProgressStyle::None } else { ProgressStyle::for_stderr() }
}

/// How results are shown on standard output: as wide as the terminal, and as long as they need in a pipe.
pub(crate) fn shown_here() -> Context {
    let is_terminal = std::io::stdout().is_terminal();
    let size = console::Term::stdout().size_checked().filter(|_| is_terminal);
    Context {
        record_dir: None,
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

/// Tells on standard error why there was no run; `called` is what has the help text.
pub(crate) fn fail_as(name: &str, called: &str, error: &RunError) -> ExitCode {
    match error {
        RunError::Usage(mistakes) => {
            for mistake in mistakes {
                complain(&format!("{name}: {mistake}"));
            }
            complain(&format!("nothing was sent; see {called} --help"));
        }
        RunError::Environment(_)
        | RunError::Unreachable(_)
        | RunError::OutOfTime(_)
        | RunError::Interrupted
        | RunError::Bug(_) => complain(&format!("{name}: {error}")),
    }
    error.exit().into()
}

/// Prints a result. A reader that has gone (`| head`) is no error; a result that can't be written is one.
pub(crate) fn print(text: &str) -> Exit {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write the result to standard output: {error}"));
            Exit::Environment
        }
        Ok(()) | Err(_) => Exit::Holds,
    }
}

/// Prints a part of a result that goes on. Whether somebody still reads it.
pub(crate) fn is_read(text: &str) -> bool {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_ok()
}

/// Prints a mistake or trouble. What comes from outside is in it, so control characters are shown and not sent, and
/// passwords are not repeated.
pub(crate) fn complain(text: &str) {
    let mut errors = std::io::stderr().lock();
    let _closed_pipe = writeln!(errors, "{}", ungraceful_report::escape::plain(&passwords::hidden(text)));
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::mode_comes_first;
    use crate::tools;

    #[test]
    fn a_mode_that_there_is_not_and_one_after_a_flag_are_told_the_modes() {
        let told = |tool, arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            mode_comes_first(tool, &arguments)
        };
        let flood = &tools::FLOOD;
        for arguments in [&["nope"][..], &["--attempts", "3", "quota-leak"]] {
            let cure = told(flood, arguments).unwrap();
            assert!(cure.contains("quota-leak, ") && cure.contains("the mode comes first"), "{cure}");
        }
        assert_eq!(told(flood, &["--no-such-flag"]), None, "and what is no mode is another mistake");
        assert_eq!(told(&tools::DOUBLE_CONNECT, &["nope"]), None, "it has one mode alone");
    }
}
