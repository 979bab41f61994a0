//! The cost of an idle connection to its process: memory while it is idle, CPU to bring it there.
//!
//! Usage: `idle_connections [connections] [pairs]`; `scripts/bench-connections` runs it. Loopback only.
//!
//! Each sample is a process of its own, this program again as `ours` or `floor`, and so is what it connects to,
//! `sink`: memory once taken is not given back to the system, and the sink's is not to be counted. *Ours* is one
//! task per connection that awaits [`Connection::next`] on a single-threaded runtime; the *floor* keeps blocking
//! standard streams in a `Vec`. Memory of the kernel (about 4 kB per end) is not in the figures.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;
use ungraceful_mqtt::{Connect, Framed, Packet, ProtocolVersion, frame};
use ungraceful_wire::{Arrival, ConnectOptions, Connection, EndKind, Endpoint};

const VERSION: ProtocolVersion = ProtocolVersion::V5;
const CONNACK: [u8; 5] = [0x20, 0x03, 0x00, 0x00, 0x00];
/// Half of the shortest listen backlog among brokers: a longer queue drops SYNs, which are sent again a second later.
const IN_FLIGHT_MAX: usize = 50;
/// Brought up before the first reading, so that what a process takes once is not counted.
const WARM_UP_CONNECTIONS: usize = 5;
/// Descriptors that are no connections.
const DESCRIPTORS_BESIDES: u64 = 64;
/// How long a process waits for another that has hung.
const HANG_LIMIT: Duration = Duration::from_secs(30);
/// With fewer of the system's ticks, how CPU time divides into user and system is a matter of luck.
const TICKS_TO_DIVIDE_BY_MIN: f64 = 20.0;
/// What an idle connection may take of user-space memory.
const LIMIT_KB: f64 = 2.0;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sink"] => sink(),
        ["ours", connections, port] => ours(number(connections)?, number(port)?),
        ["floor", connections, port] => floor(number(connections)?, number(port)?),
        [] => compare(10_000, 5),
        [connections] => compare(number(connections)?, 5),
        [connections, pairs] => compare(number(connections)?, number(pairs)?),
        _ => Err(io::Error::other("usage: idle_connections [connections] [pairs]")),
    }
}

fn number<N: std::str::FromStr>(text: &str) -> io::Result<N> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not a number that fits here")))
}

// The comparison.

/// One process's share of a figure, per connection.
#[derive(Clone, Copy)]
struct Sample {
    rss_kb: f64,
    anonymous_kb: f64,
    cpu_us: f64,
    user_us: f64,
    system_us: f64,
}

/// A row of the table: its label, its limit, and where its figure is found.
type Row = (&'static str, Option<f64>, fn(&Sample) -> f64);

const ROWS: [Row; 5] = [
    ("memory, VmRSS, kB", Some(LIMIT_KB), |sample| sample.rss_kb),
    ("memory, RssAnon, kB", Some(LIMIT_KB), |sample| sample.anonymous_kb),
    ("CPU to connect, us", None, |sample| sample.cpu_us),
    ("  of it user", None, |sample| sample.user_us),
    ("  of it system", None, |sample| sample.system_us),
];

fn compare(connections: usize, pairs: usize) -> io::Result<()> {
    if connections == 0 || pairs == 0 {
        return Err(io::Error::other("nothing to compare: both numbers must be above 0"));
    }
    raise_descriptor_limit(connections)?;
    let mut floor = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..pairs {
        floor.push(sample("floor", connections)?);
        ours.push(sample("ours", connections)?);
    }
    let mut out = io::stdout().lock();
    let title = format!("per connection, {connections} of them");
    writeln!(
        out,
        "{title:<36} {:>8} {:>8} {:>17} {:>7} {:>6}",
        "floor", "ours", "(from - to)", "ratio", "limit"
    )?;
    for (label, limit, figure) in ROWS {
        let of = |samples: &[Sample]| samples.iter().map(figure).collect::<Vec<_>>();
        let (floor, ours) = (of(&floor), of(&ours));
        let ratios: Vec<f64> = ours.iter().zip(&floor).map(|(ours, floor)| ours / floor).collect();
        let least = ours.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ours.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (floor, ours, ratio) = (median(floor), median(ours), median(ratios));
        let remark = if limit.is_some_and(|limit| ours > limit) { "  above its limit" } else { "" };
        writeln!(
            out,
            "{label:<36} {:>8} {:>8} {:>17} {:>7} {:>6}{remark}",
            text(floor),
            text(ours),
            if least.is_finite() { format!("({least:.2} - {most:.2})") } else { text(least) },
            text(ratio),
            limit.map_or("-".to_owned(), text),
        )?;
    }
    writeln!(
        out,
        "medians of {pairs} alternating pairs; ratio: median of the pairs'; at most {IN_FLIGHT_MAX} connects in flight;\n\
         kB of 1,024 bytes, of user space; Connection: {} bytes",
        size_of::<Connection>()
    )
}

/// A dash for what could not be measured or divided by.
fn text(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.2}") } else { "-".to_owned() }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[middle - 1], figures[middle])
    } else {
        figures[middle]
    }
}

