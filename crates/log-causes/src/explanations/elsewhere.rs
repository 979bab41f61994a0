//! Explanations: what clients log about themselves, and causes that lie outside the client's connection.

use ungraceful_mqtt::statement::{V5_3_1_2_22, V311_3_1_2_24};

use super::{Closer, Explanation, Provoke};
use crate::cause::Cause;

pub(super) const ALL: &[Explanation] = &[
    Explanation {
        cause: Cause::NoPingresp,
        title: "the client got no PINGRESP in time, and closed the connection",
        closed_by: Closer::Client,
        standard: &[],
        standard_prose: "MQTT 5.0 section 3.1.2.10 and 3.1.1 section 3.1.2.10 recommend that the client closes then; they set no time",
        behind: &[
            "a broker that stalls: it saves its database, is out of memory, or waits for a plug-in",
            "a network or NAT that dropped the connection without telling either side",
            "a client whose own thread is blocked, so that it reads the PINGRESP too late",
        ],
        tell_apart: &[
            "many clients in the same second: the broker; see what it logged just before",
            "one client: its network, or its program; the broker logs an expired Keep Alive or a reset for it a little later",
        ],
        provoke: Provoke::NotYet(
            "stop a staging broker for longer than the client waits (kill -STOP PID, then kill -CONT PID) while the client is connected",
        ),
        cure_client: &[
            "handle messages outside the thread that reads the socket",
            "reconnect with a growing, jittered delay",
        ],
        cure_broker: &["find the stall in the broker's log at that time: `ungraceful explain` reports it"],
    },
    Explanation {
        cause: Cause::PeerClosed,
        title: "the client saw its connection end, and its log does not say why",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: "MQTT 3.1.1 has no DISCONNECT from the broker, so the client learns no reason; MQTT 5.0 brokers may send one",
        behind: &[
            "the broker closed: another client with the same ClientID, an expired Keep Alive, a packet it does not accept, a restart",
            "a load balancer, proxy or NAT closed an idle connection",
            "the network failed",
        ],
        tell_apart: &[
            "the broker's log of the same second names the reason: give that log to `ungraceful explain`",
            "always the same time after the connect: an idle timeout on the path, or a token that expires",
            "again within a second of each connect: two clients with one ClientID",
        ],
        provoke: Provoke::NotYet("first read the broker's log of that time: it names the cause"),
        cure_client: &[
            "use MQTT 5.0 and log the Reason Code of the DISCONNECT",
            "reconnect with a growing, jittered delay",
        ],
        cure_broker: &["log why connections are closed"],
    },
    Explanation {
        cause: Cause::Unreachable,
        title: "the client could not open a connection",
        closed_by: Closer::NotClosed,
        standard: &[],
        standard_prose: "the standard begins with an open connection",
        behind: &[
            "the broker is down or restarts (connection refused)",
            "a wrong host name or port, or a name that does not resolve",
            "a firewall that drops the packets (timed out)",
        ],
        tell_apart: &[
            "refused: the host is there, and nothing listens on that port",
            "timed out or unreachable: the path, or a firewall",
            "name not known: DNS, or a typing error in the host name",
        ],
        provoke: Provoke::NotYet("point a client at a port on which nothing listens"),
        cure_client: &["check host and port; reconnect with a growing, jittered delay"],
        cure_broker: &[
            "check that the broker runs, and that its listener is not bound to the loopback address only",
        ],
    },
    Explanation {
        cause: Cause::Bridge,
        title: "a bridge of the broker lost its connection to the other broker",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: "bridges are clients of the other broker; the standard does not know them",
        behind: &[
            "the other broker closed: wrong credentials, a ClientID in use elsewhere, a protocol version it does not speak",
            "two bridges with the same remote ClientID, which take over from each other",
            "the network between the brokers",
        ],
        tell_apart: &[
            "the log of the other broker at that time names the reason",
            "again after each restart timeout: credentials, or the ClientID",
        ],
        provoke: Provoke::NotYet(
            "run explain on the log of the other broker, where the bridge is an ordinary client",
        ),
        cure_client: &["give each bridge its own remote ClientID, and valid credentials"],
        cure_broker: &[
            "in Mosquitto, set `bridge_protocol_version` and `try_private` as the other broker needs",
        ],
    },
    Explanation {
        cause: Cause::KeepAliveEarly,
        title: "the broker said that the Keep Alive was exceeded, before it could be",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_2_22, V311_3_1_2_24],
        standard_prose: "the broker must wait one and a half times the Keep Alive",
        behind: &[
            "a defect or a setting of the broker, such as Mosquitto 2.0.21 with max_keepalive",
            "a clock that jumped on the broker's machine",
        ],
        tell_apart: &[
            "many clients, each sooner than its own Keep Alive: the broker",
            "all in the same second: the clock",
        ],
        provoke: Provoke::With { tool: "ungraceful-vanish", mode: "edge", flags: &[] },
        cure_client: &["nothing: the client kept the rule"],
        cure_broker: &[
            "update; compare max_keepalive with the Keep Alive of the clients",
            "check the machine's clock",
        ],
    },
    Explanation {
        cause: Cause::Stall,
        title: "the broker stopped for a while",
        closed_by: Closer::NotClosed,
        standard: &[],
        standard_prose: "the standard sets no limit on how long a broker may take",
        behind: &[
            "it saved its database to a slow disk, or collected garbage",
            "its machine was suspended, swapped, or had no CPU time",
        ],
        tell_apart: &["what the broker logged last before the silence", "the machine's own log of that time"],
        provoke: Provoke::NotYet(
            "stop a staging broker for a while (kill -STOP PID, then kill -CONT PID) during `ungraceful bench`",
        ),
        cure_client: &["wait longer for PINGRESP; reconnect with jitter"],
        cure_broker: &[
            "save less often, or to a faster disk (autosave_interval)",
            "give the machine memory and CPU time",
        ],
    },
    Explanation {
        cause: Cause::ClockJump,
        title: "the clock of the broker's machine jumped",
        closed_by: Closer::NotClosed,
        standard: &[],
        standard_prose: "the standard says nothing about clocks",
        behind: &["a virtual machine that was suspended", "a time service that set the clock"],
        tell_apart: &["the machine's own log of that time"],
        provoke: Provoke::NotYet("set the clock of a staging machine forward by more than the Keep Alive"),
        cure_client: &["reconnect with jitter"],
        cure_broker: &["let the time service slew the clock instead of setting it"],
    },
];
