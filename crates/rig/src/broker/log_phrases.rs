//! What a line of a broker's log is about: the attempts it names, and its phrase once everything that differs from
//! client to client is replaced.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ungraceful_record::run::LogPhraseRecord;

use crate::broker::clients::Clients;

/// Phrases reported.
const PHRASES_MAX: usize = 20;
/// Of these, those that name no attempt, unless there are too few others.
const OTHERS_MAX: usize = 10;
/// Phrases counted: bounds the memory for a log in which no two lines are alike.
const PHRASES_COUNTED_MAX: usize = 1_000;
/// Characters of a phrase.
const PHRASE_CHARACTERS_MAX: usize = 200;
/// Digits of an attempt's number in a ClientID.
const NUMBER_DIGITS: usize = 6;
/// Most letters that the ClientID of an attempt's helper adds.
const SUFFIX_LETTERS_MAX: usize = 4;

/// The ClientIDs of a run, recognised by their prefixes.
#[derive(Clone, Debug)]
pub(crate) struct ClientIds {
    /// Prefix of attempts' ClientIDs, before six hexadecimal digits.
    pub(crate) of_attempts: String,
    /// Prefix of all ClientIDs of the run.
    pub(crate) of_run: String,
    /// Prefix of the ClientIDs used before the run, before one digit.
    pub(crate) before_run: String,
    /// Attempts in the plan; larger numbers name none.
    pub(crate) attempts_planned: u64,
    /// Where ClientIDs are not generated, who has which; absent where they are.
    pub(crate) varied: Option<Clients>,
}

impl ClientIds {
    /// The attempts whose ClientID, or that of one of their helpers, is a word of `line`; each once, in order.
    ///
    /// A ClientID inside a longer word does not count: `xug00001x00002a` is another client, and `ug00001x00002a7` no
    /// ClientID of a run. Lower-case letters at the end do: `ug00001x00002ab` is the second client of attempt 42.
    pub(crate) fn attempts_named(&self, line: &str) -> Vec<u64> {
        let mut named = Vec::new();
        for (at, _) in line.match_indices(&self.of_attempts) {
            let (before, after) = (&line[..at], &line[at + self.of_attempts.len()..]);
            if before.ends_with(is_of_word) {
                continue;
            }
            let Some(digits) = after.get(..NUMBER_DIGITS).filter(|digits| digits.bytes().all(is_lower_hex))
            else {
                continue;
            };
            let rest = &after[NUMBER_DIGITS..];
            let end = rest.trim_start_matches(|character: char| character.is_ascii_lowercase());
            if end.starts_with(is_of_word) || rest.len() - end.len() > SUFFIX_LETTERS_MAX {
                continue;
            }
            let number =
                u64::from_str_radix(digits, 16).ok().filter(|number| *number < self.attempts_planned);
            named.extend(number.filter(|number| !named.contains(number)));
        }
        named
    }

    /// The attempts of a client that a line names, read at `at_us`.
    pub(crate) fn attempts_of(&self, client_id: &str, at_us: u64) -> Vec<u64> {
        let named = self.attempts_named(client_id);
        let varied = self.varied.as_ref().filter(|_| named.is_empty());
        named.into_iter().chain(varied.and_then(|clients| clients.attempt_of(client_id, at_us))).collect()
    }

    /// `line` with placeholders for everything that differs: ClientIDs of the run, addresses, times, ids and numbers;
    /// without its leading time.
    pub(crate) fn phrase(&self, line: &str) -> String {
        let mut phrase = String::with_capacity(line.len());
        let (mut rest, mut is_in_word) = (line, false);
        while let Some(character) = rest.chars().next() {
            let replaced = if is_in_word { None } else { self.variable(rest) };
            let (placeholder, length) = match replaced {
                Some((placeholder, length)) => (placeholder, length),
                None if character.is_ascii_digit() => ("<n>", span(rest, |byte| byte.is_ascii_digit())),
                None => {
                    phrase.push(character);
                    is_in_word = is_of_word(character);
                    rest = &rest[character.len_utf8()..];
                    continue;
                }
            };
            phrase.push_str(placeholder);
            is_in_word = true;
            rest = &rest[length..];
        }
        let stripped = ["<time>", "<n>:"].into_iter().find_map(|time| phrase.strip_prefix(time));
        let kept = stripped.map_or(phrase.as_str(), |kept| kept.trim_start_matches([':', ' ', '\t']));
        kept.chars().take(PHRASE_CHARACTERS_MAX).collect()
    }

