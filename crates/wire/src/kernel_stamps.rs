//! The kernel's stamps of a TCP socket, taken in software: when bytes arrived, and when bytes left.
//!
//! System calls only; what a stamp means for a connection is [`crate::stamps`]. A stamp is a time of the wall clock.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::sockopt::Timestamping;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, TimestampingFlag, recvmsg, setsockopt};

use crate::clock::since_1970;

/// `ee_origin` of a stamp in the error queue (linux/errqueue.h).
const ORIGIN_TIMESTAMPING: u8 = 4;
/// `ee_info` of the stamp taken as the network device is handed the segment (linux/errqueue.h).
const SCM_TSTAMP_SND: u32 = 0;

/// Room for control messages, aligned as the kernel's headers are.
#[repr(align(8))]
struct Control([u8; 256]);

impl Control {
    const fn new() -> Self {
        Self([0; 256])
    }
}

/// What one read brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// How many bytes; 0 at the end of the stream.
    pub(crate) bytes: usize,
    /// When the last segment among them arrived, since 1970; absent without a stamp. Segments that the kernel joined
    /// before they were read have the stamp of the last one, even of a mere FIN.
    pub(crate) stamp: Option<Duration>,
}

/// Asks the kernel to stamp what arrives.
pub(crate) fn stamp_arrivals(socket: &impl AsFd) -> io::Result<()> {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
    Ok(setsockopt(socket, Timestamping, &flags)?)
}

/// Asks the kernel to stamp what arrives and what leaves. Bytes that leave are counted from here on.
pub(crate) fn stamp_both(socket: &impl AsFd) -> io::Result<()> {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_ID
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
    Ok(setsockopt(socket, Timestamping, &flags)?)
}

/// Reads once, without waiting.
pub(crate) fn read(socket: &impl AsFd, into: &mut [u8]) -> io::Result<Read> {
    let mut control = Control::new();
    let mut into = [IoSliceMut::new(into)];
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<()>(fd, &mut into, Some(&mut control.0), MsgFlags::MSG_DONTWAIT)?;
    // Control messages that can't be read count as none.
    let stamp = message.cmsgs().ok().and_then(|mut messages| messages.find_map(|message| software(&message)));
    Ok(Read { bytes: message.bytes, stamp })
}

/// Takes every stamp out of the error queue, and shows each: the position of the last byte of its write, counted from
/// 0 and wrapped at 32 bits, and when the segment with this byte left, since 1970.
pub(crate) fn take_departures(socket: &impl AsFd, mut show: impl FnMut(u32, Duration)) {
    let fd = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    loop {
        let mut control = Control::new();
        // Nothing is there, or the socket is gone.
        let Ok(message) = recvmsg::<()>(fd, &mut [], Some(&mut control.0), flags) else { return };
        let Ok(messages) = message.cmsgs() else { continue };
        let (mut stamp, mut place) = (None, None);
        for message in messages {
            stamp = stamp.or(software(&message));
            place = place.or(place_of(&message));
        }
        if let (Some(place), Some(stamp)) = (place, stamp) {
            show(place, stamp);
        }
    }
}

fn software(message: &ControlMessageOwned) -> Option<Duration> {
    let ControlMessageOwned::ScmTimestampsns(stamps) = message else { return None };
    let stamp = since_1970(stamps.system.tv_sec(), stamps.system.tv_nsec());
    (!stamp.is_zero()).then_some(stamp)
}

fn place_of(message: &ControlMessageOwned) -> Option<u32> {
    let error: &libc::sock_extended_err = match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => error,
        _ => return None,
    };
    (error.ee_origin == ORIGIN_TIMESTAMPING && error.ee_info == SCM_TSTAMP_SND).then_some(error.ee_data)
}
