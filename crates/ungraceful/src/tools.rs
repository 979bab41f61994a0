//! The tools, one file each.

pub mod double_connect;
pub mod takeover;

use crate::launch::Tool;

/// Every tool, in the order of the help text.
pub const ALL: [&Tool; 2] = [&takeover::TOOL, &double_connect::TOOL];
