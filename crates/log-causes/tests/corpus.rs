//! The cases of `corpus`: log lines of each broker and version, with the incidents that they come to.
//!
//! A case is a block between blank lines:
//!
//! ```text
//! # Mosquitto 1.6: a client whose socket fails
//! 1617054300: New client connected from 172.30.32.1 as a1 (p2, c1, k60, u'h').
//! 1617054549: Socket error on client a1, disconnecting.
//! => lost client=a1 address=172.30.32.1 keep_alive=60 after=249
//! ```
//!
//! After `=>` stand the incidents in any order, each with the number of equal ones if there are several (`=> 4 keep-alive`), its cause
//! and the fields to compare: client, address, newcomer, keep_alive (s), version, code, after (s), effect,
//! time, occurrences; `-` is an absent one. Signs
//! stand as `=> sign duel` (or herd, reconnects-too-fast, lapsed-together, stall, will-at-take-over, health-check, retries,
//! equal-lifetimes), `=> nothing` is a case without incidents, `=> given` is one
//! that is looked at only with its writer given, because its lines may be any program's, and `=> unknown 2` has two lines that tell of trouble and that no
//! pattern knows. What does not stand there must not come.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;

use ungraceful_log_causes::scan::{Line, Scanner};
use ungraceful_log_causes::story::{Incident, Limits, SimultaneousLapses, Story, Visits};
use ungraceful_log_causes::timestamp::Times;
use ungraceful_log_causes::{Broker, Cause};

/// One case.
struct Case {
    title: String,
    log: String,
    expected: Vec<Expected>,
}

#[derive(Debug)]
enum Expected {
    Incidents {
        count: usize,
        cause: Cause,
        fields: BTreeMap<String, String>,
    },
    Sign(String),
    Unknown(u64),
    /// Its lines may be any program's: they are looked at only with the writer given.
    Given,
    Nothing,
}

fn cases(text: &str) -> Vec<Case> {
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    blocks.map(case).collect()
}

fn case(block: &str) -> Case {
    let of = |mark: &str| {
        block
            .lines()
            .filter(|line| line.starts_with(mark))
            .map(|line| line[mark.len()..].trim())
            .collect::<Vec<_>>()
    };
    let title = of("# ").join(" ");
    assert!(!title.is_empty(), "a case without a title:\n{block}");
    let log: Vec<&str> =
        block.lines().filter(|line| !line.starts_with("# ") && !line.starts_with("=>")).collect();
    let expected: Vec<Expected> = of("=>").into_iter().map(|text| expected(text, block)).collect();
    assert!(!expected.is_empty(), "a case that expects nothing; say `=> nothing`:\n{block}");
    Case { title, log: log.join("\n") + "\n", expected }
}

fn expected(text: &str, block: &str) -> Expected {
    let mut words = text.split(' ').peekable();
    let count = words.peek().and_then(|word| word.parse().ok());
    if count.is_some() {
        words.next();
    }
    match words.next().unwrap_or_default() {
        "nothing" => Expected::Nothing,
        "given" => Expected::Given,
        "sign" => Expected::Sign(words.next().unwrap_or_default().to_owned()),
        "unknown" => Expected::Unknown(
            words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{block}")),
        ),
        cause => {
            let pair = |word: &str| {
                let (key, value) =
                    word.split_once('=').unwrap_or_else(|| panic!("no key=value: {word}\n{block}"));
                (key.to_owned(), value.to_owned())
            };
            let cause = Cause::find(cause).unwrap_or_else(|| panic!("no cause {cause}\n{block}"));
            Expected::Incidents { count: count.unwrap_or(1), cause, fields: words.map(pair).collect() }
        }
    }
}

/// What a log comes to.
struct Seen {
    broker: Option<Broker>,
    incidents: Vec<Incident>,
    signs: Vec<String>,
    unknown: u64,
    lines: String,
}

fn seen(broker: Option<Broker>, log: &str) -> Seen {
    let mut scanner = Scanner::new(broker);
    let mut story = Story::new(Limits::default());
    let mut incidents = Vec::new();
    let mut times = Times::until("2026-12-01".parse().unwrap());
    let mut take = |line: Line<'_>| {
        let time = times.of(line.bytes, &line.found);
        story.take(line.number, line.bytes, time, line.found, &mut |incident| incidents.push(incident));
    };
    let mut reader = log.as_bytes();
    while scanner.read(&mut reader, &mut take).unwrap() > 0 {}
    scanner.finish(&mut take);
    story.finish(&mut |incident| incidents.push(incident));
    let signs = &story.picture().signs;
    let (stalls, lapses): (Vec<_>, Vec<_>) =
        signs.lapsed_together().into_iter().partition(SimultaneousLapses::is_stall);
    let is_check = |visits: &Visits| matches!(visits.cause, Cause::BeforeConnect | Cause::NoConnect);
    let (checks, retries): (Vec<_>, Vec<_>) = signs.visits().into_iter().partition(is_check);
    let counts = [
        ("duel", signs.duels().len()),
        ("herd", signs.herds().len()),
        ("reconnects-too-fast", signs.flapping().len()),
        ("lapsed-together", lapses.len()),
        ("stall", stalls.len()),
        ("will-at-take-over", signs.wills_at_take_over().len()),
        ("health-check", checks.len()),
        ("retries", retries.len()),
        ("equal-lifetimes", signs.equal_lifetimes().len()),
    ];
    let lines = scanner.unknown().iter().map(|of| format!("{} x {}\n", of.lines, of.example)).collect();
    Seen {
        broker: scanner.broker(),
        incidents,
        signs: counts.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name.to_owned()).collect(),
        unknown: scanner.scanned().unknown,
        lines,
    }
}