    /// Placeholder and length in bytes of the variable part that `rest` begins with; absent when it begins with none.
    /// It ends at the end of a word, and so of a character.
    fn variable(&self, rest: &str) -> Option<(&'static str, usize)> {
        let word = span(rest, |byte| byte.is_ascii_alphanumeric());
        let is_before_run = word == self.before_run.len() + 1 && rest.starts_with(&self.before_run);
        if word >= self.of_run.len() && rest.starts_with(&self.of_run) || is_before_run {
            return Some(("<client>", word));
        }
        time_length(rest.as_bytes())
            .map(|length| ("<time>", length))
            .or_else(|| address_length(rest).map(|length| ("<address>", length)))
            .or_else(|| id_length(rest, word).map(|length| ("<id>", length)))
    }
}

/// Whether a character is part of a word. A hyphen is not: brokers put ClientIDs behind one.
fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// The number of leading bytes, all ASCII, for which `is_so` is true.
fn span(text: &str, is_so: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is_so(*byte)).count()
}

/// The length of a date and time as in RFC 3339 and similar formats; absent when there is none.
fn time_length(bytes: &[u8]) -> Option<usize> {
    const DATE_AND_TIME: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, pattern): (&u8, &u8)| match pattern {
        b'd' => byte.is_ascii_digit(),
        b'-' => matches!(byte, b'-' | b'/'),
        b'T' => matches!(byte, b'T' | b' '),
        other => byte == other,
    };
    let head = bytes.get(..DATE_AND_TIME.len())?;
    if !head.iter().zip(DATE_AND_TIME).all(fits) {
        return None;
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = DATE_AND_TIME.len();
    if let Some(b'.' | b',') = bytes.get(length) {
        length += 1 + digits(length + 1);
    }
    match bytes.get(length) {
        Some(b'Z') => length += 1,
        Some(b'+' | b'-') if digits(length + 1) >= 2 => {
            length += 1 + digits(length + 1);
            if bytes.get(length) == Some(&b':') {
                length += 1 + digits(length + 1);
            }
        }
        _ => {}
    }
    Some(length)
}

