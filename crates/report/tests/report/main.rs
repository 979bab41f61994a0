//! Reports of hand-made records. No socket, no broker, no clock.

#![cfg(test)]

mod escaping;
mod fixture;
mod formats;
mod junit;
mod loading;
mod paging;
mod paging_hostile;
mod paging_search;
mod reproducing;
mod showing;
mod touring;
