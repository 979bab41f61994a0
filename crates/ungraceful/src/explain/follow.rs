//! Reports incidents as they happen.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ungraceful_log_causes::command::Seen;
use ungraceful_log_causes::scan::LINE_BYTES_MAX;
use ungraceful_log_causes::story::{Incident, Story};
use ungraceful_log_causes::timestamp::LogTime;
use ungraceful_log_causes::{Cause, Matcher, explain};
use ungraceful_record::exit::Exit;
use ungraceful_rig::broker::log_follower::LogFollower;
use ungraceful_rig::error::RunError;

use super::document::{self, Block};
use super::flags::Options;
use super::render::{explanation_terms, line_about, reproduce};
use super::year_of;
use crate::launch;

/// How often the file is read.
const READ_EVERY: Duration = Duration::from_millis(200);
/// Reads without a new line after which pending incidents are reported.
const QUIET_READS: u32 = 10;
/// Maximum bytes of one read.
const BYTES_PER_READ_MAX: u64 = 16 << 20;

/// Follows the log from its start and reports each incident. Ends when standard output is closed, or with the process.
pub(super) fn follow(path: &Path, options: &Options) -> Result<Exit, RunError> {
    let cannot =
        |error: std::io::Error| RunError::Environment(format!("cannot follow {}: {error}", path.display()));
    let mut follower = LogFollower::at_begin(path, LINE_BYTES_MAX).map_err(cannot)?;
    let mut matcher = Matcher::new(options.broker);
    let mut story = Story::new(options.limits.clone());
    let year = year_of(ungraceful_rig::measure::clock::RunClock::start().started());
    let (mut number, mut quiet) = (0, 0);
    let mut explained = BTreeSet::new();
    let mut has_warned = false;
    loop {
        let mut incidents = Vec::new();
        let mut add = |incident| incidents.push(incident);
        let before = number;
        let looked = follower.look(BYTES_PER_READ_MAX, &mut |line| {
            number += 1;
            if line.is_cut && !std::mem::replace(&mut has_warned, true) {
                launch::print_error(&format!(
                    "{}: line {number} is longer than {LINE_BYTES_MAX} bytes; the rest of it, and of other such lines, is \
                     ignored",
                    path.display()
                ));
            }
            if let Some(found) = matcher.line(line.text.as_bytes()) {
                let time = LogTime::of_line(line.text.as_bytes(), &found, year);
                story.take(number, line.text.as_bytes(), time, found, &mut add);
            }
        });
        looked.map_err(cannot)?;
        quiet = if number > before { 0 } else { quiet + 1 };
        if quiet == QUIET_READS {
            story.finish(&mut add);
        }
        for incident in &incidents {
            if !print_incident(incident, &mut explained) {
                return Ok(Exit::Holds);
            }
        }
        if number == before {
            std::thread::sleep(READ_EVERY);
        }
    }
}

/// Prints an incident, and the explanation of its cause the first time. Returns false when standard output is closed.
fn print_incident(incident: &Incident, explained: &mut BTreeSet<Cause>) -> bool {
    let mut blocks =
        vec![Block::Paragraph(format!("{}: {}", incident.cause.slug(), line_about(incident, None)))];
    if explained.insert(incident.cause) {
        let mut terms = vec![("what".to_owned(), vec![explain(incident.cause).title.to_owned()])];
        terms.extend(explanation_terms(explain(incident.cause)));
        let seen = Seen {
            version: incident.version,
            client_id_prefix: incident.client.clone().unwrap_or_default(),
            keep_alive_s: incident.keep_alive_s,
            is_duel: false,
        };
        terms.push(("reproduce".to_owned(), vec![reproduce(incident.cause, &seen)]));
        blocks.push(Block::Terms(terms));
    }
    launch::print_part(&document::text(&blocks))
}
