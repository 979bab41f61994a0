//! When FIN and RST arrived, seen on a packet socket: the kernel stamps both, but reports the stamps not to the
//! socket that they end. Requires CAP_NET_RAW; without it there is no tap, and this program stamps ends.
//!
//! There is a socket for each port and family of the brokers. Its filter passes what ends a connection to that port, and the DISCONNECT that often goes just before: once FIN
//! has arrived too, the kernel may have joined both and given the DISCONNECT the stamp of the FIN. For a broker on
//! this machine it also passes each CONNECT that arrives there, as a packet capture does: a few µs after its stamp of
//! departure, more when the machine is interrupted in between. There is no further thread: a connection that sees an
//! end empties the socket.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::clock::{instant_of, now};
use crate::kernel_stamps::{self, Read};
use crate::received::EndKind;

/// Every EtherType (linux/if_ether.h). Sockets that name one get a packet after those that name all of them, and
/// their stamps are later by that: 3 to 14 µs on loopback, where a packet capture names all.
const ALL: u16 = 0x0003;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86DD;
const TCP: u8 = 6;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;
/// The first byte of a DISCONNECT.
pub(crate) const DISCONNECT: u8 = 0xE0;
/// The first byte of a CONNECT.
pub(crate) const CONNECT: u8 = 0x10;
/// The longest headers of IP and TCP, and a byte behind them.
const KEPT_BYTES: u32 = 121;
/// Room for about 10,000 ends that were not read yet.
const BUFFER_BYTES: usize = 8 << 20;

/// The addresses of a connection: ours and the broker's.
pub(crate) type Addresses = (SocketAddr, SocketAddr);

/// What arrived on one connection, and when first.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// An earlier connection may have had the same addresses.
    since: Instant,
    /// The last one that arrived at a broker on this machine.
    connect: Option<Instant>,
    disconnect: Option<Instant>,
    fin: Option<Instant>,
    reset: Option<Instant>,
}

/// Packet sockets for the connections to several brokers.
#[derive(Debug)]
pub(crate) struct Taps(Vec<Tap>);

impl Taps {
    /// Sees what comes from each of `brokers`. The error is the kernel's, in most cases a missing CAP_NET_RAW.
    pub(crate) fn open(brokers: &[SocketAddr]) -> io::Result<Self> {
        let ports: BTreeSet<Port> = brokers.iter().copied().map(Port::of).collect();
        ports.into_iter().map(Tap::open).collect::<io::Result<_>>().map(Self)
    }

    /// The tap that sees connections with these addresses.
    pub(crate) fn of(&self, (_, broker): Addresses) -> Option<&Tap> {
        let port = Port::of(broker);
        self.0.iter().find(|tap| tap.port == port)
    }
}

/// What a filter can tell of brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    is_ipv6: bool,
    number: u16,
}

impl Port {
    fn of(broker: SocketAddr) -> Self {
        Self { is_ipv6: broker.is_ipv6(), number: broker.port() }
    }
}

/// A packet socket, and what it saw of the connections that are watched.
#[derive(Debug)]
pub(crate) struct Tap {
    port: Port,
    socket: Socket,
    seen: Mutex<HashMap<Addresses, Seen>>,
}

impl Tap {
    fn open(port: Port) -> io::Result<Self> {
        let ip = if port.is_ipv6 { in_ipv6() } else { in_ipv4() };
        let filter = filter(&ip, port.number);
        // The headers of the link are left out: bytes begin with those of IP.
        let kind = Type::DGRAM.nonblocking().cloexec();
        let protocol = Protocol::from(i32::from(ALL.to_be()));
        let socket = Socket::new(Domain::PACKET, kind, Some(protocol))?;
        socket.attach_filter(&filter)?;
        kernel_stamps::stamp_arrivals(&socket)?;
        // Requires another right; with less room, fewer ends wait.
        let _best_effort = setsockopt(&socket, RcvBufForce, &BUFFER_BYTES);
        Ok(Self { port, socket, seen: Mutex::default() })
    }

