//! The load engine: honest MQTT clients by the thousand in each process, timed from when each message was *due*.
//!
//! It is a [`Load`](ungraceful_rig::run::load::Load) of the rig. Each of its threads has its own share of the clients
//! and of the schedule, and shares nothing while it measures: connections, histograms and ledgers are its own, and no
//! message takes a lock, a channel or an allocation. It waits for sockets with epoll and not through a runtime, whose
//! ticks of a millisecond and task per connection cost more than a message does.
//!
//! Left out on purpose: faults (every client keeps to what the broker allows), reconnecting (what a lost connection
//! was to send counts as dropped).

pub mod checks;
pub mod pace;
pub mod payload;
pub mod process;
pub mod settings;
pub mod shape;

mod client;
mod deliveries;
mod engine;
mod figures;
mod greeting;
mod handshake;
mod heard;
mod held;
mod progress;
mod publisher;
mod retained;
mod socket;
mod split;
mod stamp;
mod subscriber;
mod sum;
mod worker;

pub use engine::Engine;
