//! Who may connect, and for how long.

use ungraceful_mqtt::statement::{
    V5_3_1_2_1, V5_3_1_2_2, V5_3_1_3_5, V5_3_1_3_8, V5_3_1_4_2, V5_4_12_0_1, V5_4_12_1_1, V311_3_1_2_2,
    V311_3_1_3_8,
};

use super::{Closer, Explanation, Provoke};
use crate::cause::Cause;

const PROSE: &str =
    "no numbered statement; a broker may close for reasons of its own, and tells by the Reason Code";

pub(super) const ALL: &[Explanation] = &[
    Explanation {
        cause: Cause::ClientId,
        title: "the ClientID was refused",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_3_8, V5_3_1_3_5, V311_3_1_3_8],
        standard_prose: "",
        behind: &[
            "an empty ClientID with Clean Session 0 (3.1.1), or where the broker gives none",
            "one that is longer than the broker takes, or has characters it does not allow",
        ],
        tell_apart: &["what the line prints in its place"],
        provoke: Provoke::NotYet("mosquitto_sub -i '' -c -t x"),
        cure_client: &["1 to 23 letters and digits are taken everywhere"],
        cure_broker: &["raise the limit, or allow empty ClientIDs"],
    },
    Explanation {
        cause: Cause::ProtocolVersion,
        title: "the CONNECT named a protocol version that the broker does not take",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_2_2, V5_3_1_2_1, V311_3_1_2_2],
        standard_prose: "",
        behind: &[
            "a client for MQTT 5 on a broker for 3.1.1 alone",
            "MQTT 3.1 (MQIsdp) where it is switched off",
            "another protocol that begins like a CONNECT",
        ],
        tell_apart: &[
            "the number in the line: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0; anything else is no MQTT",
        ],
        provoke: Provoke::NotYet("mosquitto_sub -V mqttv5 to a broker for 3.1.1"),
        cure_client: &["fall back to 3.1.1 when 5.0 is refused"],
        cure_broker: &["switch the version on"],
    },
    Explanation {
        cause: Cause::AuthMethod,
        title: "the authentication method was not known, or changed in re-authentication",
        closed_by: Closer::Broker,
        standard: &[V5_4_12_0_1, V5_4_12_1_1],
        standard_prose: "",
        behind: &[
            "enhanced authentication (SCRAM and the like) that the broker has no plug-in for",
            "an extension for authentication that did not start",
        ],
        tell_apart: &["all clients: the broker's plug-in", "one: its method"],
        provoke: Provoke::NotYet("connect with an Authentication Method that the broker does not have"),
        cure_client: &["use a method that the broker names, or user name and password"],
        cure_broker: &["install or start the extension"],
    },
    Explanation {
        cause: Cause::BadCredentials,
        title: "user name or password were wrong, or missing",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_2],
        standard_prose: "",
        behind: &[
            "a password that was changed on one side",
            "a token that has run out before the connect",
            "an authentication service that is down, which looks the same",
            "anonymous clients, where anonymous ones are no longer allowed (Mosquitto since 2.0)",
        ],
        tell_apart: &[
            "all clients since one moment: the service or the configuration",
            "one client: its password",
            "a client that connects again each second: it takes the refusal for a network fault",
        ],
        provoke: Provoke::NotYet("mosquitto_sub -u somebody -P wrong"),
        cure_client: &[
            "do not connect again at once after a refusal: wait longer each time",
            "renew tokens before they run out",
        ],
        cure_broker: &["look at the authentication service at that time", "limit failed attempts by address"],
    },
    Explanation {
        cause: Cause::NotAuthorized,
        title: "the client may not do what it tried",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_2],
        standard_prose: "for PUBLISH and SUBSCRIBE: 0x87 in the acknowledgement, or a close; both are allowed",
        behind: &[
            "a rule that does not cover a new topic, or a ClientID or user name with a slip of the pen",
            "on EMQX, credentials that ran out during the connection (connection_auth_expire)",
            "rules changed while clients were connected",
        ],
        tell_apart: &[
            "at connect: credentials; later: a topic",
            "always the same time after the connect: a token that runs out",
        ],
        provoke: Provoke::NotYet("publish to a topic that the client's rules deny"),
        cure_client: &["handle 0x87 and 0x80 in SUBACK and PUBACK, and tell a person"],
        cure_broker: &["mend the rules; deny by acknowledgement rather than by a close"],
    },
    Explanation {
        cause: Cause::CredentialsExpired,
        title: "the client's credentials ran out, or the longest time for a connection was over",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "a token (JWT, SAS, custom authoriser) whose time is shorter than the connection",
            "a limit of the broker's on a connection's age",
        ],
        tell_apart: &[
            "the time from connect to end is the token's time",
            "all clients at round times: the broker's limit",
        ],
        provoke: Provoke::With { tool: "ungraceful-expire", mode: "token", flags: &[] },
        cure_client: &[
            "connect again with a new token shortly before the old one runs out",
            "re-authenticate by AUTH where the broker can (MQTT 5.0)",
        ],
        cure_broker: &[
            "tokens that live longer than a connection should",
            "spread the ends, so that not all come back at once",
        ],
    },
    Explanation {
        cause: Cause::Kicked,
        title: "an operator, a rule or a plug-in removed the client",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "somebody pressed the button, or called the API",
            "a rule, a dynamic security change, a deleted user",
            "a maximum time of a connection (VerneMQ)",
        ],
        tell_apart: &[
            "the audit log of the broker's API at that time",
            "many clients at once: a script or a change of rules",
        ],
        provoke: Provoke::With { tool: "ungraceful-expire", mode: "kick", flags: &[] },
        cure_client: &["wait longer before connecting again after 0x98"],
        cure_broker: &["find out who did it; note the reason with the kick"],
    },
    Explanation {
        cause: Cause::Extension,
        title: "an extension of the broker disconnected the client",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "HiveMQ's Enterprise Security Extension, when authentication or authorisation ran out",
            "an operator in the control centre, which goes through the same interface",
            "an extension of your own that calls disconnectClient",
        ],
        tell_apart: &[
            "the time from connect to end is the token's time: it ran out",
            "at odd times: an operator, or a rule of the extension; its own log tells",
        ],
        provoke: Provoke::With { tool: "ungraceful-expire", mode: "token", flags: &[] },
        cure_client: &["connect again with new credentials before the old ones run out"],
        cure_broker: &[
            "raise the time of validity in the security extension",
            "let the extension log why it disconnects",
        ],
    },
    Explanation {
        cause: Cause::Banned,
        title: "the client is banned for a while",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: PROSE,
        behind: &[
            "it connected and disconnected too often: a crash loop, or two clients with one ClientID",
            "an operator's ban",
        ],
        tell_apart: &[
            "take-overs of the same ClientID before: a duel",
            "ends right after connects: the client itself",
        ],
        provoke: Provoke::With { tool: "ungraceful-takeover", mode: "flap", flags: &[] },
        cure_client: &["wait with a growing, jittered delay before connecting again"],
        cure_broker: &["flapping limits that fit the worst honest client"],
    },
    Explanation {
        cause: Cause::Refused,
        title: "the CONNECT was refused",
        closed_by: Closer::Broker,
        standard: &[V5_3_1_4_2],
        standard_prose: "",
        behind: &["the code or the reason in the line tells which check failed"],
        tell_apart: &["`ungraceful explain --code CODE` with the number in the line"],
        provoke: Provoke::NotYet("first find out which check refused it"),
        cure_client: &["log the CONNACK's code, and wait longer before the next try"],
        cure_broker: &["a higher log level names the check"],
    },
];
