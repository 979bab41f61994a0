//! How much of a reaction time is ours: a byte to a socket of our own and back, through the same code and the
//! same kernel, before the run.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use ungraceful_wire::{ConnectOptions, Endpoint};

use crate::metric::{Percentiles, histogram, record};

/// As many round trips as a 99th percentile needs.
const ROUND_TRIPS: u32 = 1_000;

/// Measures; empty percentiles when no socket can be had, which shows as unknown.
pub(crate) async fn measure() -> Percentiles {
    let mut times = histogram();
    let _unknown_then = echo(&mut times).await;
    Percentiles::of(&times)
}

async fn echo(times: &mut hdrhistogram::Histogram<u64>) -> Option<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let endpoint = Endpoint { address: listener.local_addr().ok()? };
    let answering = std::thread::spawn(move || -> Option<()> {
        let (mut socket, _from) = listener.accept().ok()?;
        socket.set_nodelay(true).ok()?;
        let mut packet = [0; 2];
        while socket.read_exact(&mut packet).is_ok() {
            socket.write_all(&packet).ok()?;
        }
        None
    });
    let mut connection = endpoint.open(&ConnectOptions::default()).await.ok()?.connection;
    for _ in 0..ROUND_TRIPS {
        // A PINGRESP: the shortest thing that is a packet.
        let sent = connection.send(&[0xD0, 0x00]).await.ok()?;
        if let ungraceful_wire::Arrival::Packet(packet) = connection.next().await {
            record(times, packet.first_byte_at.saturating_duration_since(sent.at));
        }
    }
    connection.close();
    let _it_ends_with_the_connection = answering.join();
    Some(())
}