/// The length of an IP address with its port, if any; absent when there is none.
fn address_length(text: &str) -> Option<usize> {
    if let Some(inner) = text.strip_prefix('[') {
        let length = span(inner, |byte| byte != b']');
        inner[..length].parse::<IpAddr>().ok()?;
        return Some(length + 2 + port_length(inner.get(length + 1..)?));
    }
    let v6 = span(text, |byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    if text[..v6].trim_end_matches([':', '.']).parse::<Ipv6Addr>().is_ok() {
        return Some(text[..v6].trim_end_matches([':', '.']).len());
    }
    let v4 = text[..span(text, |byte| byte.is_ascii_digit() || byte == b'.')].trim_end_matches('.');
    v4.parse::<Ipv4Addr>().ok()?;
    Some(v4.len() + port_length(&text[v4.len()..]))
}

/// The length of a port with its colon.
fn port_length(text: &str) -> usize {
    text.strip_prefix(':').map_or(0, |port| match span(port, |byte| byte.is_ascii_digit()) {
        0 => 0,
        digits => digits + 1,
    })
}

/// The length of a UUID, or of a hexadecimal id of at least eight digits with both letters and digits; `word` is the
/// length of the word. Absent for an ordinary word or number.
fn id_length(text: &str, word: usize) -> Option<usize> {
    const UUID: [usize; 5] = [8, 4, 4, 4, 12];
    let hyphened = span(text, |byte| byte.is_ascii_hexdigit() || byte == b'-');
    if text[..hyphened].split('-').map(str::len).eq(UUID) {
        return Some(hyphened);
    }
    let first = &text[..word];
    let digits = first.strip_prefix("0x").unwrap_or(first);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_mixed =
        digits.bytes().any(|byte| byte.is_ascii_digit()) && !digits.bytes().all(|b| b.is_ascii_digit());
    let is_id =
        is_hex && ((digits.len() < first.len() && !digits.is_empty()) || (digits.len() >= 8 && is_mixed));
    is_id.then_some(word)
}

#[derive(Debug, Default)]
pub(crate) struct Phrases {
    seen: HashMap<String, Counted>,
}

#[derive(Debug)]
struct Counted {
    /// In the order of their first appearance, from 0.
    number: u16,
    lines: u64,
    example_attempt: Option<u64>,
}

impl Phrases {
    /// Counts a line of `phrase` that named `attempt`. Returns the phrase's number; absent when there are too many.
    pub(crate) fn count(&mut self, phrase: String, attempt: Option<u64>) -> Option<u16> {
        if !self.seen.contains_key(&phrase) && self.seen.len() >= PHRASES_COUNTED_MAX {
            return None;
        }
        let number = u16::try_from(self.seen.len()).ok()?;
        let counted = self.seen.entry(phrase).or_insert(Counted { number, lines: 0, example_attempt: None });
        counted.lines += 1;
        counted.example_attempt = counted.example_attempt.or(attempt);
        Some(counted.number)
    }

    pub(crate) fn by_number(&self) -> Vec<String> {
        let mut phrases = vec![String::new(); self.seen.len()];
        for (phrase, counted) in &self.seen {
            phrases[usize::from(counted.number)].clone_from(phrase);
        }
        phrases
    }

    /// The most frequent phrases first; half of the room is for those that name an attempt.
    pub(crate) fn most_frequent(self) -> Vec<LogPhraseRecord> {
        let mut phrases: Vec<LogPhraseRecord> = self
            .seen
            .into_iter()
            .map(|(phrase, Counted { lines, example_attempt, .. })| LogPhraseRecord {
                phrase,
                lines,
                example_attempt,
            })
            .collect();
        phrases.sort_unstable_by(|one, other| {
            other.lines.cmp(&one.lines).then_with(|| one.phrase.cmp(&other.phrase))
        });
        let naming = phrases.iter().filter(|phrase| phrase.example_attempt.is_some()).count();
        let mut others_left = OTHERS_MAX.max(PHRASES_MAX.saturating_sub(naming));
        phrases.retain(|phrase| {
            let is_kept = phrase.example_attempt.is_some() || others_left > 0;
            others_left -= usize::from(is_kept && phrase.example_attempt.is_none());
            is_kept
        });
        phrases.truncate(PHRASES_MAX);
        phrases
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::{ClientIds, Phrases};

    /// The ClientIDs of a run of 4,096 attempts.
    pub(in crate::broker) fn ids() -> ClientIds {
        ClientIds {
            of_attempts: "ugabc00x".into(),
            of_run: "ugabc00".into(),
            before_run: "ugpre".into(),
            attempts_planned: 0x1000,
            varied: None,
        }
    }

    #[test]
    fn an_attempt_is_named_by_its_client_id_and_by_those_of_its_helpers() {
        let named = |line: &str| ids().attempts_named(line);
        assert_eq!(named("Client ugabc00x00002a disconnected"), [42]);
        assert_eq!(named("ugabc00x000001"), [1]);
        assert_eq!(named("client_id=\"ugabc00x000001\","), [1]);
        assert_eq!(named("ungraceful/0123/will/ugabc00x000001: gone"), [1]);
        assert_eq!(named("session-ugabc00x000001-1"), [1]);
        assert_eq!(named("ugabc00x000003b took ugabc00x000002's place, not ugabc00x000003"), [3, 2]);
        assert_eq!(named("ünd ugabc00x000001 ünd"), [1]);
    }

    #[test]
    fn a_client_id_within_a_longer_word_does_not_count() {
        let lines = [
            "xugabc00x000001",
            "_ugabc00x000001",
            "ügabc00x000001ü ügugabc00x000001",
            // A digit or an underscore behind it, one digit too few, letters in the wrong case, too many letters.
            "ugabc00x0000010 ugabc00x000001b7 ugabc00x000001_1",
            "ugabc00x00001 ugabc00x00001g",
            "ugabc00x00000A ugabc00x000001B",
            "ugabc00x000001disconnected",
            // The run's honest clients, its pulse, and another run's attempts.
            "ugabc00w ugabc00p1 ugabc00xz1f2e ugabc01x000001",
            // More than the plan has.
            "ugabc00x001000 ugabc00xffffff",
            "ugabc00x",
            "",
        ];
        for line in lines {
            assert_eq!(ids().attempts_named(line), Vec::<u64>::new(), "{line}");
        }
    }

    #[test]
    fn lines_of_real_brokers_become_phrases_without_what_differs() {
        let phrases = [
            (
                "1795442586: New client connected from 127.0.0.1:57508 as ugabc00x00002a (p2, c1, k60).",
                "New client connected from <address> as <client> (p<n>, c<n>, k<n>).",
            ),
            (
                "2026-11-23T13:59:28: Bad client ugabc00x00002ab sending multiple CONNECT messages.",
                "Bad client <client> sending multiple CONNECT messages.",
            ),
            (
                "2026-11-23 13:59:28.123456+00:00 [warning] <0.712.0> MQTT client [::1]:4711 -> [::1]:1883 closed",
                "[warning] <<n>.<n>.<n>> MQTT client <address> -> <address> closed",
            ),
            (
                "[812] 2026/11/23 13:59:28.123456 [ERR] 127.0.0.1:1 - mid:7 - \"ugabc00x000001\" - second connect",
                "[<n>] <time> [ERR] <address> - mid:<n> - \"<client>\" - second connect",
            ),
            (
                "2026-11-23 13:59:28,123 INFO - Client ID: ugabc00p1 was disconnected. reason: x",
                "INFO - Client ID: <client> was disconnected. reason: x",
            ),
            ("from fe80::1 and 10.0.0.5.", "from <address> and <address>."),
            ("job 0x1F of 3e2f00aa and f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "job <id> of <id> and <id>"),
            ("Client ugpre5 is no ugpresent", "Client <client> is no ugpresent"),
            ("decade 12345678 facade00 v5", "decade <n> <id> v<n>"),
            ("", ""),
        ];
        for (line, phrase) in phrases {
            assert_eq!(ids().phrase(line), phrase, "{line}");
        }
        assert_eq!(ids().phrase(&"ä".repeat(1_000)).chars().count(), 200);
    }

    #[test]
    fn the_most_frequent_phrases_come_first() {
        let mut phrases = Phrases::default();
        let counted = [("b", None), ("c", Some(9)), ("a", None), ("c", Some(4)), ("a", Some(7))];
        let numbers = counted.map(|(phrase, attempt)| phrases.count(phrase.to_owned(), attempt).unwrap());
        assert_eq!(
            (numbers, phrases.by_number()),
            ([0, 1, 2, 1, 2], ["b", "c", "a"].map(String::from).to_vec())
        );
        for number in 0..2_000 {
            phrases.count(format!("d{number:04}"), None);
        }
        assert!(phrases.seen.len() <= 1_000);
        let kept = phrases.most_frequent();
        let first: Vec<_> =
            kept.iter().take(4).map(|kept| (&*kept.phrase, kept.lines, kept.example_attempt)).collect();
        assert_eq!(first, [("a", 2, Some(7)), ("c", 2, Some(9)), ("b", 1, None), ("d0000", 1, None)]);
        assert_eq!(kept.len(), 20);
    }

    #[test]
    fn phrases_that_name_an_attempt_have_room_of_their_own() {
        let mut phrases = Phrases::default();
        for number in 0..30 {
            phrases.count(format!("other {number:02}"), None);
            phrases.count(format!("other {number:02}"), None);
            phrases.count(format!("caused {number:02}"), Some(number));
        }
        let kept = phrases.most_frequent();
        let naming = kept.iter().filter(|phrase| phrase.example_attempt.is_some()).count();
        assert_eq!((kept.len(), naming), (20, 10));
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in any::<String>()) {
            let _phrase = ids().phrase(&line);
            prop_assert_eq!(ids().attempts_named(&line), Vec::<u64>::new());
        }

        #[test]
        fn lines_of_clues_are_read_to_their_end(line in "([ugabc0x:./\\[\\]<>f1-]|0x|é|ugabc00x|127\\.0\\.0\\.1|2026-11-23T){0,40}") {
            let _phrase = ids().phrase(&line);
            let _named = ids().attempts_named(&line);
        }

        #[test]
        fn every_attempt_of_the_plan_is_found_again(number in 0_u64..0x1000, before in "\\PC*[ :/\"(]", after in "[ :/\")]\\PC*") {
            let line = format!("{before}ugabc00x{number:06x}{after}");
            prop_assert!(ids().attempts_named(&line).contains(&number), "{}", line);
        }
    }
}
