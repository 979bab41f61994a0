//! Reads tables of a file against [`keys`](crate::keys), and collects every mistake with its line and its key.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use crate::keys::{Key, Shape, Table};
use crate::model::Switch;
use crate::template::{Bytes, Number, Text, read_hex};

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The key, such as `step[2].send.publish.qos`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.what),
            key => write!(f, "line {}: {key}: {}", self.line, self.what),
        }
    }
}

/// The lines of a file and the mistakes found so far.
pub(crate) struct Reader {
    line_starts: Vec<usize>,
    pub(crate) mistakes: Vec<Mistake>,
}

type Node<'t, 's> = &'t Spanned<DeValue<'s>>;

impl Reader {
    pub(crate) fn new(source: &str) -> Self {
        let ends = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { line_starts: ends.collect(), mistakes: Vec::new() }
    }

    /// The line of a position, from 1.
    fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at) + 1
    }

    pub(crate) fn mistake(&mut self, at: &Range<usize>, key: &str, what: impl Into<String>) {
        let line = self.line(at.start);
        self.mistakes.push(Mistake { line, key: key.to_owned(), what: what.into() });
    }
}

/// A table that is being read.
pub(crate) struct Fields<'t, 's> {
    table: &'t DeTable<'s>,
    keys: &'static Table,
    /// Where it stands in the file.
    pub(crate) span: Range<usize>,
    /// Its path.
    pub(crate) path: String,
}

/// The value of a key.
pub(crate) struct Found<'t, 's> {
    pub(crate) node: Node<'t, 's>,
    pub(crate) path: String,
    key: &'static Key,
}

impl<'t, 's> Fields<'t, 's> {
    /// Begins to read a table: unknown keys are mistakes.
    pub(crate) fn new(
        reader: &mut Reader,
        table: &'t DeTable<'s>,
        span: Range<usize>,
        path: String,
        keys: &'static Table,
    ) -> Self {
        let fields = Self { table, keys, span, path };
        if !keys.keys.iter().any(|key| matches!(key.shapes, [Shape::Parameters])) {
            for (key, _) in fields.further() {
                let what = unknown_key(key.get_ref(), keys);
                reader.mistake(&key.span(), &fields.path_of(key.get_ref()), what);
            }
        }
        fields
    }

    /// The keys that the table does not declare, with their values.
    pub(crate) fn further(&self) -> Vec<(&'t Spanned<DeString<'s>>, Node<'t, 's>)> {
        let is_known = |name: &str| self.keys.keys.iter().any(|key| key.name == name && name != "…");
        let mut all: Vec<_> = self.table.iter().filter(|(key, _)| !is_known(key.get_ref())).collect();
        all.sort_by_key(|(key, _)| key.span().start);
        all
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.get(name).is_some()
    }

    /// The value of a key; absent when there is none.
    ///
    /// # Panics
    /// When the table does not declare the key.
    pub(crate) fn find(&self, name: &'static str) -> Option<Found<'t, 's>> {
        let key = self.keys.keys.iter().find(|key| key.name == name);
        let key = key.expect("a key that is read is declared");
        self.table.get(name).map(|node| Found { node, path: self.path_of(name), key })
    }

    /// A mistake of the table as a whole.
    pub(crate) fn mistake(&self, reader: &mut Reader, what: impl Into<String>) {
        reader.mistake(&self.span, &self.path, what);
    }

