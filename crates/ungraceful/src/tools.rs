//! The tools, one file each.

pub mod double_connect;

use crate::launch::Tool;

/// Every tool, in the order of the help text.
pub const ALL: [&Tool; 1] = [&double_connect::TOOL];
