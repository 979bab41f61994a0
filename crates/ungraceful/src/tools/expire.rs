//! `ungraceful-expire`: are clients cut when their credentials run out, or when an operator removes them?

use std::path::Path;

use crate::launch::Tool;

mod kick;
mod token;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-expire",
    question: "Are clients cut when their credentials run out, or when an operator removes them?",
    modes: &[&kick::Kick, &token::Token],
};

/// The first line of a file that holds a secret.
fn first_line(path: &Path) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
