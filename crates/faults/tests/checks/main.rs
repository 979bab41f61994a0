//! What the checks conclude from hand-made records. No sockets.

mod any;
mod common;
mod credentials;
mod double_connect;
mod herd;
mod keep_alive;
mod takeover;
mod vanish;
