//! The client's return: is its session still there, and are the messages published during its absence delivered?

use std::time::Duration;

use ungraceful_mqtt::{Property, QoS};
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_wire::clock::now;

use super::{
    Absence, BACK_PAST_END, DropConnection, RETURN, RETURNED_AFTER, Returned, SessionLife, Variant, WAITING,
    WHOLE_SECOND,
};
use crate::ending::Answer;
use crate::outbox::{HELD_BACK, arrived, share};
use crate::peer::{Delivered, Peer};
use crate::resumption::{LEFT_OVER, Remains, Resumption, SESSION_PRESENT};
use crate::takeover::session_connect;

impl Absence {
    /// Publishes the messages of each QoS that the subscription was granted.
    ///
    /// # Errors
    /// A message for the user when the broker does not serve the publisher.
    pub(super) async fn publish(
        &mut self,
        stage: &Stage,
        fault: &DropConnection,
        log: &AttemptLog<'_>,
    ) -> Result<(), String> {
        let levels = self.levels();
        if fault.flags.messages.0 == 0 || levels.is_empty() {
            return Ok(());
        }
        let publisher_id = log.companion(Companion::UsesTopics);
        let connect = session_connect(stage, fault.version, &publisher_id, true, &[]);
        let connected = Peer::connect(stage, fault.version, &connect).await;
        self.publisher = Some(connected.map_err(|error| format!("publisher: {error}"))?.0);
        for qos in levels {
            for _ in 0..fault.flags.messages.0 {
                self.publish_one(stage, qos).await?;
            }
        }
        Ok(())
    }

    /// The QoS above 0 at which messages reach the client.
    fn levels(&self) -> Vec<QoS> {
        [QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().filter(|qos| *qos <= self.qos).collect()
    }

    async fn publish_one(&mut self, stage: &Stage, qos: QoS) -> Result<(), String> {
        let Some(publisher) = &mut self.publisher else { return Ok(()) };
        let sequence = self.outbox.offer(qos);
        self.outbox.sent(sequence);
        let code = publisher.publish(&self.topic, qos, sequence, stage.options.connect_timeout).await;
        let code = code.map_err(|error| format!("publisher: {error}"))?;
        self.outbox.acknowledged(sequence, code);
        if code < 0x80 {
            self.taken.push(sequence);
        }
        Ok(())
    }
}

impl DropConnection {
    /// Connects again with the same ClientID and Clean Start 0, and takes the waiting messages. Absent when the broker refuses
    /// the connection.
    pub(super) async fn return_to_session(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        absence: &mut Absence,
    ) -> Option<Returned> {
        let client_id = log.client_id().to_owned();
        let (mut peer, accepted) = match self.connect_again(stage, &client_id).await {
            Ok(connected) => connected,
            Err(refused) => {
                log.fact(RETURN, Answer::Refused(refused));
                return None;
            }
        };
        log.fact(RETURN, Answer::Accepted);
        let returned_after = accepted.connack_at.saturating_duration_since(absence.departure.before);
        log.measure(RETURNED_AFTER, micros(returned_after));
        let is_owed = self.is_owed(absence, &accepted);
        if self.variant == Variant::AfterExpiry && is_owed {
            let away = accepted.connect_sent.saturating_duration_since(absence.departure.at);
            log.measure(BACK_PAST_END, micros(away.saturating_sub(absence.granted)));
        }
        let mut came = Vec::new();
        let resumption = match accepted.session_present {
            true => Resumption::Announced,
            false if self.variant.keeps_session() && is_owed => {
                Resumption::look(stage, &mut peer, &accepted, &absence.topic, &mut came).await
            }
            false => Resumption::Not,
        };
        if !self.variant.keeps_session() && is_owed && accepted.session_present {
            let remains = Remains::look(stage, &mut peer, &absence.topic, &mut came).await;
            log.fact(LEFT_OVER, remains);
        }
        log.fact(SESSION_PRESENT, if is_owed { resumption } else { Resumption::NotOwed });
        if self.variant.keeps_session() && is_owed && resumption.goes_on() {
            self.take_waiting(stage, log, absence, &mut peer, came).await;
        }
        Some(Returned { peer, accepted, resumption })
    }

    async fn connect_again(&self, stage: &Stage, client_id: &str) -> Result<(Peer, Accepted), String> {
        let kept = [Property::SessionExpiryInterval(self.flags.session_expiry_interval.0)];
        let connect = session_connect(stage, self.version, client_id, false, &kept);
        Peer::come_back(stage, self.version, &connect).await
    }

    /// Whether the elapsed time and the granted expiry allow a conclusion from Session Present.
    fn is_owed(&self, absence: &Absence, accepted: &Accepted) -> bool {
        let asked = Duration::from_secs(self.expiry_s().into());
        match self.variant.session_life() {
            _ if self.variant.keeps_session() => {
                let away = accepted.connack_at.saturating_duration_since(absence.departure.before);
                away.saturating_add(WHOLE_SECOND) < absence.granted
            }
            SessionLife::Ends => absence.granted.is_zero(),
            SessionLife::Short | SessionLife::Long => {
                let away = accepted.connect_sent.saturating_duration_since(absence.departure.at);
                absence.granted <= asked && away >= asked + self.flags.grace.0
            }
        }
    }

    /// Takes the waiting messages. One more message of each QoS is published now: messages that it overtakes are lost; others
    /// may still be in flight, because the standard sets no time limit.
    async fn take_waiting(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        absence: &mut Absence,
        peer: &mut Peer,
        mut came: Vec<Delivered>,
    ) {
        let waiting = absence.taken.clone();
        if waiting.is_empty() {
            return;
        }
        for qos in absence.levels() {
            // Without a served publisher, nothing overtakes.
            let _overtakes = absence.publish_one(stage, qos).await;
        }
        let deadline = now() + stage.reaction_timeout;
        let is_there =
            |came: &[Delivered], sequence: u64| came.iter().any(|message| message.sequence == Some(sequence));
        let all = |came: &[Delivered]| absence.taken.iter().all(|sequence| is_there(came, *sequence));
        peer.deliveries_until(deadline, &mut came, all).await;
        absence.outbox.take_all(&came, &stage.clock);
        if !peer.is_served(stage.reaction_timeout).await {
            return;
        }
        absence.outbox.report(log);
        let later = &absence.taken[waiting.len()..];
        log.fact(WAITING, share(&waiting, &came, later));
        log.measure(HELD_BACK, arrived(&waiting, &came));
    }
}
