//! How connections begin, end and are taken over.

use ungraceful_mqtt::statement::{
    V5_3_1_0_1, V5_3_1_0_2, V5_3_1_2_8, V5_3_1_2_22, V5_3_1_4_1, V5_3_1_4_3, V5_6_0_0_1, V311_3_1_0_1,
    V311_3_1_0_2, V311_3_1_2_8, V311_3_1_2_24, V311_3_1_4_2,
};

use super::{Closer, Explanation, Provoke};
use crate::cause::Cause;

const NO_STATEMENT: &str = "the standard says nothing about it";

pub(super) const ALL: &[Explanation] = &[
    Explanation {
        cause: Cause::TakeOver,
        title: "another connection came with the same ClientID, and the older one was closed",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_3, V311_3_1_4_2],
        standard_prose: "",
        behind: &[
            "two devices or service replicas with one ClientID, which then throw each other out for ever",
            "one client that reconnects before the broker noticed that its old connection is dead: a changed network, a NAT that forgot it, a crash",
            "a client library that opens a second connection beside the first, on a reload or in a second tab",
        ],
        tell_apart: &[
            "the same ClientID taken over again and again, by addresses that alternate: two devices (a duel)",
            "one take-over, and the new connection stays: the client came back",
            "both addresses are the same host: look for two processes there, or a NAT in front of it",
        ],
        provoke: Provoke::With { tool: "ungraceful-takeover", mode: "storm", flags: &[] },
        cure_client: &[
            "give every device and every replica a ClientID of its own; derive it from a serial number, not from the image",
            "wait with a growing, jittered delay before connecting again, so that a duel is slow and seen",
            "end the old connection by DISCONNECT before opening a new one",
        ],
        cure_broker: &[
            "bind ClientIDs to user names or certificates, so that a stranger can't take one over",
            "lower the Keep Alive (or set Server Keep Alive), so that dead connections go before their clients come back",
        ],
    },
    Explanation {
        cause: Cause::TakeOverRace,
        title: "the older connection did not step down in time, or two newcomers raced for one ClientID",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_3, V311_3_1_4_2],
        standard_prose: "",
        behind: &[
            "a client that reconnects faster than the broker clears its session",
            "an older connection whose process is stuck in writing to a peer that reads nothing",
            "a herd of clients that come back at once after a load balancer's or broker's restart",
        ],
        tell_apart: &[
            "one ClientID again and again: that client connects too fast, or twice",
            "many ClientIDs within seconds: a herd",
        ],
        provoke: Provoke::With { tool: "ungraceful-takeover", mode: "race", flags: &[] },
        cure_client: &[
            "wait with a growing, jittered delay before connecting again",
            "open one connection at a time",
        ],
        cure_broker: &[
            "limit the rate of connections at the listener",
            "keep a ClientID on one node of a cluster (sticky load balancing by ClientID)",
        ],
    },
    Explanation {
        cause: Cause::KeepAlive,
        title: "nothing came from the client for one and a half times its Keep Alive",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_2_22, V311_3_1_2_24],
        standard_prose: "",
        behind: &[
            "the network or the device went away without a word: no signal, no power, a NAT or firewall that dropped the mapping",
            "a client that is too busy to send PINGREQ: one thread for work and network, a debugger, a sleeping phone",
            "a Keep Alive so short that one lost packet and its retransmissions use it up",
        ],
        tell_apart: &[
            "many clients within seconds: the network between, not the clients",
            "one client at regular times, with a good network: its loop is blocked",
            "the client reports that it is connected while the broker has cut it: a half-open connection",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "silence", flags: &[] },
        cure_client: &[
            "send PINGREQ from a thread or timer of its own, at half of the Keep Alive",
            "choose a Keep Alive below the NAT's timeout (often 60 s to 5 min) and well above a few round trips",
        ],
        cure_broker: &[
            "raise the Keep Alive by Server Keep Alive where devices ask for too little (MQTT 5.0)",
            "raise idle timeouts of load balancers above the Keep Alive",
        ],
    },
    Explanation {
        cause: Cause::Lost,
        title: "the connection ended without a DISCONNECT",
        closed_by: Closer::ClientOrNetwork,
        standard: &[V5_3_1_2_8, V311_3_1_2_8],
        standard_prose: "leaving without DISCONNECT is allowed; it makes the broker publish the Will",
        behind: &[
            "a program that ends without disconnecting: a crash, kill -9, a container that is stopped, a script's end",
            "an idle timeout of a load balancer or NAT, which closes or resets",
            "a client library that closes the socket on its own trouble: no PINGRESP in time, a packet it can't read",
        ],
        tell_apart: &[
            "the time from connect to end is always the same: a timeout of something between",
            "it ends within a second of its connect, again and again: the client dislikes what it received",
            "many clients in the same second: a proxy, a node or a site",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "drop", flags: &[] },
        cure_client: &[
            "send DISCONNECT before closing, in the signal handler too",
            "log why the library closed: most have a callback for it",
        ],
        cure_broker: &[
            "raise idle timeouts between above the Keep Alive",
            "look at the proxy's own log at that time",
        ],
    },
    Explanation {
        cause: Cause::Network,
        title: "the operating system reported an error of the connection",
        closed_by: Closer::ClientOrNetwork,
        standard: &[V5_3_1_2_8, V311_3_1_2_8],
        standard_prose: "the connection is lost without DISCONNECT, so the Will is published",
        behind: &[
            "a peer that is gone: writes were not acknowledged until the kernel gave up (timed out, no route)",
            "a reset by the peer, or by a firewall or load balancer in its name",
            "a TLS record that can't be read: data damaged, or a peer that speaks something else",
        ],
        tell_apart: &[
            "timed out or unreachable: nobody answered, so the peer was gone well before",
            "reset: somebody was there and refused",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "drop", flags: &[] },
        cure_client: &["connect again with a growing, jittered delay", "send DISCONNECT before closing"],
        cure_broker: &[
            "look at firewalls and load balancers between",
            "a shorter Keep Alive finds dead peers sooner",
        ],
    },
    Explanation {
        cause: Cause::BeforeConnect,
        title: "a connection was opened and ended before it had a ClientID",
        closed_by: Closer::ClientOrNetwork,
        standard: &[V5_3_1_0_1, V311_3_1_0_1],
        standard_prose: "a connection without CONNECT breaks no rule until something else is sent on it",
        behind: &[
            "a health check of a load balancer or of monitoring: it opens a TCP connection and closes it",
            "a port scan, or a client that gives up during a slow TLS handshake",
            "in old HiveMQ, a take-over whose ClientID had been handed over already",
        ],
        tell_apart: &[
            "one address, at even times (every 5, 10 or 30 s): a health check",
            "a line \"connected\" or \"Another client connected\" about the same address within a second: a take-over",
            "neither: look who owns the address",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "knock", flags: &[] },
        cure_client: &["a health check that speaks MQTT: CONNECT, then DISCONNECT"],
        cure_broker: &[
            "check another port or an HTTP endpoint of the broker's",
            "leave the line out of alarms: it costs nobody anything",
        ],
    },
    Explanation {
        cause: Cause::NoConnect,
        title: "a connection was opened, and no CONNECT came in time",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_0_1, V311_3_1_0_1],
        standard_prose: "section 3.1.4 only recommends to close such a connection after a reasonable time",
        behind: &[
            "a health check or a port scan that keeps the connection open",
            "a client that stopped between TCP and CONNECT: a blocked thread, a TLS handshake that hangs",
            "somebody who holds connections open on purpose",
        ],
        tell_apart: &[
            "one address at even times: a health check",
            "addresses of devices: their start is slow or blocked",
            "thousands at once: an attack, or a proxy that opens connections in advance",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "knock", flags: &[] },
        cure_client: &["send CONNECT as soon as the connection is there"],
        cure_broker: &["shorten the time for CONNECT", "limit connections per address at the firewall"],
    },
    Explanation {
        cause: Cause::SecondConnect,
        title: "the client sent a second CONNECT on one connection",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_0_2, V311_3_1_0_2],
        standard_prose: "",
        behind: &[
            "a client that reconnects without closing its socket, often from a callback and a timer at once",
            "two parts of a program that share one connection and each begin it",
            "a proxy or bridge that multiplexes several clients onto one connection",
        ],
        tell_apart: &[
            "right after the connect: the client's start is run twice",
            "minutes later: its reconnect logic runs on a connection that is alive",
        ],
        provoke: Provoke::With { tool: "ungraceful-double-connect", mode: "", flags: &[] },
        cure_client: &["one owner of the connection; connect again only after the socket is closed"],
        cure_broker: &[
            "nothing: the broker must close; some print it as a protocol error or as an unreadable packet",
        ],
    },
    Explanation {
        cause: Cause::FirstPacket,
        title: "the first bytes of the connection were no CONNECT",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_0_1, V311_3_1_0_1, V5_3_1_4_1],
        standard_prose: "",
        behind: &[
            "another protocol on the MQTT port: HTTP, TLS to a plain port, a scanner",
            "a client that goes on with an old conversation on a new connection: PINGREQ or PUBLISH first",
            "a PROXY protocol header that the listener does not expect",
        ],
        tell_apart: &[
            "the byte in the line: 16 begins a TLS handshake, 47 is the G of GET, 50 the P of PROXY or POST, C0 a PINGREQ",
            "the address: a load balancer's, a device's, or a stranger's",
        ],
        provoke: Provoke::NotYet("send any byte but 0x10 first: printf '\\xc0\\x00' | nc HOST PORT"),
        cure_client: &[
            "connect to the right port, with TLS where the listener has it",
            "send CONNECT first after each reconnect",
        ],
        cure_broker: &[
            "switch PROXY protocol on or off to match the load balancer",
            "close the port to strangers",
        ],
    },
    Explanation {
        cause: Cause::EarlyPacket,
        title: "the client sent too much before it was accepted",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: "section 3.1.4 allows packets before CONNACK; brokers limit how many",
        behind: &["a client that publishes without waiting for CONNACK, while authentication is slow"],
        tell_apart: &[
            "only under load, or only with an external authentication service: that service is slow",
        ],
        provoke: Provoke::NotYet("publish in the same write as CONNECT, many times"),
        cure_client: &["wait for CONNACK before anything else"],
        cure_broker: &["make authentication faster, or cache it"],
    },
    Explanation {
        cause: Cause::WrongPort,
        title: "TLS, plain MQTT or WebSocket came to a port that is for another one of them",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &[
            "a client with the wrong port or the wrong scheme: 1883 plain, 8883 TLS, 8083/8084/9001 WebSocket are customs, not rules",
        ],
        tell_apart: &[
            "all clients of one kind: their configuration",
            "one address: a scanner or a health check",
        ],
        provoke: Provoke::NotYet("mosquitto_sub --cafile … -p 1883, or a plain client to 8883"),
        cure_client: &["mend scheme and port"],
        cure_broker: &["let a load balancer end TLS where clients can't be mended"],
    },
    Explanation {
        cause: Cause::Tls,
        title: "the TLS handshake failed or did not end in time",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &[
            "a certificate that has run out, is for another name, or of an authority that the other side does not know",
            "no client certificate where one is required",
            "TLS versions or ciphers without a common one: old devices, hardened brokers",
            "a device too slow, or an overloaded broker: thousands of handshakes after a restart",
        ],
        tell_apart: &[
            "all clients since one moment: the broker's certificate ran out or was changed",
            "one kind of device: its authorities or TLS version",
            "only after restarts: handshakes are too slow for their time limit",
        ],
        provoke: Provoke::NotYet("openssl s_client -connect HOST:8883 with and without -cert, -tls1_2"),
        cure_client: &["renew authorities and client certificate", "set the clock of the device"],
        cure_broker: &[
            "renew the certificate and send the whole chain",
            "allow session resumption; raise the handshake's time limit",
        ],
    },
    Explanation {
        cause: Cause::WebSocket,
        title: "something was wrong with the WebSocket around MQTT",
        closed_by: Closer::Broker,
        standard: &[V5_6_0_0_1],
        standard_prose: "",
        behind: &[
            "text frames in place of binary ones",
            "no subprotocol mqtt, or an Origin that the broker does not allow",
            "a proxy that does not pass the upgrade on",
        ],
        tell_apart: &[
            "the upgrade is refused: path, subprotocol or Origin",
            "it ends later: frames or an idle proxy",
        ],
        provoke: Provoke::NotYet("websocat --text to the broker's WebSocket port"),
        cure_client: &["ask for the subprotocol mqtt and send binary frames"],
        cure_broker: &[
            "allow the Origin of the page",
            "pass Upgrade on in the proxy, and raise its idle timeout",
        ],
    },
    Explanation {
        cause: Cause::ProxyProtocol,
        title: "the PROXY protocol header of the load balancer could not be read",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &[
            "a listener that expects the header and a load balancer, or a client, that sends none or another version",
        ],
        tell_apart: &["all connections: the setting", "some: who connects around the load balancer?"],
        provoke: Provoke::NotYet("connect straight to a listener that expects the header"),
        cure_client: &["connect through the load balancer"],
        cure_broker: &[
            "the same PROXY protocol version on both sides; a listener of its own for health checks",
        ],
    },
    Explanation {
        cause: Cause::Ended,
        title: "the connection ended, for a reason that the line does not tell",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &["look at the lines about the same client or connection just before"],
        tell_apart: &["raise the broker's log level for connections, and look again"],
        provoke: Provoke::NotYet("first find out what it was"),
        cure_client: &["log why the library closed"],
        cure_broker: &["raise the log level of connections"],
    },
];
