//! How policies get their names: one table per policy, and the values that some names carry (`0x82`, `800ms`, `3`).
//!
//! The policies in this folder use it; what they mean is theirs.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// A text that names no policy of the kind asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownName {
    kind: &'static str,
    given: String,
}

impl UnknownName {
    pub(crate) fn new(kind: &'static str, given: &str) -> Self {
        Self { kind, given: given.to_owned() }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} policy is named `{}`: see `scripted-broker --list`", self.kind, self.given)
    }
}

impl std::error::Error for UnknownName {}

/// One line of a policy's table.
pub(crate) struct Named<P> {
    /// The policy; absent for a family of them, whose name carries a value.
    policy: Option<P>,
    name: &'static str,
    meaning: &'static str,
}

impl<P: Copy + PartialEq> Named<P> {
    pub(crate) const fn one(policy: P, name: &'static str, meaning: &'static str) -> Self {
        Self { policy: Some(policy), name, meaning }
    }

    pub(crate) const fn family(name: &'static str, meaning: &'static str) -> Self {
        Self { policy: None, name, meaning }
    }
}

/// The policy with exactly this name.
pub(crate) fn by_name<P: Copy>(table: &[Named<P>], text: &str) -> Option<P> {
    table.iter().find(|named| named.name == text).and_then(|named| named.policy)
}

/// The name of a policy that carries no value.
pub(crate) fn name_of<P: PartialEq>(table: &'static [Named<P>], policy: &P) -> Option<&'static str> {
    table.iter().find(|named| named.policy.as_ref() == Some(policy)).map(|named| named.name)
}

/// Names and meanings in the table's order.
pub(crate) fn listed<P>(table: &'static [Named<P>]) -> impl Iterator<Item = (&'static str, &'static str)> {
    table.iter().map(|named| (named.name, named.meaning))
}

/// A byte as `0x82`.
pub(crate) fn code(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("0x")?;
    let is_plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_plain { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// A duration as `800ms` or `2s`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

/// A count of at least 1.
pub(crate) fn count(text: &str) -> Option<NonZeroU32> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_two_hexadecimal_digits() {
        assert_eq!(code("0x82"), Some(0x82));
        for wrong in ["82", "0x8", "0x+8", "0x123", ""] {
            assert_eq!(code(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("800ms"), Some(Duration::from_millis(800)));
        assert_eq!(duration("2s"), Some(Duration::from_secs(2)));
        for wrong in ["800", "ms", "1h", "", "-1s"] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
    }
}
