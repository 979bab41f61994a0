//! How a client goes: the last thing it does on its connection, and what the broker does then.

use std::time::Instant;

use ungraceful_mqtt::{Disconnect, ReasonCode};
use ungraceful_record::reaction::{Outcome, Reaction};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_rig::attempts::observe::observe_silently;
use ungraceful_wire::clock::now;

use crate::ending::watch;
use crate::peer::Peer;

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// FIN, and the socket is closed.
    Fin,
    /// RST.
    Rst,
    /// FIN; the client reads on until the broker closes as well.
    HalfClose,
    /// DISCONNECT with this Reason Code (3.1.1 has none), then FIN; the client reads on.
    Disconnect(u8),
}

/// What was seen when the client went.
#[derive(Debug)]
pub(super) struct Gone {
    /// Just before its last act.
    pub(super) before: Instant,
    /// When its last act began: nothing of it left earlier.
    pub(super) at: Instant,
    pub(super) reactions: Vec<Reaction>,
    pub(super) outcome: Outcome,
}

impl Gone {
    /// Whether the broker has left its side open.
    pub(super) fn is_open(&self) -> bool {
        self.outcome == Outcome::NoReaction
    }
}

/// The client goes.
///
/// # Errors
/// In words, when the broker had ended the connection first.
pub(super) async fn go(stage: &Stage, mut peer: Peer, way: Way) -> Result<Gone, String> {
    const FIRST: &str = "the broker ended the connection before the client went";
    if peer.client.connection.has_hung_up() {
        return Err(FIRST.to_owned());
    }
    let before = now();
    let left = |at| Gone { before, at, reactions: Vec::new(), outcome: Outcome::Left };
    match way {
        Way::Fin => {
            peer.client.connection.close();
            return Ok(left(before));
        }
        Way::Rst => {
            peer.client.connection.reset();
            return Ok(left(before));
        }
        Way::HalfClose => {}
        Way::Disconnect(code) => {
            let mut bytes = Vec::new();
            Disconnect::new(ReasonCode(code))
                .encode(peer.client.version, &mut bytes)
                .map_err(|error| format!("cannot encode DISCONNECT: {error}"))?;
            peer.client.connection.send(&bytes).await.map_err(|_ended| FIRST.to_owned())?;
        }
    }
    let half_closed = peer.client.connection.half_close().await;
    let at = match (half_closed, way) {
        (Ok(sent), _) => sent.at,
        // A broker that closes at once upon DISCONNECT may be first.
        (Err(_ended), Way::Disconnect(_)) => now(),
        (Err(_ended), _) => return Err(FIRST.to_owned()),
    };
    let watch = watch(at, stage.reaction_timeout);
    let seen = observe_silently(&mut peer.client, &stage.clock, &stage.stop, watch).await;
    Ok(Gone { before, at, reactions: seen.reactions, outcome: seen.outcome.unwrap_or(Outcome::Interrupted) })
}
