//! How a client leaves: its last act on the connection, and the broker's reaction.

use std::time::Instant;

use ungraceful_mqtt::{Disconnect, ReasonCode};
use ungraceful_record::reaction::{Outcome, Reaction};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_rig::attempts::observe::observe_silently;
use ungraceful_wire::Layer;
use ungraceful_wire::clock::now;

use crate::ending::watch;
use crate::peer::Peer;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// FIN, and the socket is closed.
    Fin,
    /// RST.
    Rst,
    /// FIN; the client reads on until the broker closes as well.
    HalfClose,
    /// A Close frame of WebSocket; the client reads on until the broker closes, as a browser does.
    CloseFrame,
    /// close_notify of TLS, then FIN; the client reads on until the broker closes as well.
    CloseNotify,
    /// DISCONNECT with this Reason Code (3.1.1 has none), then FIN; the client reads on until the broker closes as well.
    Disconnect(u8),
}

/// The departure, and the broker's reaction.
#[derive(Debug)]
pub(super) struct Departure {
    /// Just before its last act.
    pub(super) before: Instant,
    /// When its last act began: none of its bytes left earlier.
    pub(super) at: Instant,
    pub(super) reactions: Vec<Reaction>,
    pub(super) outcome: Outcome,
}

impl Departure {
    /// Whether the broker has left its side open.
    pub(super) fn is_open(&self) -> bool {
        self.outcome == Outcome::NoReaction
    }
}

/// Has the client leave.
///
/// # Errors
/// A message for the user when the broker ended the connection first.
pub(super) async fn depart(stage: &Stage, mut peer: Peer, way: Way) -> Result<Departure, String> {
    const FIRST: &str = "the broker ended the connection before the client left";
    if peer.client.connection.has_hung_up() {
        return Err(FIRST.to_owned());
    }
    let before = now();
    let left = |at| Departure { before, at, reactions: Vec::new(), outcome: Outcome::Left };
    match way {
        Way::Fin => {
            peer.client.connection.close();
            return Ok(left(before));
        }
        Way::Rst => {
            peer.client.connection.reset();
            return Ok(left(before));
        }
        Way::HalfClose | Way::CloseFrame => {}
        Way::CloseNotify => {
            peer.client.connection.close_layer(Layer::Tls);
        }
        Way::Disconnect(code) => {
            let mut bytes = Vec::new();
            Disconnect::new(ReasonCode(code))
                .encode(peer.client.version, &mut bytes)
                .map_err(|error| format!("cannot encode DISCONNECT: {error}"))?;
            peer.client.connection.send(&bytes).await.map_err(|_ended| FIRST.to_owned())?;
        }
    }
    let ended = match way {
        Way::CloseFrame => Ok(peer.client.connection.close_layer(Layer::WebSocket)),
        _ => peer.client.connection.half_close().await,
    };
    let at = match (ended, way) {
        (Ok(sent), _) => sent.at,
        // A broker may close first, right after DISCONNECT.
        (Err(_ended), Way::Disconnect(_)) => now(),
        (Err(_ended), _) => return Err(FIRST.to_owned()),
    };
    let watch = watch(at, stage.reaction_timeout);
    let seen = observe_silently(&mut peer.client, &stage.clock, &stage.stop, watch).await;
    Ok(Departure {
        before,
        at,
        reactions: seen.reactions,
        outcome: seen.outcome.unwrap_or(Outcome::Interrupted),
    })
}
