//! Shell commands that send bytes: `echo` and `printf`, with or without `xxd -r -p` behind them.
//!
//! Only what these two print is read. Where the bytes go is up to the command that follows, and does not matter here.

use std::time::Duration;

use super::literal::{self, Octal};
use super::{Wrong, digits};

/// What a command does, in order.
#[derive(Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
}

/// Whether a line is a command.
pub(super) fn is_command(line: &str) -> bool {
    let line = line[command_start(line)..].split_whitespace().next().unwrap_or_default();
    ["echo", "printf", "xxd"].contains(&line)
}

/// After the prompt and opening parentheses.
fn command_start(line: &str) -> usize {
    line.len() - line.trim_start_matches(['$', '(', '{', ' ', '\t']).len()
}

/// Reads a line for which `is_command` is true.
pub(super) fn read(line: &str, start: usize) -> Result<Vec<Step>, Wrong> {
    let start = start + command_start(&line[start..]);
    let commands = commands(line, start)?;
    let is_hex = commands.iter().any(Command::turns_hex_into_bytes);
    let mut steps = Vec::new();
    for command in &commands {
        let Some((name, arguments)) = command.words.split_first() else { continue };
        match name.text.as_str() {
            "echo" => steps.push(Step::Send(echo(arguments, name.at, is_hex)?)),
            "printf" => steps.push(Step::Send(printf(arguments, name.at, is_hex)?)),
            "sleep" => steps.extend(sleep(arguments)?),
            "xxd" => {
                if let Some(given) = &command.given {
                    steps.push(Step::Send(hex(given)?));
                }
            }
            _ => {}
        }
    }
    if steps.iter().any(|step| matches!(step, Step::Send(_))) {
        Ok(steps)
    } else {
        Err(Wrong::new(start, "no bytes in this command: write them with echo or printf before the pipe"))
    }
}

/// One command of a line.
#[derive(Debug, Default)]
struct Command {
    words: Vec<Word>,
    /// The text after `<<<`.
    given: Option<Word>,
}

#[derive(Clone, Debug)]
struct Word {
    /// Where it begins in the line, in bytes.
    at: usize,
    /// Without quotes, but with its escapes.
    text: String,
    /// Whether the escapes are resolved by the shell: `$'\x10'`.
    is_resolved_by_shell: bool,
    /// Where a variable or a backslash is that the shell replaces.
    replaced_at: Option<usize>,
}

impl Command {
    /// `xxd -r -p`, in any order and spelling of the flags.
    fn turns_hex_into_bytes(&self) -> bool {
        let Some((name, flags)) = self.words.split_first() else { return false };
        let has = |letter| flags.iter().any(|flag| flag.text.starts_with('-') && flag.text.contains(letter));
        name.text == "xxd" && has('r') && has('p')
    }
}

fn echo(arguments: &[Word], at: usize, is_hex: bool) -> Result<Vec<u8>, Wrong> {
    let is_flag = |word: &&Word| {
        word.text
            .strip_prefix('-')
            .is_some_and(|flags| !flags.is_empty() && flags.chars().all(|flag| "neE".contains(flag)))
    };
    let flags: Vec<&Word> = arguments.iter().take_while(is_flag).collect();
    let words = &arguments[flags.len()..];
    if is_hex {
        return all_hex(words, at);
    }
    let mut bytes = Vec::new();
    let mut has_escapes = false;
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            bytes.push(b' ');
        }
        has_escapes |= text(word, Octal::ThreeAfterZero, &mut bytes)?;
    }
    if !has_escapes {
        return Err(prints_text(at, "echo"));
    }
    if !flags.iter().any(|flag| flag.text.contains('n')) {
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn printf(arguments: &[Word], at: usize, is_hex: bool) -> Result<Vec<u8>, Wrong> {
    let arguments = match arguments {
        [first, rest @ ..] if first.text == "--" => rest,
        all => all,
    };
    let [format, rest @ ..] = arguments else {
        return Err(Wrong::new(at, "printf without bytes: write them in quotes after it"));
    };
    let newline = format.text.ends_with("\\n");
    let (words, is_format) = match format.text.trim_end_matches("\\n") {
        "%b" | "%s" => (rest, false),
        _ => (&arguments[..1], true),
    };
    if let (true, [second, ..]) = (is_format, rest) {
        return Err(Wrong::new(second.at, "a second argument of printf: write all bytes in the first one"));
    }
    if is_hex {
        return all_hex(words, at);
    }
    let mut bytes = Vec::new();
    let mut has_escapes = false;
    for word in words {
        let mut word = word.clone();
        if is_format {
            if let Some(percent) = word.text.replace("%%", "__").find('%') {
                let what = "% begins a conversion of printf: write the byte as \\x25, or the value itself";
                return Err(Wrong::new(word.at + percent, what));
            }
            word.text = word.text.replace("%%", "%");
        }
        has_escapes |= text(&word, Octal::Three, &mut bytes)?;
        if newline && !is_format {
            bytes.push(b'\n');
        }
    }
    if has_escapes { Ok(bytes) } else { Err(prints_text(at, "printf")) }
}

fn prints_text(at: usize, name: &str) -> Wrong {
    let what = format!(
        "{name} prints this as text, without a single byte in hex: add `| xxd -r -p`, write the bytes as \\x10, or remove the \
         command around the digits"
    );
    Wrong::new(at, what)
}

/// Words of digits.
fn all_hex(words: &[Word], at: usize) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend(hex(word)?);
    }
    if bytes.is_empty() { Err(Wrong::new(at, "no bytes: write hex digits after it")) } else { Ok(bytes) }
}

