//! SUBSCRIBE and UNSUBSCRIBE, and the retained messages that a subscription brings.

use std::rc::Rc;

use tokio::time::Instant;
use ungraceful_mqtt::{
    PacketType, ProtocolVersion, QoS, ReasonCode, RetainHandling, Subscribe, Subscription, Unsubscribe,
};

use super::session::{Session, Subscribed};
use super::{ConnectionId, Later, Server, answer};
use crate::message::Delivery;
use crate::policy::{InvalidFilters, Malformed, Retained, Rights};
use crate::topic_filter;

/// The only code with which a SUBACK of MQTT 3.1.1 refuses.
const REFUSED: u8 = 0x80;

impl Server {
    /// Acts on a SUBSCRIBE.
    pub(super) fn subscribe(&mut self, id: ConnectionId, subscribe: &Subscribe<'_>) {
        let version = self.version(id);
        // What the CONNACK rules out is forbidden, too.
        let obeys = self.script.malformed == Malformed::Obey;
        let has_identifier = subscribe.properties.subscription_identifier().is_some() && !obeys;
        let maximum_qos = self.maximum_qos(version);
        let is_allowed = self.script.rights != Rights::NoSubscribe && self.may_subscribe(id);
        let maximum_qos = match self.script.rights {
            Rights::NoQos2 => maximum_qos.min(QoS::AtLeastOnce),
            _ => maximum_qos,
        };
        let refusal = match version {
            ProtocolVersion::V5 => ReasonCode::NOT_AUTHORIZED.0,
            ProtocolVersion::V3_1_1 => REFUSED,
        };
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(session) = self.sessions.get_mut(&connection.client_id) else { return };
        let mut codes = Vec::new();
        let mut retained_wanted = Vec::new();
        for subscription in subscribe.filters.iter() {
            let is_shared =
                version == ProtocolVersion::V5 && subscription.topic_filter.starts_with("$share/");
            codes.push(if !is_allowed {
                refusal
            } else if has_identifier {
                ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED.0
            } else if is_shared && !obeys {
                ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED.0
            } else {
                let subscription = if is_shared { unshared(subscription) } else { subscription };
                let qos = subscription.options.maximum_qos().min(maximum_qos);
                let is_new = replace(session, &subscription, qos);
                self.subscribers.add(subscription.topic_filter, &connection.client_id);
                let handling = subscription.options.handling().unwrap_or_default();
                if handling == RetainHandling::Send || handling == RetainHandling::SendIfNew && is_new {
                    retained_wanted.push((subscription, qos));
                }
                qos.level()
            });
        }
        self.answer_subscription(id, PacketType::SubAck, subscribe.packet_identifier, &codes);
        for (subscription, qos) in retained_wanted {
            self.deliver_retained(id, &subscription, qos);
        }
    }

    /// Acts on a SUBSCRIBE with an invalid Topic Filter that does not end the connection.
    pub(super) fn answer_invalid_filter(&mut self, id: ConnectionId, subscribe: &Subscribe<'_>) {
        let code = match (self.script.invalid_filters, self.version(id)) {
            (InvalidFilters::Grant, _) => ReasonCode::SUCCESS.0,
            (InvalidFilters::Refuse, ProtocolVersion::V5) => ReasonCode::TOPIC_FILTER_INVALID.0,
            (InvalidFilters::Refuse, ProtocolVersion::V3_1_1) => REFUSED,
            (InvalidFilters::Ignore | InvalidFilters::Close, _) => return,
        };
        let codes = vec![code; subscribe.filters.iter().count()];
        self.answer_subscription(id, PacketType::SubAck, subscribe.packet_identifier, &codes);
    }

    fn deliver_retained(&mut self, id: ConnectionId, subscription: &Subscription<'_>, qos: QoS) {
        let Some(client_id) = self.connections.get(&id).map(|connection| connection.client_id.clone()) else {
            return;
        };
        let deliveries: Vec<_> = (self.retained.values())
            .filter(|message| topic_filter::matches(subscription.topic_filter, &message.topic))
            .map(|message| Delivery {
                message: Rc::clone(message),
                qos: message.qos.min(qos),
                // MQTT 5.0 [MQTT-3.3.1-8].
                retain: true,
            })
            .collect();
        match self.script.retained {
            Retained::SendAfter(time) => {
                self.timers.add(Instant::now() + time, Later::DeliverRetained(client_id, deliveries));
            }
            Retained::Keep | Retained::Unavailable => self.deliver_all(&client_id, deliveries),
        }
    }

    /// Delivers each of these to one Client.
    pub(super) fn deliver_all(&mut self, client_id: &str, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            self.deliver(client_id, delivery);
        }
    }

    /// Acts on an UNSUBSCRIBE.
    pub(super) fn unsubscribe(&mut self, id: ConnectionId, unsubscribe: &Unsubscribe<'_>) {
        let version = self.version(id);
        let Some(session) = self.session_of(id) else { return };
        let mut codes = Vec::new();
        for topic_filter in unsubscribe.filters.iter() {
            let before = session.subscriptions.len();
            session.subscriptions.retain(|subscribed| subscribed.topic_filter != topic_filter);
            codes.push(if session.subscriptions.len() < before {
                ReasonCode::SUCCESS.0
            } else {
                ReasonCode::NO_SUBSCRIPTION_EXISTED.0
            });
        }
        if version == ProtocolVersion::V3_1_1 {
            codes.clear();
        }
        self.answer_subscription(id, PacketType::UnsubAck, unsubscribe.packet_identifier, &codes);
    }

    fn answer_subscription(&self, id: ConnectionId, packet_type: PacketType, identifier: u16, codes: &[u8]) {
        self.send(id, answer::subscription_answer(self.version(id), packet_type, identifier, codes));
    }
}

/// A Shared Subscription as one that is not: a session of its own.
fn unshared(subscription: Subscription<'_>) -> Subscription<'_> {
    let topic_filter = subscription.topic_filter.splitn(3, '/').nth(2).unwrap_or_default();
    Subscription { topic_filter, ..subscription }
}

/// Adds a subscription, in place of any with the same Topic Filter. True if there was none.
fn replace(session: &mut Session, subscription: &Subscription<'_>, qos: QoS) -> bool {
    let before = session.subscriptions.len();
    session.subscriptions.retain(|subscribed| subscribed.topic_filter != subscription.topic_filter);
    let is_new = session.subscriptions.len() == before;
    session.subscriptions.push(Subscribed {
        topic_filter: subscription.topic_filter.to_owned(),
        options: subscription.options,
        qos,
    });
    is_new
}
