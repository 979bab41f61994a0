//! Explanations: how connections begin, end and are taken over.

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
        title: "another connection used the same ClientID, and the older one was closed",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_3, V311_3_1_4_2],
        standard_prose: "",
        behind: &[
            "two devices or service replicas with one ClientID, which keep disconnecting each other",
            "one client that reconnects before the broker noticed that its old connection was dead: a changed network, an expired NAT mapping, a crash",
            "a client library that opens a second connection beside the first, on a reload or in a second tab",
        ],
        tell_apart: &[
            "the same ClientID taken over repeatedly, from alternating addresses: two devices (a duel)",
            "one take-over, and the new connection stays: the client reconnected",
            "both addresses are the same host: look for two processes there, or a NAT in front of it",
        ],
        provoke: Provoke::With { tool: "ungraceful-takeover", mode: "storm", flags: &[] },
        cure_client: &[
            "give every device and replica its own ClientID; derive it from a serial number, not from the image",
            "back off with a growing, jittered delay before reconnecting, so that a duel is slow and visible",
            "close the old connection with DISCONNECT before opening a new one",
        ],
        cure_broker: &[
            "bind ClientIDs to user names or certificates, so that a stranger can't take one over",
            "lower the Keep Alive (or set Server Keep Alive), so that dead connections are closed before their clients reconnect",
        ],
    },
    Explanation {
        cause: Cause::TakeOverRace,
        title: "the older connection did not close in time, or two new connections raced for one ClientID",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_3, V311_3_1_4_2],
        standard_prose: "",
        behind: &[
            "a client that reconnects faster than the broker clears its session",
            "an older connection whose process is blocked writing to a peer that does not read",
            "a herd of clients that reconnect at once after a load balancer or broker restart",
        ],
        tell_apart: &[
            "one ClientID repeatedly: that client connects too fast, or twice",
            "many ClientIDs within seconds: a herd",
        ],
        provoke: Provoke::With { tool: "ungraceful-takeover", mode: "race", flags: &[] },
        cure_client: &[
            "back off with a growing, jittered delay before reconnecting",
            "open one connection at a time",
        ],
        cure_broker: &[
            "limit the connection rate at the listener",
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
            "the network or the device disappeared silently: no signal, no power, a NAT or firewall that dropped the mapping",
            "a client that is too busy to send PINGREQ: one thread for work and network, a debugger, a sleeping phone",
            "a Keep Alive so short that one lost packet and its retransmissions use it up",
        ],
        tell_apart: &[
            "many clients within seconds: the network, not the clients; all in one second: the broker stopped for a while",
            "one client at regular times, with a good network: its loop is blocked",
            "the client considers itself connected after the broker closed the connection: a half-open connection",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "silence", flags: &[] },
        cure_client: &[
            "send PINGREQ from a separate thread or timer, at half the Keep Alive",
            "choose a Keep Alive below the NAT's timeout (often 60 s to 5 min) and well above a few round trips",
        ],
        cure_broker: &[
            "raise the Keep Alive with Server Keep Alive where devices request too short a value (MQTT 5.0)",
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
            "a program that exits without disconnecting: a crash, kill -9, a stopped container, the end of a script",
            "an idle timeout of a load balancer or NAT, which closes or resets the connection",
            "a client library that closes the socket on an error of its own: no PINGRESP in time, an unreadable packet",
        ],
        tell_apart: &[
            "the time from connect to end is always the same: a timeout on the path",
            "it repeatedly ends within a second of connecting: the client rejects what it received",
            "many clients in the same second: a proxy, a node or a site failed",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "drop", flags: &[] },
        cure_client: &[
            "send DISCONNECT before closing, also in the signal handler",
            "log why the library closed: most have a callback for it",
        ],
        cure_broker: &[
            "raise idle timeouts on the path above the Keep Alive",
            "check the proxy's log at that time",
        ],
    },
    Explanation {
        cause: Cause::Network,
        title: "the operating system reported a connection error",
        closed_by: Closer::ClientOrNetwork,
        standard: &[V5_3_1_2_8, V311_3_1_2_8],
        standard_prose: "the connection ends without DISCONNECT, so the broker publishes the Will",
        behind: &[
            "a dead peer: writes were not acknowledged until the kernel gave up (timed out, no route)",
            "a reset by the peer, or by a firewall or load balancer on its behalf",
            "an unreadable TLS record: damaged data, or a peer that uses another protocol",
        ],
        tell_apart: &[
            "timed out or unreachable: there was no answer, so the peer was gone long before",
            "reset: the peer was there and refused",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "drop", flags: &[] },
        cure_client: &["reconnect with a growing, jittered delay", "send DISCONNECT before closing"],
        cure_broker: &[
            "check firewalls and load balancers on the path",
            "use a shorter Keep Alive, which detects dead peers sooner",
        ],
    },
    Explanation {
        cause: Cause::BeforeConnect,
        title: "a connection ended before the client sent a ClientID",
        closed_by: Closer::ClientOrNetwork,
        standard: &[V5_3_1_0_1, V311_3_1_0_1],
        standard_prose: "a connection without CONNECT breaks no rule until another packet is sent on it",
        behind: &[
            "a health check by a load balancer or monitoring, which opens a TCP connection and closes it",
            "a port scan, or a client that gives up during a slow TLS handshake",
            "in old HiveMQ versions, a take-over whose ClientID had already moved to the new connection",
        ],
        tell_apart: &[
            "one address, at regular intervals (every 5, 10 or 30 s): a health check",
            "a line \"connected\" or \"Another client connected\" about the same address within a second: a take-over",
            "neither: find out who owns the address",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "knock", flags: &[] },
        cure_client: &["use a health check that speaks MQTT: CONNECT, then DISCONNECT"],
        cure_broker: &[
            "point the health check at another port or an HTTP endpoint of the broker",
            "exclude the line from alarms: it is harmless",
        ],
    },
    Explanation {
        cause: Cause::NoConnect,
        title: "a connection was opened, and no CONNECT arrived in time",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_0_1, V311_3_1_0_1],
        standard_prose: "section 3.1.4 only recommends closing such a connection after a reasonable time",
        behind: &[
            "a health check or a port scan that keeps the connection open",
            "a client that stopped between TCP and CONNECT: a blocked thread, a TLS handshake that hangs",
            "an attacker who holds connections open",
        ],
        tell_apart: &[
            "one address at regular intervals: a health check",
            "device addresses: their startup is slow or blocked",
            "thousands at once: an attack, or a proxy that opens connections in advance",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "knock", flags: &[] },
        cure_client: &["send CONNECT as soon as the connection is established"],
        cure_broker: &["shorten the CONNECT timeout", "limit connections per address at the firewall"],
    },
    Explanation {
        cause: Cause::SecondConnect,
        title: "the client sent a second CONNECT on one connection",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_0_2, V311_3_1_0_2],
        standard_prose: "",
        behind: &[
            "a client that reconnects without closing its socket, often from a callback and a timer at once",
            "two parts of a program that share a connection and both send CONNECT",
            "a proxy or bridge that multiplexes several clients onto one connection",
        ],
        tell_apart: &[
            "right after the connect: the client's startup code runs twice",
            "minutes later: its reconnect logic runs on a connection that is alive",
        ],
        provoke: Provoke::With { tool: "ungraceful-double-connect", mode: "", flags: &[] },
        cure_client: &["give the connection one owner; reconnect only after the socket is closed"],
        cure_broker: &[
            "nothing: the broker must close; some log it as a protocol error or as an unreadable packet",
        ],
    },
    Explanation {
        cause: Cause::FirstPacket,
        title: "the first bytes of the connection were not a CONNECT",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_0_1, V311_3_1_0_1, V5_3_1_4_1],
        standard_prose: "",
        behind: &[
            "another protocol on the MQTT port: HTTP, TLS to a plain port, a scanner",
            "a client that continues its old session on a new connection: PINGREQ or PUBLISH first",
            "a PROXY protocol header that the listener does not expect",
        ],
        tell_apart: &[
            "the byte in the line: 16 begins a TLS handshake, 47 is the G of GET, 50 the P of PROXY or POST, C0 a PINGREQ",
            "the address: a load balancer's, a device's, or a stranger's",
        ],
        provoke: Provoke::scenario(&["first-packet-not-connect"]),
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
        title: "the client sent too much before the CONNACK",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: "section 3.1.4 allows packets before CONNACK; brokers limit how many",
        behind: &["a client that publishes without waiting for CONNACK, while authentication is slow"],
        tell_apart: &[
            "only under load, or only with an external authentication service: that service is slow",
        ],
        provoke: Provoke::scenario(&["packets-before-connack"]),
        cure_client: &["wait for CONNACK before anything else"],
        cure_broker: &["make authentication faster, or cache it"],
    },
    Explanation {
        cause: Cause::WrongPort,
        title: "TLS, plain MQTT or WebSocket on a port that expects another of them",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &[
            "a client with the wrong port or the wrong scheme: 1883 plain, 8883 TLS and 8083/8084/9001 WebSocket are conventions, not rules",
        ],
        tell_apart: &[
            "all clients of one kind: their configuration",
            "one address: a scanner or a health check",
        ],
        provoke: Provoke::With { tool: "ungraceful-violate", mode: "first-bytes", flags: &[] },
        cure_client: &["fix the scheme and port"],
        cure_broker: &["terminate TLS at a load balancer where clients can't be fixed"],
    },
    Explanation {
        cause: Cause::Tls,
        title: "the TLS handshake failed or did not finish in time",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &[
            "a certificate that has expired, is for another name, or is from an authority unknown to the other side",
            "no client certificate where one is required",
            "no TLS version or cipher in common: old devices, hardened brokers",
            "a device too slow, or an overloaded broker: thousands of handshakes after a restart",
        ],
        tell_apart: &[
            "all clients from one moment on: the broker's certificate expired or was changed",
            "one kind of device: its trusted authorities or TLS version",
            "the text of the line: an alert (unknown ca, bad certificate) comes from the other side, which does not trust this side's \
             certificate; certificate verify failed: the side that logs it does not trust the other's",
            "protocol version, unsupported protocol, no shared cipher: nothing in common; peer did not return a certificate: it has none",
            "wrong version number, unknown protocol, http request: the client does not speak TLS on this port at all",
            "only after restarts: handshakes are too slow for their time limit",
        ],
        provoke: Provoke::With { tool: "ungraceful-violate", mode: "certificate", flags: &[] },
        cure_client: &["renew the trusted authorities and the client certificate", "set the device's clock"],
        cure_broker: &[
            "renew the certificate and send the whole chain",
            "allow session resumption; raise the handshake's time limit",
        ],
    },
    Explanation {
        cause: Cause::WebSocket,
        title: "the WebSocket layer around MQTT failed",
        closed_by: Closer::Broker,
        standard: &[V5_6_0_0_1],
        standard_prose: "",
        behind: &[
            "text frames instead of binary frames",
            "no subprotocol mqtt, or an Origin that the broker does not allow",
            "a proxy that does not forward the upgrade",
        ],
        tell_apart: &[
            "the upgrade is refused: path, subprotocol or Origin",
            "it ends later: frame types, or a proxy's idle timeout",
        ],
        provoke: Provoke::With { tool: "ungraceful-violate", mode: "websocket", flags: &[] },
        cure_client: &["request the subprotocol mqtt and send binary frames"],
        cure_broker: &["allow the page's Origin", "forward Upgrade in the proxy, and raise its idle timeout"],
    },
    Explanation {
        cause: Cause::ProxyProtocol,
        title: "the load balancer's PROXY protocol header could not be read",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &[
            "a listener that expects the header and a load balancer, or a client, that sends none or another version",
        ],
        tell_apart: &["all connections: the setting", "some: they bypass the load balancer"],
        provoke: Provoke::NotYet(
            "no tool sends a PROXY header: connect to that listener directly, which sends none",
        ),
        cure_client: &["connect through the load balancer"],
        cure_broker: &[
            "use the same PROXY protocol version on both sides, and a separate listener for health checks",
        ],
    },
    Explanation {
        cause: Cause::Ended,
        title: "the connection ended; the line does not give the reason",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: NO_STATEMENT,
        behind: &["look at the lines about the same client or connection just before"],
        tell_apart: &["raise the broker's log level for connections, and look again"],
        provoke: Provoke::NotYet("the line does not tell the cause; find that out first"),
        cure_client: &["log why the library closed"],
        cure_broker: &["raise the log level for connections"],
    },
];