fn hex(word: &Word) -> Result<Vec<u8>, Wrong> {
    word.is_known()?;
    // A newline at the end is as good as none.
    let digits = word.text.trim_end_matches("\\n");
    digits::read(digits, 0).map_err(|wrong| Wrong { at: word.at + wrong.at, ..wrong })
}

/// Appends a word with its escapes resolved. Returns whether there were any.
fn text(word: &Word, octal: Octal, bytes: &mut Vec<u8>) -> Result<bool, Wrong> {
    word.is_known()?;
    let octal = if word.is_resolved_by_shell { Octal::Three } else { octal };
    literal::unescape(&word.text, octal, bytes)
        .map_err(|wrong| Wrong { at: word.at + wrong.at, ..wrong })
        .map(|has_escapes| has_escapes || word.is_resolved_by_shell)
}

fn sleep(arguments: &[Word]) -> Result<Option<Step>, Wrong> {
    let Some(word) = arguments.first() else { return Ok(None) };
    match super::duration(&word.text).or_else(|| super::seconds(&word.text)) {
        Some(pause) => Ok(Some(Step::Wait(pause))),
        None => Err(Wrong::new(
            word.at,
            format!("invalid duration \"{}\": write seconds, such as 0.5", word.text),
        )),
    }
}

impl Word {
    fn is_known(&self) -> Result<(), Wrong> {
        match self.replaced_at {
            Some(at) => Err(Wrong::new(
                at,
                "the shell replaces this before it prints: put the bytes in single quotes, and write the value of a variable",
            )),
            None => Ok(()),
        }
    }
}

/// Cuts a line into commands, as a shell would as far as quotes and operators are concerned.
fn commands(line: &str, start: usize) -> Result<Vec<Command>, Wrong> {
    let mut commands = vec![Command::default()];
    let mut redirected = Redirected::No;
    let mut at = start;
    while let Some(character) = line[at..].chars().next() {
        let rest = &line[at..];
        if character.is_whitespace() {
            at += character.len_utf8();
        } else if character == '#' {
            break;
        } else if rest.starts_with("<<<") {
            redirected = Redirected::Text;
            at += 3;
        } else if ['<', '>'].contains(&character) {
            redirected = Redirected::File;
            at += rest.len() - rest.trim_start_matches(['<', '>', '&']).len();
        } else if "|&;(){}".contains(character) {
            commands.push(Command::default());
            redirected = Redirected::No;
            at += 1;
        } else {
            let (word, next) = word(line, at)?;
            at = next;
            let is_descriptor =
                line[at..].starts_with(['<', '>']) && word.text.bytes().all(|b| b.is_ascii_digit());
            if let Some(command) = commands.last_mut() {
                match redirected {
                    Redirected::No if is_descriptor => {}
                    Redirected::No => command.words.push(word),
                    Redirected::Text => command.given = Some(word),
                    Redirected::File => {}
                }
            }
            redirected = Redirected::No;
        }
    }
    Ok(commands)
}

/// What the next word is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Redirected {
    No,
    Text,
    File,
}

/// Reads a word that begins at `start`, and returns where the line goes on.
fn word(line: &str, start: usize) -> Result<(Word, usize), Wrong> {
    let mut word = Word { at: start, text: String::new(), is_resolved_by_shell: false, replaced_at: None };
    let mut at = start;
    while let Some(character) = line[at..].chars().next() {
        match character {
            '\'' => at = single_quoted(line, at, &mut word)?,
            '$' if line[at..].starts_with("$'") => {
                word.is_resolved_by_shell = true;
                at = single_quoted(line, at + 1, &mut word)?;
            }
            '"' => at = double_quoted(line, at, &mut word)?,
            '\\' | '$' | '`' => {
                word.replaced_at.get_or_insert(at);
                word.text.push(character);
                at += 1;
            }
            _ if character.is_whitespace() || "|&;()<>".contains(character) => break,
            _ => {
                word.text.push(character);
                at += character.len_utf8();
            }
        }
    }
    Ok((word, at))
}

fn single_quoted(line: &str, open: usize, word: &mut Word) -> Result<usize, Wrong> {
    let Some(length) = line[open + 1..].find('\'') else {
        return Err(Wrong::new(open, "this quote has no end: add '"));
    };
    if word.text.is_empty() {
        word.at = open + 1;
    }
    word.text.push_str(&line[open + 1..open + 1 + length]);
    Ok(open + 2 + length)
}

/// In double quotes, the shell replaces variables, and a backslash before a few characters disappears.
fn double_quoted(line: &str, open: usize, word: &mut Word) -> Result<usize, Wrong> {
    if word.text.is_empty() {
        word.at = open + 1;
    }
    let mut characters = line[open + 1..].char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok(open + 1 + at + 1),
            '\\' if characters.peek().is_some_and(|(_, next)| "$`\"\\".contains(*next)) => {
                word.text.extend(characters.next().map(|(_, next)| next));
            }
            '$' | '`' => {
                word.replaced_at.get_or_insert(open + 1 + at);
                word.text.push(character);
            }
            _ => word.text.push(character),
        }
    }
    Err(Wrong::new(open, "this quote has no end: add \""))
}
