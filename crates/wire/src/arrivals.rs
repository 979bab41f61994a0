//! The kernel's stamps for sockets that are not a [`Connection`](crate::Connection): for an engine that waits for
//! thousands of them itself.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use crate::clock;
use crate::kernel_stamps::{self, Read};
use crate::stamps::possible;

/// What one read brought.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// How many bytes; 0 at the end of the stream.
    pub bytes: usize,
    /// When the last of them arrived, by the kernel's stamp; without one, when they were read.
    pub at: Instant,
    /// When they were read.
    pub seen: Instant,
}

/// Asks the kernel to stamp arrivals on a TCP socket. A socket for which this fails is read without stamps.
///
/// # Errors
/// What the kernel says.
pub fn stamp_arrivals(socket: &impl AsFd) -> io::Result<()> {
    kernel_stamps::stamp_arrivals(socket)
}

/// Reads once, without waiting. A stamp before `not_before` is impossible, and ignored.
///
/// # Errors
/// What the kernel says; [`io::ErrorKind::WouldBlock`] when there is nothing to read.
#[inline]
pub fn read_arrived(socket: &impl AsFd, into: &mut [u8], not_before: Instant) -> io::Result<Arrived> {
    let Read { bytes, stamp } = kernel_stamps::read(socket, into)?;
    let seen = clock::now();
    let at = stamp.and_then(|stamp| possible(stamp, not_before, seen)).unwrap_or(seen);
    Ok(Arrived { bytes, at, seen })
}

/// Has the kernel stamp the bytes of the next writes, until [`departed`] is called. Each stamp costs system calls, so
/// a load watches only a few writes. Late stamps of earlier writes are discarded.
pub fn watch_departures(socket: &impl AsFd) {
    forget_departures(socket);
    // Without, `departed` finds no stamp.
    let _best_effort = kernel_stamps::stamp_both(socket);
}

/// When the last byte written since [`watch_departures`] left; absent without a stamp, and when it has not left yet.
/// None of them left before `not_before`.
///
/// A later stamp shows as an error of the socket until it is [forgotten](forget_departures).
pub fn departed(socket: &impl AsFd, not_before: Instant) -> Option<Instant> {
    let mut last = None;
    kernel_stamps::take_departures(socket, |_place, at| last = Some(at));
    let _best_effort = kernel_stamps::stamp_arrivals(socket);
    possible(last?, not_before, clock::now())
}

/// Discards stamps of writes that came after [`departed`].
pub fn forget_departures(socket: &impl AsFd) {
    kernel_stamps::take_departures(socket, |_place, _came_late| {});
}
