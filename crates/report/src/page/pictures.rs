//! The pictures of a page. One in which nothing was measured is left out, with the reason.

mod axis;
mod chart;
mod over_time;
mod percentiles;
mod rates;

use minijinja::Value;
use serde::Serialize;

pub(super) use over_time::pictures as over_time;
pub(super) use rates::of_search;

pub(super) use percentiles::{picture as of_percentiles, table as table_of_percentiles};

/// Width and height of every picture, in its own units.
pub(super) const fn size() -> (u32, u32) {
    chart::SIZE
}

/// A picture with its words.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Picture {
    /// Its name within the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What it shows, for readers who don't see it.
    pub(super) says: String,
    /// Its elements as SVG; absent where nothing was measured.
    pub(super) svg: Option<Value>,
    /// Why there is nothing to see; absent where there is.
    pub(super) why_not: Option<String>,
    /// The lines with their classes.
    pub(super) legend: Vec<Key>,
    pub(super) notes: Vec<String>,
}

/// An entry of a legend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Key {
    /// The number of the line, from 1.
    pub(super) line: usize,
    pub(super) label: String,
}

impl Picture {
    /// A picture that is left out.
    fn left_out(id: &'static str, title: &'static str, why: impl Into<String>) -> Self {
        let (why_not, says) = (Some(why.into()), String::new());
        Self { id, title, says, svg: None, why_not, legend: Vec::new(), notes: Vec::new() }
    }
}

/// The legend of lines with these labels.
fn legend(labels: impl IntoIterator<Item = impl Into<String>>) -> Vec<Key> {
    (1..).zip(labels).map(|(line, label)| Key { line, label: label.into() }).collect()
}
