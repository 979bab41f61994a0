//! Explanations: which clients may connect, and for how long.

use ungraceful_mqtt::statement::{
    V5_3_1_2_1, V5_3_1_2_2, V5_3_1_3_5, V5_3_1_3_8, V5_3_1_4_2, V5_4_12_0_1, V5_4_12_1_1, V311_3_1_2_2,
    V311_3_1_3_8,
};

use super::{Closer, Explanation, Provoke};
use crate::cause::Cause;

const PROSE: &str =
    "no numbered statement; a broker may close for its own reasons, and the Reason Code names them";

pub(super) const ALL: &[Explanation] = &[
    Explanation {
        cause: Cause::ClientId,
        title: "the ClientID was refused",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_3_8, V5_3_1_3_5, V311_3_1_3_8],
        standard_prose: "",
        behind: &[
            "an empty ClientID with Clean Session 0 (3.1.1), or where the broker assigns none",
            "a ClientID that is too long for the broker, or has characters that it does not allow",
        ],
        tell_apart: &["the ClientID in the line"],
        provoke: Provoke::scenario(&["connect-id-oversize"]),
        cure_client: &["use 1 to 23 letters and digits, which every broker accepts"],
        cure_broker: &["raise the limit, or allow empty ClientIDs"],
    },
    Explanation {
        cause: Cause::ProtocolVersion,
        title: "the broker does not support the protocol version in the CONNECT",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_2_2, V5_3_1_2_1, V311_3_1_2_2],
        standard_prose: "",
        behind: &[
            "an MQTT 5 client on a broker that supports only 3.1.1",
            "MQTT 3.1 (MQIsdp) where it is disabled",
            "another protocol that begins like a CONNECT",
        ],
        tell_apart: &[
            "the number in the line: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0; anything else is not MQTT",
        ],
        provoke: Provoke::scenario(&["connect-bad-protocol-level"]),
        cure_client: &["fall back to 3.1.1 when 5.0 is refused"],
        cure_broker: &["enable the version"],
    },
    Explanation {
        cause: Cause::AuthMethod,
        title: "the authentication method is unknown, or changed during re-authentication",
        closed_by: Closer::Broker,
        standard: &[V5_4_12_0_1, V5_4_12_1_1],
        standard_prose: "",
        behind: &[
            "enhanced authentication (SCRAM and the like) that the broker has no plug-in for",
            "an authentication extension that did not start",
        ],
        tell_apart: &["all clients: the broker's plug-in", "one client: its method"],
        provoke: Provoke::scenario(&["auth-method-unsupported"]),
        cure_client: &["use a method that the broker supports, or user name and password"],
        cure_broker: &["install or start the extension"],
    },
    Explanation {
        cause: Cause::BadCredentials,
        title: "wrong or missing user name or password",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_2],
        standard_prose: "",
        behind: &[
            "a password that was changed on one side",
            "a token that expired before the connect",
            "an authentication service that is down, which looks the same",
            "anonymous clients on a broker that no longer allows them (Mosquitto since 2.0)",
        ],
        tell_apart: &[
            "all clients from one moment on: the service or the configuration",
            "one client: its password",
            "a client that reconnects every second: it mistakes the refusal for a network fault",
        ],
        provoke: Provoke::scenario(&["wrong-password"]),
        cure_client: &[
            "do not reconnect immediately after a refusal: wait longer each time",
            "renew tokens before they expire",
        ],
        cure_broker: &["check the authentication service at that time", "limit failed attempts per address"],
    },
    Explanation {
        cause: Cause::NotAuthorized,
        title: "the client may not do what it tried",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_2],
        standard_prose: "for PUBLISH and SUBSCRIBE: 0x87 in the acknowledgement, or a close; both are allowed",
        behind: &[
            "a rule that does not cover a new topic, or a typo in a ClientID or user name",
            "on EMQX, credentials that expired during the connection (connection_auth_expire)",
            "rules changed while clients were connected",
        ],
        tell_apart: &[
            "at connect: credentials; later: a topic",
            "always the same time after the connect: a token that expires",
        ],
        provoke: Provoke::NotYet(
            "it takes a topic that your rules deny: publish to it with the client's credentials",
        ),
        cure_client: &["handle 0x87 and 0x80 in SUBACK and PUBACK, and alert an operator"],
        cure_broker: &["fix the rules; refuse in the acknowledgement rather than closing"],
    },
    Explanation {
        cause: Cause::CredentialsExpired,
        title: "the client's credentials expired, or the connection reached its maximum duration",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "a token (JWT, SAS, custom authoriser) with a shorter lifetime than the connection",
            "a broker limit on the age of connections",
        ],
        tell_apart: &[
            "the time from connect to end is the token's lifetime",
            "all clients at round times: the broker's limit",
        ],
        provoke: Provoke::With {
            tool: "ungraceful-expire",
            mode: "token",
            flags: &["--token-cmd", "COMMAND {client_id}"],
        },
        cure_client: &[
            "reconnect with a new token shortly before the old one expires",
            "re-authenticate with AUTH where the broker supports it (MQTT 5.0)",
        ],
        cure_broker: &[
            "use tokens that outlive connections",
            "spread the expiry times, so that not all clients reconnect at once",
        ],
    },
    Explanation {
        cause: Cause::Kicked,
        title: "an operator, a rule or a plug-in removed the client",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "someone used the console or called the API",
            "a rule, a dynamic security change, or a deleted user",
            "a maximum connection time (VerneMQ)",
        ],
        tell_apart: &[
            "the audit log of the broker's API at that time",
            "many clients at once: a script or a change of rules",
        ],
        provoke: Provoke::With { tool: "ungraceful-expire", mode: "kick", flags: &[] },
        cure_client: &["wait longer before reconnecting after 0x98"],
        cure_broker: &["find out who did it; record the reason with each kick"],
    },
    Explanation {
        cause: Cause::Extension,
        title: "an extension of the broker disconnected the client",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "HiveMQ's Enterprise Security Extension, when authentication or authorisation expires",
            "an operator in the control centre, which uses the same interface",
            "your own extension that calls disconnectClient",
        ],
        tell_apart: &[
            "the time from connect to end is the token's lifetime: the token expired",
            "at irregular times: an operator, or a rule of the extension; see the extension's own log",
        ],
        provoke: Provoke::With {
            tool: "ungraceful-expire",
            mode: "token",
            flags: &["--token-cmd", "COMMAND {client_id}"],
        },
        cure_client: &["reconnect with new credentials before the old ones expire"],
        cure_broker: &[
            "raise the validity period in the security extension",
            "let the extension log why it disconnects",
        ],
    },
    Explanation {
        cause: Cause::Banned,
        title: "the client is temporarily banned",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "it connected and disconnected too often: a crash loop, or two clients with one ClientID",
            "an operator's ban",
        ],
        tell_apart: &[
            "earlier take-overs of the same ClientID: a duel",
            "connections that end right after they begin: the client itself",
        ],
        provoke: Provoke::With { tool: "ungraceful-takeover", mode: "flap", flags: &[] },
        cure_client: &["back off with a growing, jittered delay before reconnecting"],
        cure_broker: &["set flapping limits that the worst honest client stays within"],
    },
    Explanation {
        cause: Cause::Refused,
        title: "the CONNECT was refused",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_2],
        standard_prose: "",
        behind: &[
            "the code or reason in the line names the check that failed",
            "in Mosquitto, \"denied access by tcpd\": hosts.allow and hosts.deny; it prints the same when it is out of file descriptors",
        ],
        tell_apart: &["`ungraceful explain --code CODE` with the number in the line"],
        provoke: Provoke::NotYet(
            "the line does not tell which check refused the CONNECT; find that out first",
        ),
        cure_client: &["log the CONNACK's code, and wait longer before the next attempt"],
        cure_broker: &["a higher log level names the check"],
    },
];
