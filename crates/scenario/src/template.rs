//! Values with variables: text, numbers and switches that are known in full only when a scenario is carried out.
//!
//! In a string, `{name}` stands for a variable and `{{` for a brace. Variables are the parameters of a case, what was captured, and
//! what every attempt has: see [`BUILT_IN`].

use std::collections::BTreeMap;
use std::fmt;

/// The variables that every attempt has.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("topic", "a Topic Name that no other attempt uses"),
    ("will", "the topic at which the witness waits for the Will of the attempt"),
    ("client_id", "the ClientID of the step's client"),
    ("first_client_id", "the ClientID of the client `c`"),
    ("n", "in `repeat`: how many times the steps were carried out before, from 0"),
    ("receive_maximum", "from the CONNACK of the step's client: 65535 if it has none"),
    ("maximum_packet_size", "from the CONNACK of the step's client: 268435460 if it has none"),
    ("topic_alias_maximum", "from the CONNACK of the step's client: 0 if it has none"),
];

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes; text is its UTF-8.
    Bytes(Vec<u8>),
    /// A number.
    Number(u64),
    /// Yes or no.
    Switch(bool),
}

/// The values of variables.
pub type Variables = BTreeMap<String, Value>;

/// Why a value can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Nothing has this name.
    #[error("there is no variable {{{0}}}")]
    Unknown(String),
    /// The variable is of another kind.
    #[error("{{{name}}} is no {wanted}")]
    Kind {
        /// The variable.
        name: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// The number is too small or too large.
    #[error("{value} is out of range: 0 to {max}")]
    Range {
        /// The number.
        value: i128,
        /// The largest that is possible.
        max: u64,
    },
    /// The text is no hexadecimal.
    #[error("{0:?} is no hexadecimal: write two digits for each byte, such as \"30 0A 00\"")]
    Hex(String),
    /// It takes more memory than a scenario may.
    #[error("more than {max} bytes")]
    TooLong {
        /// The most.
        max: usize,
    },
}

/// The most bytes that one value or packet may have: the largest packet of MQTT is 16 times as large.
pub const BYTES_MAX: usize = 16 << 20;

/// A part of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Literal(String),
    /// The value of this variable.
    Variable(String),
}

/// Text with variables.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text(Vec<Part>);

impl Text {
    /// Text without variables, whatever it contains.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { Self(vec![Part::Literal(text.to_owned())]) }
    }

    /// The value of one variable.
    #[must_use]
    pub fn variable(name: &str) -> Self {
        Self(vec![Part::Variable(name.to_owned())])
    }

    /// Its parts, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Text of these parts: neighbouring literals become one, and empty ones none, as when it is read.
    pub(crate) fn of_parts(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut all: Vec<Part> = Vec::new();
        for part in parts {
            match (all.last_mut(), part) {
                (Some(Part::Literal(before)), Part::Literal(text)) => before.push_str(&text),
                (_, Part::Literal(text)) if text.is_empty() => {}
                (_, part) => all.push(part),
            }
        }
        Self(all)
    }

    /// The text, if it has no variables.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Reads `{name}` as a variable, and `{{` and `}}` as braces.
    ///
    /// # Errors
    /// What is wrong, for the author.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text.chars().peekable();
        while let Some(letter) = rest.next() {
            match letter {
                '{' | '}' if rest.peek() == Some(&letter) => literal.extend(rest.next()),
                '{' => {
                    let mut name = String::new();
                    while let Some(letter) = rest.next_if(|letter| is_of_name(*letter)) {
                        name.push(letter);
                    }
                    if name.is_empty() || rest.next() != Some('}') {
                        return Err(format!(
                            "no variable after {{{name}: write {{name}} in lower-case letters, digits and _; for a \
                             brace, write {{{{"
                        ));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Variable(name));
                }
                '}' => return Err("} without {: for a brace, write }}".to_owned()),
                letter => literal.push(letter),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The bytes: literals and byte variables as they are, numbers in decimal.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn bytes(&self, variables: &Variables) -> Result<Vec<u8>, Unresolved> {
        let mut all = Vec::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => all.extend_from_slice(text.as_bytes()),
                Part::Variable(name) => match value_of(name, variables)? {
                    Value::Bytes(bytes) => all.extend_from_slice(bytes),
                    Value::Number(number) => all.extend_from_slice(number.to_string().as_bytes()),
                    Value::Switch(_) => return Err(kind(name, "text")),
                },
            }
            if all.len() > BYTES_MAX {
                return Err(Unresolved::TooLong { max: BYTES_MAX });
            }
        }
        Ok(all)
    }

    /// The bytes that the text describes in hexadecimal; spaces are ignored.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn hex(&self, variables: &Variables) -> Result<Vec<u8>, Unresolved> {
        let text = self.bytes(variables)?;
        read_hex(&text).ok_or_else(|| Unresolved::Hex(String::from_utf8_lossy(&text).into_owned()))
    }
}

