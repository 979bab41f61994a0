//! The older client of a storm: connected, at work, and waiting to be taken over.

use std::time::Duration;

use ungraceful_mqtt::{Properties, Property, ProtocolVersion, QoS, Will};
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::clock::now;

use super::super::session_connect;
use super::{OLD_WILL, Storm};
use crate::outbox::Outbox;
use crate::peer::{Delivered, Peer};

/// How long the broker has to send the older client the messages that it published to itself. Messages that do not arrive
/// stay queued in the session: a broker may limit the messages in flight.
const IN_FLIGHT_WITHIN: Duration = Duration::from_secs(1);

/// Why there was no take-over.
pub(super) const ENDED_FIRST: &str = "the broker ended the connection before the take-over";

/// The older client, ready to be taken over.
pub(super) struct Old {
    pub(super) peer: Peer,
    pub(super) session: OldSession,
}

/// The state that it shares with the broker.
pub(super) struct OldSession {
    pub(super) topic: String,
    /// The messages it published, each with the Reason Code of its acknowledgement; absent for unacknowledged ones.
    pub(super) published: Vec<(u64, Option<u8>)>,
    /// Messages that it received and did not acknowledge.
    pub(super) in_flight: Vec<Delivered>,
    /// The message that it published at QoS 2 and did not release, with its Packet Identifier.
    pub(super) unreleased: Option<(u64, u16)>,
    /// The broker keeps the session at all.
    pub(super) is_kept: bool,
    /// How long the broker keeps the session after the connection: as requested, unless the CONNACK differs.
    pub(super) granted: Duration,
}

impl Storm {
    /// Connects and subscribes the older client, and puts messages in flight in both directions.
    pub(super) async fn prepare(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        will: Option<&WitnessWatch>,
    ) -> Result<Box<Old>, String> {
        let (version, client_id) = (self.versions.old, log.client_id().to_owned());
        let mut peer = Peer::open(stage, log, version).await?;
        let levels_above_0 = u16::from(stage.maximum_qos.level());
        let in_flight_most = self.flags.in_flight.get::<u16>() * levels_above_0;
        let asked_s = if self.situation.persistent() { self.flags.session_expiry_interval.0 } else { 0 };
        let properties =
            [Property::SessionExpiryInterval(asked_s), Property::ReceiveMaximum(in_flight_most.max(1))];
        let delay = [Property::WillDelayInterval(self.flags.will_delay.0)];
        let mut connect = session_connect(
            stage,
            version,
            &client_id,
            match version {
                ProtocolVersion::V5 => self.situation.begun_clean(),
                // One flag covers both: a persistent session is not a clean one.
                ProtocolVersion::V3_1_1 => !self.situation.persistent(),
            },
            &properties,
        );
        let is_delayed = self.situation.will_delay() && version == ProtocolVersion::V5;
        let properties = if is_delayed { Properties::List(&delay) } else { Properties::NONE };
        connect.will = will.map(|watch| Will { properties, ..stage.will(watch, OLD_WILL) });
        let within = stage.options.connect_timeout;
        let accepted = peer.be_accepted(stage, log, &connect).await;
        let accepted = accepted.map_err(|error| format!("older client: {error}"))?;
        let topic = format!("{}/takeover/{}", stage.topic_root, log.name());
        let granted = peer.subscribe(&topic, stage.maximum_qos, within).await?;
        peer.acknowledges = false;
        let granted_s = accepted.session_expiry_interval_s.unwrap_or(asked_s);
        let session = OldSession {
            topic,
            published: Vec::new(),
            in_flight: Vec::new(),
            unreleased: None,
            is_kept: granted_s > 0,
            granted: Duration::from_secs(granted_s.into()),
        };
        let mut old = Old { peer, session };
        self.put_in_flight(stage, &mut old, granted).await?;
        Ok(Box::new(old))
    }

    /// Leaves messages that the broker accepted and the older client has not acknowledged, and one QoS 2 message that the
    /// broker received and the client has not released.
    async fn put_in_flight(&self, stage: &Stage, old: &mut Old, granted: QoS) -> Result<(), String> {
        let within = stage.options.connect_timeout;
        let in_flight: usize = self.flags.in_flight.get();
        let qos_2 = if granted == QoS::ExactlyOnce { in_flight } else { 0 };
        let qos_1 = if granted == QoS::AtMostOnce { 0 } else { in_flight };
        let queued = if qos_1 == 0 { 0 } else { self.flags.queued.get() };
        let all = [(QoS::AtLeastOnce, qos_1), (QoS::ExactlyOnce, qos_2), (QoS::AtLeastOnce, queued)];
        let mut numbers = Outbox::default();
        for qos in all.into_iter().flat_map(|(qos, count)| std::iter::repeat_n(qos, count)) {
            let sequence = numbers.offer(qos);
            let code = old.peer.publish(&old.session.topic, qos, sequence, within).await?;
            if code >= 0x80 {
                // The broker need not deliver a message that it refused.
                return Err(format!("the broker refused a PUBLISH of the older client (0x{code:02X})"));
            }
            old.session.published.push((sequence, Some(code)));
        }
        let deadline = now() + IN_FLIGHT_WITHIN;
        let mut delivered = Vec::new();
        let enough = |came: &[Delivered]| came.len() >= qos_1 + qos_2;
        if !old.peer.deliveries_until(deadline, &mut delivered, enough).await {
            return Err(ENDED_FIRST.to_owned());
        }
        if qos_2 > 0 {
            let sequence = numbers.offer(QoS::ExactlyOnce);
            old.peer.releases = false;
            let identifier =
                old.peer.send_publish(&old.session.topic, QoS::ExactlyOnce, sequence, None).await?;
            old.session.published.push((sequence, None));
            old.peer.received(identifier, within).await?;
            old.session.unreleased = Some((sequence, identifier));
            delivered.extend(old.peer.take_set_aside());
        }
        old.session.in_flight = delivered;
        Ok(())
    }
}
