//! Faults of flow control: more than was agreed, or less than is needed to go on.

mod fates;
mod judging;
mod numbered;
mod pinging;
mod publisher;
mod seen;
mod subscriber;

pub mod offline_queue;
pub mod offline_queue_checks;
pub mod quota_leak;
pub mod quota_leak_checks;
pub mod receive_maximum;
pub mod receive_maximum_checks;
pub mod slow_consumer;
pub mod slow_consumer_checks;
pub mod unacked_subscriber;
pub mod unacked_subscriber_checks;
