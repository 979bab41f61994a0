//! Whether a Topic Filter matches a Topic Name (MQTT 5.0 section 4.7). Used for subscriptions and retained messages.

/// Whether the filter, which must be legal, matches the name.
pub(crate) fn matches(filter: &str, name: &str) -> bool {
    // MQTT 5.0 [MQTT-4.7.2-1]: a leading wildcard does not match the Server's own topics.
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = name.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn mqtt5_4_7_1_wildcards_match_as_the_standard_lists_it() {
        for (filter, name) in [
            ("sport/tennis/#", "sport/tennis"),
            ("sport/tennis/#", "sport/tennis/player1/ranking"),
            ("#", "a"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/x"),
            ("a/+/c", "a/b/c"),
        ] {
            assert!(matches(filter, name), "{filter} {name}");
        }
        for (filter, name) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a", "A"),
            ("a/b", "a"),
        ] {
            assert!(!matches(filter, name), "{filter} {name}");
        }
    }
}
