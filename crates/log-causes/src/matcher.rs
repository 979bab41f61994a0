//! Recognises lines. A search for the needles (fixed texts) of all patterns comes first; only the regular expressions
//! whose needle is in the line are tried.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use foldhash::{HashMap, HashMapExt};
use regex::bytes::{CaptureLocations, Regex, RegexBuilder};
use ungraceful_mqtt::ProtocolVersion;

use crate::broker::Broker;
use crate::cause::{Cause, Effect, Precision};
use crate::fields::{self, Id};
use crate::pattern::{NEEDLE_BYTES_MAX, Pattern, needles, patterns};
use crate::template::{Places, Template};
use crate::{codes, envelope, unknown};

/// Insignificant lines that weigh as much as one that tells something, where the broker is guessed.
const ASIDE_PER_VOTE: u64 = 1_000;

/// What a line says.
#[derive(Clone, Debug)]
pub struct Found {
    /// The pattern that matched.
    pub pattern: &'static Pattern,
    /// Number of JSON layers around the matched text; 0 for the line itself.
    pub(crate) depth: usize,
    /// Bytes of that text before the match, where the times are.
    pub(crate) begins_at: usize,
    /// The cause; a code in the line or a missing ClientID may make it more precise than the pattern's.
    pub cause: Cause,
    /// The ClientID; absent when the line has none.
    pub client: Option<String>,
    /// Whether the broker says that the connection has no ClientID.
    pub is_unknown_client: bool,
    /// The ClientID that the line gives to the line before; absent in most.
    pub(crate) named: Option<String>,
    /// The client's address, with its port where the broker logs it; absent when the line has none.
    pub address: Option<String>,
    /// In a take-over the newcomer's address; absent when the line has none.
    pub newcomer: Option<String>,
    /// The broker's own name for the connection; absent when the line has none.
    pub handle: Option<String>,
    /// The client of an incident that the line before began without one; `handle` names that incident.
    pub(crate) client_of_handle: Option<String>,
    /// Keep Alive in seconds; absent when the line has none.
    pub keep_alive_s: Option<u16>,
    /// The client's MQTT version; absent when the line has none.
    pub version: Option<ProtocolVersion>,
    /// The Reason Code or Connect Return Code; absent when the line has none.
    pub code: Option<u8>,
    /// The Topic Name in a line after a take-over; absent in all others.
    pub topic: Option<String>,
}

/// A pattern, compiled on first use.
struct Ready {
    pattern: &'static Pattern,
    made: Option<Made>,
}

struct Made {
    regex: Regex,
    /// The fast path, for simple patterns.
    template: Option<Template>,
    groups: Groups,
    locations: CaptureLocations,
    /// The latest positions of the groups.
    places: Places,
}

/// The group of an expression that holds each field.
#[derive(Clone, Copy, Default)]
struct Groups {
    at: Option<usize>,
    id: Option<usize>,
    address: Option<usize>,
    port: Option<usize>,
    newcomer: Option<usize>,
    handle: Option<usize>,
    keep_alive: Option<usize>,
    protocol: Option<usize>,
    code: Option<usize>,
    topic: Option<usize>,
    named: Option<usize>,
}

/// Compiles a pattern's regular expression: over bytes, so that a line need not be UTF-8.
pub(crate) fn compile(pattern: &Pattern) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern.regex).unicode(false).build()
}

impl Made {
    fn of(pattern: &Pattern) -> Self {
        let regex = compile(pattern).expect("a test compiles every pattern");
        let group = |names: &[&str]| {
            names.iter().find_map(|wanted| regex.capture_names().position(|name| name == Some(*wanted)))
        };
        let groups = Groups {
            at: group(&["at"]),
            id: group(&["id", "repr"]),
            address: group(&["old", "conn", "peer", "ip"]),
            port: group(&["port"]),
            newcomer: group(&["new"]),
            handle: group(&["handle", "pipe"]),
            keep_alive: group(&["k"]),
            protocol: group(&["p"]),
            code: group(&["rc"]),
            topic: group(&["topic"]),
            named: group(&["named"]),
        };
        let locations = regex.capture_locations();
        let places = vec![None; regex.captures_len()];
        let template = Template::of(pattern.regex, regex.captures_len());
        Self { regex, template, groups, locations, places }
    }

