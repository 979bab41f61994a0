//! The output of a user's command, fit for a record: its last line, short, without control characters, and without
//! the words of the command, because one of them may be a password.

/// Characters kept.
const LETTERS_MAX: usize = 200;
/// Bytes of output that are enough for its last line.
pub const BYTES_MAX: usize = 4_096;
/// A shorter word can't be distinguished from other text.
const SECRET_MIN: usize = 4;
/// Replaces a word of the command.
const HIDDEN: &str = "***";

/// Words to hide in a command's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HiddenWords(Vec<String>);

impl HiddenWords {
    /// The words of a command, whole and in parts: `--password=hunter2` and `{"pw":"hunter2"}` both hide `hunter2`.
    /// The names of flags are no secrets; nor is the program, so leave it out.
    pub fn of(words: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut hidden = Vec::new();
        for word in words {
            let word = word.as_ref();
            let value = match word.strip_prefix("--") {
                Some(flag) => flag.split_once('=').map_or("", |(_, value)| value),
                // `-Phunter2`: a short flag with its value in one word.
                None => word.strip_prefix('-').map_or(word, |flag| {
                    let first = flag.chars().next().map_or(0, char::len_utf8);
                    &flag[first..]
                }),
            };
            hidden.push(value.to_owned());
            hidden.extend(value.split(|letter: char| !letter.is_alphanumeric()).map(str::to_owned));
        }
        hidden.retain(|word| word.chars().count() >= SECRET_MIN);
        // The longest first: what is left of it may not be hidden in parts.
        hidden.sort_by_key(|word| std::cmp::Reverse(word.len()));
        hidden.dedup();
        Self(hidden)
    }

    fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, word| text.replace(word.as_str(), HIDDEN))
    }
}

/// The last line of `output` that is not empty; empty when there is none.
#[must_use]
pub fn last_line(output: &[u8], hidden: &HiddenWords) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut shown = String::new();
    for letter in hidden.hide(line).chars().take(LETTERS_MAX) {
        if letter.is_control() {
            shown.extend(letter.escape_debug());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{HiddenWords, LETTERS_MAX, last_line};

    #[test]
    fn a_password_is_hidden_however_it_was_given() {
        for words in [
            &["-P", "hunter2"][..],
            &["-Phunter2"],
            &["--password=hunter2"],
            &["-u", "me:hunter2"],
            &[r#"{"pw":"hunter2","id":"{client_id}"}"#],
            &["http://me:hunter2@127.0.0.1/{client_id}"],
        ] {
            let hidden = HiddenWords::of(words.iter().copied());
            let shown = last_line(b"first\nrefused: hunter2 is wrong\n\n", &hidden);
            assert_eq!(shown, "refused: *** is wrong", "{words:?}");
        }
    }

    #[test]
    fn short_words_and_the_names_of_flags_hide_nothing() {
        let hidden = HiddenWords::of(["-u", "me", "--force", "kick"]);
        assert_eq!(last_line(b"use --force, me", &hidden), "use --force, me");
    }

    #[test]
    fn a_line_is_short_and_without_control_characters() {
        let nothing = HiddenWords::default();
        assert_eq!(last_line(b"\x1b[2Jgone \xff\r", &nothing), "\\u{1b}[2Jgone \u{fffd}");
        assert_eq!(last_line(&[b'x'; 10_000], &nothing).len(), LETTERS_MAX);
        assert_eq!(last_line(b" \n\n", &nothing), "");
    }
}
