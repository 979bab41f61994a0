//! The least that a generator can cost: plain system calls on prepared bytes, and a sink to send them to.
//!
//! `scripts/bench-peers` runs it beside `ungraceful-bench` and the tools of others. Loopback only.
//!
//! Usage:
//! - `bench_floor sink` prints its port and answers CONNECT, SUBSCRIBE, PUBLISH and PINGREQ until standard input ends
//! - `bench_floor qos0|qos1|sparse|e2e0|e2e1 PORT MESSAGES` sends so many and prints its own CPU in ns per message
//! - `bench_floor connect PORT CONNECTIONS` connects so many, prints its own CPU in ns per connection
//! - `bench_floor memory PORT CONNECTIONS` connects so many, prints the growth of its memory in bytes per connection
//!
//! With the path of a certificate behind it, each is over TLS; the sink makes the certificate, for localhost. That is rustls on blocking
//! sockets, as its documentation shows it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::Arc;

use rustix::thread::{clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::{ClockId, Timespec, clock_gettime};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Unacknowledged at QoS 1, and in one write.
const WINDOW: usize = 100;
/// Bytes in one write at QoS 0.
const BATCH: usize = 32 * 1024;
/// Messages per second of `sparse`, and of `e2e0`.
const SPARSE_PER_SECOND: u64 = 20_000;
const END_TO_END_PER_SECOND: u64 = 40_000;
const SECOND_NS: u64 = 1_000_000_000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let wrong =
        || io::Error::other("usage: bench_floor sink | qos0|qos1|sparse|e2e0|e2e1|connect PORT COUNT");
    let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
    match arguments[..] {
        ["sink"] => sink(None),
        ["sink", certificate] => sink(Some(certificate)),
        [what, port, count, ref certificate @ ..] if certificate.len() <= 1 => {
            let port = port.parse::<u16>().map_err(|_| wrong())?;
            let count = number(count)?;
            let sink = &Sink::new(port, certificate.first().copied())?;
            let figure = match what {
                "qos0" => qos0(sink, count)?,
                "qos1" => qos1(sink, count)?,
                "sparse" => sparse(sink, count)?,
                "e2e0" => end_to_end(sink, count, 0)?,
                "e2e1" => end_to_end(sink, count, 1)?,
                "connect" => connect_all(sink, count)?.0,
                "memory" => connect_all(sink, count)?.1,
                _ => return Err(wrong()),
            };
            writeln!(io::stdout(), "{}", figure / count.max(1) as u64)
        }
        _ => Err(wrong()),
    }
}

/// A connection, over TLS or not.
trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// Memory of this process in bytes.
fn resident_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().map_err(io::Error::other)?;
    Ok(kib * 1_024)
}

/// CPU time of this process so far, in ns.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

// The sink

/// TLS with a certificate for localhost, which is written to a file.
fn server_config(certificate: &str) -> io::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    std::fs::write(certificate, made.cert.pem())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![made.cert.into()], key));
    config.map(Arc::new).map_err(io::Error::other)
}

