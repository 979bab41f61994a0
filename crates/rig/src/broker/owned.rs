//! A broker started by this run: a child process that ends with the run, however the run ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use tempfile::TempDir;
use ungraceful_record::scale::span;
use ungraceful_wire::clock::now;

use crate::broker::dynamic_security;
use crate::broker::target::Credentials;
use crate::error::RunError;
use crate::run::host;
use crate::run::seed::Seed;
use ungraceful_flags::Mistake;

/// How long a broker may take to accept connections.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The pause after a failed start.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The hidden commands of every binary, given as the first argument.
pub mod hidden {
    /// Serves the embedded broker; the arguments are the parent's process id and the port.
    pub const EMBEDDED_BROKER: &str = "__embedded-broker";
    /// Ties itself to its parent and becomes the program that follows.
    pub const TIED: &str = "__tied";
    /// Makes the share of a load that its standard input describes.
    pub const LOAD_WORKER: &str = "__load-worker";
    /// Removes the folder that follows when its standard input ends.
    pub const CARETAKER: &str = "__caretaker";
}

/// A broker started by the run.
#[derive(Debug)]
pub struct OwnedBroker {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// The program.
    pub name: String,
    /// Credentials for its dynamic security; absent where it has none.
    pub administrator: Option<Credentials>,
    launch: Launch,
    log: Option<PathBuf>,
}

/// How a Mosquitto is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MosquittoSetup {
    /// Every client may do everything.
    Open,
    /// With the dynamic-security plug-in: clients without credentials may do everything, also create and remove
    /// users.
    Administered,
}

/// How the broker is started.
#[derive(Debug)]
enum Launch {
    /// This program, run again.
    Embedded,
    /// An installed Mosquitto.
    Mosquitto {
        program: PathBuf,
        /// Holds its configuration and its log.
        folder: TempDir,
        /// Removes the folder when this process can't.
        _caretaker: Caretaker,
        /// Its dynamic-security plug-in, if any.
        plug_in: Option<PathBuf>,
    },
}

impl Launch {
    /// Starts it on `port` of 127.0.0.1. It ends with the calling thread.
    fn spawn(&self, port: u16) -> std::io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        let parent = std::process::id().to_string();
        match self {
            Self::Embedded => command
                .args([hidden::EMBEDDED_BROKER, &parent, &port.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
            Self::Mosquitto { program, folder, plug_in, .. } => {
                // Nagle's algorithm would add our own delayed ACK to every figure.
                let mut configuration = format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
                     sys_interval 1\nlog_dest file {}\nlog_type error\nlog_type warning\nlog_type notice\nuser root\n",
                    mosquitto_log(folder).display()
                );
                if let Some(plug_in) = plug_in {
                    let file = folder.path().join("dynamic-security.json");
                    // A restart must find what the plug-in has written there since.
                    if !file.exists() {
                        std::fs::write(&file, dynamic_security::initial_configuration())?;
                    }
                    configuration +=
                        &format!("plugin {}\nplugin_opt_config_file {}\n", plug_in.display(), file.display());
                }
                let file = folder.path().join("mosquitto.conf");
                std::fs::write(&file, configuration)?;
                command
                    .args([hidden::TIED, &parent])
                    .arg(program)
                    .arg("-c")
                    .arg(&file)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
            }
        };
        command.stderr(Stdio::piped()).spawn()
    }
}

/// Prefix of the broker's folder.
const FOLDER_PREFIX: &str = "ungraceful-mosquitto-";

/// A process that removes a folder when this one is gone, even after SIGKILL.
#[derive(Debug)]
struct Caretaker(Child);

impl Caretaker {
    fn of(folder: &Path) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // In its own group, out of reach of signals to ours.
        command.arg(hidden::CARETAKER).arg(folder).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _gone_already = self.0.wait();
    }
}

