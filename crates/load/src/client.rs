//! One client of a load: its socket, its stage, and what is still to be read and written.

use std::borrow::Cow;

use ungraceful_mqtt::Oddity;

use crate::publisher::Publisher;
use crate::socket::{Moved, Socket};

/// Most bytes that may wait behind what the socket has not taken yet: an answer, in its shortest form, to each of the
/// 65,535 messages that a broker can have under way.
const BEHIND_BYTES_MAX: usize = 4 * u16::MAX as usize;
/// How we ended a connection whose broker sends and does not read.
const NOT_READ: &str = "a broker that sends without reading the answers";

/// What a client does once it is connected.
#[derive(Debug)]
pub(crate) enum Role {
    /// It publishes.
    Publisher(Box<Publisher>),
    /// It subscribes; its messages go to the receiver with this place among those of the thread.
    Subscriber { receiver: usize },
    /// It stays connected.
    Idle,
}

/// How a connection ended.
pub(crate) type Ended = Cow<'static, str>;

/// The stage of a client. Instants in µs of the run's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not begun.
    Waiting,
    /// SYN sent.
    Connecting { since_us: u64 },
    /// The TCP handshake is complete, those of the layers over it are not.
    Handshaking { established_us: u64 },
    /// CONNECT sent.
    Greeting { since_us: u64 },
    /// SUBSCRIBE sent.
    Subscribing { since_us: u64 },
    /// It does its work.
    Ready,
    /// Refused, lost or left.
    Gone,
}

/// Bytes that a socket has not taken yet.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    /// Of them, how many it has taken since.
    taken: usize,
    /// Bytes added behind what the socket had not taken; as many of them as can be left.
    behind: usize,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
    /// The number among the clients of its role, over all threads.
    pub(crate) number: u32,
    pub(crate) stage: Stage,
    pub(crate) socket: Option<Socket>,
    /// The beginning of a packet whose end has not come.
    pub(crate) unread: Vec<u8>,
    /// What the socket has not taken yet; absent as long as it took everything.
    unsent: Option<Box<Unsent>>,
    /// Whether the kernel reports when the socket takes more.
    pub(crate) waits_for_room: bool,
    /// Keep Alive in µs; 0 for none.
    pub(crate) keep_alive_us: u64,
    pub(crate) last_sent_us: u64,
    /// When the last of what was read arrived.
    pub(crate) last_arrived_us: u64,
    /// When the PINGREQ was sent that is not answered yet.
    pub(crate) ping_sent_us: Option<u64>,
}

impl Client {
    pub(crate) fn new(role: Role, number: u32, keep_alive_us: u64) -> Self {
        Self {
            role,
            number,
            stage: Stage::Waiting,
            socket: None,
            unread: Vec::new(),
            unsent: None,
            waits_for_room: false,
            keep_alive_us,
            last_sent_us: 0,
            last_arrived_us: 0,
            ping_sent_us: None,
        }
    }

    /// Whether everything has gone to the kernel.
    pub(crate) fn is_drained(&self) -> bool {
        self.unsent.is_none() && self.socket.as_ref().is_none_or(Socket::is_flushed)
    }

    /// Sends bytes that can't be taken back: what the socket does not take now goes out later. Returns how the
    /// connection ended, if it did.
    pub(crate) fn send(&mut self, bytes: &[u8], now_us: u64) -> Option<Ended> {
        if bytes.is_empty() {
            return None;
        }
        if let Some(unsent) = &mut self.unsent {
            // These bytes are at the end, so no more of them can be left than of everything.
            unsent.behind = unsent.behind.min(unsent.bytes.len() - unsent.taken) + bytes.len();
            if unsent.behind > BEHIND_BYTES_MAX {
                return Some(NOT_READ.into());
            }
            if unsent.taken > BEHIND_BYTES_MAX {
                unsent.bytes.drain(..unsent.taken);
                unsent.taken = 0;
            }
            unsent.bytes.extend_from_slice(bytes);
            return None;
        }
        match self.write(bytes, now_us) {
            Moved::Bytes(written) => self.keep_unsent(&bytes[written..]),
            Moved::NotNow => self.keep_unsent(bytes),
            Moved::Ended(how) => return Some(how),
        }
        None
    }

    /// Writes once, and keeps nothing of what the socket does not take.
    pub(crate) fn write(&mut self, bytes: &[u8], now_us: u64) -> Moved {
        self.last_sent_us = now_us;
        match &mut self.socket {
            Some(socket) => socket.write(bytes),
            None => Moved::Ended("no connection".into()),
        }
    }

    /// Keeps the rest of a packet whose beginning went out.
    pub(crate) fn keep_unsent(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.unsent.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
    }

    /// The socket takes more: sends what is kept. Returns how the connection ended, if it did.
    pub(crate) fn go_on(&mut self, now_us: u64) -> Option<Ended> {
        if let Some(Moved::Ended(how)) = self.socket.as_mut().map(Socket::flush) {
            return Some(how);
        }
        let mut unsent = self.unsent.take()?;
        match self.write(&unsent.bytes[unsent.taken..], now_us) {
            Moved::Bytes(written) => unsent.taken += written,
            Moved::NotNow => {}
            Moved::Ended(how) => return Some(how),
        }
        self.unsent = Some(unsent).filter(|unsent| unsent.taken < unsent.bytes.len());
        None
    }

    /// Closes the socket; nothing is sent any more.
    pub(crate) fn let_go(&mut self) {
        self.stage = Stage::Gone;
        self.socket = None;
        self.unread = Vec::new();
        self.unsent = None;
        if let Role::Publisher(publisher) = &mut self.role {
            publisher.give_up();
        }
    }
}

/// Describes bytes of a broker that end the connection.
pub(crate) fn unreadable(oddity: Option<Oddity>) -> String {
    oddity.map_or_else(
        || "bytes that are no MQTT".to_owned(),
        |oddity| format!("a packet that can't be read: {oddity}"),
    )
}

#[cfg(test)]
mod tests {
    use super::{BEHIND_BYTES_MAX, Client, NOT_READ, Role};

    static ANSWERS: [u8; 100_000] = [0; 100_000];

    /// A client whose socket took all but one byte.
    fn behind() -> Client {
        let mut client = Client::new(Role::Idle, 0, 0);
        client.keep_unsent(&[0]);
        client
    }

    #[test]
    fn a_slow_reader_of_answers_is_not_cut() {
        let mut client = behind();
        for _ in 0..100 {
            assert_eq!(client.send(&ANSWERS, 0), None);
            let unsent = client.unsent.as_mut().expect("a byte is left");
            unsent.taken = unsent.bytes.len() - 1;
        }
        let kept = client.unsent.as_ref().expect("a byte is left").bytes.len();
        assert!(kept <= BEHIND_BYTES_MAX + 2 * ANSWERS.len(), "{kept}");
        assert!(!client.is_drained());
    }

    #[test]
    fn a_broker_that_reads_no_answers_is_cut_at_the_bound() {
        let mut client = behind();
        let ends: Vec<_> = (0..3).map(|_| client.send(&ANSWERS, 0)).collect();
        assert_eq!(ends, [None, None, Some(NOT_READ.into())]);
    }

    #[test]
    fn a_long_message_that_goes_out_slowly_is_not_behind_itself() {
        let mut client = behind();
        client.keep_unsent(&vec![0; 4 * BEHIND_BYTES_MAX]);
        assert_eq!(client.send(&[0xC0, 0], 0), None);
    }
}
