//! The tools, one file each.

pub mod double_connect;
pub mod flood;

use crate::launch::Tool;

/// Every tool, in the order of the help text.
pub const ALL: [&Tool; 2] = [&double_connect::TOOL, &flood::TOOL];
