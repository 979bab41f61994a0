//! The tools, one file each.

pub mod bench;
pub mod double_connect;
pub mod expire;
pub mod flood;
pub mod takeover;
pub mod vanish;

use crate::launch::Tool;

/// Every tool, in the order of the help text.
pub const ALL: [&Tool; 6] =
    [&vanish::TOOL, &takeover::TOOL, &flood::TOOL, &double_connect::TOOL, &expire::TOOL, &bench::TOOL];
