//! What a fault expects of the broker, as data: faults that are scenarios put their expectations in the record, so that it can be
//! judged again without the scenario.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verdict::Force;

/// What a broker is expected to do with a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// It ends the connection.
    Closes,
    /// It goes on serving the client.
    Stays,
    /// If it sends DISCONNECT, then with one of these Reason Codes.
    Disconnect(Vec<u8>),
    /// If it sends CONNACK after the provoking byte, then with one of these codes.
    Connack(Vec<u8>),
    /// It sends this packet, or ends the connection.
    Answers {
        /// The packet's name in the standard, such as `SUBACK`.
        packet: String,
        /// Its first Reason Code is one of these; empty for any.
        codes: Vec<u8>,
    },
    /// It sends these packets, in this order, such as `CONNACK 0x00` and `PUBACK 0x10`; a capture shows them.
    Receives(Vec<String>),
    /// It publishes the Will, or withholds it.
    Will(Publication),
    /// A client receives so many messages.
    Delivers {
        /// The client.
        client: String,
        /// How many.
        count: u64,
    },
}

/// Whether a Will is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    /// It is.
    Published,
    /// It is not.
    Withheld,
}

/// An expectation of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expectation {
    /// What is expected.
    pub what: Expected,
    /// How strongly.
    pub force: Force,
    /// The statement of the case's version, such as `MQTT-3.1.0-2`, for a MUST; else where it stands.
    pub by: String,
}
