//! What the standard forbids or another protocol expects: packets on a connection that was accepted, and first bytes.

pub mod certificate;
pub mod first_bytes;
pub mod scenario;
pub mod topic_filter;
pub mod websocket;
pub mod websocket_checks;

use crate::mode::{Mode, mode};

/// The modes of `ungraceful-violate`, the default one first.
pub const MODES: &[&dyn Mode] = &[
    mode::<scenario::Flags>(),
    mode::<topic_filter::Flags>(),
    mode::<first_bytes::Flags>(),
    mode::<websocket::Flags>(),
    mode::<certificate::Flags>(),
];
