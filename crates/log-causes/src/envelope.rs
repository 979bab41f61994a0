//! Unwraps broker lines from the JSON of container runtimes, journald and structured loggers.

use std::borrow::Cow;

/// Keys that hold the broker's line.
const MESSAGE_KEYS: [&[u8]; 4] = [b"\"log\"", b"\"MESSAGE\"", b"\"message\"", b"\"msg\""];

/// Maximum nesting: a container's JSON around a logger's JSON.
const LAYERS_MAX: usize = 3;

/// The texts that may be the broker's line, innermost first. `line` itself is the last: some brokers write JSON.
pub(crate) fn layers(line: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut layers = vec![Cow::Borrowed(line.trim_ascii_end())];
    while layers.len() < LAYERS_MAX {
        let outer = layers[0].trim_ascii_start();
        if outer.first() != Some(&b'{') {
            break;
        }
        let Some(inner) = MESSAGE_KEYS.iter().find_map(|key| text_of(outer, key)) else { break };
        layers.insert(0, Cow::Owned(inner));
    }
    layers
}

/// The unescaped text value of this key; absent when there is none.
fn text_of(object: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::find(object, key)? + key.len();
    let rest = object[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let mut text = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => match bytes.next() {
                Some(b'n') => text.push(b'\n'),
                Some(b't') => text.push(b'\t'),
                Some(b'b') => text.push(0x08),
                Some(b'f') => text.push(0x0c),
                Some(b'r') => text.push(b'\r'),
                Some(b'u') => {
                    let (character, used) = escaped(bytes.as_slice());
                    bytes = bytes.as_slice().get(used..).unwrap_or_default().iter();
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(other) => text.push(*other),
                None => break,
            },
            other => text.push(*other),
        }
    }
    text.truncate(text.trim_ascii_end().len());
    Some(text)
}

/// The character of the hexadecimal digits at the start of `rest`, and its length in bytes. Characters beyond 16 bits are
/// escaped as two.
fn escaped(rest: &[u8]) -> (char, usize) {
    let unit = |from: usize| {
        let digits = rest.get(from..from + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    // An invalid escape consumes its four bytes.
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, rest.len().min(4)) };
    let second = unit(6)
        .filter(|second| rest[4..].starts_with(b"\\u") && (0xdc00..0xe000).contains(second))
        .filter(|_| (0xd800..0xdc00).contains(&first));
    let pair =
        second.and_then(|second| char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second - 0xdc00));
    match pair {
        Some(character) => (character, 10),
        None => (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4),
    }
}

#[cfg(test)]
mod tests {
    use super::layers;

    fn innermost(line: &[u8]) -> Vec<u8> {
        layers(line)[0].to_vec()
    }

    #[test]
    fn a_containers_line_is_the_text_in_it() {
        let docker = br#"{"log":"1795442586: Client \"c1\" closed its connection.\n","stream":"stderr","time":"2026-11-24T23:10:06Z"}"#;
        assert_eq!(innermost(docker), b"1795442586: Client \"c1\" closed its connection.");
        let journald = br#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":"Client c1 disconnected."}"#;
        assert_eq!(innermost(journald), b"Client c1 disconnected.");
        let twice = br#"{"log":"{\"time\":\"x\",\"msg\":\"MQTT \\u00e4\"}\n"}"#;
        assert_eq!(innermost(twice), "MQTT ä".as_bytes());
        assert_eq!(layers(twice).len(), 3);
        assert_eq!(&*layers(twice)[1], br#"{"time":"x","msg":"MQTT \u00e4"}"#);
    }

    #[test]
    fn every_escape_of_json_is_decoded() {
        let emoji = br#"{"msg":"Client \ud83d\ude00x \b\f\r."}"#;
        assert_eq!(innermost(emoji), "Client 😀x \u{8}\u{c}\r.".as_bytes());
        assert_eq!(
            innermost(br#"{"msg":"\ud83d\u0041 \ude00 \u00"}"#),
            "\u{fffd}A \u{fffd} \u{fffd}".as_bytes()
        );
    }

    #[test]
    fn lines_that_are_no_envelope_stay_unchanged() {
        let lines: [&[u8]; 7] = [
            b"plain",
            b"{",
            b"{\"log\"",
            b"{\"log\":3}",
            b"\xff\xfe",
            b"",
            b"{\"eventType\":\"disconnected\"}",
        ];
        for line in lines {
            assert_eq!(layers(line).len(), 1);
            assert_eq!(innermost(line), line);
        }
        assert_eq!(innermost(b"with an end\r\n"), b"with an end");
        assert_eq!(innermost(b"{\"log\":\"half \\"), b"half");
    }
}
