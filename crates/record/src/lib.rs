//! The record of a run and its verdicts: plain data and pure functions.
//!
//! A record holds all observations; checks and thresholds read only the record and give verdicts. Nothing in this crate opens
//! a socket, reads a clock or starts a thread, so every record can be judged and reported again without a broker.

pub mod accepted;
pub mod attempt;
pub mod check;
pub mod checks;
pub mod confidence;
pub mod counts;
pub mod discarded;
pub mod encoded;
pub mod event;
pub mod exit;
pub mod expectation;
pub mod fact;
pub mod figures;
pub mod files;
pub mod intervals;
pub mod ledger;
pub mod live;
pub mod load;
pub mod loss;
pub mod merge;
pub mod metric;
pub mod noise;
pub mod offers;
pub mod phase;
pub mod rate_search;
pub mod reaction;
pub mod recovery;
pub mod run;
pub mod scale;
pub mod tally;
#[cfg(feature = "testing")]
pub mod testing;
pub mod threshold;
pub mod timeline;
pub mod verdict;
mod words;

mod own_lateness;