    /// Keeps arrivals on a connection from now on, until it is forgotten.
    pub(crate) fn watch(&self, addresses: Addresses) {
        let nothing = Seen { since: now(), connect: None, disconnect: None, fin: None, reset: None };
        self.with_seen(|seen| seen.insert(addresses, nothing));
    }

    pub(crate) fn forget(&self, addresses: Addresses) {
        self.with_seen(|seen| seen.remove(&addresses));
    }

    /// When the connection's end arrived.
    pub(crate) fn end(&self, addresses: Addresses, how: EndKind) -> Option<Instant> {
        let seen = self.look(addresses)?;
        match how {
            EndKind::Fin => seen.fin,
            EndKind::Reset => seen.reset,
            EndKind::Failed => None,
        }
    }

    /// When the last CONNECT arrived at a broker on this machine.
    pub(crate) fn connect(&self, addresses: Addresses) -> Option<Instant> {
        self.look(addresses)?.connect
    }

    /// When a DISCONNECT at the begin of a segment arrived.
    pub(crate) fn disconnect(&self, addresses: Addresses) -> Option<Instant> {
        self.look(addresses)?.disconnect
    }

    fn look(&self, addresses: Addresses) -> Option<Seen> {
        self.with_seen(|seen| {
            self.take_in(seen);
            seen.get(&addresses).copied()
        })
    }

    /// Takes what has arrived out of the socket.
    fn take_in(&self, seen: &mut HashMap<Addresses, Seen>) {
        let mut bytes = [0; KEPT_BYTES as usize];
        loop {
            match kernel_stamps::read(&self.socket, &mut bytes) {
                Ok(Read { bytes: length, stamp: Some(stamp) }) => note(&bytes[..length], stamp, seen),
                Ok(_unstamped) => {}
                Err(_nothing_more) => return,
            }
        }
    }

    fn with_seen<T>(&self, with: impl FnOnce(&mut HashMap<Addresses, Seen>) -> T) -> T {
        // What is kept is whole at every moment.
        with(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn note(packet: &[u8], stamp: Duration, seen: &mut HashMap<Addresses, Seen>) {
    let Some(Segment { from, to, flags, first_byte }) = Segment::read(packet) else { return };
    let Some(at) = instant_of(stamp) else { return };
    if let Some(seen) = seen.get_mut(&(from, to)).filter(|_| first_byte == Some(CONNECT)) {
        seen.connect = Some(at);
        return;
    }
    let Some(seen) = seen.get_mut(&(to, from)).filter(|seen| at >= seen.since) else { return };
    // The first of each counts: later ones are retransmissions.
    if first_byte == Some(DISCONNECT) {
        seen.disconnect.get_or_insert(at);
    }
    if flags & FIN != 0 {
        seen.fin.get_or_insert(at);
    }
    if flags & RST != 0 {
        seen.reset.get_or_insert(at);
    }
}

/// What matters of a segment.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    from: SocketAddr,
    to: SocketAddr,
    flags: u8,
    /// Absent when it carries none.
    first_byte: Option<u8>,
}

impl Segment {
    /// Reads a packet from its IP header on; absent when it is no TCP, or too short.
    fn read(packet: &[u8]) -> Option<Self> {
        let (from, to, length, tcp) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet[0] & 0xF) * 4;
                let address =
                    |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
                let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
                let is_tcp = *packet.get(9)? == TCP;
                is_tcp.then_some(())?;
                let addresses = (IpAddr::V4(address(12)?), IpAddr::V4(address(16)?));
                (addresses.0, addresses.1, length.checked_sub(header)?, packet.get(header..)?)
            }
            6 => {
                const HEADER: usize = 40;
                let address =
                    |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
                let length = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
                let is_tcp = *packet.get(6)? == TCP;
                is_tcp.then_some(())?;
                (IpAddr::V6(address(8)?), IpAddr::V6(address(24)?), length, packet.get(HEADER..)?)
            }
            _ => return None,
        };
        let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
        let payload_at = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Self {
            from: SocketAddr::new(from, port(0)?),
            to: SocketAddr::new(to, port(2)?),
            flags: *tcp.get(13)?,
            first_byte: (length > payload_at).then(|| tcp.get(payload_at).copied()).flatten(),
        })
    }
}

