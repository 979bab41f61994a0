//! A planned outage: the run restarts the broker, so the connections it takes are expected to end. How the broker is
//! restarted, and when it was away.

use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use ungraceful_record::scale::span;
use ungraceful_wire::clock::now;

use crate::broker::command_output::{BYTES_MAX, HiddenWords, last_line};
use crate::broker::owned::OwnedBroker;

/// How often a condition is checked.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long one check of the broker's port may take.
const LOOK_WITHIN: Duration = Duration::from_millis(200);
/// How long after the broker is back the end of an older connection may still be read.
const READ_LATE: Duration = Duration::from_secs(1);

/// The means of a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartBy {
    /// Kills a broker that the run started (SIGKILL) and starts it again on its port.
    Kill,
    /// Asks a broker that the run started to end, and starts it again on its port.
    Stop,
    /// Runs the user's shell command; the broker is back when the command has succeeded and its port accepts.
    Command(String),
}

impl RestartBy {
    /// A description for users.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Kill => "killed and started again".to_owned(),
            Self::Stop => "stopped and started again".to_owned(),
            Self::Command(command) => format!("restarted by {}", program(command)),
        }
    }
}

/// A planned restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// By which means.
    pub by: RestartBy,
    /// How long until the broker must accept connections again.
    pub within: Duration,
}

impl Restart {
    /// Restarts the broker at `address`, and returns when it accepts connections again, or why it does not.
    pub(crate) async fn carry_out(
        &self,
        owned: Option<&mut OwnedBroker>,
        address: SocketAddr,
    ) -> Result<(), String> {
        let deadline = now() + self.within;
        match (&self.by, owned) {
            (RestartBy::Command(command), _) => {
                let program = program(command);
                run(command, self.within).await.map_err(|why| format!("{program}: {why}"))?;
                while !accepts(address).await {
                    if now() >= deadline {
                        return Err(format!(
                            "{program} succeeded, but {address} accepted no connection within {}",
                            span(self.within)
                        ));
                    }
                    sleep(LOOK_EVERY).await;
                }
                Ok(())
            }
            (RestartBy::Kill, Some(owned)) => {
                owned.kill();
                owned.start_again(deadline).await
            }
            (RestartBy::Stop, Some(owned)) => {
                owned.ask_to_end();
                owned.start_again(deadline).await
            }
            (RestartBy::Kill | RestartBy::Stop, None) => Err("the run did not start this broker".to_owned()),
        }
    }
}

/// How a command is named: only by its first word, because the others may hold a password.
fn program(command: &str) -> String {
    format!("--restart-cmd ({})", command.split_whitespace().next().unwrap_or_default())
}

/// Whether `address` accepts connections. Only a full backlog leaves one unanswered on this machine.
pub(crate) async fn accepts(address: SocketAddr) -> bool {
    match timeout(LOOK_WITHIN, TcpStream::connect(address)).await {
        // Without a listener on an ephemeral port, a connection may connect to itself.
        Ok(Ok(connection)) => connection.local_addr().ok() != connection.peer_addr().ok(),
        Ok(Err(_refused)) => false,
        Err(_elapsed) => address.ip().is_loopback(),
    }
}

/// The user's command with everything it started; killed when dropped before it ended.
struct Running {
    child: Child,
    has_ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            let _gone_already = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _gone_already = self.child.wait();
        }
    }
}

/// Runs a shell command, for at most `within`.
async fn run(command: &str, within: Duration) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    // A file instead of a pipe: a broker that the command leaves behind keeps it open.
    let mut said = tempfile::tempfile().map_err(text)?;
    let child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(said.try_clone().map_err(text)?)
        .stderr(said.try_clone().map_err(text)?)
        .process_group(0)
        .spawn()
        .map_err(text)?;
    let mut running = Running { child, has_ended: false };
    let deadline: Instant = now() + within;
    let status = loop {
        if let Some(status) = running.child.try_wait().map_err(text)? {
            running.has_ended = true;
            break Some(status);
        }
        if now() >= deadline {
            break None;
        }
        sleep(LOOK_EVERY).await;
    };
    let why = match status {
        Some(status) if status.success() => return Ok(()),
        Some(status) => format!("it ended with {status}"),
        None => format!("it did not end within {}, and was killed", span(within)),
    };
    let mut output = Vec::new();
    let end = said.seek(SeekFrom::End(0)).unwrap_or(0);
    let _as_far_as_it_goes = said
        .seek(SeekFrom::Start(end.saturating_sub(BYTES_MAX as u64)))
        .and_then(|_| said.take(BYTES_MAX as u64).read_to_end(&mut output));
    match last_line(&output, &HiddenWords::of(command.split_whitespace())).as_str() {
        "" => Err(format!("{why}, without output")),
        said => Err(format!("{why}; its output: {said}")),
    }
}

/// When the broker was away as planned, in µs since the run's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutageTimes {
    pub(crate) began_us: u64,
    /// When it accepted connections again; absent when it did not.
    pub(crate) ended_us: Option<u64>,
}

