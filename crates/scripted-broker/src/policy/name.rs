//! How the policies in this folder get their names: one declaration for each kind, and the values that some names carry
//! (`0x82`, `800ms`, `3`).

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use ungraceful_mqtt::{ConnectReturnCode, ReasonCode};

/// A text that is not the name of a policy of this kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownName {
    kind: &'static str,
    given: String,
}

impl UnknownName {
    pub(crate) fn new<P: Kind>(given: &str) -> Self {
        Self { kind: P::FIELD, given: given.to_owned() }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.replace('_', "-");
        write!(f, "no {kind} policy is named `{}`: see `scripted-broker --list`", self.given)
    }
}

impl std::error::Error for UnknownName {}

/// A kind of policy. The table of all kinds implements it.
pub(crate) trait Kind {
    /// The field of a script.
    const FIELD: &'static str;
}

/// Declares a kind of policy: an enum with one line for each policy, with its name and its meaning.
///
/// Upper-case parts of a name stand for the policy's values, in order: `0xNN`, `N` and `DURATION`. An `if` restricts them.
macro_rules! policy {
    (
        $(#[$about:meta])*
        enum $kind:ident {
            $(
                $(#[$more:meta])*
                $policy:ident $(($($value:ident: $type:ty),+))? $(if $condition:expr)? => $name:literal, $meaning:literal;
            )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        pub enum $kind {
            $(
                #[doc = concat!("`", $name, "`: ", $meaning, ".")]
                $(#[$more])*
                $policy $(($($type),+))?,
            )+
        }

        impl $kind {
            /// Every name with its meaning, the default first; `0xNN`, `N` and `DURATION` stand for values.
            pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$(($name, $meaning)),+].into_iter()
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let (name, values): (_, &[String]) = match self {
                    $(Self::$policy $(($($value),+))? => {
                        ($name, &[$($($crate::policy::name::Value::write($value)),+)?])
                    })+
                };
                f.pad(&$crate::policy::name::with_values(name, values))
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $crate::policy::name::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let policy = None$(.or_else(|| {
                    let values = $crate::policy::name::values($name, text)?;
                    let [$($($value),+)?] = values[..] else { return None };
                    $($(let $value = <$type as $crate::policy::name::Value>::read($value)?;)+)?
                    (true $(&& $condition)?).then_some(Self::$policy $(($($value),+))?)
                }))+;
                policy.ok_or_else(|| Self::Err::new::<Self>(text))
            }
        }
    };
}

pub(crate) use policy;

/// What the name of a policy can carry.
pub(crate) trait Value: Sized {
    fn read(text: &str) -> Option<Self>;
    fn write(&self) -> String;
}

/// A byte as `0x82`.
impl Value for u8 {
    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x")?;
        let is_plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_plain { Self::from_str_radix(digits, 16).ok() } else { None }
    }

    fn write(&self) -> String {
        format!("0x{self:02x}")
    }
}

impl Value for ReasonCode {
    fn read(text: &str) -> Option<Self> {
        u8::read(text).map(Self)
    }

    fn write(&self) -> String {
        self.0.write()
    }
}

impl Value for ConnectReturnCode {
    fn read(text: &str) -> Option<Self> {
        u8::read(text).map(Self)
    }

    fn write(&self) -> String {
        self.0.write()
    }
}

/// A count of at least 1.
impl Value for NonZeroU32 {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// As `800ms` or `2s`.
impl Value for Duration {
    fn read(text: &str) -> Option<Self> {
        let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = text.split_at(unit);
        let number = number.parse().ok()?;
        match unit {
            "ms" => Some(Self::from_millis(number)),
            "s" => Some(Self::from_secs(number)),
            _ => None,
        }
    }

    fn write(&self) -> String {
        format!("{}ms", self.as_millis())
    }
}

/// Whether this part of a name stands for a value.
fn is_value(part: &str) -> bool {
    part.contains(|letter: char| letter.is_ascii_uppercase())
}

/// The parts of a text in the places of the name's values; absent when the text differs elsewhere.
pub(crate) fn values<'a>(name: &str, text: &'a str) -> Option<Vec<&'a str>> {
    if name.split('-').count() != text.split('-').count() {
        return None;
    }
    (name.split('-').zip(text.split('-')))
        .filter(|(part, given)| part != given)
        .map(|(part, given)| is_value(part).then_some(given))
        .collect()
}

/// The name with these values.
pub(crate) fn with_values(name: &str, values: &[String]) -> String {
    let mut values = values.iter();
    let mut parts = Vec::new();
    for part in name.split('-') {
        let value = if is_value(part) { values.next() } else { None };
        parts.push(value.map_or(part, String::as_str));
    }
    parts.join("-")
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use super::*;

    /// With every value that names can carry.
    pub(crate) fn every_name_can_be_read<P>(names: impl Iterator<Item = (&'static str, &'static str)>)
    where
        P: FromStr<Err = UnknownName> + Display + PartialEq + Debug,
    {
        for (name, meaning) in names {
            assert!(!meaning.is_empty(), "{name}");
            let name = name.replace("0xNN", "0x8a").replace("0xMM", "0x03").replace("DURATION", "800ms");
            let name = name.replace("-N", "-3");
            let policy: P = name.parse().expect("every listed name can be read");
            assert_eq!(policy.to_string(), name);
            let is_kebab_case = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
            let is_other = |letter| !is_kebab_case(letter) && !"-.".contains(letter);
            assert!(!name.is_empty() && !name.contains(is_other), "{name}");
        }
    }

    pub(crate) fn first_name_is_the_default<P>(mut names: impl Iterator<Item = (&'static str, &'static str)>)
    where
        P: FromStr<Err = UnknownName> + PartialEq + Debug + Default,
    {
        let (name, meaning) = names.next().expect("a policy has names");
        assert_eq!(name.parse(), Ok(P::default()));
        assert!(meaning.ends_with("conforms"), "{meaning}");
    }

    #[test]
    fn a_code_is_two_hexadecimal_digits() {
        assert_eq!(u8::read("0x82"), Some(0x82));
        for wrong in ["82", "0x8", "0x+8", "0x123", ""] {
            assert_eq!(u8::read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(Duration::read("800ms"), Some(Duration::from_millis(800)));
        assert_eq!(Duration::read("2s"), Some(Duration::from_secs(2)));
        for wrong in ["800", "ms", "1h", "", "-1s"] {
            assert_eq!(Duration::read(wrong), None, "{wrong:?}");
        }
    }
}
