//! What the checks of vanish and expire conclude from hand-made records. No sockets.

mod common;
mod credentials;
mod herd;
mod keep_alive;
mod vanish;