    /// Whether the pattern matches; sets `places` if so.
    fn matches(&mut self, text: &[u8]) -> bool {
        let quick = self.template.as_ref().and_then(|template| template.matches(text, &mut self.places));
        if let Some(matched) = quick {
            return matched;
        }
        if self.regex.captures_read(&mut self.locations, text).is_none() {
            return false;
        }
        for (group, place) in self.places.iter_mut().enumerate() {
            *place = self.locations.get(group);
        }
        true
    }
}

/// Recognises the lines of one or all brokers.
pub struct Matcher {
    ready: Vec<Ready>,
    index: Arc<Index>,
    /// Indices in `ready` whose needle is in the line, with its length; kept to save the allocation.
    candidates: Vec<(usize, usize)>,
    /// For each needle the number of the last text that contains it, so that it counts once per text.
    seen_in: Vec<u64>,
    /// Number of searched texts.
    texts: u64,
    /// Weights of the recognised lines of each broker, in the order of [`Broker::ALL`].
    votes: Vec<u64>,
    /// The only broker; absent for all.
    only: Option<Broker>,
    /// Whether the latest text has one of the words that tell of trouble.
    has_trouble: bool,
    /// Whether an earlier line named an MQTT client.
    has_mqtt_client: bool,
    /// Whether the latest line was that of a client, if a later line names MQTT.
    is_perhaps_a_clients: bool,
}

/// What all matchers of one broker, or of all, share: it takes a while to make.
struct Index {
    patterns: Vec<&'static Pattern>,
    /// For each needle its patterns, as indices in `patterns`.
    owners: Vec<Vec<usize>>,
    needle_lengths: Vec<usize>,
    search: AhoCorasick,
    /// The patterns for lines after a take-over, as indices in `patterns`.
    behind: Vec<usize>,
    /// The index of the first needle that belongs to no pattern; from it on, needles are words that tell of trouble.
    trouble_from: usize,
}

impl Index {
    /// That of `broker`, or of all.
    fn of(broker: Option<Broker>) -> Arc<Self> {
        type Slot = OnceLock<Arc<Index>>;
        static INDEXES: LazyLock<Vec<Slot>> =
            LazyLock::new(|| (0..=Broker::ALL.len()).map(|_| OnceLock::new()).collect());
        let slot = broker.map_or(Broker::ALL.len(), |broker| broker as usize);
        Arc::clone(INDEXES[slot].get_or_init(|| Arc::new(Self::make(broker))))
    }

