//! Breaks texts and commands into lines of a terminal's width.

/// The lines of `text`. `first` columns are taken on the first line and `hang` on the others. Long words stay whole.
pub(crate) fn wrapped(text: &str, width: Option<usize>, first: usize, hang: usize) -> Vec<String> {
    wrapped_words(&text.split(' ').collect::<Vec<_>>(), width, first, hang)
}

/// The words of a command as [`crate::shell_command`] quotes them; a quoted word stays whole.
pub(crate) fn shell_words(command: &str) -> Vec<&str> {
    let (mut words, mut begin) = (Vec::new(), 0);
    // The character before the quote that is open: `$` for a quote with escapes.
    let (mut open, mut before, mut is_escaped) = (None, ' ', false);
    for (index, character) in command.char_indices() {
        match (character, open) {
            _ if is_escaped => is_escaped = false,
            ('\\', None | Some('$')) => is_escaped = true,
            ('\'', None) => open = Some(before),
            ('\'', Some(_)) => open = None,
            (' ', None) => {
                words.push(&command[begin..index]);
                begin = index + 1;
            }
            _ => {}
        }
        before = character;
    }
    words.push(&command[begin..]);
    words
}

/// The lines of `words`; see [`wrapped`].
pub(crate) fn wrapped_words(words: &[&str], width: Option<usize>, first: usize, hang: usize) -> Vec<String> {
    let Some(width) = width else { return vec![words.join(" ")] };
    let mut lines = vec![String::new()];
    let mut taken = first;
    for word in words.iter().copied() {
        let room = word.chars().count() + 1;
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
            taken += room - 1;
        } else if taken + room <= width {
            line.push(' ');
            line.push_str(word);
            taken += room;
        } else {
            lines.push(word.to_owned());
            taken = hang + room - 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{shell_words, wrapped};
    use crate::shell_command;

    #[test]
    fn lines_wrap_between_words_and_long_words_stay_whole() {
        assert_eq!(wrapped("aaa bbb ccc", Some(7), 0, 2), ["aaa bbb", "ccc"]);
        assert_eq!(wrapped("aaa bbb ccc", Some(7), 1, 2), ["aaa", "bbb", "ccc"]);
        assert_eq!(wrapped("a bbbbbbbbbb c", Some(5), 0, 0), ["a", "bbbbbbbbbb", "c"]);
        assert_eq!(wrapped("aaa bbb ccc", None, 9, 9), ["aaa bbb ccc"]);
    }

    proptest! {
        #[test]
        fn a_command_is_broken_between_words_only(words in prop::collection::vec("[ a'\\\\$\u{1b}]{0,5}", 1..5)) {
            let quoted: Vec<String> = words.iter().map(|word| shell_command(std::slice::from_ref(word))).collect();
            let command = shell_command(&words);
            prop_assert_eq!(shell_words(&command), quoted);
        }
    }
}
