//! The one clock behind every figure: monotonic, and the only place that reads it.

use std::time::Instant;

/// The present instant of the monotonic clock. Costs 20 to 30 ns.
#[inline]
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else must go through")]
pub fn now() -> Instant {
    Instant::now()
}
