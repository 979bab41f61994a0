//! A client that handles many packets: it keeps an account of them without copying. The subscribers and publishers of floods
//! are such clients.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use ungraceful_mqtt::{Frame, Packet, encode};
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_wire::clock::now;

use super::seen::Seen;
use crate::peer::Peer;

/// What a busy client records of the packets that it receives.
pub(super) trait Account {
    /// Takes a packet whose first byte came `at`; the client's answer goes into `outbox`.
    fn take(&mut self, packet: &Packet<'_>, at: Instant, outbox: &mut Vec<u8>);

    /// What the broker did besides answering.
    fn seen(&mut self) -> &mut Seen;
}

/// A client and its account.
#[derive(Debug)]
pub(super) struct Busy<A> {
    pub(super) peer: Peer,
    /// The CONNACK.
    pub(super) accepted: Accepted,
    pub(super) account: A,
}

impl<A: Account> Busy<A> {
    fn is_open(&mut self) -> bool {
        self.account.seen().end.is_none()
    }

    /// Reads once.
    pub(super) async fn receive(&mut self) {
        self.read(None).await;
    }

    /// Reads one byte.
    pub(super) async fn sip(&mut self) {
        self.read(Some(1)).await;
    }

    async fn read(&mut self, at_most: Option<usize>) {
        let Self { peer: Peer { client, outbox, .. }, account, .. } = self;
        let version = client.version;
        let take = |frame: Frame<'_>, at, _complete_at| {
            account.seen().bytes += frame.bytes.len() as u64;
            account.take(&frame.decode(version).packet, at, outbox);
        };
        let other = match at_most {
            None => client.connection.receive(take).await,
            Some(bytes) => client.connection.receive_at_most(bytes, take).await,
        };
        if let Some(other) = other {
            self.account.seen().take_arrival(&other);
        }
    }

    /// Puts a PINGREQ into the outbox.
    pub(super) fn ask(&mut self) {
        encode::pingreq(&mut self.peer.outbox);
        self.account.seen().pings_open += 1;
    }

    /// Puts a PINGREQ into the outbox when one is due.
    pub(super) fn keep_alive(&mut self) {
        if self.peer.pinging.is_due() {
            self.ask();
        }
    }

    /// Sends the outbox, and receives once, or until PINGREQ is due. Cancel-safe.
    pub(super) async fn step(&mut self) {
        self.keep_alive();
        self.peer.flush().await;
        let _elapsed = timeout(self.peer.pinging.left(), self.receive()).await;
    }

    /// Receives and sends PINGREQ until the connection ends. Cancel-safe.
    pub(super) async fn stay(&mut self) {
        while self.is_open() {
            self.step().await;
        }
    }

    /// Carries out `work`, and stays connected meanwhile.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.stay() => {}
        }
        work.await
    }

    /// Whether a PINGREQ is answered within `within`.
    pub(super) async fn is_served(&mut self, within: Duration) -> bool {
        self.ask();
        self.is_answered(within).await
    }

    /// Whether all open PINGREQs are answered within `within`.
    pub(super) async fn is_answered(&mut self, within: Duration) -> bool {
        let answered = async {
            self.peer.flush().await;
            while self.is_open() && self.account.seen().pings_open > 0 {
                self.step().await;
            }
        };
        timeout(within, answered).await.is_ok() && self.is_open()
    }

    /// Sends PINGREQ repeatedly, `every` after the last one but not before its answer, and passes on when answers came. Never
    /// returns.
    pub(super) async fn keep_asking(
        &mut self,
        every: Duration,
        mut answered: impl FnMut(Instant),
    ) -> Infallible {
        while self.is_open() {
            let asked_at = now();
            self.ask();
            while self.is_open() && self.account.seen().pings_open > 0 {
                self.step().await;
            }
            if self.is_open() {
                answered(now());
            }
            let rest = timeout(every.saturating_sub(asked_at.elapsed()), self.stay());
            let _elapsed = rest.await;
        }
        pending().await
    }

    /// Disconnects properly.
    pub(super) async fn leave(self) {
        self.peer.client.leave().await;
    }
}