/// As it is written in a scenario.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Variable(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

/// Reads hexadecimal with any spaces between bytes.
#[must_use]
pub fn read_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(digit).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Writes hexadecimal, a space between bytes.
#[must_use]
pub fn write_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// Whether a name of a variable may have this character.
#[must_use]
pub fn is_of_name(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

fn value_of<'a>(name: &str, variables: &'a Variables) -> Result<&'a Value, Unresolved> {
    variables.get(name).ok_or_else(|| Unresolved::Unknown(name.to_owned()))
}

fn kind(name: &str, wanted: &'static str) -> Unresolved {
    Unresolved::Kind { name: name.to_owned(), wanted }
}

/// Bytes: a string, or one of the other ways to write bytes that no string can hold or that are too many to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// The UTF-8 of a text.
    Text(Text),
    /// `{ hex = "C3 28" }`.
    Hex(Text),
    /// `{ repeat = "/", times = 200 }`: a text so many times.
    Repeat(Text, Number),
    /// `{ random = 1000 }`: so many bytes, the same for the same seed of the run.
    Random(Number),
    /// `["a/", { hex = "00" }]`: one after the other.
    Joined(Vec<Bytes>),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Text(Text::default())
    }
}

impl Bytes {
    /// A text as it stands.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self::Text(Text::literal(text))
    }

    /// The bytes. `random` is where randomness comes from.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn make(&self, variables: &Variables, random: &mut Random) -> Result<Vec<u8>, Unresolved> {
        match self {
            Self::Text(text) => text.bytes(variables),
            Self::Hex(text) => text.hex(variables),
            Self::Repeat(text, times) => {
                let once = text.bytes(variables)?;
                let times = times.value(variables, BYTES_MAX as u64)?;
                let times = usize::try_from(times).unwrap_or(usize::MAX);
                match once.len().checked_mul(times) {
                    Some(length) if length <= BYTES_MAX => Ok(once.repeat(times)),
                    _ => Err(Unresolved::TooLong { max: BYTES_MAX }),
                }
            }
            Self::Random(length) => {
                let length = length.value(variables, BYTES_MAX as u64)?;
                Ok((0..length).map(|_| random.byte()).collect())
            }
            Self::Joined(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.make(variables, random)?);
                }
                if all.len() > BYTES_MAX { Err(Unresolved::TooLong { max: BYTES_MAX }) } else { Ok(all) }
            }
        }
    }
}

/// A small source of bytes (SplitMix64): a scenario's own randomness comes from the seed of the run alone.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The bytes that belong to this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed.to_be_bytes()[0]
    }
}

/// A number: as it stands, or a variable with an optional difference: `"{receive_maximum} + 1"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// As it stands.
    Fixed(u64),
    /// This variable and this difference.
    Variable(String, i64),
}

