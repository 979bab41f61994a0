//! When bytes and ends really left and arrived: by the kernel's stamps where there are any, by our own clock
//! otherwise.
//!
//! A thread sees a socket late: after the kernel has woken it, and after whatever else it does first. A packet
//! capture does not wait for it, and neither do these stamps.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::clock;
use crate::kernel_stamps::{self, Read};
use crate::received::EndKind;
use crate::stream::Stream;
use crate::tap::{Addresses, CONNECT, DISCONNECT, Tap, Taps};

/// How far a stamp may lie outside of what is possible: two clocks are read one after the other.
const SLACK: Duration = Duration::from_micros(20);

/// How long a CONNECT to a broker on this machine may take to arrive, before the time of its departure is used.
const ARRIVES_WITHIN: Duration = Duration::from_micros(500);

/// Whose clock an instant comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StampedBy {
    /// The kernel stamped the segment as it left or arrived.
    Kernel,
    /// This program read its clock: just before a write, or when it saw an arrival.
    Program,
}

/// An instant, and whose clock it comes from.
pub(crate) type Stamped = (Instant, StampedBy);

/// Has the kernel stamp connections to a broker, and counts the stamps. Clones share it.
#[derive(Clone, Debug)]
pub struct Stamps(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Absent without the right to packet sockets.
    taps: Option<Taps>,
    /// While open, the kernel stamps arrivals; absent where it does not.
    _stamping: Option<UdpSocket>,
    by_kernel: AtomicU64,
    by_program: AtomicU64,
    ends_by_kernel: AtomicU64,
    ends_by_program: AtomicU64,
    sight: Mutex<Histogram<u64>>,
}

/// How many instants of connections the kernel stamped.
#[derive(Clone, Debug, PartialEq)]
pub struct StampCounts {
    /// Sends and reads that the kernel stamped.
    pub by_kernel: u64,
    /// Sends and reads without a stamp of the kernel's.
    pub by_program: u64,
    /// Ends of streams (FIN, RST) that the kernel stamped.
    pub ends_by_kernel: u64,
    /// Ends of streams without a stamp of the kernel's.
    pub ends_by_program: u64,
    /// How much later than the kernel's stamp we saw arrivals, in µs: how late an instant may be that this program
    /// stamped.
    pub sight: Histogram<u64>,
}

impl Stamps {
    /// For connections to `brokers`: the nodes of one. `sight` is empty, and takes µs ([`StampCounts::sight`]).
    ///
    /// Stamping FIN and RST requires the right to open packet sockets (CAP_NET_RAW). Blocks for some milliseconds,
    /// until the kernel stamps arrivals.
    #[must_use]
    pub fn toward(brokers: &[SocketAddr], sight: Histogram<u64>) -> Self {
        Self::with(Taps::open(brokers).ok(), sight)
    }

    /// As [`Stamps::toward`] without that right: the program stamps FIN and RST.
    #[must_use]
    pub fn of_bytes_alone(sight: Histogram<u64>) -> Self {
        Self::with(None, sight)
    }

    fn with(taps: Option<Taps>, sight: Histogram<u64>) -> Self {
        Self(Arc::new(Shared {
            taps,
            _stamping: have_arrivals_stamped().ok(),
            by_kernel: AtomicU64::new(0),
            by_program: AtomicU64::new(0),
            ends_by_kernel: AtomicU64::new(0),
            ends_by_program: AtomicU64::new(0),
            sight: Mutex::new(sight),
        }))
    }

