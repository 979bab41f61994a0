//! `ungraceful-vanish`: what happens when clients go without a word?

mod edge;
mod keep_alive;
mod silence;

use crate::launch::Tool;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-vanish",
    question: "What happens when clients go without a word?",
    modes: &[&silence::Silence, &edge::Edge],
};
