//! The hidden commands of `ungraceful`, for its child processes: brokers, and workers of a load.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use ungraceful_record::exit::Exit;
use ungraceful_rig::broker::owned::{become_tied, hidden, take_care_of};

use crate::launch;

/// Runs a hidden command; absent when the arguments are none.
pub(crate) fn command(arguments: &[OsString]) -> Option<ExitCode> {
    let name = arguments.get(1)?.to_str()?;
    let parent = || arguments.get(2)?.to_str()?.parse::<u32>().ok();
    match name {
        hidden::EMBEDDED_BROKER => {
            let port = arguments.get(3).and_then(|port| port.to_str()?.parse().ok());
            Some(serve(parent()?, port.unwrap_or(0)))
        }
        hidden::TIED => {
            let failed = become_tied(parent()?, arguments.get(3)?, &arguments[4..]);
            Some(fail(&format!("cannot start {}: {failed}", arguments[3].display())))
        }
        hidden::LOAD_WORKER => Some(match launch::serve_worker(std::io::stdin(), std::io::stdout()) {
            Ok(()) => Exit::Holds.into(),
            Err(error) => fail(&error),
        }),
        hidden::CARETAKER => Some(match take_care_of(Path::new(arguments.get(2)?)) {
            Ok(()) => Exit::Holds.into(),
            Err(error) => fail(&format!("cannot remove {}: {error}", arguments[2].display())),
        }),
        _ => None,
    }
}

#[expect(clippy::print_stderr, reason = "the parent reads the error from its child's standard error")]
fn fail(what: &str) -> ExitCode {
    eprintln!("{what}");
    Exit::Environment.into()
}

#[cfg(feature = "embedded")]
#[expect(clippy::print_stdout, reason = "the parent reads the address from its child's standard output")]
fn serve(parent: u32, port: u16) -> ExitCode {
    use ungraceful_embedded_broker::{LIBRARY, Settings, serve};
    use ungraceful_rig::broker::owned::ready_line;
    let settings = Settings { parent_process: Some(parent), port, ..Settings::default() };
    match serve(&settings, |address| println!("{}", ready_line(address, LIBRARY))) {
        Ok(()) => Exit::Holds.into(),
        Err(error) => fail(&error.to_string()),
    }
}

#[cfg(not(feature = "embedded"))]
fn serve(_parent: u32, _port: u16) -> ExitCode {
    fail(
        "this program was built without the embedded broker (cargo feature `embedded`); give a broker with --host or \
         use --spawn mosquitto",
    )
}
