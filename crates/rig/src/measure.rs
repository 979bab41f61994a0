//! Measuring: one clock, a meter for each thread, and the collector that merges and writes their reports.

pub mod clock;
pub(crate) mod collector;
pub(crate) mod loop_lag;
pub(crate) mod meter;
pub(crate) mod pacer;
pub mod recorder;
pub(crate) mod showing;
pub(crate) mod slope;
pub mod timeline;

pub use crate::broker::process::{OwnUsage, own_usage};
pub use meter::{Counters, Interval};
