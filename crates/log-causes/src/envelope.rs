//! What wraps a broker's line: the JSON of container runtimes, journald and structured loggers.

use std::borrow::Cow;

/// Keys whose text is the broker's own line.
const MESSAGE_KEYS: [&[u8]; 4] = [b"\"log\"", b"\"MESSAGE\"", b"\"message\"", b"\"msg\""];

/// Layers that are looked into: a container's JSON around a logger's JSON.
const LAYERS_MAX: usize = 3;

/// The texts in which the broker's own line may be, the innermost first: `line` itself comes last, because some
/// brokers write JSON of their own.
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

/// The unescaped text of this key; absent when it has none.
fn text_of(object: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::find(object, key)? + key.len();
    let rest = object[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let mut text = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => match bytes.next() {
                Some(b'n') => text.push(b'\n'),
                Some(b't') => text.push(b'\t'),
                Some(b'u') => {
                    let digits: Vec<u8> = bytes.by_ref().take(4).collect();
                    let code =
                        std::str::from_utf8(&digits).ok().and_then(|hex| u32::from_str_radix(hex, 16).ok());
                    let character = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(other) => text.push(other),
                None => break,
            },
            other => text.push(other),
        }
    }
    text.truncate(text.trim_ascii_end().len());
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::layers;

    fn innermost(line: &[u8]) -> Vec<u8> {
        layers(line)[0].to_vec()
    }

    #[test]
    fn a_line_of_a_container_is_the_text_in_it() {
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
    fn what_is_no_envelope_stays_as_it_is() {
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