/// Classic BPF (linux/bpf_common.h): load, jump, calculate, return.
mod op {
    pub(super) const LOAD_BYTE_AT: u16 = 0x30;
    pub(super) const LOAD_HALF_AT: u16 = 0x28;
    pub(super) const LOAD_BYTE_FROM_X: u16 = 0x50;
    pub(super) const LOAD_HALF_FROM_X: u16 = 0x48;
    pub(super) const LOAD_X_HEADER_LENGTH: u16 = 0xB1;
    pub(super) const LOAD_X: u16 = 0x01;
    pub(super) const JUMP_IF_EQUAL: u16 = 0x15;
    pub(super) const JUMP_IF_ANY_BIT: u16 = 0x45;
    pub(super) const AND: u16 = 0x54;
    pub(super) const SHIFT_RIGHT: u16 = 0x74;
    pub(super) const ADD_X: u16 = 0x0C;
    pub(super) const MOVE_TO_X: u16 = 0x07;
    pub(super) const RETURN: u16 = 0x06;
}

/// What the kernel knows of a packet besides its bytes (linux/filter.h): its EtherType, and whether it leaves.
mod beside {
    pub(super) const ETHER_TYPE: u32 = 0xFFFF_F000;
    pub(super) const PACKET_TYPE: u32 = 0xFFFF_F004;
    pub(super) const OUTGOING: u32 = 4;
}

/// Instructions before those of [`filter`]: they drop what leaves and what is not TCP, and leave the offset of the
/// TCP header in X. [`filter`] resolves jumps to `DROP`.
const DROP: u8 = u8::MAX;

const fn arriving(ether_type: u32) -> [(u16, u8, u8, u32); 4] {
    [
        (op::LOAD_BYTE_AT, 0, 0, beside::PACKET_TYPE),
        (op::JUMP_IF_EQUAL, DROP, 0, beside::OUTGOING),
        (op::LOAD_HALF_AT, 0, 0, beside::ETHER_TYPE),
        (op::JUMP_IF_EQUAL, 0, DROP, ether_type),
    ]
}

fn in_ipv4() -> Vec<(u16, u8, u8, u32)> {
    let in_header = [
        (op::LOAD_BYTE_AT, 0, 0, 9),
        (op::JUMP_IF_EQUAL, 0, DROP, u32::from(TCP)),
        (op::LOAD_HALF_AT, 0, 0, 6),
        // A fragment but the first has no TCP header.
        (op::JUMP_IF_ANY_BIT, DROP, 0, 0x1FFF),
        (op::LOAD_X_HEADER_LENGTH, 0, 0, 0),
    ];
    [&arriving(IPV4)[..], &in_header].concat()
}

/// Without extension headers, as TCP comes.
fn in_ipv6() -> Vec<(u16, u8, u8, u32)> {
    let in_header =
        [(op::LOAD_BYTE_AT, 0, 0, 6), (op::JUMP_IF_EQUAL, 0, DROP, u32::from(TCP)), (op::LOAD_X, 0, 0, 40)];
    [&arriving(IPV6)[..], &in_header].concat()
}

