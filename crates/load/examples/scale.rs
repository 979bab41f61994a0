//! Very many idle connections: `ungraceful-bench conn --processes auto` beside a floor, against sinks that share a port.
//!
//! `scripts/bench-scale` builds and runs it. Loopback only; nothing is left running.
//!
//! Usage:
//! - `scale CONNECTIONS` starts the sinks, then the floor, then `ungraceful-bench` beside this program, and prints a table
//! - `scale sink PORT` accepts until standard input ends
//! - `scale floor PORT CONNECTIONS SOURCE` connects from an address, prints its CPU time in ns and the growth of its memory in bytes,
//!   and stays until standard input ends
//!
//! A process holds so many connections as it may open files, on either side. The sinks share one port by `SO_REUSEPORT`: the kernel
//! spreads connections over them by chance, so each has room for more than its share. The floor is a blocking socket for each
//! connection, one after the other in each process, with every process at the same time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use ungraceful_rig::run::limits::{clients_of_a_worker, raise_descriptor_limit};
use ungraceful_wire::bind_source;
use ungraceful_wire::clock::now;

/// Connections from one source address: less than half of the local ports, from where each connect costs many times as much.
const FROM_A_SOURCE: u64 = 10_000;
/// Of what a sink may hold, the share that it gets on average, in percent.
const SINK_SHARE: u64 = 93;
/// How long sockets that were closed keep the kernel busy.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
const BACKLOG: i32 = 1_024;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sink", port] => sink(number(port)?),
        ["floor", port, connections, source] => {
            floor(number(port)?, number(connections)?, source.parse().map_err(io::Error::other)?)
        }
        [connections] => compare(number(connections)?),
        _ => Err(io::Error::other("usage: scale CONNECTIONS")),
    }
}

fn number<N: std::str::FromStr>(text: &str) -> io::Result<N> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not a number that fits here")))
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

fn rss_bytes() -> io::Result<u64> {
    kib("/proc/self/status", "VmRSS:")
}

/// A figure in kB of a file in `/proc`, in bytes.
fn kib(file: &str, name: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    Ok(number::<u64>(line.trim().trim_end_matches("kB").trim())? * 1_024)
}

// The sink

fn sink(port: u16) -> io::Result<()> {
    let _raised = raise_descriptor_limit();
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    std::thread::spawn(|| {
        let _ended_either_way = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(u64::MAX), EventFlags::IN)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    io::stdout().flush()?;
    let (mut peers, mut free): (Vec<Option<Peer>>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut events: Vec<Event> = Vec::with_capacity(1_024);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let place = event.data.u64();
            if place == u64::MAX {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    // Neither side keeps a port in TIME-WAIT.
                    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
                    let place = free.pop().unwrap_or_else(|| {
                        peers.push(None);
                        peers.len() - 1
                    });
                    epoll::add(&epoll, &socket, EventData::new_u64(place as u64), EventFlags::IN)?;
                    peers[place] = Some(Peer { socket, is_version_5: false });
                }
                continue;
            }
            let place = usize::try_from(place).map_err(io::Error::other)?;
            if !peers[place].as_mut().is_some_and(Peer::answers) {
                peers[place] = None;
                free.push(place);
            }
        }
    }
}

/// A client of the sink.
struct Peer {
    socket: TcpStream,
    is_version_5: bool,
}

impl Peer {
    /// Answers what the client sent: as a broker does to a client that subscribes to what it publishes itself, which is what a run tries
    /// first. Packets are short, and come whole on loopback. Returns false when the client is gone.
    fn answers(&mut self) -> bool {
        let mut buffer = [0_u8; 4 * 1_024];
        let read = match self.socket.read(&mut buffer) {
            Ok(read) if read > 0 => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            _ => return false,
        };
        let (mut answer, mut rest) = (Vec::new(), &buffer[..read]);
        while !rest.is_empty() {
            let Some((header, length)) = remaining_length(rest) else { return false };
            let Some(packet) = rest.get(..header + length) else { return false };
            let (first, body) = (packet[0], &packet[header..]);
            let identifier = |at: usize| body.get(at..at + 2).map_or([0; 2], |bytes| [bytes[0], bytes[1]]);
            let [high, low] = identifier(0);
            match first >> 4 {
                1 => {
                    self.is_version_5 = body.get(6) == Some(&5);
                    let connack: &[u8] =
                        if self.is_version_5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
                    answer.extend_from_slice(connack);
                }
                3 => {
                    let [id_high, id_low] = identifier(2 + usize::from(u16::from_be_bytes([high, low])));
                    match first >> 1 & 3 {
                        1 => answer.extend_from_slice(&[0x40, 2, id_high, id_low]),
                        2 => answer.extend_from_slice(&[0x50, 2, id_high, id_low]),
                        _ => {}
                    }
                    answer.extend_from_slice(packet);
                }
                5 => answer.extend_from_slice(&[0x62, 2, high, low]),
                6 => answer.extend_from_slice(&[0x70, 2, high, low]),
                8 => {
                    let granted = body.last().map_or(0, |options| options & 3);
                    let suback: &[u8] = if self.is_version_5 {
                        &[0x90, 4, high, low, 0, granted]
                    } else {
                        &[0x90, 3, high, low, granted]
                    };
                    answer.extend_from_slice(suback);
                }
                12 => answer.extend_from_slice(&[0xD0, 0]),
                14 => return false,
                _ => {}
            }
            rest = &rest[header + length..];
        }
        self.socket.write_all(&answer).is_ok()
    }
}

