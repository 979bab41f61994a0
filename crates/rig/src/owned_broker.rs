//! A broker that this run started: a child process that goes away with it, however the run ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use ungraceful_wire::clock::now;

use crate::dynamic_security;
use crate::error::{Mistake, RunError};
use crate::target::Credentials;

/// How long a broker may take to accept connections.
const READY_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The hidden commands of every binary, given as the first argument.
pub mod hidden {
    /// Serves the embedded broker; the second argument is the parent's process id.
    pub const EMBEDDED_BROKER: &str = "__embedded-broker";
    /// Ties itself to its parent and becomes the program that follows.
    pub const TIED: &str = "__tied";
}

/// A broker of ours.
#[derive(Debug)]
pub struct OwnedBroker {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// What we started.
    pub name: String,
    /// As whom its dynamic security is controlled; absent where it has none.
    pub administrator: Option<Credentials>,
    _folder: Option<TempDir>,
    log: Option<PathBuf>,
}

/// How a Mosquitto of ours is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MosquittoSetup {
    /// Everybody may do everything.
    Open,
    /// With the dynamic-security plug-in: who shows no credentials may do everything, and make users and remove them.
    Administered,
}

impl OwnedBroker {
    /// Starts the embedded broker by calling this program once more.
    ///
    /// # Errors
    /// [`RunError::Environment`] when it does not come up.
    pub fn embedded() -> Result<Self, RunError> {
        let failed =
            |what: String| RunError::Environment(format!("cannot start the embedded broker: {what}"));
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut child = Command::new(program)
            .arg(hidden::EMBEDDED_BROKER)
            .arg(std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let _told_below = BufReader::new(output).read_line(&mut line);
        }
        match read_ready(&line) {
            Some((address, name)) => {
                Ok(Self { child, address, name, administrator: None, _folder: None, log: None })
            }
            None => Err(failed(last_words(&mut child))),
        }
    }

    /// Starts an installed Mosquitto with a configuration of ours, on loopback and without persistence.
    ///
    /// # Errors
    /// [`RunError::Usage`] when there is none, or none of its plug-in where that is wanted; [`RunError::Environment`] when
    /// it does not come up.
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
        // Between our asking for a free port and Mosquitto's binding it, somebody else may take it.
        let mut last = String::new();
        for _ in 0..3 {
            match Self::try_mosquitto(&program, plug_in.as_deref()) {
                Ok(broker) => return Ok(broker),
                Err(error) => last = error,
            }
        }
        Err(RunError::Environment(format!("cannot start mosquitto: {last}")))
    }

    fn try_mosquitto(program: &PathBuf, plug_in: Option<&std::path::Path>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new().prefix("ungraceful-mosquitto-").tempdir().map_err(text)?;
        let port = free_port().map_err(text)?;
        let log = folder.path().join("mosquitto.log");
        // Nagle's algorithm would add our own delayed ACK to every figure.
        let mut configuration = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
             sys_interval 1\nlog_dest file {}\nlog_type error\nlog_type warning\nlog_type notice\nuser root\n",
            log.display()
        );
        if let Some(plug_in) = plug_in {
            let file = folder.path().join("dynamic-security.json");
            std::fs::write(&file, dynamic_security::of_our_own()).map_err(text)?;
            configuration +=
                &format!("plugin {}\nplugin_opt_config_file {}\n", plug_in.display(), file.display());
        }
        let file = folder.path().join("mosquitto.conf");
        std::fs::write(&file, configuration).map_err(text)?;
        let own = std::env::current_exe().map_err(text)?;
        let child = Command::new(own)
            .arg(hidden::TIED)
            .arg(std::process::id().to_string())
            .arg(program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(text)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut broker = Self {
            child,
            address,
            name: "mosquitto".to_owned(),
            administrator: plug_in.map(|_| Credentials::default()),
            _folder: Some(folder),
            log: Some(log),
        };
        broker.await_accepting(now() + READY_WITHIN)?;
        Ok(broker)
    }

    fn await_accepting(&mut self, deadline: Instant) -> Result<(), String> {
        while now() < deadline {
            if self.exit().is_some() {
                return Err(last_words(&mut self.child));
            }
            if std::net::TcpStream::connect_timeout(&self.address, LOOK_EVERY).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(format!("it did not accept connections within {READY_WITHIN:?}"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file; absent when it has none.
    #[must_use]
    pub fn log(&self) -> Option<&std::path::Path> {
        self.log.as_deref()
    }

    /// How its process ended; absent while it runs.
    pub fn exit(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for OwnedBroker {
    fn drop(&mut self) {
        // Nothing of value is in it: no persistence, and the run is over.
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

/// The line by which the embedded broker says where it listens and what it is.
#[must_use]
pub fn ready_line(address: SocketAddr, name: &str) -> String {
    format!("ready {address} {name}")
}

fn read_ready(line: &str) -> Option<(SocketAddr, String)> {
    let (address, name) = line.trim_end().strip_prefix("ready ")?.split_once(' ')?;
    Some((address.parse().ok()?, name.to_owned()))
}

/// What a child that does not come up said on its standard error.
fn last_words(child: &mut Child) -> String {
    let _gone_already = child.kill();
    let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    let mut said = String::new();
    if let Some(errors) = child.stderr.take() {
        let _as_far_as_it_goes = errors.take(2_000).read_to_string(&mut said);
    }
    format!("it ended with {status}: {}", said.trim())
}

fn free_port() -> std::io::Result<u16> {
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
    use std::os::unix::process::CommandExt;
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
    use super::{read_ready, ready_line};

    #[test]
    fn what_the_child_says_is_read_back_and_anything_else_is_not() {
        let address = "127.0.0.1:4711".parse().unwrap();
        assert_eq!(read_ready(&ready_line(address, "mqtt5 1.2")), Some((address, "mqtt5 1.2".to_owned())));
        for other in ["", "ready", "ready nowhere x", "error: no port"] {
            assert_eq!(read_ready(other), None, "{other}");
        }
    }
}