/// All planned outages of a run, shared by its threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutageTrack {
    outages: Arc<Mutex<Vec<OutageTimes>>>,
}

impl OutageTrack {
    pub(crate) fn begin(&self, at_us: u64) {
        self.lock().push(OutageTimes { began_us: at_us, ended_us: None });
    }

    pub(crate) fn end(&self, at_us: u64) {
        if let Some(outage) = self.lock().last_mut() {
            outage.ended_us.get_or_insert(at_us);
        }
    }

    /// Whether the end of a connection that was read at `at_us` belongs to a planned outage.
    pub(crate) fn covers(&self, at_us: u64) -> bool {
        let late_us = ungraceful_record::scale::micros(READ_LATE);
        let covers = |outage: &OutageTimes| {
            outage.began_us <= at_us && outage.ended_us.is_none_or(|ended| at_us <= ended + late_us)
        };
        self.lock().iter().any(covers)
    }

    /// The outage that began between these instants.
    pub(crate) fn between(&self, from_us: u64, to_us: u64) -> Option<OutageTimes> {
        self.lock().iter().find(|outage| (from_us..=to_us).contains(&outage.began_us)).copied()
    }

    pub(crate) fn count(&self) -> u64 {
        self.lock().len() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OutageTimes>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;
    use ungraceful_record::testing::until;

    use tokio::time::{sleep, timeout};

    use super::{LOOK_EVERY, OutageTrack, Restart, RestartBy, accepts, run, span};

    const LONG: Duration = Duration::from_secs(60);
    const LIMITS: [Duration; 3] =
        [Duration::from_millis(300), Duration::from_secs(3), Duration::from_secs(30)];

    #[test]
    fn ends_during_an_outage_belong_to_it() {
        let track = OutageTrack::default();
        assert!(!track.covers(5));
        track.begin(1_000);
        assert!(!track.covers(999) && track.covers(1_000) && track.covers(u64::MAX), "it is not over");
        track.end(500_000);
        assert!(track.covers(500_000) && track.covers(1_500_000) && !track.covers(1_500_001));
        track.begin(9_000_000);
        assert_eq!(track.between(2_000, 8_000_000), None);
        assert_eq!(track.between(0, 2_000).and_then(|outage| outage.ended_us), Some(500_000));
        assert_eq!((track.between(9_000_000, 9_000_001).is_some(), track.count()), (true, 2));
    }

    #[tokio::test]
    async fn a_failed_command_is_reported_with_status_and_output() {
        assert_eq!(run("true", LONG).await, Ok(()));
        // The output is not a word of the command: `s%sy` prints `sorry`.
        let why = run("echo out; printf 's%sy: %s' orr \"hunter2\" >&2; exit 7", LONG).await.unwrap_err();
        assert!(why.contains("exit status: 7") && why.ends_with("output: sorry: ***"), "{why}");
        assert!(run("exit 3", LONG).await.unwrap_err().contains("without output"));
        let long = run("head -c 100000 /dev/zero | tr '\\0' x; echo; echo the end; false", LONG).await;
        let long = long.unwrap_err();
        assert!(long.len() < 300 && long.ends_with("the end"), "its last line: {long}");
    }

    #[test]
    fn a_command_is_named_by_its_program_alone() {
        let by = RestartBy::Command("curl -u me:hunter2 http://127.0.0.1/restart".to_owned());
        assert_eq!(by.describe(), "restarted by --restart-cmd (curl)");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let command = format!("sleep 1000 & echo $! > {}; wait", mark.display());
        // A busy machine may need longer than the shortest limit to start the shell at all.
        let mut limits = LIMITS.into_iter();
        let pid = loop {
            let limit = limits.next().expect("the shell starts within 30 s");
            let why = run(&command, limit).await.unwrap_err();
            let within = span(limit);
            assert!(why.contains(&format!("did not end within {within}")), "{why}");
            match std::fs::read_to_string(&mark) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                _not_so_far => {}
            }
        };
        until("the command's child has gone", || {
            match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
                Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
                Err(_) => true,
            }
        });
    }

    #[tokio::test]
    async fn the_broker_is_back_when_its_port_accepts() {
        let restart = |within| Restart { by: RestartBy::Command("true".to_owned()), within };
        // Other tests listen at another address, so that none takes the port when it is free.
        let listener = TcpListener::bind(("127.77.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(restart(LONG).carry_out(None, address).await, Ok(()));
        drop(listener);
        // A program that another test starts at this moment has the socket too, until it is that program.
        let gone = async {
            while accepts(address).await {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(LONG, gone).await.expect("nobody listens any more");
        // A busy machine may need longer than the shortest limit to run the command.
        let mut limits = LIMITS.into_iter();
        let why = loop {
            let limit = limits.next().expect("`true` ends within 30 s");
            let why = restart(limit).carry_out(None, address).await.unwrap_err();
            if !why.contains("did not end") {
                break why;
            }
        };
        assert!(why.contains("accepted no connection within "), "{why}");
    }
}
