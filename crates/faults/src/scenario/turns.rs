//! Attempts that would disturb each other take turns: those with the same ClientID in their bytes, since a broker closes the connection
//! of a client for a newer one (MQTT 5.0 [MQTT-3.1.4-3]), and those whose clients publish to the same topic.
//!
//! Clients of a scenario have ClientIDs and topics of their own; bytes that a user has name the same ones in every case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use ungraceful_mqtt::{Framed, Packet as Received, PacketType, ProtocolVersion, frame};
use ungraceful_scenario::model::{Action, Body, FIRST_CLIENT, Packet, Sending, Step};
use ungraceful_scenario::template::{Random, Variables};

/// What only one attempt at a time may use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    ClientId(Vec<u8>),
    Topic(Vec<u8>),
}

/// What an attempt shares with others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Uses {
    /// These; none for most.
    Some(BTreeSet<Shared>),
    /// A ClientID that can't be read: a broker may read any out of the bytes.
    AnyClientId,
}

/// The turns of a run.
#[derive(Debug, Default)]
pub(super) struct Turns {
    everyone: Arc<RwLock<()>>,
    by_shared: BTreeMap<Shared, Arc<Mutex<()>>>,
    /// How many attempts of one round take turns.
    pub(super) waiting: u32,
}

/// The turn of a case.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    client_id: Use,
    /// What it takes, in an order that is the same for all.
    own: Vec<Arc<Mutex<()>>>,
}

/// How a case uses ClientIDs in bytes.
#[derive(Clone, Debug)]
enum Use {
    None,
    /// Beside others.
    Some(Arc<RwLock<()>>),
    /// Alone.
    Any(Arc<RwLock<()>>),
}

/// The time during which it is the case's turn.
#[derive(Debug)]
pub(super) struct Taken {
    _beside: Option<OwnedRwLockReadGuard<()>>,
    _alone: Option<OwnedRwLockWriteGuard<()>>,
    _own: Vec<OwnedMutexGuard<()>>,
}

impl Turns {
    /// The turn of a case with these steps; absent when it shares nothing.
    pub(super) fn of(&mut self, steps: &[Step]) -> Option<Turn> {
        let everyone = Arc::clone(&self.everyone);
        let turn = match uses(steps) {
            Uses::AnyClientId => Turn { client_id: Use::Any(everyone), own: Vec::new() },
            Uses::Some(shared) if shared.is_empty() => return None,
            Uses::Some(shared) => {
                let has_client_id = shared.iter().any(|shared| matches!(shared, Shared::ClientId(_)));
                let client_id = if has_client_id { Use::Some(everyone) } else { Use::None };
                let lock = |shared| Arc::clone(self.by_shared.entry(shared).or_default());
                Turn { client_id, own: shared.into_iter().map(lock).collect() }
            }
        };
        self.waiting += 1;
        Some(turn)
    }
}

impl Turn {
    /// Waits until no other attempt uses what this one shares.
    pub(super) async fn taken(&self) -> Taken {
        let (beside, alone) = match &self.client_id {
            Use::None => (None, None),
            Use::Some(everyone) => (Some(Arc::clone(everyone).read_owned().await), None),
            Use::Any(everyone) => (None, Some(Arc::clone(everyone).write_owned().await)),
        };
        let mut own = Vec::new();
        for lock in &self.own {
            own.push(Arc::clone(lock).lock_owned().await);
        }
        Taken { _beside: beside, _alone: alone, _own: own }
    }
}

/// The ClientID that a CONNECT has in every attempt; absent where the attempt decides it.
fn client_id_of(packet: &Packet) -> Option<Shared> {
    let Body::Connect(connect) = &packet.body else { return None };
    // Without the variables of an attempt, only what is fixed can be made.
    let client_id = connect.client_id.as_ref()?.make(&Variables::new(), &mut Random::new(0)).ok()?;
    (!client_id.is_empty()).then_some(Shared::ClientId(client_id))
}