    /// The one key of `names` that is present; a mistake when there is not exactly one.
    pub(crate) fn only_one_of(&self, reader: &mut Reader, names: &[&'static str]) -> Option<&'static str> {
        let present: Vec<&'static str> = names.iter().copied().filter(|name| self.has(name)).collect();
        match present[..] {
            [only] => Some(only),
            [] => {
                self.mistake(reader, format!("nothing to do: add one of {}", names.join(", ")));
                None
            }
            _ => {
                self.mistake(reader, format!("{} exclude each other: keep one", present.join(" and ")));
                None
            }
        }
    }

    pub(crate) fn plain(&self, reader: &mut Reader, name: &'static str) -> Option<String> {
        self.find(name)?.plain(reader)
    }

    pub(crate) fn bool(&self, reader: &mut Reader, name: &'static str) -> Option<bool> {
        self.find(name)?.bool(reader)
    }

    pub(crate) fn number(&self, reader: &mut Reader, name: &'static str) -> Option<Number> {
        self.find(name)?.number(reader)
    }

    pub(crate) fn fixed(&self, reader: &mut Reader, name: &'static str) -> Option<u64> {
        let found = self.find(name)?;
        match found.number(reader)? {
            Number::Fixed(number) => Some(number),
            Number::Variable(..) => {
                found.mistake(reader, "write a number: variables have no value yet here");
                None
            }
        }
    }

    pub(crate) fn bytes(&self, reader: &mut Reader, name: &'static str) -> Option<Bytes> {
        self.find(name)?.bytes(reader)
    }

    pub(crate) fn switch(&self, reader: &mut Reader, name: &'static str) -> Option<Switch> {
        let found = self.find(name)?;
        match found.node.get_ref() {
            DeValue::Boolean(value) => Some(Switch::Fixed(*value)),
            DeValue::String(text) => match Number::parse(text) {
                Some(Number::Variable(name, 0)) => Some(Switch::Variable(name)),
                _ => found.wrong(reader),
            },
            _ => found.wrong(reader),
        }
    }

    pub(crate) fn time(&self, reader: &mut Reader, name: &'static str) -> Option<Duration> {
        let found = self.find(name)?;
        let text = found.text(reader)?;
        let time = read_time(text);
        if time.is_none() {
            found.mistake(
                reader,
                format!("{text:?} is no time: write a number and a unit, such as \"500ms\" or \"2s\""),
            );
        }
        time
    }

    /// The tables of a list.
    pub(crate) fn tables(&self, reader: &mut Reader, name: &'static str) -> Vec<Fields<'t, 's>> {
        let Some(found) = self.find(name) else { return Vec::new() };
        let keys = found.key.shapes.iter().find_map(|shape| match shape {
            Shape::Tables(keys) => Some(*keys),
            _ => None,
        });
        let (Some(keys), Some(array)) = (keys, found.node.get_ref().as_array()) else {
            found.wrong::<()>(reader);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, node) in array.iter().enumerate() {
            let path = format!("{}[{}]", found.path, index + 1);
            match node.get_ref() {
                DeValue::Table(table) => tables.push(Fields::new(reader, table, node.span(), path, keys)),
                _ => reader.mistake(&node.span(), &path, "write a table, such as { key = value }"),
            }
        }
        tables
    }
}

impl<'t, 's> Found<'t, 's> {
    pub(crate) fn mistake(&self, reader: &mut Reader, what: impl Into<String>) {
        reader.mistake(&self.node.span(), &self.path, what);
    }

    /// The value has another shape than its key.
    pub(crate) fn wrong<T>(&self, reader: &mut Reader) -> Option<T> {
        let shapes: Vec<String> = self.key.shapes.iter().map(describe).collect();
        let is = self.node.get_ref().type_str();
        self.mistake(reader, format!("write {} instead of this {is}", shapes.join(", or ")));
        None
    }

    fn text(&self, reader: &mut Reader) -> Option<&'t str> {
        match self.node.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong(reader),
        }
    }

    pub(crate) fn plain(&self, reader: &mut Reader) -> Option<String> {
        self.text(reader).map(str::to_owned)
    }

    pub(crate) fn plains(&self, reader: &mut Reader) -> Option<Vec<String>> {
        let Some(list) = self.node.get_ref().as_array() else { return self.wrong(reader) };
        let texts: Option<Vec<String>> =
            list.iter().map(|node| node.get_ref().as_str().map(str::to_owned)).collect();
        texts.or_else(|| self.wrong(reader))
    }

