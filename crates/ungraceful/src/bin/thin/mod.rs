//! The programs named after a tool: each replaces itself with `ungraceful`, which acts as the tool whose name it is called by.
//!
//! They use only the standard library, so that the tools and the embedded broker are linked once, into `ungraceful`.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};

/// The program that contains every tool.
const PROGRAM: &str = "ungraceful";
/// The command that builds it in a clone of the repository.
const BUILD: &str =
    if cfg!(debug_assertions) { "cargo build -p ungraceful" } else { "cargo build --release -p ungraceful" };
/// The environment variable with the id of the process that was started under a tool's name.
const STARTED: &str = "_UNGRACEFUL_STARTED";
/// `Exit::Environment` of `ungraceful_record`, which this program does not link.
const EXIT_ENVIRONMENT: u8 = 4;

/// Replaces this process with `ungraceful`, called by this name with the same arguments. Tries the one beside this program's own
/// file first, then PATH. Returns only when neither can be started.
pub(crate) fn main(name: &str) -> ExitCode {
    let own = env::current_exe().unwrap_or_default();
    let id = process::id().to_string();
    if env::var(STARTED).is_ok_and(|started| started == id) {
        let what = "is only a launcher; install the real `ungraceful` in its place";
        return fail(name, &format!("{} {what}", own.display()));
    }
    // A bare name is searched for on PATH.
    for program in [own.with_file_name(PROGRAM), PathBuf::from(PROGRAM)] {
        let error = Command::new(&program).arg0(name).args(env::args_os().skip(1)).env(STARTED, &id).exec();
        if error.kind() != ErrorKind::NotFound {
            return fail(name, &format!("cannot start {}: {error}", program.display()));
        }
    }
    let folder = own.parent().unwrap_or(Path::new("/")).display();
    fail(
        name,
        &format!(
            "`{PROGRAM}`, which contains this tool, is neither in {folder} nor on PATH; install it there, or \
             build it in a clone of the repository with `{BUILD}`"
        ),
    )
}

fn fail(name: &str, what: &str) -> ExitCode {
    let _closed_pipe = writeln!(io::stderr(), "{name}: {what}");
    ExitCode::from(EXIT_ENVIRONMENT)
}
