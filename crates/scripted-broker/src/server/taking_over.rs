//! Applies the take-over policy to the connection that holds the ClientID of a newcomer.

use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::ReasonCode;

use super::connection::{LastWill, Phase};
use super::session::{SessionExpiry, WaitingWill};
use super::{ConnectionId, Later, Server};
use crate::log::Event;
use crate::policy::{TakeOver, Wills};

impl Server {
    /// Deals with the connection that holds this ClientID, before its session passes to another, or ends.
    pub(super) fn take_over(
        &mut self,
        holder: ConnectionId,
        by: ConnectionId,
        client_id: &str,
        goes_on: bool,
    ) {
        self.log.note(Event::TakeOver { connection: holder, by });
        if let TakeOver::ServeFor(time) = self.script.take_over {
            let close = Later::CloseServed(holder, ReasonCode::SESSION_TAKEN_OVER);
            self.timers.add(Instant::now() + time, close);
        }
        if matches!(self.script.take_over, TakeOver::KeepBoth | TakeOver::ServeFor(_)) {
            return self.keep_beside(holder, client_id, goes_on);
        }
        if let Some(connection) = self.connections.get_mut(&holder) {
            match self.script.wills {
                Wills::NeverOnTakeOver => connection.will = None,
                Wills::AlwaysOnTakeOver => {
                    if let Some(will) = &mut connection.will {
                        will.delay = Duration::ZERO;
                    }
                }
                _ => {}
            }
        }
        match self.script.take_over {
            TakeOver::DisconnectCode(code) => self.disconnect(holder, ReasonCode(code)),
            TakeOver::Fin => self.hang_up(holder),
            TakeOver::Rst => self.reset(holder),
            TakeOver::CloseAfter(time) => {
                self.detach_open(holder, client_id, goes_on);
                self.close_after(holder, time, ReasonCode::SESSION_TAKEN_OVER);
            }
            TakeOver::Silence => {
                self.detach_open(holder, client_id, goes_on);
                self.set_phase(holder, Phase::Muted);
            }
            TakeOver::LateEndCuts | TakeOver::LateEndUnsubscribes | TakeOver::LateEndPublishesWill => {
                let keep_alive_s = self.connections.get(&holder).map_or(0, |holder| holder.keep_alive_s);
                if keep_alive_s > 0 {
                    let after = Duration::from_millis(1_500 * u64::from(keep_alive_s));
                    self.timers.add(Instant::now() + after, Later::EndAgain(by));
                }
                self.disconnect(holder, ReasonCode::SESSION_TAKEN_OVER);
            }
            // A refused newcomer never gets here, but an adopted second CONNECT does.
            _ => self.disconnect(holder, ReasonCode::SESSION_TAKEN_OVER),
        }
    }

    /// Handles the end of the older connection a second time, at the expense of the newcomer.
    pub(super) fn end_again(&mut self, newcomer: ConnectionId) {
        if self.phase(newcomer) != Phase::Serving {
            return;
        }
        match self.script.take_over {
            TakeOver::LateEndCuts => self.hang_up(newcomer),
            TakeOver::LateEndUnsubscribes => {
                if let Some(session) = self.session_of(newcomer) {
                    session.subscriptions.clear();
                }
            }
            TakeOver::LateEndPublishesWill => {
                let Some(connection) = self.connections.get_mut(&newcomer) else { return };
                let client_id = connection.client_id.clone();
                if let Some(LastWill { message, .. }) = connection.will.take() {
                    self.publish_will(&client_id, &WaitingWill { connection: newcomer, message, copies: 1 });
                }
            }
            // The other policies have no late end.
            _ => {}
        }
    }

    /// Detaches the session of a connection that stays open for a while, and decides whether its Will is published at its
    /// end or not at all.
    fn detach_open(&mut self, holder: ConnectionId, client_id: &str, goes_on: bool) {
        let is_over = self.detach(holder, client_id) || !goes_on;
        let Some(connection) = self.connections.get_mut(&holder) else { return };
        connection.will = connection.will.take().filter(|will| is_over || will.delay.is_zero());
        if let Some(will) = &mut connection.will {
            will.delay = Duration::ZERO;
        }
    }

    /// Lets a connection keep its state: its session continues under a key that cannot be a ClientID, as a copy if the
    /// newcomer resumes it.
    fn keep_beside(&mut self, holder: ConnectionId, client_id: &str, goes_on: bool) {
        let is_resumed = goes_on
            && self.sessions.get(client_id).is_some_and(|session| session.expiry != SessionExpiry::AtClose);
        let session =
            if is_resumed { self.sessions.get(client_id).cloned() } else { self.sessions.remove(client_id) };
        let (Some(mut session), Some(connection)) = (session, self.connections.get_mut(&holder)) else {
            return;
        };
        // No ClientID has U+0000: MQTT 5.0 [MQTT-1.5.4-2].
        let key = format!("{client_id}\0{holder}");
        session.expiry = SessionExpiry::AtClose;
        connection.client_id.clone_from(&key);
        for subscribed in &session.subscriptions {
            self.subscribers.add(&subscribed.topic_filter, &key);
        }
        self.sessions.insert(key, session);
    }
}