/// Runs one process to its reading, then stops the sink and sees that each connection was alive until then.
fn sample(kind: &str, connections: usize) -> io::Result<Sample> {
    let (mut sink, port) = start(&["sink"])?;
    let (mut process, reading) = start(&[kind, &connections.to_string(), port.trim()])?;
    // The sink resets its connections when its stdin ends, which leaves neither side in TIME-WAIT.
    drop(sink.stdin.take());
    for (child, name) in [(&mut sink, "sink"), (&mut process, kind)] {
        let status = child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("the {name} process failed: {status}")));
        }
    }
    let figures: Vec<f64> = reading.split_whitespace().map(number).collect::<io::Result<_>>()?;
    let [rss_kb, anonymous_kb, cpu_us, user_us, system_us] = figures[..] else {
        return Err(io::Error::other(format!("the {kind} process gave no reading")));
    };
    Ok(Sample { rss_kb, anonymous_kb, cpu_us, user_us, system_us })
}

/// Starts this program again and waits for its one line.
fn start(arguments: &[&str]) -> io::Result<(Child, String)> {
    let mut child = Command::new(env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("it is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok((child, line))
}

// The readings.

struct Reading {
    rss_kb: f64,
    anonymous_kb: f64,
    cpu_s: f64,
    user_ticks: f64,
    system_ticks: f64,
}

impl Reading {
    fn take() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let kb = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            number(line.trim_start_matches(':').trim_end_matches("kB").trim())
        };
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // The name of the process, in brackets, may hold anything; utime and stime are fields 14 and 15.
        let (_, after_name) = stat.rsplit_once(')').unwrap_or_default();
        let mut fields = after_name.split_whitespace().skip(11);
        let mut ticks = || number(fields.next().unwrap_or_default());
        let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).map_err(io::Error::other)?;
        Ok(Self {
            rss_kb: kb("VmRSS")?,
            anonymous_kb: kb("RssAnon")?,
            cpu_s: cpu.as_secs_f64(),
            user_ticks: ticks()?,
            system_ticks: ticks()?,
        })
    }

    /// Prints what was taken since, for each of the connections.
    fn print_since(&self, before: &Self, connections: usize) -> io::Result<()> {
        let connections = f64::from(u32::try_from(connections).map_err(io::Error::other)?);
        let user_ticks = self.user_ticks - before.user_ticks;
        let system_ticks = self.system_ticks - before.system_ticks;
        let cpu_us = (self.cpu_s - before.cpu_s) * 1e6 / connections;
        // The sum is exact, and the ticks of 10 ms only show how it divides, which takes enough of them.
        let ticks = user_ticks + system_ticks;
        let user_us = if ticks < TICKS_TO_DIVIDE_BY_MIN { f64::NAN } else { cpu_us * user_ticks / ticks };
        let rss_kb = (self.rss_kb - before.rss_kb) / connections;
        let anonymous_kb = (self.anonymous_kb - before.anonymous_kb) / connections;
        let mut out = io::stdout().lock();
        writeln!(out, "{rss_kb} {anonymous_kb} {cpu_us} {user_us} {}", cpu_us - user_us)?;
        out.flush()
    }
}

fn raise_descriptor_limit(connections: usize) -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    let needed = u64::try_from(connections).map_err(io::Error::other)?.saturating_add(DESCRIPTORS_BESIDES);
    match limit.maximum {
        Some(maximum) if maximum < needed => Err(io::Error::other(format!(
            "{connections} connections need {needed} descriptors, and the hard limit is {maximum}"
        ))),
        _enough => Ok(()),
    }
}

