//! The broker's thread: accepts connections, runs what is due, and ends everything on request.
//!
//! The server interprets a connection's bytes; `link.rs` moves them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

use crate::link;
use crate::log::SharedLog;
use crate::policy::Script;
use crate::server::Server;

/// How a broker stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Close everything.
    Quietly,
    /// Reset everything.
    Abruptly,
}

/// How long to wait when a connection cannot be accepted, mostly for lack of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// Runs a broker until it is stopped or goes down by itself.
pub(crate) fn run(
    runtime: &Runtime,
    listener: TcpListener,
    script: Script,
    log: SharedLog,
    stop: oneshot::Receiver<Stop>,
) {
    // Everything lives on this thread, so that the server needs no lock; dropping the set closes what is still open.
    let tasks = LocalSet::new();
    let server = Rc::new(RefCell::new(Server::new(script, log)));
    tasks.block_on(runtime, serve(listener, server, stop));
}

async fn serve(listener: TcpListener, server: Rc<RefCell<Server>>, mut stop: oneshot::Receiver<Stop>) {
    let mut connections = JoinSet::new();
    let crash = server.borrow().crash();
    let timers = server.borrow().timers();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let _ = connections.spawn_local(link::serve(stream, Rc::clone(&server)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            },
            Some(_) = connections.join_next() => {}
            () = timers.due() => server.borrow_mut().run_due(),
            () = crash.notified() => break,
            how = &mut stop => match how {
                Ok(Stop::Abruptly) => break,
                // A handle that is gone without a request was dropped in a panic.
                Ok(Stop::Quietly) | Err(_) => return,
            },
        }
    }
    drop(listener);
    server.borrow_mut().reset_all();
    while connections.join_next().await.is_some() {}
}
