//! String literals and their escapes, as C, Python and `printf` have them.

use super::{Wrong, digits};

/// Reads a line of string literals, such as `b'\x10\x0c\x00\x04MQTT'`; absent if it is something else. Quotes around mere
/// digits are no literal.
pub(super) fn read(line: &str, start: usize) -> Option<Result<Vec<u8>, Wrong>> {
    let has_prefix = line[start..].starts_with("b'") || line[start..].starts_with("b\"");
    let is_literal = has_prefix || line[start..].starts_with(['"', '\'']) && line.contains('\\');
    is_literal.then(|| literals(line, start))
}

fn literals(line: &str, start: usize) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::new();
    let mut at = start;
    loop {
        let rest = &line[at..];
        let open = at + rest.len() - rest.trim_start_matches(['b', ' ', '\t', ',', ')', ';']).len();
        let Some(quote) = line[open..].chars().next().filter(|character| ['"', '\''].contains(character))
        else {
            return match line[open..].chars().next() {
                Some(_) if !digits::is_comment(&line[open..]) => {
                    Err(Wrong::new(open, "text after the end of the string: put # before a comment"))
                }
                _ => Ok(bytes),
            };
        };
        let inside = open + 1;
        let Some(length) = closing(&line[inside..], quote) else {
            return Err(Wrong::new(open, format!("this string has no end: add {quote}")));
        };
        unescape(&line[inside..inside + length], Octal::Three, &mut bytes)
            .map_err(|wrong| Wrong { at: inside + wrong.at, ..wrong })?;
        at = inside + length + 1;
    }
}

/// Where the quote is that ends the string.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let ends = character == quote && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        ends.then_some(at)
    })
}

/// How many octal digits an escape has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Octal {
    /// At most three, as in C.
    Three,
    /// `echo` takes three more after a zero.
    ThreeAfterZero,
}

/// Appends a text with its escapes resolved. Returns whether there were any.
pub(super) fn unescape(text: &str, octal: Octal, bytes: &mut Vec<u8>) -> Result<bool, Wrong> {
    let mut has_escapes = false;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        bytes.extend(text[at..at + found].bytes());
        at = escape(text, at + found, octal, bytes)?;
        has_escapes = true;
    }
    bytes.extend(text[at..].bytes());
    Ok(has_escapes)
}

/// Appends the byte of the escape at `at`, and returns where the text goes on.
fn escape(text: &str, at: usize, octal: Octal, bytes: &mut Vec<u8>) -> Result<usize, Wrong> {
    let rest = &text[at + 1..];
    let digits = |text: &str, max: usize, radix: u32| {
        text.chars().take(max).take_while(|character| character.is_digit(radix)).count()
    };
    let simple = match rest.chars().next() {
        Some('x') => {
            let length = digits(&rest[1..], 2, 16);
            return match u8::from_str_radix(&rest[1..=length], 16) {
                Ok(byte) => {
                    bytes.push(byte);
                    Ok(at + 2 + length)
                }
                Err(_) => Err(Wrong::new(at, "no hex digits after \\x: write two, such as \\x0c")),
            };
        }
        Some('0'..='7') => {
            let has_more = octal == Octal::ThreeAfterZero && rest.starts_with('0');
            let length = digits(rest, if has_more { 4 } else { 3 }, 8);
            return match u8::from_str_radix(&rest[..length], 8) {
                Ok(byte) => {
                    bytes.push(byte);
                    Ok(at + 1 + length)
                }
                Err(_) => Err(Wrong::new(at, "an octal number of more than a byte: the largest is \\377")),
            };
        }
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('a') => 0x07,
        Some('b') => 0x08,
        Some('v') => 0x0B,
        Some('f') => 0x0C,
        Some('e' | 'E') => 0x1B,
        Some('\\') => b'\\',
        Some('\'') => b'\'',
        Some('"') => b'"',
        _ => return Err(Wrong::new(at, "unknown escape after \\: write the byte as \\x and two hex digits")),
    };
    bytes.push(simple);
    Ok(at + 2)
}
