//! `ungraceful-vanish`: what happens when clients go without a word?

mod drop;
mod edge;
mod herd;
mod keep_alive;
mod knock;
mod silence;
mod will_storm;

use crate::launch::Tool;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-vanish",
    question: "What happens when clients go without a word?",
    modes: &[&drop::Drop, &silence::Silence, &edge::Edge, &knock::Knock, &herd::Herd, &will_storm::WillStorm],
};
