//! `ungraceful-flood`: what happens past what was agreed?

mod receive_maximum;
mod variants;

use crate::launch::Tool;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-flood",
    question: "What happens past what was agreed?",
    modes: &[&receive_maximum::ReceiveMaximum],
};