    fn make(broker: Option<Broker>) -> Self {
        let is_chosen = |of: Broker| of == Broker::Client || broker.is_none_or(|broker| of == broker);
        let patterns: Vec<&'static Pattern> =
            patterns().iter().filter(|pattern| is_chosen(pattern.broker)).collect();
        let (mut texts, mut owners): (Vec<Vec<u8>>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let is_behind = |pattern: &Pattern| pattern.effect == Effect::Behind;
        let behind = (0..patterns.len()).filter(|place| is_behind(patterns[*place])).collect();
        for (place, pattern) in patterns.iter().enumerate().filter(|(_, pattern)| !is_behind(pattern)) {
            for needle in needles(pattern.regex) {
                let needle_place = *places.entry(needle).or_insert_with_key(|needle| {
                    texts.push(needle.clone());
                    owners.push(Vec::new());
                    texts.len() - 1
                });
                owners[needle_place].push(place);
            }
        }
        let trouble_from = texts.len();
        // Also those that are needles of patterns: both are found.
        texts.extend(unknown::needles());
        owners.resize(texts.len(), Vec::new());
        let search = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(&texts)
            .expect("a few thousand short needles fit an automaton");
        let needle_lengths = texts.iter().map(Vec::len).collect();
        Self { patterns, owners, needle_lengths, search, behind, trouble_from }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("patterns", &self.ready.len())
            .field("leader", &self.leader())
            .finish()
    }
}

impl Matcher {
    /// A matcher for the lines of `broker`, or of any broker; and for those of clients, which stand beside them in many logs.
    #[must_use]
    pub fn new(broker: Option<Broker>) -> Self {
        let index = Index::of(broker);
        Self {
            ready: index.patterns.iter().map(|pattern| Ready { pattern, made: None }).collect(),
            candidates: Vec::new(),
            seen_in: vec![0; index.needle_lengths.len()],
            texts: 0,
            votes: vec![0; Broker::ALL.len()],
            only: broker,
            has_trouble: false,
            has_mqtt_client: broker == Some(Broker::Client),
            is_perhaps_a_clients: false,
            index,
        }
    }

    /// The position of the first needle in `text`: only the line around it can be recognised.
    #[must_use]
    pub fn next_candidate(&self, text: &[u8]) -> Option<std::ops::Range<usize>> {
        self.index.search.find(text).map(|needle| needle.range())
    }

    /// The broker of most lines so far, a client only where no line is a broker's; absent before the first.
    #[must_use]
    pub fn leader(&self) -> Option<Broker> {
        let votes = |broker: Broker| (self.votes[broker as usize], broker);
        let brokers =
            Broker::ALL.iter().map(|broker| votes(*broker)).filter(|(_, broker)| *broker != Broker::Client);
        // The first of those with equally many. Lines that mean nothing decide nothing: a Java trace is no broker's.
        let most =
            brokers.rev().max_by_key(|(count, _)| *count).filter(|(count, _)| *count >= ASIDE_PER_VOTE);
        most.or(Some(votes(Broker::Client)))
            .filter(|(count, _)| *count >= ASIDE_PER_VOTE)
            .map(|(_, broker)| broker)
    }

    /// Whether a client's line is about MQTT: any program may lose a connection. A line that names MQTT vouches for the later ones.
    fn is_about_mqtt(&mut self, found: &Found, line: &[u8]) -> bool {
        if found.pattern.broker != Broker::Client || self.has_mqtt_client {
            return true;
        }
        self.has_mqtt_client = unknown::is_of_mqtt_client(line);
        self.has_mqtt_client || !unknown::is_of_any_program(line)
    }

    /// Whether the latest line, which was not recognised, is that of an MQTT client if a later line names MQTT.
    pub(crate) const fn is_perhaps_a_clients(&self) -> bool {
        self.is_perhaps_a_clients
    }

    /// That of the lines of `broker`, which knows of MQTT's clients what this one knows.
    pub(crate) fn narrowed_to(&self, broker: Broker) -> Self {
        let mut narrowed = Self::new(Some(broker));
        narrowed.has_mqtt_client |= self.has_mqtt_client;
        narrowed
    }

    /// Whether the latest line, which was not recognised, looks like trouble.
    pub(crate) fn has_trouble(&self, line: &[u8]) -> bool {
        self.has_trouble && unknown::is_trouble(line)
    }

    /// Recognises `line`, with or without its line end. When several brokers match, the broker of most earlier lines wins,
    /// else the one with the longest needle.
    pub fn line(&mut self, line: &[u8]) -> Option<Found> {
        let needle = self.next_candidate(line)?;
        self.candidate(line, needle.end)
    }

