//! The faults of `ungraceful-vanish`: clients that leave without DISCONNECT or stop sending.

pub mod drop;
pub mod drop_checks;
pub mod herd;
pub mod herd_checks;
pub mod keep_alive;
pub mod knock;
pub mod knock_checks;
pub mod will_storm;
pub mod will_storm_checks;

use crate::mode::{Mode, mode};

/// The modes of `ungraceful-vanish`, the default one first.
pub const MODES: &[&dyn Mode] = &[
    mode::<drop::Flags>(),
    mode::<keep_alive::silence::Flags>(),
    mode::<keep_alive::edge::Flags>(),
    mode::<knock::Flags>(),
    mode::<herd::Flags>(),
    mode::<will_storm::Flags>(),
];