    /// Whether FIN and RST are stamped by the kernel.
    #[must_use]
    pub fn sees_ends(&self) -> bool {
        self.0.taps.is_some()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> StampCounts {
        StampCounts {
            by_kernel: self.0.by_kernel.load(Relaxed),
            by_program: self.0.by_program.load(Relaxed),
            ends_by_kernel: self.0.ends_by_kernel.load(Relaxed),
            ends_by_program: self.0.ends_by_program.load(Relaxed),
            sight: self.0.sight.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Stamping {
    stamps: Stamps,
    /// The tap's key of the connection; absent where no tap sees it.
    addresses: Option<Addresses>,
    /// Bytes handed to the kernel, wrapped as the kernel wraps its count.
    sent: u32,
    /// The next arrival is no earlier than this.
    not_before: Instant,
    /// What the last read brought is no earlier than this.
    before_read: Instant,
}

impl Stamping {
    /// Begins on a connection without traffic; absent where the kernel stamps nothing.
    pub(crate) fn begin(stamps: &Stamps, stream: &Stream) -> Option<Box<Self>> {
        let not_before = clock::now();
        stream.stamp().ok()?;
        let addresses = stamps.0.taps.as_ref().and_then(|taps| {
            let addresses = stream.addresses().ok()?;
            taps.of(addresses)?.watch(addresses);
            Some(addresses)
        });
        Some(Box::new(Self {
            stamps: stamps.clone(),
            addresses,
            sent: 0,
            not_before,
            before_read: not_before,
        }))
    }

    /// When the last of the bytes left that a write, begun at `began`, took.
    pub(crate) fn left(&mut self, stream: &Stream, taken: &[u8], began: Instant) -> Stamped {
        #[expect(clippy::cast_possible_truncation, reason = "the kernel counts in 32 bits too")]
        let length = taken.len() as u32;
        self.sent = self.sent.wrapping_add(length);
        let last = self.sent.wrapping_sub(1);
        let mut stamp = None;
        stream.take_departures(|place, at| {
            // The first counts: later ones are retransmissions.
            if place == last {
                stamp.get_or_insert(at);
            }
        });
        let is_connect = taken.first() == Some(&CONNECT);
        let connect = is_connect.then(|| self.arrival_of_connect(began)).flatten();
        let left = connect.or_else(|| stamp.and_then(|stamp| possible(stamp, began, clock::now())));
        self.stamps.0.count(left.is_some());
        left.map_or((began, StampedBy::Program), |at| (at, StampedBy::Kernel))
    }

    /// When the CONNECT of a write that began at `began` arrived at a broker on this machine; absent for other
    /// brokers. It has arrived when the write returns, or some µs later where another thread of the kernel delivers
    /// it.
    fn arrival_of_connect(&self, began: Instant) -> Option<Instant> {
        let (tap, addresses) = self.tap()?;
        let (own, broker) = (addresses.0.ip(), addresses.1.ip());
        let is_here = broker.is_loopback() || own == broker;
        let deadline = clock::now() + ARRIVES_WITHIN;
        loop {
            let at = tap.connect(addresses).filter(|at| began <= *at);
            if at.is_some() || !is_here || clock::now() >= deadline {
                return at;
            }
            std::thread::yield_now();
        }
    }

    /// When the last of the bytes arrived that were seen at `seen`.
    pub(crate) fn arrived(&mut self, stamp: Option<Duration>, seen: Instant) -> Stamped {
        self.before_read = self.not_before;
        let at = stamp.and_then(|stamp| possible(stamp, self.not_before, seen));
        self.stamps.0.count(at.is_some());
        let Some(at) = at else { return (seen, StampedBy::Program) };
        let mut sight = self.stamps.0.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let late_us = seen.saturating_duration_since(at).as_micros();
        sight.saturating_record(u64::try_from(late_us).unwrap_or(u64::MAX));
        self.not_before = at;
        (at, StampedBy::Kernel)
    }

    /// When a packet with this first byte, from a read that arrived at `read`, arrived itself. A read of several
    /// segments has the stamp of the last, even of a mere FIN; the tap has a stamp of the DISCONNECT's own.
    pub(crate) fn of_packet(&self, first_byte: u8, read: Stamped) -> Stamped {
        if first_byte != DISCONNECT || read.1 != StampedBy::Kernel {
            return read;
        }
        // A segment inside an earlier packet may begin with the same byte: what an earlier read brought does not
        // count.
        let own = self.tap().and_then(|(tap, addresses)| tap.disconnect(addresses));
        own.filter(|own| *own >= self.before_read).map_or(read, |own| (own.min(read.0), StampedBy::Kernel))
    }

    /// When the end of the stream arrived that was seen at `seen`.
    pub(crate) fn ended(&self, how: EndKind, seen: Instant) -> Stamped {
        // The packet socket stamps slightly sooner than the connection's own socket: the end stays behind what came
        // before.
        let end = self.tap().and_then(|(tap, addresses)| tap.end(addresses, how));
        let at = end.map(|at| at.max(self.not_before).min(seen));
        let shared = &self.stamps.0;
        let count = if at.is_some() { &shared.ends_by_kernel } else { &shared.ends_by_program };
        count.fetch_add(1, Relaxed);
        at.map_or((seen, StampedBy::Program), |at| (at, StampedBy::Kernel))
    }

    fn tap(&self) -> Option<(&Tap, Addresses)> {
        let addresses = self.addresses?;
        Some((self.stamps.0.taps.as_ref()?.of(addresses)?, addresses))
    }
}

impl Drop for Stamping {
    fn drop(&mut self) {
        if let Some((tap, addresses)) = self.tap() {
            tap.forget(addresses);
        }
    }
}

impl Shared {
    fn count(&self, by_kernel: bool) {
        let count = if by_kernel { &self.by_kernel } else { &self.by_program };
        count.fetch_add(1, Relaxed);
    }
}

/// Has the kernel stamp arrivals, and returns when it does: it begins some time after the request.
fn have_arrivals_stamped() -> io::Result<UdpSocket> {
    const TRIES_MAX: u32 = 100;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    kernel_stamps::stamp_arrivals(&socket)?;
    let itself = socket.local_addr()?;
    for _ in 0..TRIES_MAX {
        socket.send_to(&[0], itself)?;
        // On loopback it has arrived when the call returns, or arrives within the pause.
        if matches!(kernel_stamps::read(&socket, &mut [0]), Ok(Read { stamp: Some(_), .. })) {
            return Ok(socket);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The instant of a stamp that lies between two others; absent when it does not, because the wall clock was set.
pub(crate) fn possible(stamp: Duration, not_before: Instant, not_after: Instant) -> Option<Instant> {
    let at = clock::instant_of(stamp)?;
    let is_possible = not_before <= at + SLACK && at <= not_after + SLACK;
    is_possible.then(|| at.max(not_before).min(not_after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_outside_of_what_is_possible_is_ignored() {
        const SECOND: Duration = Duration::from_secs(1);
        let wall = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
            clock::since_1970(time.tv_sec, time.tv_nsec)
        };
        let before = clock::now();
        let stamp = wall();
        let after = clock::now();
        let at = possible(stamp, before, after).unwrap();
        assert!(before <= at && at <= after);
        assert_eq!(possible(stamp - SECOND, before, after), None, "the clock was set forward");
        assert_eq!(possible(stamp + SECOND, before, after), None, "the clock was set back");
        assert_eq!(possible(stamp, after + SECOND, after + 2 * SECOND), None);
    }
}
