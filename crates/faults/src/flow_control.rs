//! Faults of flow control: more than was agreed, or less than is needed to go on.

mod ending;
mod fates;
mod numbered;
mod publisher;
mod seen;
mod subscriber;

pub mod receive_maximum;
pub mod receive_maximum_checks;
