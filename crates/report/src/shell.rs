//! Quotes the words of a shell command.

use std::fmt::Write as _;

use crate::escape;

/// `word` quoted for a POSIX shell. A word with unprintable characters uses the `$'…'` form of bash, zsh and ksh, so that
/// the command can be shown and copied.
pub(crate) fn quote(word: &str) -> String {
    let is_safe = |character: char| character.is_ascii_alphanumeric() || "_@%+=:,./-".contains(character);
    if !word.is_empty() && word.chars().all(is_safe) {
        return word.to_owned();
    }
    if word.chars().all(escape::shows_as_itself) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for character in word.chars() {
        match character {
            '\'' | '\\' => quoted.extend(['\\', character]),
            _ if escape::shows_as_itself(character) => quoted.push(character),
            _ => {
                // Octal has a fixed width, so a following digit is not read as part of it.
                for byte in character.to_string().bytes() {
                    write!(quoted, "\\{byte:03o}").expect("writing to a string does not fail");
                }
            }
        }
    }
    quoted.push('\'');
    quoted
}

/// `words` as a command line for a POSIX shell.
#[must_use]
pub fn command(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::quote;

    #[test]
    fn only_words_that_need_quotes_are_quoted() {
        assert_eq!(quote("mqtt://broker.example:1883/a-b_c"), "mqtt://broker.example:1883/a-b_c");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("p99 < 5ms"), "'p99 < 5ms'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quote("a\u{1b}1'\\"), r"$'a\0331\'\\'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bash_reads_a_quoted_word_back_unchanged(word in "[^\0]{0,12}") {
            // Skipped without bash.
            let Ok(answer) = Command::new("bash").args(["-c", &format!("printf %s {}", quote(&word))]).output() else {
                return Ok(());
            };
            prop_assert_eq!(String::from_utf8(answer.stdout).unwrap(), word);
        }
    }
}