    /// Recognises a line whose first needle ends at `needle_end`.
    pub(crate) fn candidate(&mut self, line: &[u8], needle_end: usize) -> Option<Found> {
        self.has_trouble = false;
        self.is_perhaps_a_clients = false;
        let found = if line.trim_ascii_start().first() == Some(&b'{') {
            let layers = envelope::layers(line);
            let outermost = layers.len() - 1;
            let found = layers.iter().enumerate().find_map(|(at, layer)| {
                self.layer(layer, 0).map(|found| (at, Found { depth: outermost - at, ..found }))
            });
            let (at, mut found) = found?;
            if found.handle.is_none() {
                found.handle = fields::handle_around(found.pattern.broker, line).map(text_of);
            }
            if found.pattern.broker == Broker::Client {
                self.reason_beside(&mut found, line);
            }
            // EMQX has the client beside its text.
            if found.pattern.broker == Broker::Emqx && found.client.is_none() && at < outermost {
                beside(&mut found, &layers[at + 1]);
            }
            found
        } else {
            // No needle ends before the first one, so none begins much earlier.
            self.layer(line.trim_ascii_end(), needle_end.saturating_sub(NEEDLE_BYTES_MAX))?
        };
        if !self.is_about_mqtt(&found, line) {
            self.is_perhaps_a_clients = true;
            return None;
        }
        // Lines that mean nothing, such as those of a crash dump, are of the same kind in brokers of one language.
        let weight = if found.pattern.effect == Effect::Aside { 1 } else { ASIDE_PER_VOTE };
        self.votes[found.pattern.broker as usize] += weight;
        Some(found)
    }

    /// Many programs log the reason in a field beside their text: `"msg":"failed to connect","error":"not authorized"`.
    fn reason_beside(&mut self, found: &mut Found, line: &[u8]) {
        const KEYS: [&[u8]; 5] =
            [b"\"error\":", b"\"err\":", b"\"reason\":", b"\"exception\":", b"\"cause\":"];
        // As programs without fields write it, for which the patterns are.
        let before: &[u8] = match found.pattern.effect {
            Effect::Refused => b"failed to connect: ",
            Effect::Ended | Effect::Tail => b"connection lost: ",
            _ => return,
        };
        for value in KEYS.iter().filter_map(|key| fields::value(line, key)) {
            let said = [before, value].concat();
            let whole = self.layer(&said, 0).filter(|whole| {
                whole.pattern.broker == Broker::Client && whole.pattern.effect == found.pattern.effect
            });
            if let Some(whole) = whole {
                (found.cause, found.code) = (whole.cause, whole.code);
                return;
            }
        }
    }

    /// Recognises a line directly after a take-over.
    pub(crate) fn behind(&mut self, line: &[u8]) -> Option<Found> {
        if self.index.behind.is_empty() {
            return None;
        }
        let layers = envelope::layers(line);
        let outermost = layers.len() - 1;
        for (at, layer) in layers.iter().enumerate() {
            for place in Arc::clone(&self.index).behind.iter().copied() {
                if self.matches(place, layer) {
                    let found = self.found(place, layer);
                    return Some(Found { depth: outermost - at, ..found });
                }
            }
        }
        None
    }

    /// Recognises a text whose needles begin at `from` or later.
    fn layer(&mut self, text: &[u8], from: usize) -> Option<Found> {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        self.texts += 1;
        let index = &self.index;
        for needle in index.search.find_overlapping_iter(text.get(from..).unwrap_or_default()) {
            let needle = needle.pattern().as_usize();
            if needle >= index.trouble_from {
                self.has_trouble = true;
                continue;
            }
            if std::mem::replace(&mut self.seen_in[needle], self.texts) == self.texts {
                continue;
            }
            let length = index.needle_lengths[needle];
            candidates.extend(index.owners[needle].iter().map(|place| (*place, length)));
        }
        if candidates.len() > 1 {
            candidates.sort_unstable();
            // A pattern may have two needles of one length.
            candidates.dedup();
        }
        let place = self.choose(&candidates, text);
        self.candidates = candidates;
        place.map(|place| self.found(place, text))
    }

