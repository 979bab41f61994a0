//! The policies of a script, one file each: what can go wrong, by name. The server's files act on them.

mod connect_wait;
mod deliveries;
mod expiry;
mod flow;
mod greeting;
mod keep_alive;
mod name;
mod offline_queue;
mod pubacks;
mod readmission;
mod reauthentication;
mod removal;
mod second_connect;
mod sessions;
mod slow_reader;
mod subscriber_flow;
mod take_over;
mod wills;

pub use connect_wait::ConnectWait;
pub use deliveries::Deliveries;
pub use expiry::Expiry;
pub use flow::Flow;
pub use greeting::Greeting;
pub use keep_alive::KeepAlive;
pub use name::UnknownName;
pub use offline_queue::OfflineQueue;
pub use pubacks::Pubacks;
pub use readmission::Readmission;
pub use reauthentication::Reauthentication;
pub use removal::Removal;
pub use second_connect::SecondConnect;
pub use sessions::Sessions;
pub use slow_reader::SlowReader;
pub use subscriber_flow::SubscriberFlow;
pub use take_over::TakeOver;
pub use wills::Wills;