/// Bytes of the fixed header, and of what follows it; absent when the header is not whole.
fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for index in 0..4 {
        let byte = *bytes.get(1 + index)?;
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Some((2 + index, length));
        }
    }
    None
}

// The floor

fn floor(port: u16, connections: usize, source: IpAddr) -> io::Result<()> {
    let _raised = raise_descriptor_limit();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (rss_before, cpu_before) = (rss_bytes()?, cpu_ns());
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind_source(&socket, source)?;
        rustix::net::connect(&socket, &address)?;
        let mut peer = TcpStream::from(socket);
        let client_id = format!("{number:08}");
        let mut connect = vec![0x10, 21, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 8];
        connect.extend_from_slice(client_id.as_bytes());
        peer.write_all(&connect)?;
        let mut connack = [0; 5];
        peer.read_exact(&mut connack)?;
        if connack != [0x20, 3, 0, 0, 0] {
            return Err(io::Error::other("the sink did not accept"));
        }
        open.push(peer);
    }
    let mut output = io::stdout();
    writeln!(output, "{} {}", cpu_ns() - cpu_before, rss_bytes()?.saturating_sub(rss_before))?;
    output.flush()?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

// The comparison

/// A child that ends with its standard input.
struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?);
        Ok(Self { child, output })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() { Err(io::Error::other("a child ended early")) } else { Ok(line) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

/// What one side took for all connections.
struct Taken {
    connections: u64,
    processes: u64,
    up_s: f64,
    cpu_us: f64,
    user_bytes: f64,
    kernel_bytes: f64,
}

/// A row of the table: its label, and where its figure is found.
type Row = (&'static str, fn(&Taken) -> f64);

fn compare(connections: u64) -> io::Result<()> {
    let held = clients_of_a_worker(raise_descriptor_limit());
    if connections <= held {
        return Err(io::Error::other(format!("one process holds {held} connections: give more")));
    }
    let sinks = sinks(connections.div_ceil(held * SINK_SHARE / 100))?;
    let sources = connections.div_ceil(FROM_A_SOURCE);
    let floor = floors(connections, held, sources, sinks.port)?;
    std::thread::sleep(SETTLES_WITHIN);
    let ours = ours(connections, sources, sinks.port)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<44} {:>10} {:>10} {:>8}",
        format!("{connections} idle connections"),
        "floor",
        "ours",
        "ratio"
    )?;
    let rows: [Row; 6] = [
        ("connected", |taken| float(taken.connections)),
        ("processes", |taken| float(taken.processes)),
        ("all connected after, s", |taken| taken.up_s),
        ("CPU to connect, us each", |taken| taken.cpu_us / float(taken.connections)),
        ("user-space memory, kB each", |taken| taken.user_bytes / 1e3 / float(taken.connections)),
        ("kernel memory of both ends (slab), kB each", |taken| {
            taken.kernel_bytes / 1e3 / float(taken.connections)
        }),
    ];
    for (label, figure) in rows {
        let (floor, ours) = (figure(&floor), figure(&ours));
        writeln!(out, "{label:<44} {floor:>10.2} {ours:>10.2} {:>8.2}", ours / floor)?;
    }
    let sinks = sinks.running.len();
    writeln!(
        out,
        "{sinks} sinks on one port, {sources} source addresses; CPU and memory of the connecting processes alone"
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes are far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

struct Sinks {
    port: u16,
    running: Vec<Running>,
}

fn sinks(number_of: u64) -> io::Result<Sinks> {
    let mut running = vec![Running::start(&["sink", "0"])?];
    let port: u16 = number(running[0].line()?.trim())?;
    for _ in 1..number_of {
        let mut sink = Running::start(&["sink", &port.to_string()])?;
        sink.line()?;
        running.push(sink);
    }
    Ok(Sinks { port, running })
}

/// Kernel memory in small objects, of which sockets are made.
fn slab_bytes() -> io::Result<u64> {
    kib("/proc/meminfo", "Slab:")
}

fn floors(connections: u64, held: u64, sources: u64, port: u16) -> io::Result<Taken> {
    let processes = connections.div_ceil(held.min(FROM_A_SOURCE)).max(sources);
    let (slab_before, began) = (slab_bytes()?, now());
    let mut running = Vec::new();
    for process in 0..processes {
        let share = connections / processes + u64::from(process < connections % processes);
        let source = Ipv4Addr::from(
            u32::from(Ipv4Addr::new(127, 0, 1, 1)) + u32::try_from(process).map_err(io::Error::other)?,
        );
        running.push(Running::start(&["floor", &port.to_string(), &share.to_string(), &source.to_string()])?);
    }
    let (mut cpu_ns, mut user_bytes) = (0, 0);
    for process in &mut running {
        let line = process.line()?;
        let (ns, bytes) = line.trim().split_once(' ').ok_or_else(|| io::Error::other("no reading"))?;
        cpu_ns += number::<u64>(ns)?;
        user_bytes += number::<u64>(bytes)?;
    }
    let (up_s, slab_after) = (since(began), slab_bytes()?);
    Ok(Taken {
        connections,
        processes,
        up_s,
        cpu_us: float(cpu_ns) / 1e3,
        user_bytes: float(user_bytes),
        kernel_bytes: float(slab_after.saturating_sub(slab_before)),
    })
}

fn since(began: Instant) -> f64 {
    now().saturating_duration_since(began).as_secs_f64()
}

/// The tool beside this program, as a user calls it.
fn ours(connections: u64, sources: u64, port: u16) -> io::Result<Taken> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    let record = std::env::temp_dir().join(format!("ungraceful-scale-{}", std::process::id()));
    let last = Ipv4Addr::from(
        u32::from(Ipv4Addr::new(127, 0, 1, 0)) + u32::try_from(sources).map_err(io::Error::other)?,
    );
    let (port, count) = (port.to_string(), connections.to_string());
    let slab_before = slab_bytes()?;
    let mut child = Command::new(folder.join("ungraceful-bench"))
        .args(["conn", "--host", "127.0.0.1", "--port", &port, "--count", &count, "--processes", "auto"])
        .args([
            "--ifaddr",
            &format!("127.0.1.1-{last}"),
            "--connrate",
            "100000",
            // The sinks' backlogs take many more.
            "--connects-in-flight",
            "1000",
            "--keepalive",
            "0",
            "--duration",
            "3s",
        ])
        .args(["--quiet", "--no-progress", "--slip-limit", "1h", "--output"])
        .arg(&record)
        .stdout(Stdio::null())
        .spawn()?;
    // Sampled until it ends: the sockets are there for its three seconds.
    let mut slab_most = slab_before;
    while child.try_wait()?.is_none() {
        slab_most = slab_most.max(slab_bytes()?);
        std::thread::sleep(Duration::from_millis(100));
    }
    let text = std::fs::read(record.join("run.json"))?;
    std::fs::remove_dir_all(&record)?;
    let run: Value = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let load = &run["load"];
    let processes = load["processes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sum = |name: &str| processes.iter().filter_map(|process| process[name].as_u64()).sum::<u64>();
    for kind in ["refused", "lost"] {
        for (why, number) in load["connections"][kind].as_object().into_iter().flatten() {
            writeln!(io::stderr(), "{kind}: {number} {why}")?;
        }
    }
    Ok(Taken {
        connections: load["connections"]["accepted"].as_u64().unwrap_or(0),
        processes: processes.len() as u64,
        up_s: float(load["connections"]["up_after_us"].as_u64().unwrap_or(0)) / 1e6,
        cpu_us: float(sum("cpu_us_connecting")),
        user_bytes: float(sum("rss_bytes_connected").saturating_sub(sum("rss_bytes_before"))),
        kernel_bytes: float(slab_most.saturating_sub(slab_before)),
    })
}