impl Number {
    /// Reads `{name}`, `{name} + 1` or `{name} - 1`; absent for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.trim().strip_prefix('{')?.split_once('}')?;
        if name.is_empty() || !name.chars().all(is_of_name) {
            return None;
        }
        let rest = rest.trim();
        let difference = match rest.split_at_checked(1) {
            None => 0,
            Some(("+", number)) => number.trim().parse::<u32>().ok()?.into(),
            Some(("-", number)) => -i64::from(number.trim().parse::<u32>().ok()?),
            Some(_) => return None,
        };
        Some(Self::Variable(name.to_owned(), difference))
    }

    /// The value, 0 to `max`.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn value(&self, variables: &Variables, max: u64) -> Result<u64, Unresolved> {
        let value = match self {
            Self::Fixed(value) => i128::from(*value),
            Self::Variable(name, difference) => match value_of(name, variables)? {
                Value::Number(value) => i128::from(*value) + i128::from(*difference),
                Value::Switch(is_on) if *difference == 0 => i128::from(*is_on),
                Value::Bytes(_) | Value::Switch(_) => return Err(kind(name, "number")),
            },
        };
        match u64::try_from(value) {
            Ok(value) if value <= max => Ok(value),
            _ => Err(Unresolved::Range { value, max }),
        }
    }
}

/// As it is written in a scenario, without quotes.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(value) => write!(f, "{value}"),
            Self::Variable(name, 0) => write!(f, "{{{name}}}"),
            Self::Variable(name, more) if *more > 0 => write!(f, "{{{name}}} + {more}"),
            Self::Variable(name, less) => write!(f, "{{{name}}} - {}", less.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables::from([
            ("topic".to_owned(), Value::Bytes(b"t/1".to_vec())),
            ("n".to_owned(), Value::Number(7)),
            ("on".to_owned(), Value::Switch(true)),
        ])
    }

    #[test]
    fn a_text_has_variables_and_braces() {
        let text = Text::parse("{topic}/{n}/{{x}}").unwrap();
        assert_eq!(text.bytes(&variables()).unwrap(), b"t/1/7/{x}");
        assert_eq!(text.to_string(), "{topic}/{n}/{{x}}");
        assert_eq!(text.variables().collect::<Vec<_>>(), ["topic", "n"]);
        assert!(Text::parse("{To pic}").is_err() && Text::parse("a}").is_err() && Text::parse("{a").is_err());
        let unknown = Text::variable("nope").bytes(&variables());
        assert_eq!(unknown, Err(Unresolved::Unknown("nope".into())));
    }

    #[test]
    fn a_number_may_differ_from_a_variable() {
        let value = |text: &str, max| Number::parse(text).unwrap().value(&variables(), max);
        assert_eq!((value("{n}", 9), value("{n} + 2", 9), value("{n}-7", 9)), (Ok(7), Ok(9), Ok(0)));
        assert_eq!(value("{n} + 3", 9), Err(Unresolved::Range { value: 10, max: 9 }));
        assert_eq!(value("{n} - 8", 9), Err(Unresolved::Range { value: -1, max: 9 }));
        assert!(matches!(value("{topic}", 9), Err(Unresolved::Kind { .. })));
        for text in ["7", "{n} * 2", "{n} + x", "{}"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_are_text_hexadecimal_repeated_random_or_joined() {
        let make = |bytes: &Bytes| bytes.make(&variables(), &mut Random::new(1));
        let repeat = Bytes::Repeat(Text::literal("ab"), Number::Fixed(2));
        let joined = Bytes::Joined(vec![Bytes::Hex(Text::literal("c3 28")), repeat]);
        assert_eq!(make(&joined).unwrap(), b"\xC3\x28abab");
        let random = make(&Bytes::Random(Number::Fixed(64))).unwrap();
        assert_eq!((random.len(), make(&Bytes::Random(Number::Fixed(64)))), (64, Ok(random)));
        assert!(matches!(make(&Bytes::Hex(Text::literal("c"))), Err(Unresolved::Hex(_))));
        let endless = Bytes::Repeat(Text::literal("ab"), Number::Fixed(BYTES_MAX as u64));
        assert!(matches!(make(&endless), Err(Unresolved::TooLong { .. })));
    }
}