fn field(incident: &Incident, key: &str) -> String {
    let text = match key {
        "client" => incident.client.clone(),
        "address" => incident.address.clone(),
        "newcomer" => incident.newcomer.clone(),
        "keep_alive" => incident.keep_alive_s.map(|seconds| seconds.to_string()),
        "version" => incident.version.map(|version| version.to_string()),
        "code" => incident.code.map(|code| code.to_string()),
        "after" => incident.connected_for_ms.map(|ms| (ms / 1_000).to_string()),
        "effect" => Some(incident.effect.slug().to_owned()),
        "occurrences" => Some(incident.occurrences.to_string()),
        "time" => incident.time.map(|time| time.to_string()),
        other => panic!("no field {other}"),
    };
    text.unwrap_or_else(|| "-".to_owned())
}

/// What is wrong with a case; empty when it is right.
fn mistakes(case: &Case, broker: Option<Broker>, writer: Broker) -> Vec<String> {
    let seen = seen(broker, &case.log);
    let mut wrong = Vec::new();
    // Lines that are known to mean nothing tell no broker either.
    let tells_nothing = matches!(case.expected[..], [Expected::Unknown(_) | Expected::Nothing]);
    if seen.broker != Some(writer) && !(seen.broker.is_none() && tells_nothing) {
        wrong.push(format!("taken for a log of {:?}", seen.broker));
    }
    let mut left: Vec<&Incident> = seen.incidents.iter().collect();
    let (mut signs, mut unknown) = (Vec::new(), 0);
    for expected in &case.expected {
        match expected {
            Expected::Nothing | Expected::Given => {}
            Expected::Sign(name) => signs.push(name.clone()),
            Expected::Unknown(lines) => unknown += lines,
            Expected::Incidents { count, cause, fields } => {
                for _ in 0..*count {
                    let is_it = |incident: &&Incident| {
                        incident.cause == *cause
                            && !fields.iter().any(|(key, value)| field(incident, key) != *value)
                    };
                    match left.iter().position(is_it) {
                        Some(place) => _ = left.remove(place),
                        None => wrong.push(format!("missing: {} {fields:?}", cause.slug())),
                    }
                }
            }
        }
    }
    for incident in left {
        let fields: Vec<String> = ["client", "address", "keep_alive", "version", "code", "after", "effect"]
            .iter()
            .map(|key| format!("{key}={}", field(incident, key)))
            .collect();
        wrong.push(format!("too many: {} {}   {}", incident.cause.slug(), fields.join(" "), incident.text));
    }
    signs.sort();
    let mut found = seen.signs;
    found.sort();
    if signs != found {
        wrong.push(format!("signs: {found:?} instead of {signs:?}"));
    }
    if unknown != seen.unknown {
        wrong.push(format!("{} unknown lines instead of {unknown}:\n{}", seen.unknown, seen.lines));
    }
    wrong
}

#[test]
fn every_case_of_the_corpus_comes_to_its_incidents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let (mut wrong, mut count) = (String::new(), 0);
    // `CORPUS=mosquitto` looks at one broker alone.
    let only = std::env::var("CORPUS").ok();
    for writer in Broker::ALL.iter().filter(|writer| only.as_deref().is_none_or(|only| only == writer.slug()))
    {
        let Ok(text) = std::fs::read_to_string(folder.join(format!("{}.log", writer.slug()))) else {
            continue;
        };
        for case in cases(&text) {
            count += 1;
            let is_given = case.expected.iter().any(|expected| matches!(expected, Expected::Given));
            for broker in [None, Some(*writer)].into_iter().filter(|broker| broker.is_some() || !is_given) {
                for mistake in mistakes(&case, broker, *writer) {
                    let how = if broker.is_none() { "detected" } else { "given" };
                    wrong.push_str(&format!("{} ({how}), {}\n    {mistake}\n", writer.slug(), case.title));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count >= 1 || only.is_some());
}
