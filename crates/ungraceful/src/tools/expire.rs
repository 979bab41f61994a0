//! `ungraceful-expire`: are clients cut when their credentials run out, or when an operator removes them?

use crate::launch::Tool;

mod kick;
mod token;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-expire",
    question: "Are clients cut when their credentials run out, or when an operator removes them?",
    modes: &[&kick::Kick, &token::Token],
};