/// Removes the folder of a broker that a run started, when standard input ends.
///
/// # Errors
/// For any other folder, and when it can't be removed.
pub fn take_care_of(folder: &Path) -> std::io::Result<()> {
    /// The kernel ends the broker together with this process; it may write until then.
    const TRIES: u32 = 500;
    let is_ours = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FOLDER_PREFIX));
    if !is_ours {
        return Err(std::io::Error::other("not the folder of a broker that a run started"));
    }
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    let mut removed = Ok(());
    for _ in 0..TRIES {
        removed = std::fs::remove_dir_all(folder);
        match &removed {
            Ok(()) => break,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
    removed
}

fn mosquitto_log(folder: &TempDir) -> PathBuf {
    folder.path().join("mosquitto.log")
}

/// How often a start is tried: another program may take the free port before the broker binds it.
const STARTS: u32 = 3;

impl OwnedBroker {
    /// Starts the embedded broker by running this program again.
    ///
    /// # Errors
    /// [`RunError::Environment`] when it does not come up.
    pub fn embedded() -> Result<Self, RunError> {
        let started = several_times(|| {
            let mut child = Launch::Embedded.spawn(free_port()?)?;
            let mut line = String::new();
            // Borrowed, not taken: the child would fail to write to a closed pipe.
            if let Some(output) = &mut child.stdout {
                let _told_below = BufReader::new(output).read_line(&mut line);
            }
            match read_ready(&line) {
                Some((address, name)) => Ok(Self {
                    child,
                    address,
                    name,
                    administrator: None,
                    launch: Launch::Embedded,
                    log: None,
                }),
                None => Err(std::io::Error::other(status_and_errors(&mut child))),
            }
        });
        started.map_err(|why| RunError::Environment(format!("cannot start the embedded broker: {why}")))
    }

    /// Starts an installed Mosquitto on loopback, without persistence.
    ///
    /// # Errors
    /// [`RunError::Usage`] when the program or a plug-in that is wanted is missing; [`RunError::Environment`] when it
    /// does not come up.
    pub fn mosquitto(setup: MosquittoSetup) -> Result<Self, RunError> {
        let program = find_program("mosquitto").ok_or_else(|| {
            RunError::Usage(vec![Mistake::new(
                "--spawn",
                "no `mosquitto` in PATH or /usr/sbin; install it (Debian: apt-get install mosquitto) or name a \
                 running broker with --host",
            )])
        })?;
        let plug_in = match setup {
            MosquittoSetup::Open => None,
            MosquittoSetup::Administered => Some(dynamic_security::find_plug_in().ok_or_else(|| {
                RunError::Usage(vec![Mistake::new(
                    "--spawn",
                    format!(
                        "this mode needs Mosquitto's {}, and it is in none of the usual folders; install it (Debian: \
                         in the package mosquitto), or name a running broker with --host",
                        dynamic_security::PLUG_IN
                    ),
                )])
            })?),
        };
        let started = several_times(|| {
            let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir()?;
            let (port, log) = (free_port()?, mosquitto_log(&folder));
            let _caretaker = Caretaker::of(folder.path())?;
            let launch =
                Launch::Mosquitto { program: program.clone(), folder, _caretaker, plug_in: plug_in.clone() };
            let child = launch.spawn(port)?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut broker = Self {
                child,
                address,
                name: "mosquitto".to_owned(),
                administrator: plug_in.as_ref().map(|_| Credentials::default()),
                launch,
                log: Some(log),
            };
            broker.await_accepting(now() + READY_WITHIN).map_err(std::io::Error::other)?;
            Ok(broker)
        });
        started.map_err(|why| RunError::Environment(format!("cannot start mosquitto: {why}")))
    }

    fn await_accepting(&mut self, deadline: Instant) -> Result<(), String> {
        while now() < deadline {
            if self.exit().is_some() {
                return Err(status_and_errors(&mut self.child));
            }
            if std::net::TcpStream::connect_timeout(&self.address, LOOK_EVERY).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(format!("it did not accept connections within {}", span(READY_WITHIN)))
    }

    /// Kills it; nothing is persistent.
    pub(crate) fn kill(&mut self) {
        let _gone_already = self.child.kill();
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn ask_to_end(&mut self) {
        match self.launch {
            // The embedded broker ends with its standard input.
            Launch::Embedded => drop(self.child.stdin.take()),
            Launch::Mosquitto { .. } => {
                let pid = rustix::process::Pid::from_child(&self.child);
                let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
    }

    /// Waits for the process to end, starts another one on the same port, and returns when that accepts connections,
    /// or why it does not by `deadline`. The calling thread must outlive the broker.
    pub(crate) async fn start_again(&mut self, deadline: Instant) -> Result<(), String> {
        while self.exit().is_none() {
            if now() >= deadline {
                return Err(format!("{} did not end in time", self.name));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        loop {
            self.child = self
                .launch
                .spawn(self.address.port())
                .map_err(|error| format!("{} can't be started again: {error}", self.name))?;
            while self.exit().is_none() {
                if crate::broker::outage::accepts(self.address).await {
                    return Ok(());
                }
                if now() >= deadline {
                    return Err(format!("{} accepted no connection in time", self.name));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // What took its port may be gone next time.
            if now() >= deadline {
                return Err(format!(
                    "{} does not come up again: {}",
                    self.name,
                    status_and_errors(&mut self.child)
                ));
            }
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file; absent when it has none.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// How its process ended; absent while it runs.
    pub fn exit(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for OwnedBroker {
    fn drop(&mut self) {
        // Nothing is persistent, and the run is over.
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

/// The line with which the embedded broker announces its address and name.
#[must_use]
pub fn ready_line(address: SocketAddr, name: &str) -> String {
    format!("ready {address} {name}")
}

fn read_ready(line: &str) -> Option<(SocketAddr, String)> {
    let (address, name) = line.trim_end().strip_prefix("ready ")?.split_once(' ')?;
    Some((address.parse().ok()?, name.to_owned()))
}

/// The status and standard error of a child that does not come up.
fn status_and_errors(child: &mut Child) -> String {
    let _gone_already = child.kill();
    let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    let mut said = String::new();
    if let Some(errors) = child.stderr.take() {
        let _as_far_as_it_goes = errors.take(2_000).read_to_string(&mut said);
    }
    format!("it ended with {status}: {}", said.trim())
}

fn several_times(start: impl Fn() -> std::io::Result<OwnedBroker>) -> Result<OwnedBroker, String> {
    let mut last = String::new();
    for _ in 0..STARTS {
        match start() {
            Ok(broker) => return Ok(broker),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// A free port of 127.0.0.1, below the ephemeral ports if possible: while a broker is away, a client that connects to
/// its port could be given that very port, and connect to itself.
fn free_port() -> std::io::Result<u16> {
    const FIRST: u16 = 10_000;
    const TRIES: usize = 50;
    let bind =
        |port: u16| Some(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?.local_addr().ok()?.port());
    let end = host::port_range().map_or(FIRST, |(first_given, _)| first_given);
    if end > FIRST {
        let mut random = Seed::draw().stream("port");
        let found = (0..TRIES).find_map(|_| bind(random.random_range(FIRST..end)));
        if let Some(port) = found {
            return Ok(port);
        }
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers out of a user's PATH.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Ties this process to its parent and becomes `program`; returns only when that fails.
#[must_use]
pub fn become_tied(
    parent: u32,
    program: &std::ffi::OsStr,
    arguments: &[std::ffi::OsString],
) -> std::io::Error {
    let kill = Some(rustix::process::Signal::KILL);
    if let Err(error) = rustix::process::set_parent_process_death_signal(kill) {
        return error.into();
    }
    let is_parent = |pid: rustix::process::Pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent);
    // The parent may have died before the signal was set.
    if !rustix::process::getppid().is_some_and(is_parent) {
        return std::io::Error::other("the parent process is gone");
    }
    Command::new(program).args(arguments).exec()
}

#[cfg(test)]
mod tests {
    use super::{free_port, read_ready, ready_line};

    #[test]
    fn a_started_broker_avoids_ephemeral_ports() {
        let (first, last) = crate::run::host::port_range().unwrap();
        // Where nearly all ports are ephemeral, there is no choice.
        if first > 12_000 {
            let port = free_port().unwrap();
            assert!(!(first..=last).contains(&port), "{port} is within {first} to {last}");
        }
    }

    #[test]
    fn only_a_ready_line_is_read() {
        let address = "127.0.0.1:4711".parse().unwrap();
        assert_eq!(read_ready(&ready_line(address, "mqtt5 1.2")), Some((address, "mqtt5 1.2".to_owned())));
        for other in ["", "ready", "ready nowhere x", "error: no port"] {
            assert_eq!(read_ready(other), None, "{other}");
        }
    }
}