/// Keeps the headers of a segment from `port` with FIN, RST or a DISCONNECT, and of one to `port` with a CONNECT; drops
/// everything else. What would be read behind the end of a packet drops it.
fn filter(ip: &[(u16, u8, u8, u32)], port: u16) -> Vec<SockFilter> {
    const KEEP: u8 = DROP - 1;
    // Leaves the first byte of the payload: the length of the TCP header is in the upper half, in units of four bytes.
    const FIRST_BYTE: [(u16, u8, u8, u32); 6] = [
        (op::LOAD_BYTE_FROM_X, 0, 0, 12),
        (op::AND, 0, 0, 0xF0),
        (op::SHIFT_RIGHT, 0, 0, 2),
        (op::ADD_X, 0, 0, 0),
        (op::MOVE_TO_X, 0, 0, 0),
        (op::LOAD_BYTE_FROM_X, 0, 0, 0),
    ];
    // Over what follows in `from_broker`, FIRST_BYTE and the first of `to_broker`.
    const TO_BROKER: u8 = 2 + 6 + 1;
    let from_broker = [
        (op::LOAD_HALF_FROM_X, 0, 0, 0),
        (op::JUMP_IF_EQUAL, 0, TO_BROKER, u32::from(port)),
        (op::LOAD_BYTE_FROM_X, 0, 0, 13),
        (op::JUMP_IF_ANY_BIT, KEEP, 0, u32::from(FIN | RST)),
    ];
    let to_broker = [
        (op::JUMP_IF_EQUAL, KEEP, DROP, u32::from(DISCONNECT)),
        (op::LOAD_HALF_FROM_X, 0, 0, 2),
        (op::JUMP_IF_EQUAL, 0, DROP, u32::from(port)),
    ];
    let last = [(op::JUMP_IF_EQUAL, KEEP, DROP, u32::from(CONNECT))];
    let all = [ip, &from_broker, &FIRST_BYTE, &to_broker, &FIRST_BYTE, &last].concat();
    let (keep, drop) = (all.len(), all.len() + 1);
    let target = |jump: u8, from: usize| {
        let to = match jump {
            KEEP => keep,
            DROP => drop,
            near => return near,
        };
        u8::try_from(to - from - 1).expect("the program has fewer than 256 instructions")
    };
    let mut program: Vec<SockFilter> = all
        .iter()
        .enumerate()
        .map(|(at, &(code, if_so, if_not, k))| {
            SockFilter::new(code, target(if_so, at), target(if_not, at), k)
        })
        .collect();
    program.push(SockFilter::new(op::RETURN, 0, 0, KEPT_BYTES));
    program.push(SockFilter::new(op::RETURN, 0, 0, 0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "10.0.0.1:1883";
    const TO: &str = "10.0.0.2:40000";

    fn ipv4(protocol: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0x07, 0x5B, 0x9C, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        packet.extend(payload);
        packet[3] = u8::try_from(packet.len()).unwrap();
        packet
    }

    fn segment(flags: u8, first_byte: Option<u8>) -> Segment {
        Segment { from: FROM.parse().unwrap(), to: TO.parse().unwrap(), flags, first_byte }
    }

    #[test]
    fn a_segment_is_read_with_its_addresses_flags_and_first_byte() {
        assert_eq!(Segment::read(&ipv4(TCP, FIN, &[])), Some(segment(FIN, None)));
        assert_eq!(Segment::read(&ipv4(TCP, 0x18, &[0xE0, 0])), Some(segment(0x18, Some(0xE0))));
        // A short frame is filled up to the least that the link carries.
        let mut padded = ipv4(TCP, RST, &[]);
        padded.extend([0xE0; 6]);
        assert_eq!(Segment::read(&padded), Some(segment(RST, None)));
    }

    #[test]
    fn only_whole_tcp_segments_are_read() {
        assert_eq!(Segment::read(&ipv4(17, FIN, &[])), None);
        let whole = ipv4(TCP, FIN, &[]);
        // The window, the checksum and the urgent pointer are not read.
        for length in 0..whole.len() - 6 {
            assert_eq!(Segment::read(&whole[..length]), None, "{length} bytes");
        }
    }
}
