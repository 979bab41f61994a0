//! The programs that are named after a tool: each becomes the `ungraceful` beside it, which is that tool under that name.
//!
//! They use the standard library alone, so that the tools and the embedded broker are linked once, into `ungraceful`. What
//! they share with it is the name, the arguments and the exit code of `ungraceful_record::exit`, which they can't name here.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};

/// The program that every tool is in.
const PROGRAM: &str = "ungraceful";
/// How it comes to lie beside this one in a clone of the repository.
const BUILD: &str =
    if cfg!(debug_assertions) { "cargo build -p ungraceful" } else { "cargo build --release -p ungraceful" };
/// The process that was started under a tool's name, in the environment of what it becomes.
const STARTED: &str = "_UNGRACEFUL_STARTED";
/// `Exit::Environment`.
const EXIT_ENVIRONMENT: u8 = 4;

/// Becomes `ungraceful` under this name, with the arguments of this process, which keeps its id and what it has open. The
/// one beside this program's own file goes before the first on PATH. Returns only when neither can be started.
pub(crate) fn main(name: &str) -> ExitCode {
    let own = env::current_exe().unwrap_or_default();
    let id = process::id().to_string();
    if env::var(STARTED).is_ok_and(|started| started == id) {
        let what = "is a copy of a program that only starts it; put the one that all tools are in there";
        return complain(name, &format!("{} {what}", own.display()));
    }
    // A bare name is looked for on PATH.
    for program in [own.with_file_name(PROGRAM), PathBuf::from(PROGRAM)] {
        let error = Command::new(&program).arg0(name).args(env::args_os().skip(1)).env(STARTED, &id).exec();
        if error.kind() != ErrorKind::NotFound {
            return complain(name, &format!("cannot start {}: {error}", program.display()));
        }
    }
    let folder = own.parent().unwrap_or(Path::new("/")).display();
    complain(
        name,
        &format!(
            "`{PROGRAM}`, the program that has this tool in it, is neither in {folder} nor on PATH; put it there, or \
             build it in a clone of the repository with `{BUILD}`"
        ),
    )
}

fn complain(name: &str, what: &str) -> ExitCode {
    let _closed_pipe = writeln!(io::stderr(), "{name}: {what}");
    ExitCode::from(EXIT_ENVIRONMENT)
}
