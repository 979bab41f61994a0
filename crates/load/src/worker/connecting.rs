//! Connections as they fall due, no more at a time than a listen backlog takes.

use rustix::event::epoll::{self, EventData, EventFlags};

use ungraceful_rig::run::load::LoadStage;
use ungraceful_wire::Transport;

use super::Worker;
use crate::client::Stage;
use crate::greeting::Greeting;
use crate::socket::Socket;

/// Connects before events have their turn: a handshake that ended meanwhile is seen so much later.
const IN_A_ROW: usize = 32;

impl Worker {
    /// When to connect the next client; absent when there is none, or no room for one.
    pub(super) fn next_connect_us(&self) -> Option<u64> {
        if self.next_connect >= self.clients.len() || self.waits_to_connect {
            return None;
        }
        let place = u32::try_from(self.next_connect).unwrap_or(u32::MAX);
        let after_us = self.thread_state.settings.connects_after_s(place, self.threads) * 1e6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, below a day")]
        let after_us = after_us as u64;
        Some(self.connects_began_us + after_us)
    }

    /// Once as many are connecting as may, waits until half of them have, or for the next tick: a few at each turn of the loop would cost
    /// the processor more than to connect many in a row.
    fn look_for_room(&mut self) {
        let at_a_time = self.thread_state.settings.connects_at_a_time(self.threads);
        let limit = if self.waits_to_connect { at_a_time / 2 } else { at_a_time - 1 };
        self.waits_to_connect = self.thread_state.under_way > limit;
    }

    pub(super) fn connect_due(&mut self, now_us: u64) {
        self.look_for_room();
        for _ in 0..IN_A_ROW {
            if self.next_connect_us().is_none_or(|due_us| due_us > now_us) {
                break;
            }
            let place = self.next_connect;
            self.next_connect += 1;
            let sources = &self.thread_state.stage.sources;
            let source = (!sources.is_empty()).then(|| sources[place % sources.len()]);
            let client = &mut self.clients[place];
            let greeting = match Greeting::of(client, &self.thread_state.settings, &self.thread_state.stage) {
                Ok(greeting) => greeting,
                Err(error) => {
                    self.thread_state.refuse(client, error.to_string());
                    continue;
                }
            };
            let started_us = self.thread_state.clock.now_us();
            self.thread_state.ended.first_connect_us.get_or_insert(started_us);
            let LoadStage { nodes, transport, .. } = &self.thread_state.stage;
            let node = nodes.at(place);
            let own = greeting.tls.clone().map(|tls| Transport { tls: Some(tls), ..transport.clone() });
            let own = match nodes.are_several() {
                true => {
                    Some(own.as_ref().unwrap_or(transport).toward(node.server_name.as_deref(), &node.name))
                }
                false => own,
            };
            match Socket::connect(node.endpoint.address, source, own.as_ref().unwrap_or(transport)) {
                Ok(socket) => {
                    let is_established = socket.is_established();
                    let flags =
                        if is_established { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
                    if let Err(error) =
                        epoll::add(&self.thread_state.epoll, &socket, EventData::new_u64(place as u64), flags)
                    {
                        self.thread_state.refuse(client, format!("epoll: {error}"));
                        continue;
                    }
                    client.socket = Some(socket);
                    client.waits_for_room = !is_established;
                    client.stage = Stage::Connecting { since_us: started_us };
                    self.thread_state.greetings[place] = Some(Box::new(greeting));
                    self.thread_state.under_way += 1;
                    if is_established {
                        self.thread_state.established(client, place, EventFlags::empty(), started_us);
                    }
                }
                Err(why) => self.thread_state.refuse(client, why),
            }
            self.look_for_room();
        }
    }
}
