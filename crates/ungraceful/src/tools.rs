//! The tools, one file each.

pub mod double_connect;
pub mod flood;
pub mod takeover;

use crate::launch::Tool;

/// Every tool, in the order of the help text.
pub const ALL: [&Tool; 3] = [&takeover::TOOL, &flood::TOOL, &double_connect::TOOL];
