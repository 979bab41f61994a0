//! Reports of hand-made records. No socket, no broker, no clock.

mod escaping;
mod fixture;
mod formats;
mod junit;
mod loading;
mod reproducing;
mod showing;
mod touring;