    pub(crate) fn bool(&self, reader: &mut Reader) -> Option<bool> {
        match self.node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong(reader),
        }
    }

    /// The largest number that the key takes.
    fn max(&self) -> u64 {
        let of = |shape: &Shape| match shape {
            Shape::Number(max) | Shape::Numbers(max) => Some(*max),
            _ => None,
        };
        self.key.shapes.iter().find_map(of).unwrap_or(u64::MAX)
    }

    pub(crate) fn number(&self, reader: &mut Reader) -> Option<Number> {
        let max = self.max();
        number_of(reader, self.node, &self.path, max)
    }

    pub(crate) fn numbers(&self, reader: &mut Reader) -> Option<Vec<Number>> {
        let max = self.max();
        let Some(list) = self.node.get_ref().as_array() else { return self.wrong(reader) };
        list.iter()
            .enumerate()
            .map(|(index, node)| number_of(reader, node, &format!("{}[{}]", self.path, index + 1), max))
            .collect()
    }

    pub(crate) fn words(&self, reader: &mut Reader) -> Option<Vec<&'static str>> {
        let allowed = self.key.shapes.iter().find_map(|shape| match shape {
            Shape::Words(words) | Shape::Word(words) => Some(*words),
            _ => None,
        });
        let (Some(allowed), Some(list)) = (allowed, self.node.get_ref().as_array()) else {
            return self.wrong(reader);
        };
        list.iter().map(|node| word_of(reader, node, &self.path, allowed)).collect()
    }

    pub(crate) fn word(&self, reader: &mut Reader) -> Option<&'static str> {
        let allowed = self.key.shapes.iter().find_map(|shape| match shape {
            Shape::Word(words) => Some(*words),
            _ => None,
        });
        word_of(reader, self.node, &self.path, allowed.expect("the key takes words"))
    }

    /// The table; a mistake when the value is none.
    pub(crate) fn table(&self, reader: &mut Reader) -> Option<Fields<'t, 's>> {
        let keys = self.key.shapes.iter().find_map(|shape| match shape {
            Shape::Table(keys) => Some(*keys),
            _ => None,
        });
        match (keys, self.node.get_ref()) {
            (Some(keys), DeValue::Table(table)) => {
                Some(Fields::new(reader, table, self.node.span(), self.path.clone(), keys))
            }
            _ => self.wrong(reader),
        }
    }

    pub(crate) fn array(&self) -> Option<&'t DeArray<'s>> {
        self.node.get_ref().as_array()
    }

    pub(crate) fn is_string(&self) -> bool {
        self.node.get_ref().is_str()
    }

    pub(crate) fn bytes(&self, reader: &mut Reader) -> Option<Bytes> {
        bytes_of(reader, self.node, &self.path)
    }

    /// Text of hexadecimal digits.
    pub(crate) fn hex(&self, reader: &mut Reader) -> Option<Text> {
        hex_of(reader, self.node, &self.path)
    }
}

fn word_of(
    reader: &mut Reader,
    node: Node<'_, '_>,
    path: &str,
    allowed: &'static [&'static str],
) -> Option<&'static str> {
    let found = node.get_ref().as_str().and_then(|text| allowed.iter().find(|word| **word == text));
    if found.is_none() {
        let is = node
            .get_ref()
            .as_str()
            .map_or_else(|| node.get_ref().type_str().to_owned(), |text| format!("{text:?}"));
        let hint = node.get_ref().as_str().and_then(|text| nearest(text, allowed.iter().copied()));
        let hint = hint.map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
        reader.mistake(&node.span(), path, format!("{is} is none of {}{hint}", allowed.join(", ")));
    }
    found.copied()
}

/// A number up to `max`, or a variable.
pub(crate) fn number_of(reader: &mut Reader, node: Node<'_, '_>, path: &str, max: u64) -> Option<Number> {
    let number = match node.get_ref() {
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            i128::from_str_radix(&digits, integer.radix())
                .ok()
                .map(|value| u64::try_from(value).ok().filter(|value| *value <= max))
        }
        DeValue::String(text) => match Number::parse(text) {
            Some(number) => return Some(number),
            None => {
                let what =
                    format!("{text:?} is no number: write 0 to {max}, or a variable such as \"{{name}}\"");
                reader.mistake(&node.span(), path, what);
                return None;
            }
        },
        _ => None,
    };
    match number {
        Some(Some(value)) => Some(Number::Fixed(value)),
        Some(None) => {
            reader.mistake(&node.span(), path, format!("out of range: write 0 to {max}"));
            None
        }
        None => {
            let is = node.get_ref().type_str();
            reader.mistake(
                &node.span(),
                path,
                format!("write a number from 0 to {max} instead of this {is}"),
            );
            None
        }
    }
}

fn text_of(reader: &mut Reader, node: Node<'_, '_>, path: &str, text: &str) -> Option<Text> {
    match Text::parse(text) {
        Ok(text) => Some(text),
        Err(what) => {
            reader.mistake(&node.span(), path, what);
            None
        }
    }
}

