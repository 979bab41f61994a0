//! A fault as a page of data: the language of scenarios, without I/O.
//!
//! A [`Scenario`] says what clients send, legal or not, and what the standard expects of the broker then. [`parse()`] reads it from
//! TOML and reports every mistake with its line, its key and its cure; [`print()`] writes it back. [`encode::Context`] makes the bytes
//! of a step. Carrying a scenario out, and judging what the broker did, belong to the crates above.

pub mod capture;
pub mod encode;
mod fields;
pub mod hex_lines;
pub mod keys;
pub mod label;
pub mod model;
pub mod of_bytes;
mod parse;
mod print;
pub mod properties;
pub mod reference;
pub mod shrink;
pub mod template;

pub use fields::{Mistake, nearest};
pub use model::Scenario;
pub use parse::parse;
pub use print::print;
