//! The command line: flags that mean the same in every tool, also read from a file or the environment, and
//! checked together before the first packet.

pub mod clients;
pub mod common;
pub(crate) mod environment;
pub mod gates;
pub(crate) mod help;
pub mod load;
pub mod metrics_address;
pub mod parse;
pub(crate) mod passwords;
pub mod repeats;
pub mod target;
pub mod tls;
pub mod websocket;