/// Text of hexadecimal digits.
pub(crate) fn hex_of(reader: &mut Reader, node: Node<'_, '_>, path: &str) -> Option<Text> {
    let Some(written) = node.get_ref().as_str() else {
        reader.mistake(&node.span(), path, "write a string of hexadecimal digits, such as \"30 0A\"");
        return None;
    };
    let text = text_of(reader, node, path, written)?;
    // With variables, only the values decide.
    if text.variables().next().is_none() && read_hex(written.as_bytes()).is_none() {
        let what = "no hexadecimal: write two digits for each byte, such as \"30 0A\"";
        reader.mistake(&node.span(), path, what);
        return None;
    }
    Some(text)
}

/// Bytes in any of the ways to write them.
pub(crate) fn bytes_of(reader: &mut Reader, node: Node<'_, '_>, path: &str) -> Option<Bytes> {
    const CURE: &str = "write a string, { hex = \"C3 28\" }, { repeat = \"x\", times = 9 }, { random = 9 }, or a list of these";
    match node.get_ref() {
        DeValue::String(text) => text_of(reader, node, path, text).map(Bytes::Text),
        DeValue::Array(parts) => {
            let parts: Option<Vec<Bytes>> = parts
                .iter()
                .enumerate()
                .map(|(index, part)| bytes_of(reader, part, &format!("{path}[{}]", index + 1)))
                .collect();
            parts.map(Bytes::Joined)
        }
        DeValue::Table(table) => {
            let names: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
            let below = |name: &str| format!("{path}.{name}");
            match names[..] {
                ["hex"] => hex_of(reader, table.get("hex")?, &below("hex")).map(Bytes::Hex),
                ["random"] => number_of(
                    reader,
                    table.get("random")?,
                    &below("random"),
                    crate::template::BYTES_MAX as u64,
                )
                .map(Bytes::Random),
                ["repeat", "times"] | ["times", "repeat"] => {
                    let repeat = table.get("repeat")?;
                    let Some(text) = repeat.get_ref().as_str() else {
                        reader.mistake(&repeat.span(), &below("repeat"), "write the string to repeat");
                        return None;
                    };
                    let text = text_of(reader, repeat, &below("repeat"), text)?;
                    let max = crate::template::BYTES_MAX as u64;
                    let times = number_of(reader, table.get("times")?, &below("times"), max)?;
                    Some(Bytes::Repeat(text, times))
                }
                _ => {
                    reader.mistake(&node.span(), path, CURE);
                    None
                }
            }
        }
        _ => {
            reader.mistake(&node.span(), path, CURE);
            None
        }
    }
}

/// Reads a time with its unit: ms, s or min.
pub(crate) fn read_time(text: &str) -> Option<Duration> {
    let at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "min" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// Writes a time as [`read_time`] reads it. Fractions of a millisecond are cut.
pub(crate) fn write_time(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

fn unknown_key(name: &str, keys: &Table) -> String {
    let known: Vec<&str> = keys.keys.iter().map(|key| key.name).collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown key; did you mean {near}? The keys are {}", known.join(", ")),
        None => format!("unknown key; the keys are {}", known.join(", ")),
    }
}

/// The name that was probably meant; absent when none is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR_ENOUGH: f64 = 0.75;
    let by_nearness = |a: &(f64, &str), b: &(f64, &str)| a.0.total_cmp(&b.0);
    let nearness = known.map(|known| (strsim::jaro_winkler(name, known), known));
    nearness.max_by(by_nearness).filter(|(near, _)| *near >= NEAR_ENOUGH).map(|(_, known)| known)
}

/// A shape in words, for mistakes and the reference.
pub(crate) fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Plain => "text".to_owned(),
        Shape::Plains => "a list of texts".to_owned(),
        Shape::Word(words) => words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", "),
        Shape::Words(words) => format!(
            "a list of {}",
            words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
        ),
        Shape::Bytes => "bytes".to_owned(),
        Shape::Hex => "hexadecimal".to_owned(),
        Shape::Number(max) => format!("a number from 0 to {max}"),
        Shape::Numbers(max) => format!("a list of numbers from 0 to {max}"),
        Shape::Bool => "true or false".to_owned(),
        Shape::Switch => "true, false or a variable".to_owned(),
        Shape::Time => "a time".to_owned(),
        Shape::Table(table) => format!("a table `{}`", table.name),
        Shape::Tables(table) => format!("a list of tables `{}`", table.name),
        Shape::Properties => "a list of properties".to_owned(),
        Shape::Capture => "a table of variables and fields".to_owned(),
        Shape::Statement => "a statement, or a table of one for each version".to_owned(),
        Shape::Parameters => "text, a number, true or false, or bytes".to_owned(),
    }
}
