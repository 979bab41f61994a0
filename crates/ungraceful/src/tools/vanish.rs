//! `ungraceful-vanish`: what happens when clients vanish?

mod herd;

use crate::launch::Tool;

/// The tool.
pub const TOOL: Tool =
    Tool { name: "ungraceful-vanish", question: "What happens when clients vanish?", modes: &[&herd::Herd] };
