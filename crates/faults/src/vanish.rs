//! The faults of `ungraceful-vanish`: clients that go without a word.

use crate::connection::{abrupt, herd, keep_alive, knock};
use crate::mode::{Mode, mode};
use crate::session::will_storm;

/// The modes of `ungraceful-vanish`, the default one first.
pub const MODES: &[&dyn Mode] = &[
    mode::<abrupt::Flags>(),
    mode::<keep_alive::silence::Flags>(),
    mode::<keep_alive::edge::Flags>(),
    mode::<knock::Flags>(),
    mode::<herd::Flags>(),
    mode::<will_storm::Flags>(),
];
