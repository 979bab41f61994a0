//! The kernel's stamps for sockets that are not a [`Connection`](crate::Connection): an engine that waits for thousands of
//! them by itself.

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

/// Asks the kernel to stamp what arrives on a TCP socket. A socket for which this fails is read without stamps.
///
/// # Errors
/// What the kernel says.
pub fn stamp_arrivals(socket: &impl AsFd) -> io::Result<()> {
    kernel_stamps::stamp_arrivals(socket)
}

/// Reads once, without waiting. A stamp from before `not_before`, when nothing of this can have arrived, is not believed.
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

/// Has the kernel stamp the bytes that the next writes hand over, until [`departed`] is called. Each of these stamps costs
/// system calls, so a load looks at a few of its writes only. Stamps of earlier writes that came late are thrown away.
pub fn watch_departures(socket: &impl AsFd) {
    forget_departures(socket);
    // Without, `departed` finds no stamp.
    let _best_effort = kernel_stamps::stamp_both(socket);
}

/// When the last byte of what was written since [`watch_departures`] left; absent when it has not yet, and without a stamp.
/// Nothing of it left before `not_before`.
///
/// A stamp that comes later shows as an error of the socket until it is [forgotten](forget_departures).
pub fn departed(socket: &impl AsFd, not_before: Instant) -> Option<Instant> {
    let mut last = None;
    kernel_stamps::take_departures(socket, |_place, at| last = Some(at));
    let _best_effort = kernel_stamps::stamp_arrivals(socket);
    possible(last?, not_before, clock::now())
}

/// Throws away the stamps of writes that came after [`departed`] had looked.
pub fn forget_departures(socket: &impl AsFd) {
    kernel_stamps::take_departures(socket, |_place, _came_late| {});
}