fn uses(steps: &[Step]) -> Uses {
    let mut shared = BTreeSet::new();
    // What the first client has sent.
    let mut sent = Vec::new();
    let make = |bytes: &ungraceful_scenario::template::Bytes| {
        bytes.make(&Variables::new(), &mut Random::new(0)).unwrap_or_default()
    };
    for step in steps {
        if let Action::Connect(packet) = &step.action {
            shared.extend(client_id_of(packet));
        }
        let Action::Send(sending) = &step.action else { continue };
        match &**sending {
            Sending::Bytes(bytes) if step.client == FIRST_CLIENT => sent.extend(make(bytes)),
            Sending::Bytes(_) => {}
            Sending::Packet(packet) => {
                shared.extend(client_id_of(packet));
                if let Body::Publish(publish) = &packet.body
                    && let topic = make(&publish.topic)
                    && !topic.is_empty()
                {
                    shared.insert(Shared::Topic(topic));
                }
            }
        }
    }
    let mut rest = &sent[..];
    while let Framed::Complete(found) = frame(rest) {
        rest = &rest[found.len()..];
        if found.packet_type() != Some(PacketType::Connect) {
            continue;
        }
        match found.decode(ProtocolVersion::V5).packet {
            // The broker chooses another one for each.
            Received::Connect(connect) if connect.client_id.is_empty() => {}
            Received::Connect(connect) => {
                shared.insert(Shared::ClientId(connect.client_id.as_bytes().to_vec()));
            }
            _ => return Uses::AnyClientId,
        }
    }
    // The beginning of a CONNECT.
    match rest.first() {
        Some(first) if first >> 4 == PacketType::Connect.first_byte() >> 4 => Uses::AnyClientId,
        _ => Uses::Some(shared),
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_scenario::parse;

    use super::super::catalogue;
    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        let head = "id = \"a\"\nabout = \"b\"\n";
        parse(&format!("{head}{text}")).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).steps
    }

    fn sends(hex: &str) -> Vec<Step> {
        steps(&format!("[[step]]\nsend = {{ hex = \"{hex}\" }}\n"))
    }

    const P: &str = "10 0D 00 04 4D 51 54 54 04 02 00 0A 00 01 70";
    const Q: &str = "10 0D 00 04 4D 51 54 54 04 02 00 0A 00 01 71";

    #[test]
    fn a_client_id_in_bytes_is_shared() {
        let p = Uses::Some(BTreeSet::from([Shared::ClientId(b"p".to_vec())]));
        assert_eq!(uses(&sends(P)), p);
        assert_eq!(uses(&sends(&format!("C0 00 {P}"))), p, "behind another packet");
        assert_eq!(uses(&sends("C0 00")), Uses::Some(BTreeSet::new()));
    }

    #[test]
    fn a_client_id_that_the_broker_chooses_is_not_shared() {
        let chosen = "10 0C 00 04 4D 51 54 54 04 02 00 0A 00 00";
        assert_eq!(uses(&sends(chosen)), Uses::Some(BTreeSet::new()));
    }

    #[test]
    fn a_client_id_that_cannot_be_read_may_be_any() {
        for hex in ["10 0D 00 04 4D 51", "10", "10 02 00 04"] {
            assert_eq!(uses(&sends(hex)), Uses::AnyClientId, "{hex}");
        }
    }

    #[test]
    fn a_topic_of_another_client_is_shared() {
        let publishes = steps(
            "[[step]]\nclient = \"b\"\nconnect = {}\n[[step]]\nclient = \"b\"\nsend.publish = { topic = \"t\" }\n",
        );
        assert_eq!(uses(&publishes), Uses::Some(BTreeSet::from([Shared::Topic(b"t".to_vec())])));
    }

    #[tokio::test]
    async fn attempts_wait_only_for_those_that_share_something() {
        let mut turns = Turns::default();
        let turn = |turns: &mut Turns, hex: &str| turns.of(&sends(hex)).unwrap();
        let (one, same, other) = (turn(&mut turns, P), turn(&mut turns, P), turn(&mut turns, Q));
        let any = turn(&mut turns, "10");
        assert!(turns.of(&sends("C0 00")).is_none());
        assert_eq!(turns.waiting, 4);
        let taken = one.taken().await;
        let is_free = |turn: &Turn| {
            let turn = turn.clone();
            async move {
                let now = std::time::Duration::ZERO;
                tokio::time::timeout(now, turn.taken()).await.is_ok()
            }
        };
        assert!(!is_free(&same).await && is_free(&other).await && !is_free(&any).await);
        drop(taken);
        assert!(is_free(&same).await && is_free(&any).await);
        let _alone = any.taken().await;
        assert!(!is_free(&other).await);
    }

    #[test]
    fn no_two_attempts_of_the_catalogue_share_a_client_id() {
        /// Scenarios with a CONNECT that cannot be read as a whole. Each has no ClientID, one that is cut, or one of random bytes.
        const UNREADABLE: [&str; 2] = ["huge-length-before-connect", "string-length-lie-connect"];
        let mut unreadable = BTreeSet::new();
        for entry in catalogue::all() {
            for case in &entry.scenario.cases {
                match uses(&entry.scenario.steps_of(case)) {
                    Uses::AnyClientId => _ = unreadable.insert(&*entry.scenario.id),
                    Uses::Some(shared) => assert_eq!(shared, BTreeSet::new(), "{}", entry.scenario.id),
                }
            }
        }
        assert_eq!(unreadable, UNREADABLE.into());
    }
}
