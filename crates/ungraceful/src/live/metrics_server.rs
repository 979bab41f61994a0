//! `--metrics`: serves the state of the run as OpenMetrics over HTTP/1.1, on a thread of its own, until the call ends.
//!
//! A scrape reads what the live view showed last, so that it costs the run nothing. One request after another, one for each
//! connection; there is no TLS and no access control, so the default address is loopback.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use ungraceful_flags::Mistake;
use ungraceful_record::live::Live;
use ungraceful_report::{METRICS_MEDIA_TYPE, RunLabels, render_metrics};
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::settings::Common;

use crate::cli::common::OutputArgs;

/// Longest head of a request.
const HEAD_MAX: usize = 8 * 1_024;
/// How long a client may take for its request, and for taking the response.
const CLIENT_WITHIN: Duration = Duration::from_secs(2);

/// What a scrape is shown.
#[derive(Clone, Debug)]
struct Shown {
    run: RunLabels,
    live: Live,
}

/// The latest state; absent before the first run of the call.
type Board = Arc<Mutex<Option<Shown>>>;

fn lock(board: &Board) -> MutexGuard<'_, Option<Shown>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server.
pub(super) struct MetricsServer {
    address: SocketAddr,
    board: Board,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl MetricsServer {
    /// Opens the port that the flag names, and serves it; absent without the flag.
    pub(super) fn open(output: &OutputArgs) -> Result<Option<Self>, RunError> {
        let Some(address) = output.metrics else { return Ok(None) };
        let opened = TcpListener::bind(address.0).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) = opened.map_err(|error| {
            let what = format!(
                "cannot listen on {address}: {error}; give a free port and an address of this machine"
            );
            RunError::Usage(vec![Mistake::new("--metrics", what)])
        })?;
        Self::serving(listener, address)
            .map(Some)
            .map_err(|error| RunError::Environment(format!("cannot serve metrics: {error}")))
    }

    fn serving(listener: TcpListener, address: SocketAddr) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let board = Board::default();
        let (stop, stopped) = oneshot::channel();
        let shown = Arc::clone(&board);
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, &shown) => {}
                    _sender_is_gone = stopped => {}
                }
            });
        })?;
        Ok(Self { address, board, stop, thread })
    }

    /// Where a scraper finds the metrics.
    pub(super) fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Shows a run that begins.
    pub(super) fn begin(&self, common: &Common) {
        let run = RunLabels {
            tool: common.tool.name.clone(),
            mode: common.tool.mode.clone(),
            version: common.tool.version.clone(),
        };
        *lock(&self.board) = Some(Shown { run, live: Live::default() });
    }

    /// Shows this state of the run.
    pub(super) fn show(&self, live: &Live) {
        if let Some(shown) = &mut *lock(&self.board) {
            shown.live.clone_from(live);
        }
    }

    /// Ends, also in the middle of a response.
    pub(super) fn close(self) {
        let _ended_already = self.stop.send(());
        let _panicked = self.thread.join();
    }
}

async fn serve(listener: TcpListener, board: &Board) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let _too_slow = timeout(CLIENT_WITHIN, answer(client, board)).await;
            }
            // Out of descriptors, for example: they come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Answers the request of a connection, and closes it.
async fn answer(mut client: TcpStream, board: &Board) -> std::io::Result<()> {
    let Some(head) = head_of_request(&mut client).await? else { return Ok(()) };
    let shown = lock(board).clone();
    client.write_all(&response(&head, shown.as_ref())).await?;
    client.shutdown().await?;
    // Unread bytes would turn the end into RST, which can take the response with it.
    let mut rest = [0; 1_024];
    while client.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The head of a request, or its beginning if it is too long; absent when the client went away.
async fn head_of_request(client: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut part = [0; 1_024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_MAX {
        match client.read(&mut part).await? {
            0 => return Ok(None),
            count => head.extend_from_slice(&part[..count]),
        }
    }
    Ok(Some(head))
}

fn response(head: &[u8], shown: Option<&Shown>) -> Vec<u8> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let path = target.map(|target| target.split('?').next().unwrap_or_default());
    match (method, path, version) {
        (Some("GET"), Some("/metrics"), Some("HTTP/1.1" | "HTTP/1.0")) => match shown {
            Some(Shown { run, live }) => {
                written("200 OK", &[("Content-Type", METRICS_MEDIA_TYPE)], &render_metrics(run, live))
            }
            None => written("503 Service Unavailable", &[], "no run has begun yet\n"),
        },
        (Some("GET"), Some(_), Some("HTTP/1.1" | "HTTP/1.0")) => {
            written("404 Not Found", &[], "only /metrics is here\n")
        }
        (Some(_), Some(_), Some("HTTP/1.1" | "HTTP/1.0")) => {
            written("405 Method Not Allowed", &[("Allow", "GET")], "only GET is supported\n")
        }
        _ => written("400 Bad Request", &[], "not a request of HTTP/1.1\n"),
    }
}

fn written(status: &str, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{head}\r\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use ungraceful_record::live::Live;
    use ungraceful_report::RunLabels;

    use super::{HEAD_MAX, MetricsServer, Shown, lock, response};

    fn shown() -> Shown {
        let run = RunLabels { tool: "tool".into(), mode: None, version: "1".into() };
        Shown { run, live: Live { attempts_planned: 7, ..Live::default() } }
    }

    fn status(request: &str, shown: Option<&Shown>) -> String {
        let response = String::from_utf8(response(request.as_bytes(), shown)).unwrap();
        response.lines().next().unwrap().to_owned()
    }

    #[test]
    fn only_get_of_the_metrics_is_served() {
        let shown = shown();
        for (request, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK"),
            ("GET /metrics?name=a HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"),
            ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
            ("GET /metrics\r\n\r\n", "HTTP/1.1 400 Bad Request"),
            ("\u{16}\u{3}\u{1}", "HTTP/1.1 400 Bad Request"),
            ("", "HTTP/1.1 400 Bad Request"),
        ] {
            assert_eq!(status(request, Some(&shown)), expected, "{request:?}");
        }
        let before = "HTTP/1.1 503 Service Unavailable";
        assert_eq!(status("GET /metrics HTTP/1.1\r\n\r\n", None), before);
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_client_that_says_nothing_delays_others_and_holds_up_no_end() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let server = MetricsServer::serving(listener, address).unwrap();
        *lock(&server.board) = Some(shown());
        let _silent = TcpStream::connect(address).unwrap();
        let answer = ask(address, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("ungraceful_attempts_planned{tool=\"tool\"} 7\n"), "{body}");
        let long = [b"GET /metrics HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 2 * HEAD_MAX]].concat();
        assert!(ask(address, &long).starts_with("HTTP/1.1 200 OK"), "what matters came first");
        let _silent_at_the_end = TcpStream::connect(address).unwrap();
        server.close();
        assert!(TcpStream::connect(address).is_err(), "the port is closed");
    }
}
