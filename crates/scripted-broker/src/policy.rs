//! The policies of a script, one file each: what can go wrong, by name. The server's files act on them.

mod deliveries;
mod greeting;
mod name;
mod second_connect;
mod wills;

pub use deliveries::Deliveries;
pub use greeting::Greeting;
pub use name::UnknownName;
pub use second_connect::SecondConnect;
pub use wills::Wills;
