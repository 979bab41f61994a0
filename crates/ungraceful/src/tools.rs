//! The tools, each with its question and its modes, the default one first. A fault's mode is defined in the fault's file.

pub mod bench;

use ungraceful_faults::{double_connect, expire, flood, replay, takeover, vanish, violate};

use crate::launch::{Modes, Tool};

/// `ungraceful-vanish`.
pub const VANISH: Tool = Tool {
    name: "ungraceful-vanish",
    question: "What happens when clients vanish without a DISCONNECT?",
    modes: Modes::Faults(vanish::MODES),
};

/// `ungraceful-takeover`.
pub const TAKEOVER: Tool = Tool {
    name: "ungraceful-takeover",
    question: "What happens when clients return before the broker has noticed that they are gone (same ClientID)?",
    modes: Modes::Faults(takeover::MODES),
};

/// `ungraceful-flood`.
pub const FLOOD: Tool = Tool {
    name: "ungraceful-flood",
    question: "What happens when negotiated limits are exceeded?",
    modes: Modes::Faults(flood::MODES),
};

/// `ungraceful-double-connect`.
pub const DOUBLE_CONNECT: Tool = Tool {
    name: "ungraceful-double-connect",
    question: "What happens on a second CONNECT?",
    modes: Modes::Faults(double_connect::MODES),
};

/// `ungraceful-violate`.
pub const VIOLATE: Tool = Tool {
    name: "ungraceful-violate",
    question: "What happens on malformed and forbidden packets, frames, first bytes and certificates?",
    modes: Modes::Faults(violate::MODES),
};

/// `ungraceful-replay`.
pub const REPLAY: Tool = Tool {
    name: "ungraceful-replay",
    question: "What does this broker do with the packets in a file: a scenario, hexadecimal, or a capture?",
    modes: Modes::Faults(replay::MODES),
};

/// `ungraceful-expire`.
pub const EXPIRE: Tool = Tool {
    name: "ungraceful-expire",
    question: "Are clients disconnected when their credentials expire, or when an operator removes them?",
    modes: Modes::Faults(expire::MODES),
};

/// `ungraceful-bench`.
pub const BENCH: Tool = Tool {
    name: "ungraceful-bench",
    question: "How does the broker perform under load?",
    modes: Modes::Loads(bench::MODES),
};

/// Every tool, in the order of the help text.
pub const ALL: [&Tool; 8] = [&VANISH, &TAKEOVER, &FLOOD, &DOUBLE_CONNECT, &VIOLATE, &REPLAY, &EXPIRE, &BENCH];
