//! End to end: the binaries as a user calls them, against brokers that misbehave by name and against real ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what can't be had ends the test, in its helpers too; a test that is skipped says so"
)]

mod again;
mod bad_days;
mod bad_input;
mod bench;
mod bench_bytes;
mod bench_closed;
mod bench_freeze;
mod bench_nothing;
mod bench_until;
mod by_name;
mod cases;
mod check_verdicts;
mod clients;
mod compared;
mod embedded;
mod expire;
mod explain;
mod find_rate;
mod flood;
mod gates;
mod hostile;
mod idle_proxy;
mod junit;
mod ledger;
mod live;
mod merge;
mod nodes;
mod offers;
mod plan;
mod preflight;
mod processes;
mod raw_broker;
mod real_brokers;
mod reference;
mod replay;
mod rights;
mod scenarios;
mod scripted;
mod secured;
mod shrink;
mod support;
mod takeover;
mod tour;
mod vanish_drop;
mod vanish_herd;
mod vanish_silence;
mod violate;
mod violate_websocket;
