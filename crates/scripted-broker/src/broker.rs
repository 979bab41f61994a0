//! The handle of a running broker: start, address, log, stop. Tests and the binary hold one.
//!
//! The broker itself runs on its own thread, and everything it holds ends with that thread.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::listening::{self, Stop};
use crate::log::{Log, SharedLog};
use crate::policy::Script;

/// A running broker. Dropping it closes the listener and every connection, and waits for both.
///
/// ```
/// use ungraceful_scripted_broker::{Script, ScriptedBroker};
///
/// let broker = ScriptedBroker::start(Script::default());
/// let connection = std::net::TcpStream::connect(broker.address());
/// assert!(connection.is_ok());
/// ```
#[derive(Debug)]
pub struct ScriptedBroker {
    address: SocketAddr,
    log: SharedLog,
    thread: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<Stop>,
    thread: JoinHandle<()>,
}

impl ScriptedBroker {
    /// Starts a broker on a free port of 127.0.0.1. It accepts connections when this returns.
    ///
    /// # Panics
    /// When the system has no port, descriptor or thread left; see [`Self::start_on`] to learn which.
    pub fn start(script: Script) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start_on(any_port, script).expect("the system has a free loopback port and a thread to give")
    }

    /// Starts a broker on this address, such as that of a broker that went down; port 0 means any free port.
    ///
    /// # Errors
    /// When the address cannot be bound, or the system has no descriptor or thread left.
    pub fn start_on(address: SocketAddr, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let listener = {
            let _within = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let log = SharedLog::default();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("scripted-broker".to_owned()).spawn({
            let log = log.clone();
            move || listening::run(&runtime, listener, script, log, stopped)
        })?;
        Ok(Self { address, log, thread: Mutex::new(Some(Running { stop, thread })) })
    }

    /// The address on which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far, even after it went down.
    pub fn log(&self) -> Log {
        self.log.snapshot()
    }

    /// Waits until the log satisfies the condition. False if it does not within `timeout`.
    pub fn wait_until(&self, timeout: Duration, is_enough: impl FnMut(&Log) -> bool) -> bool {
        self.log.wait_until(timeout, is_enough)
    }

    /// Closes the listener and resets every connection, as if the process had been killed; no Will is published.
    /// Returns when that is done, and does nothing if the broker is already down.
    pub fn stop_abruptly(&self) {
        self.stop(Stop::Abruptly);
    }

    fn stop(&self, how: Stop) {
        let running = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            // There is no receiver when the broker went down by itself.
            let _ = running.stop.send(how);
            // A panic of the broker has been printed, and a drop must not add another.
            let _ = running.thread.join();
        }
    }
}

impl Drop for ScriptedBroker {
    fn drop(&mut self) {
        self.stop(Stop::Quietly);
    }
}
