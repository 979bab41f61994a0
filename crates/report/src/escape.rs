//! Makes hostile text harmless: Reason Strings, ClientIDs, names and error messages come from a broker or a user and may
//! contain control sequences, Markdown or deceptive characters. Quoting for a shell is in `shell`.

use serde::Serialize;

/// `text` with unprintable characters escaped, such as `\n` or `\u{1b}`: control characters, line ends, text direction
/// marks, invisible and combining characters. A backslash stays, so that a shell command in `text` still works; imitated
/// escapes are harmless.
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

/// Like [`plain`], and harmless within a Markdown line or table cell: no HTML, link, emphasis or end of a cell.
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
            // An underscore within a word is no emphasis.
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => shown.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' => shown.extend(['\\', character]),
            // Prevents links and mentions.
            '@' => shown.push_str("@<!-- -->"),
            ':' if after == '/' => shown.push_str(":<!-- -->"),
            _ => shown.push(character),
        }
        before = character;
    }
    shown
}

/// JSON with `\u` escapes for unprintable characters that JSON allows: DEL, C1 control characters (one of which begins
/// escape sequences), text direction marks and the like. Readers get the same strings.
#[must_use]
pub fn json(written: &str) -> String {
    let mut shown = String::with_capacity(written.len());
    for character in written.chars() {
        // Outside of strings JSON is ASCII and line ends.
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

/// `value` as indented, escaped JSON with a line end.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    let written = serde_json::to_string_pretty(value).expect("values with text keys are JSON");
    json(&written) + "\n"
}

/// Whether a character is printable and harmless.
pub(crate) fn shows_as_itself(character: char) -> bool {
    // The standard library also escapes these printable characters.
    matches!(character, '\'' | '"' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{json, markdown, plain};

    #[test]
    fn terminal_control_sequences_are_escaped() {
        assert_eq!(plain("\u{1b}[2Jgone\r\n\0\u{7f}\u{9b}1m"), "\\u{1b}[2Jgone\\r\\n\\0\\u{7f}\\u{9b}1m");
    }

    #[test]
    fn deceptive_characters_are_escaped() {
        assert_eq!(plain("a\u{202e}b\u{200b}c\u{2028}d\u{a0}e"), "a\\u{202e}b\\u{200b}c\\u{2028}d\\u{a0}e");
    }

    #[test]
    fn ordinary_text_in_any_script_stays_unchanged() {
        for text in ["it's \"C:\\x\" ×2 – 21 °C", "Überwachung", "温度计", "датчик"] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn markdown_has_no_html_cell_link_or_mention() {
        assert_eq!(
            markdown("<b>|a|</b> [x](http://y) `c` *d* @all"),
            "&lt;b&gt;\\|a\\|&lt;/b&gt; \\[x\\](http:<!-- -->//y) \\`c\\` \\*d\\* @<!-- -->all"
        );
        assert_eq!(markdown("closes_on_second_connect _x_"), "closes_on_second_connect \\_x\\_");
    }

    proptest! {
        #[test]
        fn control_characters_are_always_escaped(text in any::<String>()) {
            for shown in [plain(&text), markdown(&text)] {
                prop_assert!(!shown.contains(char::is_control), "{shown:?}");
            }
        }

        #[test]
        fn json_keeps_the_string_without_control_characters(text in any::<String>()) {
            let written = json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!written.contains(char::is_control), "{written:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
