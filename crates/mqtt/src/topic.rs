//! The syntax of Topic Names and Topic Filters (MQTT 5.0 section 4.7), for the legal encoders.
//!
//! Matching one against the other is the broker's task and not included.

/// Whether the text may name a topic: not empty, no wildcard, no U+0000, at most 65,535 bytes.
///
/// Source: `MQTT 5.0 [MQTT-3.3.2-2]`, `[MQTT-4.7.3-1]`, `[MQTT-4.7.3-2]`, `[MQTT-4.7.3-3]`.
pub fn is_topic_name(text: &str) -> bool {
    is_topic_text(text) && !text.contains(['+', '#'])
}

/// Whether the text may filter topics: wildcards fill whole levels, `#` comes last, `$share` names a group.
///
/// Source: `MQTT 5.0 [MQTT-4.7.1-1]`, `[MQTT-4.7.1-2]`, `[MQTT-4.7.3-1]`, `[MQTT-4.8.2-1]`, `[MQTT-4.8.2-2]`.
/// In MQTT 3.1.1 `$share` is an ordinary level: ask [`is_plain_topic_filter`] there.
pub fn is_topic_filter(text: &str) -> bool {
    match text.strip_prefix("$share/") {
        None => text != "$share" && is_plain_topic_filter(text),
        Some(shared) => shared.split_once('/').is_some_and(|(name, filter)| {
            !name.is_empty() && !name.contains(['+', '#']) && is_plain_topic_filter(filter)
        }),
    }
}

/// Whether the text may filter topics when `$share` means nothing, as in MQTT 3.1.1 (section 4.7).
pub fn is_plain_topic_filter(text: &str) -> bool {
    let multi_level_is_last = match text.find('#') {
        Some(at) => at + 1 == text.len(),
        None => true,
    };
    let wildcards_fill_levels = text.split('/').all(|level| level.len() == 1 || !level.contains(['+', '#']));
    is_topic_text(text) && multi_level_is_last && wildcards_fill_levels
}

fn is_topic_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= usize::from(u16::MAX) && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt5_3_3_2_2_a_topic_name_has_no_wildcard() {
        assert!(is_topic_name("a/b") && is_topic_name("/") && is_topic_name("$SYS/x"));
        for wrong in ["", "a/+", "a/#", "a\0b"] {
            assert!(!is_topic_name(wrong), "{wrong:?}");
        }
        assert!(is_topic_name(&"x".repeat(65_535)));
        assert!(!is_topic_name(&"x".repeat(65_536)));
    }

    #[test]
    fn mqtt5_4_7_1_1_wildcards_fill_a_level_and_hash_comes_last() {
        for right in ["#", "+", "a/#", "+/b/+", "/", "a//b", "$share/g/a/#"] {
            assert!(is_topic_filter(right), "{right:?}");
        }
        for wrong in [
            "",
            "a#",
            "a/#/b",
            "+a",
            "a+/b",
            "##",
            "$share",
            "$share//t",
            "$share/g+/t",
            "$share/g",
            "$share/g/",
        ] {
            assert!(!is_topic_filter(wrong), "{wrong:?}");
        }
        assert!(is_plain_topic_filter("$share/g"));
    }
}
