//! Ties the embedded broker to the process that started it: a signal when that process dies, and standard input, whose end stops the
//! broker. Neither alone is enough: another child of the same parent may hold the pipe open, and the signal needs a parent that dies.

use std::io::{ErrorKind, Read};
use std::os::unix::process::parent_id;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::sync::oneshot;

/// Why this process could not be tied to its parent.
#[derive(Debug, thiserror::Error)]
pub enum LifelineError {
    /// The kernel refused the parent-death signal.
    #[error("cannot request a signal at the parent's death: {0}; is this Linux?")]
    Signal(#[source] std::io::Error),
    /// The parent is already gone.
    #[error("the parent process {expected} is already gone (the parent is now {found})")]
    ParentGone {
        /// The process id of the parent to live with.
        expected: u32,
        /// The process id of the parent at the check: an init or another reaper of orphans.
        found: u32,
    },
    /// No thread could be started to watch standard input.
    #[error("cannot start the thread that watches standard input: {0}")]
    Thread(#[source] std::io::Error),
}

/// Makes the kernel kill this process when its parent dies, and checks that the parent is still alive.
///
/// SIGKILL also ends a broker that is stopped or stuck.
pub(crate) fn die_with_parent(expected: Option<u32>) -> Result<(), LifelineError> {
    let expected = expected.unwrap_or_else(parent_id);
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| LifelineError::Signal(errno.into()))?;
    let found = parent_id();
    if found == expected { Ok(()) } else { Err(LifelineError::ParentGone { expected, found }) }
}

/// A receiver that completes when standard input ends; what arrives before is thrown away.
///
/// A separate thread reads, since a blocking read must not delay the broker. It holds nothing and ends with the process.
pub(crate) fn end_of_standard_input() -> Result<oneshot::Receiver<()>, LifelineError> {
    let (ended, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            drain(std::io::stdin().lock());
            // There is no receiver when the broker ended first.
            let _ = ended.send(());
        })
        .map_err(LifelineError::Thread)?;
    Ok(receiver)
}

/// Reads until the end of the stream, or an error, after which the end would go unnoticed.
fn drain(mut input: impl Read) {
    let mut discarded = [0; 512];
    loop {
        match input.read(&mut discarded) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
