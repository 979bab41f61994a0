//! Hostile text made harmless: Reason Strings, ClientIDs, names and error messages come from a broker or a user,
//! and may hold what steers a terminal, a Markdown page or the reader's eye.
//!
//! Used by every writer of this crate, and by the progress. Quoting for a shell is in `shell`.

/// `text` with every character that does not show as itself written as an escape, such as `\n` or `\u{1b}`: control
/// characters, line ends, text direction marks, invisible and combining characters.
///
/// A backslash stays as it is, so that a shell command within `text` still works; an escape can therefore be
/// imitated, which harms nobody.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if shows_as_itself(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    shown
}

/// `text` as [`plain`], and harmless within a Markdown line or table cell: neither HTML nor a link, an emphasis or
/// the end of a cell.
#[must_use]
pub fn markdown(text: &str) -> String {
    let text = plain(text);
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or(' ');
        match character {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            // An underscore within a word, as in the name of a check, is no emphasis.
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => shown.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' => shown.extend(['\\', character]),
            // No address becomes a link, and no word a mention of somebody.
            '@' => shown.push_str("@<!-- -->"),
            ':' if after == '/' => shown.push_str(":<!-- -->"),
            _ => shown.push(character),
        }
        before = character;
    }
    shown
}

/// JSON as it was written, with the characters that JSON itself would let through written as `\u` escapes: DEL, the
/// C1 control characters (one of which begins escape sequences), text direction marks and the like. A reader of
/// the JSON gets the same strings.
#[must_use]
pub fn json(written: &str) -> String {
    let mut shown = String::with_capacity(written.len());
    for character in written.chars() {
        // Outside its strings JSON is ASCII and line ends.
        if character == '\n' || shows_as_itself(character) {
            shown.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

/// Whether a character takes up room of its own and steers nothing.
pub(crate) fn shows_as_itself(character: char) -> bool {
    // What the standard library quotes for another reason than that it can't be seen.
    matches!(character, '\'' | '"' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{json, markdown, plain};

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_sent() {
        assert_eq!(plain("\u{1b}[2Jgone\r\n\0\u{7f}\u{9b}1m"), "\\u{1b}[2Jgone\\r\\n\\0\\u{7f}\\u{9b}1m");
    }

    #[test]
    fn what_deceives_the_eye_is_shown() {
        assert_eq!(plain("a\u{202e}b\u{200b}c\u{2028}d\u{a0}e"), "a\\u{202e}b\\u{200b}c\\u{2028}d\\u{a0}e");
    }

    #[test]
    fn ordinary_text_in_any_script_stays_as_it_is() {
        for text in ["it's \"C:\\x\" ×2 – 21 °C", "Überwachung", "温度计", "датчик"] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn markdown_gets_no_html_no_cell_no_link_and_no_mention() {
        assert_eq!(
            markdown("<b>|a|</b> [x](http://y) `c` *d* @all"),
            "&lt;b&gt;\\|a\\|&lt;/b&gt; \\[x\\](http:<!-- -->//y) \\`c\\` \\*d\\* @<!-- -->all"
        );
        assert_eq!(markdown("closes_on_second_connect _x_"), "closes_on_second_connect \\_x\\_");
    }

    proptest! {
        #[test]
        fn no_control_character_gets_out(text in any::<String>()) {
            for shown in [plain(&text), markdown(&text)] {
                prop_assert!(!shown.contains(char::is_control), "{shown:?}");
            }
        }

        #[test]
        fn json_reads_back_as_the_same_string_and_holds_no_control_character(text in any::<String>()) {
            let written = json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!written.contains(char::is_control), "{written:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
