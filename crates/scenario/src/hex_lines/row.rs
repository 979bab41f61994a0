//! Rows of hex dumps: an offset, bytes and, mostly, the same bytes as text.

use super::{Wrong, digits};

/// The mistake of `hexdump` without `-C` and of `od` without `-t x1`.
pub(super) const WORDS: &str =
    "this dump has words in the byte order of its machine: use `hexdump -C` or `xxd`";

/// The most bytes of a row with a text column: `xxd` prints no more.
const ROW_BYTES_MAX: usize = 256;

/// One row of a dump.
#[derive(Debug)]
pub(super) struct Row {
    /// Where the row begins in its line, in bytes.
    pub(super) at: usize,
    /// White space before it in its line.
    pub(super) indent: usize,
    pub(super) offset: String,
    /// Whether only a row can look like this. Others may be plain digits as well, unless their offset fits.
    pub(super) is_certain: bool,
    pub(super) bytes: Vec<u8>,
}

impl Row {
    /// Whether it begins a dump.
    pub(super) fn is_first(&self) -> bool {
        self.offset.bytes().all(|digit| digit == b'0')
    }

    /// Whether the offset is this one. `od` writes it in octal by default.
    pub(super) fn is_at(&self, offset: u64) -> bool {
        [16, 8, 10].iter().any(|radix| u64::from_str_radix(&self.offset, *radix) == Ok(offset))
    }
}

/// Reads a line as a row; absent if it can't be one. A row without bytes is the last one of some dumps.
pub(super) fn read(line: &str, start: usize) -> Option<Result<Row, Wrong>> {
    let length = line[start..].bytes().take_while(u8::is_ascii_hexdigit).count();
    let offset = &line[start..start + length];
    let has_colon = line[start + length..].starts_with(':');
    let after = start + length + usize::from(has_colon);
    let rest = &line[after..];
    if !(4..=16).contains(&length) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let tokens = tokens(line, after);
    let gap = tokens.first().map_or(0, |token| token.start - after);
    let is_pair = |token: &Token<'_>| token.text.len() == 2 && token.is_hex();
    let is_certain = match tokens.first() {
        None => has_colon,
        Some(_) if has_colon => true,
        Some(first) if is_pair(first) => gap >= 2 || rest.starts_with('\t') || length == 7,
        // Rows of 16-bit words have offsets of seven digits, which plain digits can't have.
        Some(first) if length == 7 && first.is_hex() => return Some(Err(Wrong::new(start, WORDS))),
        Some(_) => return None,
    };
    let is_zero = offset.bytes().all(|digit| digit == b'0');
    let bytes = bytes_of(line, &tokens, has_colon).or_else(|wrong| {
        // A comment, which looks like a text column at first.
        match tokens.iter().position(|token| digits::is_comment(token.text)) {
            Some(comment) => bytes_of(&line[..tokens[comment].start], &tokens[..comment], has_colon),
            None => Err(wrong),
        }
    });
    match bytes {
        Ok(bytes) => {
            let indent = indent(line, start);
            Some(Ok(Row { at: start, indent, offset: offset.to_owned(), is_certain, bytes }))
        }
        Err(wrong) => (is_certain || is_zero).then_some(Err(wrong)),
    }
}

/// A tab is as wide as four spaces in what Wireshark copies.
pub(super) fn indent(line: &str, start: usize) -> usize {
    line[..start].chars().map(|character| if character == '\t' { 4 } else { 1 }).sum()
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    start: usize,
    text: &'a str,
}

impl Token<'_> {
    fn is_hex(&self) -> bool {
        self.text.bytes().all(|digit| digit.is_ascii_hexdigit())
    }
}

fn tokens(line: &str, start: usize) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = super::after_spaces(line, start);
    while at < line.len() {
        let text = line[at..].split(char::is_whitespace).next().unwrap_or_default();
        tokens.push(Token { start: at, text });
        at = super::after_spaces(line, at + text.len());
    }
    tokens
}

/// The bytes of a row. The text column may look like digits, so it is found by comparing it with the bytes.
fn bytes_of(line: &str, tokens: &[Token<'_>], has_groups: bool) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::new();
    // After each token, how many bytes there are.
    let mut ends = Vec::new();
    for token in tokens {
        if !has_groups && token.text.len() != 2 || !token.is_hex() || !digits::push(token.text, &mut bytes) {
            break;
        }
        ends.push(bytes.len());
    }
    let column = |count: usize| tokens.get(count).map(|token| line[token.start..].trim_end());
    let is_apart = |count: usize| {
        let (last, next) = (&tokens[count - 1], &tokens[count]);
        next.start - (last.start + last.text.len()) >= 2
    };
    let counts =
        || (1..=ends.len()).rev().filter(|count| *count < tokens.len() && ends[count - 1] <= ROW_BYTES_MAX);
    let matches =
        |count: usize| column(count).is_some_and(|text| is_text_of(text, &bytes[..ends[count - 1]]));
    let is_like =
        |count: usize| column(count).is_some_and(|text| is_like_text_of(text, &bytes[..ends[count - 1]]));
    let all = (ends.len() == tokens.len()).then_some(tokens.len());
    let count = counts()
        .find(|count| is_apart(*count) && matches(*count))
        .or(all)
        .or_else(|| counts().find(|count| matches(*count)))
        // Somebody changed the bytes, but not the text beside them.
        .or_else(|| counts().find(|count| is_apart(*count) && is_like(*count)));
    match count {
        Some(0) => Ok(bytes),
        Some(count) => {
            bytes.truncate(ends[count - 1]);
            Ok(bytes)
        }
        None => {
            let (at, text) = tokens.get(ends.len()).map_or((0, ""), |token| (token.start, token.text));
            let is_odd = text.bytes().all(|digit| digit.is_ascii_hexdigit()) && text.len() % 2 == 1;
            Err(if is_odd {
                digits::odd(at, text)
            } else {
                Wrong::new(
                    at,
                    format!(
                        "\"{text}\" is neither hex nor the text of these bytes: correct it, or remove the text column"
                    ),
                )
            })
        }
    }
}

/// Whether a text column shows these bytes. White space does not count: copying loses it, and some dumps have a space in the
/// middle.
fn is_text_of(column: &str, bytes: &[u8]) -> bool {
    let shown =
        |text: &str| -> String { text.chars().filter(|character| !character.is_whitespace()).collect() };
    let expected = shown(&bytes.iter().copied().map(as_text).collect::<String>());
    let column = shown(&ascii(column));
    column == expected || shown(inside(&column)) == expected
}

/// Whether a text column has the length of these bytes and shows at least half of them.
fn is_like_text_of(column: &str, bytes: &[u8]) -> bool {
    let column = ascii(inside(column));
    let same = column.chars().zip(bytes).filter(|(shown, byte)| *shown == as_text(**byte)).count();
    column.len() == bytes.len() && same * 2 >= bytes.len()
}

/// Without the marks that some programs put around the column.
fn inside(column: &str) -> &str {
    let between = |start, end| column.strip_prefix(start).and_then(|column| column.strip_suffix(end));
    between('|', '|').or_else(|| between('>', '<')).unwrap_or(column)
}

/// Some programs have another character than a full stop for what can't be shown.
fn ascii(column: &str) -> String {
    column.chars().map(|character| if character.is_ascii() { character } else { '.' }).collect()
}

fn as_text(byte: u8) -> char {
    if (0x20..0x7F).contains(&byte) { char::from(byte) } else { '.' }
}
