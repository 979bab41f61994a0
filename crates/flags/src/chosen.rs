//! Flags that choose from a list of names, including `all`.

use std::fmt;
use std::str::FromStr;

use clap::builder::ValueParserFactory;

use crate::reader::{Reader, reader};

/// One of a flag's names, or `all` of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Named<V> {
    /// `all`.
    #[default]
    All,
    /// This one.
    One(V),
}

impl<V: FromStr> FromStr for Named<V>
where
    V::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            _ => V::from_str(text).map(Self::One).map_err(|why| format!("{why}; or all")),
        }
    }
}

impl<V> ValueParserFactory for Named<V>
where
    V: FromStr + Clone + Send + Sync + 'static,
    V::Err: fmt::Display,
{
    type Parser = Reader<Self>;

    fn value_parser() -> Self::Parser {
        reader()
    }
}

/// The given values, in the order of `all`; all of them without one, or for `all`.
pub fn chosen<V: Clone + PartialEq>(all: &[V], given: &[Named<V>]) -> Vec<V> {
    if given.is_empty() { all.to_vec() } else { named(all, given) }
}

/// The named values, in the order of `all`; none without a name.
pub fn named<V: Clone + PartialEq>(all: &[V], given: &[Named<V>]) -> Vec<V> {
    let is_named = |value: &&V| {
        given.iter().any(|named| match named {
            Named::All => true,
            Named::One(one) => one == *value,
        })
    };
    all.iter().filter(is_named).cloned().collect()
}

/// Whether `all` is among the names.
pub fn names_all<V>(given: &[Named<V>]) -> bool {
    given.iter().any(|named| matches!(named, Named::All))
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::QoS;

    use super::{Named, chosen, named};

    #[test]
    fn all_means_every_name_also_beside_others() {
        let all = [QoS::AtMostOnce, QoS::AtLeastOnce];
        let of = |texts: &[&str]| -> (Vec<QoS>, Vec<QoS>) {
            let given: Vec<Named<QoS>> = texts.iter().map(|text| text.parse().unwrap()).collect();
            (chosen(&all, &given), named(&all, &given))
        };
        assert_eq!(of(&[]), (all.to_vec(), Vec::new()));
        assert_eq!(of(&["all"]), (all.to_vec(), all.to_vec()));
        assert_eq!(of(&["1", "all"]), (all.to_vec(), all.to_vec()));
        assert_eq!(of(&["1"]), (vec![all[1]], vec![all[1]]));
        assert!("7".parse::<Named<QoS>>().unwrap_err().ends_with("; or all"));
    }
}
