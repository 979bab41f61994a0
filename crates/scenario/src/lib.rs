//! A fault as a page of data: the language of scenarios, without I/O.

pub mod capture;
pub mod hex_lines;
