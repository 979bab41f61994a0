//! Lines of hex digits without offsets, in the notations that programs and people use.

use super::Wrong;

/// Whether this begins a comment (or is nothing at all).
pub(super) fn is_comment(text: &str) -> bool {
    comment_start(text) == 0
}

/// Where the comment of a line begins: its length if there is none.
pub(super) fn comment_start(text: &str) -> usize {
    let start = ["#", "//", ";"].iter().filter_map(|mark| text.find(mark)).min();
    start.unwrap_or(text.len())
}

/// Reads the digits from `start` on, up to a comment. There may be none.
pub(super) fn read(line: &str, start: usize) -> Result<Vec<u8>, Wrong> {
    let end = start + comment_start(&line[start..]);
    let mut bytes = Vec::new();
    let mut at = start;
    while let Some(character) = line[at..end].chars().next() {
        let rest = &line[at..end];
        if rest.starts_with("\\x") || rest.starts_with("\\X") {
            at = escaped(line, at, end, &mut bytes)?;
        } else if rest.starts_with("0x") || rest.starts_with("0X") {
            at = prefixed(line, at, end, &mut bytes)?;
        } else if character.is_ascii_hexdigit() {
            at = plain(line, at, end, &mut bytes)?;
        } else if character.is_whitespace() || ",:-_{}[]()'\"`|".contains(character) {
            at += character.len_utf8();
        } else {
            return Err(not_hex(line, at, end));
        }
    }
    Ok(bytes)
}

/// Appends an even number of digits; false if it is odd.
pub(super) fn push(digits: &str, bytes: &mut Vec<u8>) -> bool {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return false;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for pair in digits.chunks_exact(2) {
        match (value(pair[0]), value(pair[1])) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return false,
        }
    }
    true
}

/// The digits from `at` on.
fn run(line: &str, at: usize, end: usize) -> &str {
    let length = line[at..end].bytes().take_while(u8::is_ascii_hexdigit).count();
    &line[at..at + length]
}

/// `\x10`: one or two digits.
fn escaped(line: &str, at: usize, end: usize, bytes: &mut Vec<u8>) -> Result<usize, Wrong> {
    let digits = run(line, at + 2, end);
    match digits.len() {
        1 | 2 => {
            push(&format!("{digits:0>2}"), bytes);
            Ok(at + 2 + digits.len())
        }
        0 => Err(Wrong::new(at, "no hex digits after \\x: write two, such as \\x0c")),
        _ => Err(Wrong::new(
            at,
            format!(
                "{} hex digits after \\x: write two, or put the line in quotes if text follows",
                digits.len()
            ),
        )),
    }
}

/// `0x10`, `0x5` as C writes a byte, or `0x100c0004`.
fn prefixed(line: &str, at: usize, end: usize, bytes: &mut Vec<u8>) -> Result<usize, Wrong> {
    let digits = run(line, at + 2, end);
    let next = at + 2 + digits.len();
    if continues_as_word(line, next, end) {
        return Err(not_hex(line, at, end));
    }
    match digits.len() {
        0 => Err(Wrong::new(at, "no hex digits after 0x: write two, such as 0x0c")),
        1 => {
            push(&format!("0{digits}"), bytes);
            Ok(next)
        }
        _ if push(digits, bytes) => Ok(next),
        _ => Err(odd(at, digits)),
    }
}

fn plain(line: &str, at: usize, end: usize, bytes: &mut Vec<u8>) -> Result<usize, Wrong> {
    let digits = run(line, at, end);
    let next = at + digits.len();
    if continues_as_word(line, next, end) {
        return Err(not_hex(line, at, end));
    }
    if push(digits, bytes) { Ok(next) } else { Err(odd(at, digits)) }
}

/// Whether digits are only the beginning of a word, such as those of `CONNECT`.
fn continues_as_word(line: &str, at: usize, end: usize) -> bool {
    line[at..end].chars().next().is_some_and(char::is_alphanumeric)
}

pub(super) fn odd(at: usize, digits: &str) -> Wrong {
    let what = match digits.len() {
        1 => format!("\"{digits}\" is one digit: every byte has two, such as 0{digits}"),
        length if length <= 20 => {
            format!("\"{digits}\" has {length} digits: every byte has two, so one is missing or too many")
        }
        length => format!("{length} digits in a row: every byte has two, so one is missing or too many"),
    };
    Wrong::new(at, what)
}

fn not_hex(line: &str, at: usize, end: usize) -> Wrong {
    let word: String =
        line[at..end].chars().take_while(|character| character.is_alphanumeric()).take(20).collect();
    let what = if word.is_empty() { line[at..end].chars().take(1).collect() } else { word };
    Wrong::new(at, format!("\"{what}\" is not hex: correct it, or put # before a comment"))
}
