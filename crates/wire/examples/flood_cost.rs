//! The cost of a flood to its generator: CPU per PUBLISH, towards a sink that discards everything.
//!
//! Usage: `flood_cost [publishes] [runs]`; `scripts/bench-flood` runs it. Loopback only.
//!
//! *Ours* stamps every PUBLISH from a template into one buffer and sends it with
//! [`Connection::send_while_receiving`](ungraceful_wire::Connection::send_while_receiving), as the flood does; the
//! *floor* is plain `write` of a prepared buffer. The sink is a process of its own. CPU is that of the whole process,
//! user and system, so that the kernel's part of each write is in both.

use std::env;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::time::{ClockId, clock_gettime};
use ungraceful_mqtt::{PacketIdentifier, ProtocolVersion, Publish, PublishTemplate, STAMP_LEN};
use ungraceful_wire::{ConnectOptions, Endpoint};

/// What the generator's CPU per PUBLISH may come to, in µs.
const LIMIT_US: f64 = 0.1;
/// Floods of each run: one alone is over too soon to be timed.
const FLOODS: u32 = 50;
const TOPIC: &str = "ungraceful/1/flood/ug00000000";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sink"] => sink(),
        [] => compare(65_535, 5),
        [publishes] => compare(number(publishes)?, 5),
        [publishes, runs] => compare(number(publishes)?, number(runs)?),
        _ => Err(io::Error::other("usage: flood_cost [publishes] [runs]")),
    }
}

fn number<N: std::str::FromStr>(text: &str) -> io::Result<N> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not a number that fits here")))
}

/// Prints its port, and reads until standard input ends.
fn sink() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    std::thread::spawn(move || -> io::Result<()> {
        loop {
            let (mut peer, _address) = listener.accept()?;
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while peer.read(&mut buffer).is_ok_and(|read| read > 0) {}
            });
        }
    });
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

fn start_sink() -> io::Result<(Child, SocketAddr)> {
    let program = env::current_exe()?;
    let mut child = Command::new(program).arg("sink").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the sink has no standard output"))?;
    io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line)?;
    Ok((child, (Ipv4Addr::LOCALHOST, number::<u16>(line.trim())?).into()))
}

/// CPU time of this process so far, in µs.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a few seconds of CPU time")]
    let us = time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3;
    us
}

fn template() -> io::Result<PublishTemplate> {
    let publish = Publish::new(TOPIC, &[0; STAMP_LEN]).exactly_once(PacketIdentifier::MIN);
    PublishTemplate::new(&publish, ProtocolVersion::V5, Some(0))
        .map_err(|error| io::Error::other(error.to_string()))
}

fn flood(template: &PublishTemplate, publishes: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(template.len() * publishes as usize);
    let mut identifier = PacketIdentifier::MIN;
    for sequence in 0..publishes {
        let mut stamp = [0; STAMP_LEN];
        stamp[12..].copy_from_slice(&sequence.to_be_bytes());
        template.append(&mut bytes, Some(identifier), stamp);
        identifier = identifier.next();
    }
    bytes
}

/// CPU of one flood of ours in µs, and how many writes all of them took.
fn ours(sink: SocketAddr, publishes: u32) -> io::Result<(f64, u32)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let opened = Endpoint { address: sink }.open(&ConnectOptions::default()).await;
        let mut connection = opened.map_err(|error| io::Error::other(error.to_string()))?.connection;
        let template = template()?;
        let began = cpu_us();
        let mut writes = 0;
        for _ in 0..FLOODS {
            let bytes = flood(&template, publishes);
            let sent = connection.send_while_receiving(&bytes, &mut 0).await;
            writes += sent.map_err(|error| io::Error::other(error.to_string()))?.writes;
        }
        let took = cpu_us() - began;
        connection.close();
        Ok((took / f64::from(FLOODS), writes))
    })
}

/// CPU of one flood of the floor's in µs.
fn floor(sink: SocketAddr, bytes: &[u8]) -> io::Result<f64> {
    let mut stream = TcpStream::connect(sink)?;
    let began = cpu_us();
    for _ in 0..FLOODS {
        stream.write_all(bytes)?;
    }
    Ok((cpu_us() - began) / f64::from(FLOODS))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn compare(publishes: u32, runs: usize) -> io::Result<()> {
    if publishes == 0 || runs == 0 {
        return Err(io::Error::other("nothing to measure: both numbers must be above 0"));
    }
    let (mut child, sink) = start_sink()?;
    let bytes = flood(&template()?, publishes);
    // Once without counting: what a process and a socket take once.
    ours(sink, publishes)?;
    floor(sink, &bytes)?;
    let (mut of_ours, mut of_floor, mut ratios, mut writes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let floor = floor(sink, &bytes)? / f64::from(publishes);
        let (ours, took) = ours(sink, publishes)?;
        let ours = ours / f64::from(publishes);
        of_floor.push(floor);
        of_ours.push(ours);
        ratios.push(ours / floor);
        writes.push(f64::from(took) / f64::from(FLOODS));
    }
    drop(child.stdin.take());
    child.wait()?;
    let least = of_ours.iter().copied().fold(f64::INFINITY, f64::min);
    let most = of_ours.iter().copied().fold(0.0, f64::max);
    let ours = median(of_ours);
    let remark = if ours > LIMIT_US { "  above its limit" } else { "" };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<34} {:>8} {:>8} {:>17} {:>6} {:>6}",
        "CPU per PUBLISH, us", "floor", "ours", "(from - to)", "ratio", "limit"
    )?;
    let range = format!("({least:.3} - {most:.3})");
    let label = format!("{publishes} of {} bytes", bytes.len() / publishes as usize);
    writeln!(
        out,
        "{label:<34} {:>8.3} {ours:>8.3} {range:>17} {:>6.2} {LIMIT_US:>6}{remark}",
        median(of_floor),
        median(ratios),
    )?;
    writeln!(
        out,
        "medians of {runs} alternating runs of {FLOODS} floods; {:.1} writes a flood; user and system time",
        median(writes)
    )
}
