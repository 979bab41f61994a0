//! Packets that the standard forbids, sent on a connection that was accepted.

pub mod topic_filter;

use crate::mode::{Mode, mode};

/// The modes of `ungraceful-violate`, the default one first.
pub const MODES: &[&dyn Mode] = &[mode::<topic_filter::Flags>()];
