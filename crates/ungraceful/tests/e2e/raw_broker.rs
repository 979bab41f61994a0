//! A minimal broker whose writes are chosen by the test: which bytes go out in one write, and to which client. It has no sessions
//! and forwards nothing by itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use ungraceful_mqtt::{Framed, Packet, ProtocolVersion, Publish, QoS, frame};

/// Its answers to packets. By itself it accepts every client of MQTT 5.0, grants QoS 1, and answers PINGREQ.
pub(crate) trait Script: Send + Sync + 'static {
    /// Answers a SUBSCRIBE, normally with `suback`.
    fn subscribed(&self, to: &mut Client<'_>, suback: &[u8]) {
        to.write(suback);
    }

    /// Answers a PUBLISH.
    fn published(&self, from: &mut Client<'_>, packet_identifier: Option<u16>, _payload: &[u8]) {
        from.acknowledge(packet_identifier);
    }
}

/// A client that is connected.
pub(crate) struct Client<'a> {
    pub(crate) id: &'a str,
    stream: TcpStream,
    clients: &'a Clients,
}

impl Client<'_> {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // Fails when the client is gone.
        let _gone = self.stream.write_all(bytes);
    }

    /// Acknowledges a PUBLISH of this client's.
    pub(crate) fn acknowledge(&mut self, packet_identifier: Option<u16>) {
        if let Some(identifier) = packet_identifier {
            let [high, low] = identifier.to_be_bytes();
            self.write(&[0x40, 2, high, low]);
        }
    }

    pub(crate) fn others(&self) -> &Clients {
        self.clients
    }
}

/// All clients, and what they acknowledged.
#[derive(Default)]
pub(crate) struct Clients {
    streams: Mutex<BTreeMap<String, TcpStream>>,
    acknowledged: Mutex<Vec<(String, u16)>>,
}

fn of<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap()
}

impl Clients {
    /// Writes to the client whose ClientID ends like this.
    pub(crate) fn write_to(&self, id_ends_with: &str, bytes: &[u8]) {
        for (_, stream) in of(&self.streams).iter_mut().filter(|(id, _)| id.ends_with(id_ends_with)) {
            let _gone = stream.write_all(bytes);
        }
    }

    /// Closes the connection of the client whose ClientID ends like this, after what was written to it.
    pub(crate) fn close(&self, id_ends_with: &str) {
        for (_, stream) in of(&self.streams).iter().filter(|(id, _)| id.ends_with(id_ends_with)) {
            let _gone = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// ClientID and Packet Identifier of every PUBACK that came.
    pub(crate) fn acknowledged(&self) -> Vec<(String, u16)> {
        of(&self.acknowledged).clone()
    }
}

/// A PUBLISH of MQTT 5.0 to topic `t`.
pub(crate) fn publish(packet_identifier: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let qos = if packet_identifier.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let mut bytes = Vec::new();
    let publish = Publish { qos, packet_identifier, ..Publish::new("t", payload) };
    publish.encode(ProtocolVersion::V5, &mut bytes).unwrap();
    bytes
}

/// Starts a broker that ends with the test's process.
pub(crate) fn start(script: impl Script) -> (SocketAddr, Arc<Clients>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (script, clients) = (Arc::new(script), Arc::new(Clients::default()));
    let shared = Arc::clone(&clients);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, clients) = (Arc::clone(&script), Arc::clone(&shared));
            std::thread::spawn(move || serve(stream.unwrap(), script.as_ref(), &clients));
        }
    });
    (address, clients)
}

fn is_v3_1_1(connect: &[u8]) -> bool {
    const NAME_AND_LEVEL: &[u8] = b"\0\x04MQTT\x04";
    connect.windows(NAME_AND_LEVEL.len()).any(|bytes| bytes == NAME_AND_LEVEL)
}

fn serve(mut stream: TcpStream, script: &impl Script, clients: &Clients) {
    let (mut unread, mut buffer, mut id) = (Vec::new(), [0; 64 * 1024], String::new());
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        unread.extend_from_slice(&buffer[..read]);
        let mut at = 0;
        while let Framed::Complete(whole) = frame(&unread[at..]) {
            at += whole.len();
            let decoded = whole.decode(ProtocolVersion::V5);
            let mut client = Client { id: &id, stream: stream.try_clone().unwrap(), clients };
            match decoded.packet {
                // Return code 1, as 3.1.1 has it: unacceptable protocol version.
                Packet::Connect(_) if is_v3_1_1(whole.bytes) => {
                    client.write(&[0x20, 2, 0, 1]);
                    return;
                }
                Packet::Connect(connect) => {
                    client.write(&[0x20, 3, 0, 0, 0]);
                    id = connect.client_id.to_owned();
                    of(&clients.streams).insert(id.clone(), stream.try_clone().unwrap());
                }
                Packet::Subscribe(subscribe) => {
                    let [high, low] = subscribe.packet_identifier.to_be_bytes();
                    script.subscribed(&mut client, &[0x90, 4, high, low, 0, 1]);
                }
                Packet::Publish(publish) if publish.topic.ends_with("/probe") => {
                    // Every client has the rights that the preflight tests.
                    client.acknowledge(publish.packet_identifier.filter(|_| publish.qos == QoS::AtLeastOnce));
                    let echo = Publish { packet_identifier: None, qos: QoS::AtMostOnce, ..publish };
                    let mut bytes = Vec::new();
                    echo.encode(ProtocolVersion::V5, &mut bytes).unwrap();
                    client.write(&bytes);
                }
                Packet::Publish(publish) => {
                    script.published(&mut client, publish.packet_identifier, publish.payload);
                }
                Packet::PubAck(ack) => of(&clients.acknowledged).push((id.clone(), ack.packet_identifier)),
                Packet::PingReq => client.write(&[0xD0, 0]),
                _ => {}
            }
        }
        unread.drain(..at);
    }
}