fn connect_packet(index: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Connect::new(&format!("idle-{index:06}")).encode(VERSION, &mut bytes).expect("a legal CONNECT");
    bytes
}

// The three processes.

/// Answers each CONNECT and then leaves the connection alone, until its stdin ends.
fn sink() -> io::Result<()> {
    raise_descriptor_limit(0)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    std::thread::spawn(|| {
        let _ended_either_way = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let mut connections = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream?;
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANG_LIMIT))?;
        let mut header = [0; 2];
        stream.read_exact(&mut header)?;
        // The CONNECTs of this program are shorter than 128 bytes.
        stream.read_exact(&mut vec![0; usize::from(header[1])])?;
        stream.write_all(&CONNACK)?;
        connections.push(stream);
    }
    Ok(())
}

fn ours(connections: usize, port: u16) -> io::Result<()> {
    raise_descriptor_limit(connections)?;
    let endpoint = Endpoint { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let warm_up = bring_up(endpoint, WARM_UP_CONNECTIONS).await?;
        let before = Reading::take()?;
        let idle = bring_up(endpoint, connections).await?;
        Reading::take()?.print_since(&before, connections)?;
        for task in warm_up.into_iter().chain(idle) {
            if !task.await? {
                return Err(io::Error::other("a connection did not stay idle until the sink was stopped"));
            }
        }
        Ok(())
    })
}

/// Opens so many connections and leaves each to a task of its own.
async fn bring_up(endpoint: Endpoint, connections: usize) -> io::Result<Vec<JoinHandle<bool>>> {
    let stripes: Vec<_> = (0..IN_FLIGHT_MAX)
        .map(|stripe| {
            tokio::spawn(async move {
                let mut idle = Vec::new();
                for index in (stripe..connections).step_by(IN_FLIGHT_MAX) {
                    let mut connection = accepted(endpoint, index).await?;
                    idle.push(tokio::spawn(async move {
                        matches!(connection.next().await, Arrival::End(end) if end.how == EndKind::Reset)
                    }));
                }
                io::Result::Ok(idle)
            })
        })
        .collect();
    let mut idle = Vec::with_capacity(connections);
    for stripe in stripes {
        idle.append(&mut stripe.await??);
    }
    Ok(idle)
}

async fn accepted(endpoint: Endpoint, index: usize) -> io::Result<Connection> {
    let options = ConnectOptions { connect_timeout: HANG_LIMIT, ..ConnectOptions::default() };
    let mut connection = endpoint.open(&options).await.map_err(io::Error::other)?.connection;
    connection.send(&connect_packet(index)).await.map_err(io::Error::other)?;
    match connection.next().await {
        Arrival::Packet(packet) if is_acceptance(&packet.bytes) => Ok(connection),
        other => Err(io::Error::other(format!("expected a CONNACK, got {other:?}"))),
    }
}

fn is_acceptance(bytes: &[u8]) -> bool {
    let Framed::Complete(found) = frame(bytes) else { return false };
    matches!(found.decode(VERSION).packet, Packet::ConnAck(connack) if connack.code == 0)
}

fn floor(connections: usize, port: u16) -> io::Result<()> {
    raise_descriptor_limit(connections)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let warm_up = bring_up_blocking(address, WARM_UP_CONNECTIONS)?;
    let before = Reading::take()?;
    let idle = bring_up_blocking(address, connections)?;
    Reading::take()?.print_since(&before, connections)?;
    for mut stream in warm_up.into_iter().chain(idle) {
        stream.set_read_timeout(Some(HANG_LIMIT))?;
        match stream.read(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => return Err(io::Error::other(format!("a connection did not stay idle: {other:?}"))),
        }
    }
    Ok(())
}

/// As [`bring_up`], with as many in flight.
fn bring_up_blocking(address: SocketAddr, connections: usize) -> io::Result<Vec<TcpStream>> {
    let mut idle = Vec::with_capacity(connections);
    while idle.len() < connections {
        let first = idle.len();
        for index in first..connections.min(first + IN_FLIGHT_MAX) {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.write_all(&connect_packet(index))?;
            idle.push(stream);
        }
        for stream in &mut idle[first..] {
            let mut connack = CONNACK;
            stream.read_exact(&mut connack)?;
            if !is_acceptance(&connack) {
                return Err(io::Error::other("the sink did not accept"));
            }
        }
    }
    Ok(idle)
}