    /// The index of the best pattern: the leading broker's, or the one with the longest needle; then the first row.
    fn choose(&mut self, candidates: &[(usize, usize)], text: &[u8]) -> Option<usize> {
        if self.only.is_some() {
            return candidates.iter().map(|(place, _)| *place).find(|place| self.matches(*place, text));
        }
        let leader = self.leader();
        let mut best: Option<(usize, usize)> = None;
        for (place, length) in candidates {
            let broker = self.ready[*place].pattern.broker;
            let is_same = best.is_some_and(|(best, _)| self.ready[best].pattern.broker == broker);
            let is_longer = best.is_none_or(|(_, longest)| *length > longest)
                && !(broker == Broker::Client && best.is_some());
            if is_same || !(is_longer || leader == Some(broker)) || !self.matches(*place, text) {
                continue;
            }
            best = Some((*place, *length));
            if leader == Some(broker) {
                break;
            }
        }
        best.map(|(place, _)| place)
    }

    fn matches(&mut self, place: usize, text: &[u8]) -> bool {
        let ready = &mut self.ready[place];
        let made = ready.made.get_or_insert_with(|| Made::of(ready.pattern));
        made.matches(text)
    }

    /// The fields of `text`, which the pattern matched last.
    fn found(&mut self, place: usize, text: &[u8]) -> Found {
        let Ready { pattern, made } = &mut self.ready[place];
        let made = made.get_or_insert_with(|| Made::of(pattern));
        let places = &made.places;
        let group = |group: Option<usize>| {
            let (from, to) = places[group?]?;
            Some(&text[from..to])
        };
        let broker = pattern.broker;
        let captured = group(made.groups.id);
        let id = captured.map_or_else(|| fields::id_elsewhere(broker, text), |id| fields::id(broker, id));
        let mut address = group(made.groups.address).map(|ip| {
            let mut address = text_of(fields::address(ip));
            if let Some(port) = group(made.groups.port) {
                address.push(':');
                address.push_str(&String::from_utf8_lossy(port));
            }
            address
        });
        let mut is_unknown_client = false;
        let client = match id {
            Id::Known(id) => Some(text_of(id.as_bytes())),
            Id::Address(instead) => {
                address.get_or_insert_with(|| text_of(instead));
                is_unknown_client = true;
                None
            }
            Id::Unknown => {
                is_unknown_client = true;
                None
            }
            Id::NotMentioned => None,
        };
        let elsewhere = || {
            let address = text_of(fields::address_elsewhere(broker, text)?);
            let port = fields::port_elsewhere(broker, text).map(text_of);
            Some(port.map_or(address.clone(), |port| format!("{address}:{port}")))
        };
        let address = address.or_else(elsewhere);
        let code =
            group(made.groups.code).and_then(|code| std::str::from_utf8(code).ok()?.parse::<u8>().ok());
        let of_code = code.and_then(codes::cause_of).filter(|_| pattern.cause.precision() < Precision::Exact);
        let cause = of_code.unwrap_or(pattern.cause);
        Found {
            pattern,
            depth: 0,
            // An expression that holds the time itself has it before the rest.
            begins_at: made
                .groups
                .at
                .and_then(|at| places[at].map(|(_, end)| end))
                .or(places[0].map(|(begin, _)| begin))
                .unwrap_or(0),
            // VerneMQ logs an expired Keep Alive only after the CONNECT, so an empty ClientID is the client's own.
            cause: match cause {
                Cause::KeepAlive if broker == Broker::VerneMq => cause,
                _ if is_unknown_client => cause.before_a_client_id(),
                _ => cause,
            },
            client,
            is_unknown_client,
            named: group(made.groups.named).map(text_of),
            address: address.filter(|address| !address.is_empty()),
            newcomer: group(made.groups.newcomer).map(|named| text_of(fields::address(named))),
            handle: group(made.groups.handle).or_else(|| fields::handle(broker, text)).map(text_of),
            client_of_handle: None,
            keep_alive_s: group(made.groups.keep_alive).and_then(number),
            version: group(made.groups.protocol).and_then(number).and_then(version),
            code,
            topic: group(made.groups.topic).filter(|_| pattern.effect == Effect::Behind).map(text_of),
        }
    }
}

/// Adds the client that stands beside the text in its JSON.
fn beside(found: &mut Found, object: &[u8]) {
    let broker = found.pattern.broker;
    if let Id::Known(id) = fields::id_elsewhere(broker, object) {
        found.client = Some(text_of(id.as_bytes()));
        found.is_unknown_client = false;
    }
    if found.address.is_none() {
        found.address = fields::address_elsewhere(broker, object).map(text_of);
    }
}

/// Bytes kept of a ClientID, an address or a topic: clients choose their length.
const FIELD_BYTES_MAX: usize = 256;

fn text_of(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(FIELD_BYTES_MAX)];
    // The check goes many bytes at a time, the way with replacements does not.
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Mosquitto's numbers: its own ones up to 2.0, the protocol's levels since 2.1.
fn version(number: u16) -> Option<ProtocolVersion> {
    match number {
        2 | 4 => Some(ProtocolVersion::V3_1_1),
        5 => Some(ProtocolVersion::V5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Matcher, compile};
    use crate::broker::Broker;
    use crate::cause::{Cause, Effect};
    use crate::pattern::{needles, patterns};

    #[test]
    fn every_pattern_compiles_has_needles_and_matches_its_example() {
        for pattern in patterns() {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("row {}: {error}", pattern.row));
            assert!(regex.is_match(pattern.example.as_bytes()), "row {}: {}", pattern.row, pattern.example);
            let needles = needles(pattern.regex);
            let holds = |needle: &Vec<u8>| memchr::memmem::find(pattern.example.as_bytes(), needle).is_some();
            assert!(needles.iter().any(holds), "row {}: {needles:?}", pattern.row);
        }
        assert!(patterns().len() >= 403, "{}", patterns().len());
        for broker in Broker::ALL {
            assert!(patterns().iter().any(|pattern| pattern.broker == *broker), "{broker}");
        }
    }

    #[test]
    fn within_a_broker_every_example_matches_its_own_row() {
        let mut matchers: Vec<Matcher> =
            Broker::ALL.iter().map(|broker| Matcher::new(Some(*broker))).collect();
        for pattern in patterns() {
            let matcher = &mut matchers[pattern.broker as usize];
            let found = match pattern.effect {
                Effect::Behind => matcher.behind(pattern.example.as_bytes()),
                _ => matcher.line(pattern.example.as_bytes()),
            };
            let row = found.map(|found| found.pattern.row);
            assert_eq!(row, Some(pattern.row), "{}: {}", pattern.broker, pattern.example);
        }
    }

    #[test]
    fn no_example_is_mistaken_for_another_cause() {
        let mut wrong = Vec::new();
        let mut matcher = Matcher::new(None);
        for pattern in patterns().iter().filter(|pattern| pattern.effect != Effect::Behind) {
            matcher.votes.fill(0);
            let found = matcher.line(pattern.example.as_bytes()).unwrap();
            if found.pattern.cause != pattern.cause {
                wrong.push(format!(
                    "{} row {} as {} row {}: {}",
                    pattern.broker, pattern.row, found.pattern.broker, found.pattern.row, pattern.example
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_known_brokers_examples_match_its_own_patterns() {
        let mut matcher = Matcher::new(None);
        for broker in Broker::ALL {
            matcher.votes.fill(0);
            let own: Vec<_> = patterns()
                .iter()
                .filter(|pattern| pattern.broker == *broker && pattern.effect != Effect::Behind)
                .collect();
            for pattern in &own {
                matcher.line(pattern.example.as_bytes());
            }
            assert_eq!(matcher.leader(), Some(*broker));
            for pattern in own {
                let found = matcher.line(pattern.example.as_bytes()).unwrap();
                assert_eq!(found.pattern.row, pattern.row, "{broker}: {}", pattern.example);
            }
        }
    }

    #[test]
    fn a_line_gives_client_and_address() {
        let mut matcher = Matcher::new(None);
        let line = b"1795442586: New client connected from 10.0.0.7:50123 as c1 (p2, c1, k60, u'bob').\n";
        let found = matcher.line(line).unwrap();
        assert_eq!((found.client.as_deref(), found.address.as_deref()), (Some("c1"), Some("10.0.0.7:50123")));
        assert_eq!((found.keep_alive_s, found.version.map(|v| v.level())), (Some(60), Some(4)));
        let found = matcher.line(b"2026-11-24T23:13:48: Client <unknown> closed its connection.").unwrap();
        assert_eq!((found.cause, found.client, found.is_unknown_client), (Cause::BeforeConnect, None, true));
        let found = matcher.line(b"Sending CONNACK to c1 (0, 135)").unwrap();
        assert_eq!((found.cause, found.code), (Cause::BadCredentials, Some(135)));
        assert!(matcher.line(b"Sending CONNACK to c1 (0, 0)").is_none());
        let binary = b"\xff\xfe\x00 Client \xff\xff closed its connection.";
        assert_eq!(matcher.line(binary).unwrap().cause, Cause::Lost);
    }

    #[test]
    fn wrapped_lines_are_recognised() {
        let wrapped: [&[u8]; 5] = [
            br#"{"log":"1795442586: Client c1 closed its connection.\n","stream":"stderr"}"#,
            b"Nov 24 23:10:06 host mosquitto[812]: Client c1 closed its connection.",
            b"2026-11-24T23:10:06.1Z stderr F Client c1 closed its connection.",
            b"mosquitto-1  | 1795442586: Client c1 closed its connection.",
            br#"{"log":"{\"time\":1,\"msg\":\"terminate\",\"clientid\":\"c1\",\"reason\":\"{shutdown,tcp_closed}\"}\n"}"#,
        ];
        let mut matcher = Matcher::new(None);
        for line in wrapped {
            matcher.votes.fill(0);
            let found = matcher.line(line).unwrap_or_else(|| panic!("{line:?}"));
            assert_eq!((found.cause, found.client.as_deref()), (Cause::Lost, Some("c1")), "{line:?}");
        }
    }

    #[test]
    fn a_repeated_needle_tries_each_pattern_once() {
        let mut matcher = Matcher::new(None);
        for pattern in patterns() {
            let line = pattern.example.repeat(1_000);
            let _found = matcher.line(line.as_bytes());
            let needles = needles(pattern.regex).len();
            assert!(matcher.candidates.len() <= patterns().len() * needles, "row {}", pattern.row);
            let mut tried: Vec<_> = matcher.candidates.clone();
            tried.dedup();
            assert_eq!(tried.len(), matcher.candidates.len(), "row {}", pattern.row);
        }
    }

    #[test]
    fn a_client_id_is_kept_up_to_a_sensible_length() {
        let line = format!("Client {} closed its connection.", "x".repeat(100_000));
        let found = Matcher::new(Some(Broker::Mosquitto)).line(line.as_bytes()).unwrap();
        assert_eq!(found.client.unwrap().len(), super::FIELD_BYTES_MAX);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), cut in 0_usize..100, row in 0_usize..400) {
            thread_local! {
                static MATCHER: std::cell::RefCell<Matcher> = std::cell::RefCell::new(Matcher::new(None));
            }
            let example = patterns()[row].example.as_bytes();
            let line = [&example[..cut.min(example.len())], &bytes, &example[cut.min(example.len())..]].concat();
            MATCHER.with_borrow_mut(|matcher| {
                let _found = matcher.line(&line);
                let _found = matcher.line(&[b"{\"log\":\"", &line[..]].concat());
            });
        }
    }
}