fn sink(certificate: Option<&str>) -> io::Result<()> {
    let config = certificate.map(server_config).transpose()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    std::thread::spawn(move || -> io::Result<()> {
        loop {
            let (peer, _address) = listener.accept()?;
            peer.set_nodelay(true)?;
            let peer: Box<dyn Stream> = match &config {
                None => Box::new(peer),
                Some(config) => {
                    let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                    Box::new(StreamOwned::new(tls, peer))
                }
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn(move || serve(peer))?;
        }
    });
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

/// Answers one client until it leaves, in as much of both versions as a generator needs.
fn serve(mut peer: Box<dyn Stream>) -> io::Result<()> {
    let (mut buffer, mut filled) = (vec![0_u8; 16 * 1024], 0);
    let (mut is_version_5, mut is_subscribed) = (false, false);
    let mut answer = Vec::new();
    loop {
        let read = peer.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut at = 0;
        while let Some((header, length)) = remaining_length(&buffer[at..filled]) {
            let end = at + header + length;
            if end > filled {
                break;
            }
            let (first, body) = (buffer[at], &buffer[at + header..end]);
            match first >> 4 {
                1 => {
                    is_version_5 = body.get(6) == Some(&5);
                    answer.extend_from_slice(if is_version_5 {
                        &[0x20, 3, 0, 0, 0]
                    } else {
                        &[0x20, 2, 0, 0]
                    });
                }
                3 => {
                    let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    match first >> 1 & 3 {
                        1 => answer.extend_from_slice(&[0x40, 2, body[2 + topic], body[3 + topic]]),
                        2 => answer.extend_from_slice(&[0x50, 2, body[2 + topic], body[3 + topic]]),
                        _ => {}
                    }
                    if is_subscribed {
                        answer.extend_from_slice(&buffer[at..end]);
                    }
                }
                6 => answer.extend_from_slice(&[0x70, 2, body[0], body[1]]),
                // As a broker does to a client that subscribes to what it publishes itself, which is what a run tries first.
                8 if is_version_5 => {
                    is_subscribed = true;
                    answer.extend_from_slice(&[0x90, 4, body[0], body[1], 0, body[body.len() - 1] & 3]);
                }
                8 => {
                    is_subscribed = true;
                    answer.extend_from_slice(&[0x90, 3, body[0], body[1], body[body.len() - 1] & 3]);
                }
                12 => answer.extend_from_slice(&[0xD0, 0]),
                14 => return Ok(()),
                _ => {}
            }
            at = end;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        if filled == buffer.len() {
            buffer.resize(2 * buffer.len(), 0);
        }
        if buffer.len() < 1 << 20 && read > 8 * 1024 {
            buffer.resize(1 << 20, 0);
        }
        peer.write_all(&answer)?;
        answer.clear();
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

fn text(value: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("packets of the floor are short");
    [&[first, length], body].concat()
}

/// Where the floor connects to.
struct Sink {
    port: u16,
    /// Absent for plain TCP.
    tls: Option<Arc<ClientConfig>>,
}

impl Sink {
    /// `certificate` is the path of the sink's; absent for plain TCP.
    fn new(port: u16, certificate: Option<&str>) -> io::Result<Self> {
        let config = |path: &str| {
            let mut roots = RootCertStore::empty();
            let certificate = CertificateDer::from_pem_file(path).map_err(io::Error::other)?;
            roots.add(certificate).map_err(io::Error::other)?;
            let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_root_certificates(roots)
                .with_no_client_auth();
            // As with the generator: every handshake is a full one.
            config.resumption = Resumption::disabled();
            Ok::<_, io::Error>(Arc::new(config))
        };
        Ok(Self { port, tls: certificate.map(config).transpose()? })
    }

    /// Connects with MQTT 3.1.1.
    fn connect(&self, client_id: &str) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        tcp.set_nodelay(true)?;
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(tls, tcp))
            }
        };
        let body = [&text("MQTT")[..], &[4, 2, 0, 0], &text(client_id)].concat();
        stream.write_all(&packet(0x10, &body))?;
        stream.read_exact(&mut [0; 4])?;
        Ok(stream)
    }
}

/// A PUBLISH with a payload of 16 bytes.
fn publish(topic: &str, identifier: Option<u16>) -> Vec<u8> {
    let mut body = text(topic);
    body.extend(identifier.map(u16::to_be_bytes).into_iter().flatten());
    body.extend_from_slice(&[0; 16]);
    packet(if identifier.is_some() { 0x32 } else { 0x30 }, &body)
}

const TOPIC: &str = "ungraceful/0123456789abcdef/load/0";

fn qos0(sink: &Sink, messages: usize) -> io::Result<u64> {
    let mut stream = sink.connect("floor0")?;
    let one = publish(TOPIC, None);
    let each = BATCH / one.len();
    let batch = one.repeat(each);
    let began = cpu_ns();
    let mut left = messages;
    while left > 0 {
        let now = left.min(each);
        stream.write_all(&batch[..now * one.len()])?;
        left -= now;
    }
    Ok(cpu_ns() - began)
}

fn qos1(sink: &Sink, messages: usize) -> io::Result<u64> {
    let mut stream = sink.connect("floor1")?;
    let each: Vec<Vec<u8>> = (1..=WINDOW).map(|number| publish(TOPIC, u16::try_from(number).ok())).collect();
    let batch = each.concat();
    let length = each[0].len();
    let mut buffer = vec![0; 64 * 1024];
    let began = cpu_ns();
    let (mut sent, mut acknowledged_bytes) = (0, 0);
    while acknowledged_bytes / 4 < messages {
        let room = WINDOW - (sent - acknowledged_bytes / 4);
        let now = room.min(messages - sent);
        if now > 0 {
            stream.write_all(&batch[..now * length])?;
            sent += now;
        }
        acknowledged_bytes += read_some(stream.as_mut(), &mut buffer)?;
    }
    Ok(cpu_ns() - began)
}

/// One message per write, each when it is due: an open loop needs at least one wait and one write for each.
fn paced(stream: &mut dyn Stream, one: &[u8], messages: usize, per_second: u64) -> io::Result<()> {
    // The thread's own timers to the microsecond, as the generator has them.
    let _best_effort = set_current_timer_slack(NonZeroU64::new(1));
    let now = clock_gettime(ClockId::Monotonic);
    let began_ns = now.tv_sec.cast_unsigned() * SECOND_NS + now.tv_nsec.cast_unsigned();
    for number in 0..messages as u64 {
        let due_ns = began_ns + number * SECOND_NS / per_second;
        let due = Timespec {
            tv_sec: (due_ns / SECOND_NS).cast_signed(),
            tv_nsec: (due_ns % SECOND_NS).cast_signed(),
        };
        // Returns at once for one that is due already.
        clock_nanosleep_absolute(ClockId::Monotonic, &due)?;
        stream.write_all(one)?;
    }
    Ok(())
}

fn sparse(sink: &Sink, messages: usize) -> io::Result<u64> {
    let mut stream = sink.connect("floors")?;
    let one = publish(TOPIC, None);
    let began = cpu_ns();
    paced(stream.as_mut(), &one, messages, SPARSE_PER_SECOND)?;
    Ok(cpu_ns() - began)
}

fn read_some(stream: &mut dyn Stream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}

/// One publisher to one subscriber in one process, two threads: what both cost. At QoS 0, one message per write, each when
/// it is due. At QoS 1, each batch goes out when the one before was acknowledged, and the subscriber acknowledges what it
/// read in one write.
fn end_to_end(sink: &Sink, messages: usize, qos: u8) -> io::Result<u64> {
    let mut subscriber = sink.connect("floorsub")?;
    let body = [&[0, 1][..], &text(TOPIC), &[qos]].concat();
    subscriber.write_all(&packet(0x82, &body))?;
    subscriber.read_exact(&mut [0; 5])?;
    let began = cpu_ns();
    let receiving = std::thread::spawn(move || receive(subscriber.as_mut(), messages, qos));
    let mut stream = sink.connect("floorpub")?;
    if qos == 0 {
        paced(stream.as_mut(), &publish(TOPIC, None), messages, END_TO_END_PER_SECOND)?;
    } else {
        let each: Vec<Vec<u8>> =
            (1..=WINDOW).map(|number| publish(TOPIC, u16::try_from(number).ok())).collect();
        let (batch, length) = (each.concat(), each[0].len());
        let mut buffer = vec![0; 4 * WINDOW];
        let mut left = messages;
        while left > 0 {
            let now = left.min(WINDOW);
            stream.write_all(&batch[..now * length])?;
            stream.read_exact(&mut buffer[..4 * now])?;
            left -= now;
        }
    }
    receiving.join().map_err(|_| io::Error::other("the receiver panicked"))??;
    Ok(cpu_ns() - began)
}

fn receive(subscriber: &mut dyn Stream, messages: usize, qos: u8) -> io::Result<()> {
    let (mut buffer, mut filled) = (vec![0_u8; 64 * 1024], 0);
    let (mut received, mut answer) = (0, Vec::new());
    while received < messages {
        filled += read_some(subscriber, &mut buffer[filled..])?;
        let mut at = 0;
        while let Some((header, length)) = remaining_length(&buffer[at..filled]) {
            let end = at + header + length;
            if end > filled {
                break;
            }
            if qos > 0 {
                let identifier = at + header + 2 + TOPIC.len();
                answer.extend_from_slice(&[0x40, 2, buffer[identifier], buffer[identifier + 1]]);
            }
            received += 1;
            at = end;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        subscriber.write_all(&answer)?;
        answer.clear();
    }
    Ok(())
}

/// CPU time in ns to connect them all, and the growth of memory in bytes.
fn connect_all(sink: &Sink, connections: usize) -> io::Result<(u64, u64)> {
    // What the first one needs alone.
    let _first = sink.connect("floor")?;
    let (began, resident) = (cpu_ns(), resident_bytes()?);
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        open.push(sink.connect(&format!("floor{number}"))?);
    }
    Ok((cpu_ns() - began, resident_bytes()?.saturating_sub(resident)))
}
