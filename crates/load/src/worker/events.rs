//! Ready sockets: reads packets, and goes on with what they did not take.

use rustix::event::epoll::EventFlags;
use ungraceful_mqtt::{Framed, frame};
use ungraceful_wire::{Arrived, forget_departures};

use super::{READS_IN_A_ROW, Worker};
use crate::client::{Role, Stage, unreadable};
use crate::socket::Moved;

impl Worker {
    pub(super) fn event(&mut self, place: usize, flags: EventFlags) -> Result<(), String> {
        let (client, thread_state) = (&mut self.clients[place], &mut self.thread_state);
        match client.stage {
            Stage::Waiting | Stage::Gone => return Ok(()),
            Stage::Connecting { since_us } => {
                thread_state.established(client, place, flags, since_us);
                return Ok(());
            }
            Stage::Handshaking { established_us } => {
                thread_state.shake_hands(client, place, established_us);
                // What came behind the handshake may be in the layers already.
                if client.stage != Stage::Gone
                    && client.socket.as_mut().is_some_and(|socket| socket.holds_bytes())
                {
                    self.read(place)?;
                }
                return Ok(());
            }
            Stage::Greeting { .. } | Stage::Subscribing { .. } | Stage::Ready => {}
        }
        if flags.intersects(EventFlags::ERR)
            && let Some(socket) = &client.socket
        {
            // A late stamp shows as an error, again and again.
            forget_departures(socket);
        }
        if flags.intersects(EventFlags::OUT) {
            let now_us = thread_state.clock.now_us();
            if let Some(how) = client.go_on(now_us) {
                thread_state.lose(client, &how);
                return Ok(());
            }
            if client.is_drained() {
                thread_state.stop_waiting_for_room(client, place);
                self.pump(place, now_us)?;
            }
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP) {
            self.read(place)?;
        }
        Ok(())
    }

    pub(super) fn read(&mut self, place: usize) -> Result<(), String> {
        let mut now_us = 0;
        for reads in 1.. {
            let (client, thread_state) = (&mut self.clients[place], &mut self.thread_state);
            let begun = client.unread.len();
            self.buffer[..begun].copy_from_slice(&client.unread);
            client.unread.clear();
            let Some(socket) = &mut client.socket else { return Ok(()) };
            match socket.read(&mut self.buffer[begun..], thread_state.clock.at(client.last_arrived_us)) {
                Ok(Arrived { bytes: read, at: arrived_at, seen }) => {
                    now_us = thread_state.clock.us(seen);
                    // Times end at the arrival, and not when this thread has come to it.
                    let arrived_us = thread_state.clock.us(arrived_at);
                    client.last_arrived_us = arrived_us;
                    let all = begun + read;
                    if now_us >= thread_state.context.counted_from_us {
                        thread_state.ended.bytes_received += read as u64;
                    }
                    let mut at = 0;
                    loop {
                        if client.stage == Stage::Ready {
                            at +=
                                thread_state.take_acknowledgements(client, &self.buffer[at..all], arrived_us);
                        }
                        match frame(&self.buffer[at..all]) {
                            Framed::Complete(whole) => {
                                if whole.len() > thread_state.packet_bytes_max {
                                    thread_state.lose_to_a_large_packet(client);
                                    return Ok(());
                                }
                                let decoded = whole.decode(thread_state.context.version);
                                at += whole.len();
                                thread_state.packet(client, place, &decoded, arrived_us);
                                if client.stage == Stage::Gone {
                                    return Ok(());
                                }
                            }
                            Framed::Incomplete { missing } => {
                                let needed = all - at + missing;
                                if needed > thread_state.packet_bytes_max {
                                    thread_state.lose_to_a_large_packet(client);
                                    return Ok(());
                                }
                                client.unread.extend_from_slice(&self.buffer[at..all]);
                                if needed > self.buffer.len() {
                                    self.buffer.resize(needed, 0);
                                }
                                break;
                            }
                            Framed::Malformed(_) => {
                                thread_state.lose(client, &unreadable(None));
                                return Ok(());
                            }
                        }
                    }
                    thread_state.acknowledge(client, place, now_us);
                    let is_enough = all < self.buffer.len() || reads >= READS_IN_A_ROW;
                    // The socket does not become readable again for what the layers hold.
                    if is_enough && client.socket.as_mut().is_none_or(|socket| !socket.holds_bytes()) {
                        break;
                    }
                }
                Err(Moved::Ended(how)) => {
                    thread_state.lose(client, &how);
                    return Ok(());
                }
                Err(Moved::NotNow | Moved::Bytes(_)) => {
                    client.unread.extend_from_slice(&self.buffer[..begun]);
                    break;
                }
            }
        }
        let (client, thread_state) = (&mut self.clients[place], &mut self.thread_state);
        // A layer may have answered by itself.
        if !client.is_drained() {
            thread_state.wait_for_room(client, place);
        }
        // Acknowledgements make room for what waits.
        if now_us > 0 && matches!(self.clients[place].role, Role::Publisher(_)) {
            self.pump(place, now_us)?;
        }
        Ok(())
    }
}
