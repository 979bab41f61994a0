//! How a connection is opened, and the error when it can't be.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::net::TcpSocket;
use ungraceful_wire::clock::now;
use ungraceful_wire::{ConnectOptions, Endpoint, OpenError};

use crate::peer::{HANG_LIMIT, listen, within};

#[tokio::test]
async fn the_handshake_lies_between_its_two_instants() {
    let (_listener, endpoint) = listen();
    let before = now();
    let opened = within(endpoint.open(&ConnectOptions::default())).await.expect("loopback accepts");
    assert!(before <= opened.started);
    assert!(opened.started <= opened.established.tcp);
    assert!(opened.established.tcp <= now());
}

#[tokio::test]
async fn ipv6_is_reached() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else { return };
    let endpoint = Endpoint { address: listener.local_addr().expect("bound") };
    within(endpoint.open(&ConnectOptions::default())).await.expect("loopback accepts");
}

#[tokio::test]
async fn a_port_without_a_listener_refuses() {
    // Bound and never listened on, so that no other program gets this port meanwhile.
    let bound = TcpSocket::new_v4().expect("a socket");
    bound.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let endpoint = Endpoint { address: bound.local_addr().expect("bound") };
    let error = within(endpoint.open(&ConnectOptions::default())).await.expect_err("no listener");
    assert!(matches!(error, OpenError::Refused), "{error:?}");
}

#[tokio::test]
async fn no_answer_to_the_handshake_is_a_timeout() {
    // With its backlog full, a listener on Linux drops the SYN.
    let (listener, endpoint) = listen();
    rustix::net::listen(&listener, 0).expect("a listener");
    let limit = Duration::from_millis(100);
    let options = ConnectOptions { connect_timeout: limit, ..ConnectOptions::default() };
    let mut waiting = Vec::new();
    let (error, started) = loop {
        assert!(waiting.len() < 16, "a backlog of 0 holds no 16 connections");
        let started = now();
        match within(endpoint.open(&options)).await {
            Ok(opened) => waiting.push(opened),
            Err(error) => break (error, started),
        }
    };
    assert!(started.elapsed() >= limit);
    assert!(matches!(error, OpenError::Timeout(after) if after == limit), "{error:?}");
}

#[tokio::test]
async fn the_peer_sees_the_source_address() {
    let (listener, endpoint) = listen();
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let options = ConnectOptions { source: Some(source), ..ConnectOptions::default() };
    let _opened = within(endpoint.open(&options)).await.expect("all of 127.0.0.0/8 is ours");
    let (_peer, address) = listener.accept().expect("connected");
    assert_eq!(address.ip(), source);
}

#[tokio::test]
async fn a_foreign_source_address_has_its_own_error() {
    let (_listener, endpoint) = listen();
    // TEST-NET-1, which no machine has.
    let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let options = ConnectOptions { source: Some(source), ..ConnectOptions::default() };
    let error = within(endpoint.open(&options)).await.expect_err("not our address");
    assert!(matches!(error, OpenError::NoSuchSource(address) if address == source), "{error:?}");
}

#[tokio::test]
async fn a_source_address_of_the_other_family_is_an_error() {
    let (_listener, endpoint) = listen();
    let options = ConnectOptions {
        source: Some("::1".parse().expect("an address")),
        connect_timeout: HANG_LIMIT,
        ..ConnectOptions::default()
    };
    let error = within(endpoint.open(&options)).await.expect_err("IPv6 towards IPv4");
    assert!(matches!(error, OpenError::Other(_)), "{error:?}");
}
