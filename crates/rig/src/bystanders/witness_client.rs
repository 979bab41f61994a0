//! The client behind the witness: subscribed to the run's Will topics, and proved to hear by its own messages.

use std::rc::Rc;
use std::time::Duration;

use ungraceful_mqtt::QoS;

use crate::broker::clients::WITNESS;
use crate::bystanders::context::{HonestContext, RECONNECT_AFTER};
use crate::bystanders::honest::{HonestEvent, HonestSender};
use crate::bystanders::witness::{Witness, Witnessed};

pub(crate) async fn watch_for_wills(witness: Witness, context: Rc<HonestContext>) {
    loop {
        let (sender, mut connection) = context.clients.make(WITNESS);
        let prove = prove_on_order(sender.clone(), Rc::clone(&context));
        let listen = async {
            loop {
                match connection.next().await {
                    Ok(event) => on_event(&witness, &context, &sender, event),
                    Err(lost) => break lost,
                }
            }
        };
        let lost = tokio::select! {
            lost = listen => lost,
            () = prove => unreachable!("proving goes on for as long as the witness listens"),
        };
        if !context.orders.is_draining() {
            context.readiness.witness_is_down(lost);
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Publishes each proof message that the run ordered, once the witness is subscribed.
async fn prove_on_order(sender: HonestSender, context: Rc<HonestContext>) {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let topic = proof_topic(&context);
    let mut proved = context.readiness.proofs_heard();
    loop {
        let asked = context.orders.proofs();
        if proved < asked && context.readiness.is_witness_up() {
            let payload = asked.to_be_bytes().to_vec();
            if sender.try_publish(&topic, context.clients.qos_at_most(QoS::AtLeastOnce), payload).is_ok() {
                proved = asked;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn proof_topic(context: &HonestContext) -> String {
    format!("{}/will/proof", context.clients.identity(WITNESS).topic_root)
}

fn on_event(witness: &Witness, context: &HonestContext, sender: &HonestSender, event: HonestEvent) {
    let at_us = context.clock.now_us();
    let qos = context.clients.qos_at_most(QoS::AtLeastOnce);
    match event {
        HonestEvent::Connected => {
            // A fresh client's queue has room for one request.
            let _never_full = sender.try_subscribe(&context.clients.all().filters("will/+"), qos);
        }
        // Below QoS 1 a Will may be lost on its way to us, so its absence would prove nothing. Where the broker
        // accepts no more than that, the checks require more Wills.
        HonestEvent::Subscribed(granted) if granted.is_some_and(|granted| granted >= qos) => {
            context.readiness.witness_is_up();
        }
        HonestEvent::Delivered { topic, payload, dup, .. } => {
            if topic == proof_topic(context) {
                let number = payload.as_slice().try_into().map_or(0, u32::from_be_bytes);
                context.readiness.proof_heard(number);
            } else if payload.is_empty() {
                // Removes a retained Will: the client that had it retained cleans up.
            } else if dup {
                witness.hear_again(&topic, Witnessed { at_us, payload });
            } else {
                witness.hear(&topic, Witnessed { at_us, payload });
            }
        }
        HonestEvent::Sent(_) => return,
        HonestEvent::Subscribed(_) | HonestEvent::Acknowledged { .. } | HonestEvent::Alive => {}
    }
    context.clients.beat(WITNESS, at_us);
}
