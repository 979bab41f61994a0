//! The page of a run with a million attempts: bounded in size, and made in bounded memory. A program of its own, because it looks at the
//! memory of the whole process.

#![cfg(test)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use ungraceful_record::check::Finding;
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{AttemptsRecord, BystandersRecord, PhaseRecord, Record};
use ungraceful_record::testing::{case, empty_record};
use ungraceful_record::verdict::Force;
use ungraceful_report::render_page;

const ATTEMPTS: u64 = 1_000_000;
const CASES: u64 = 2_000;
const SECONDS: u64 = 10_000;

/// A run of many cases, each with a verdict and evidence of its own.
fn record() -> Record {
    let cases: Vec<_> = (0..CASES)
        .map(|n| {
            case(
                &format!("fault-{}", n % 40),
                &format!("variant-{n}"),
                "5.0",
                &[(Outcome::Closed, ATTEMPTS / CASES)],
            )
        })
        .collect();
    let verdicts = (0..).zip(&cases).map(|(n, case)| {
        let evidence = format!(
            "{n} of {} attempts were closed within the limit; {}",
            case.finished,
            "evidence ".repeat(20)
        );
        let finding = if n % 2 == 0 { Finding::holds(1, evidence) } else { Finding::inconclusive(evidence) };
        finding.verdict("closes_in_time", Force::Must).on(&case.case)
    });
    let phase = PhaseRecord { phase: Phase::Fault, began_us: 0, ended_us: SECONDS * 1_000_000 };
    Record {
        verdicts: verdicts.collect(),
        cases,
        duration_us: SECONDS * 1_000_000,
        phases: vec![phase],
        bystanders: Some(BystandersRecord::default()),
        attempts: AttemptsRecord {
            planned: ATTEMPTS,
            finished: ATTEMPTS,
            written: ATTEMPTS,
            ..AttemptsRecord::default()
        },
        ..empty_record()
    }
}

fn write_files(folder: &Path) {
    let mut timeline = BufWriter::new(File::create(folder.join("timeline.csv")).unwrap());
    writeln!(
        timeline,
        "second,phase,offered,delivered,reactions,connections_open,bystander_response_time_us_max"
    )
    .unwrap();
    for second in 0..SECONDS {
        writeln!(timeline, "{second},fault,300,300,100,{},{}", second % 97, 1_000 + second % 1_013).unwrap();
    }
    timeline.flush().unwrap();
    let mut attempts = BufWriter::new(File::create(folder.join("attempts.ndjson")).unwrap());
    for number in 0..ATTEMPTS {
        let at_us = number * (SECONDS * 1_000_000 / ATTEMPTS);
        let kind = if number % 3 == 0 { "reset" } else { "closed" };
        writeln!(
            attempts,
            "{{\"attempt\":{number},\"fault\":\"storm\",\"client_id\":\"ug{number:07}\",\"phase\":\"fault\",\"due_us\":{at_us},\
             \"reactions\":[{{\"kind\":\"{kind}\",\"at_us\":{at_us}}}],\"outcome\":\"closed\"}}"
        )
        .unwrap();
    }
    attempts.flush().unwrap();
}

/// The most memory that this process ever had, in KiB.
fn most_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_million_attempts_make_a_page_of_bounded_size_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let record = record();
    let before = most_kib();
    let page = render_page(&record, folder.path());
    let grown_kib = most_kib() - before;
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    // The attempts alone are 150 MB.
    assert!(grown_kib < 48 << 10, "{grown_kib} KiB");
    assert_eq!(page.matches("<polyline fill=\"none\" class=\"l-1\"").count(), 4, "the pictures show them");
    // The reactions of the first point of 17 seconds, by kind.
    assert!(page.contains("1,133") && page.contains("567"), "and so do the tables");
}
