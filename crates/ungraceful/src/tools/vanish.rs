//! `ungraceful-vanish`: what happens when clients go without a word?

mod drop;
mod knock;
mod will_storm;

use crate::launch::Tool;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-vanish",
    question: "What happens when clients go without a word?",
    modes: &[&drop::Drop, &knock::Knock, &will_storm::WillStorm],
};
