//! Telling incidents as they happen.

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
use super::flags::Look;
use super::telling::{explanation_terms, line_about, provoke};
use super::year_of;
use crate::launch;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks without a new line after which what waits for one is told.
const QUIET_LOOKS: u32 = 10;
/// Bytes read at one look.
const BYTES_PER_LOOK_MAX: u64 = 16 << 20;

/// Follows the log from its begin, and tells each incident. Ends when its reader has gone, or with the process.
pub(super) fn follow(path: &Path, look: &Look) -> Result<Exit, RunError> {
    let cannot =
        |error: std::io::Error| RunError::Environment(format!("cannot follow {}: {error}", path.display()));
    let mut follower = LogFollower::at_begin(path, LINE_BYTES_MAX).map_err(cannot)?;
    let mut matcher = Matcher::new(look.broker);
    let mut story = Story::new(look.limits.clone());
    let year = year_of(ungraceful_rig::measure::clock::RunClock::start().started());
    let (mut number, mut quiet) = (0, 0);
    let mut explained = BTreeSet::new();
    let mut told_of_cut = false;
    loop {
        let mut incidents = Vec::new();
        let mut tell = |incident| incidents.push(incident);
        let before = number;
        let looked = follower.look(BYTES_PER_LOOK_MAX, &mut |line| {
            number += 1;
            if line.is_cut && !std::mem::replace(&mut told_of_cut, true) {
                launch::complain(&format!(
                    "{}: line {number} is longer than {LINE_BYTES_MAX} bytes: of it, and of others like it, the rest is not \
                     looked at",
                    path.display()
                ));
            }
            if let Some(found) = matcher.line(line.text.as_bytes()) {
                let time = LogTime::of_line(line.text.as_bytes(), &found, year);
                story.take(number, line.text.as_bytes(), time, found, &mut tell);
            }
        });
        looked.map_err(cannot)?;
        quiet = if number > before { 0 } else { quiet + 1 };
        if quiet == QUIET_LOOKS {
            story.finish(&mut tell);
        }
        for incident in &incidents {
            if !told(incident, &mut explained) {
                return Ok(Exit::Holds);
            }
        }
        if number == before {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Tells one incident, and what its cause means when it is the first of it. Whether somebody still reads.
fn told(incident: &Incident, explained: &mut BTreeSet<Cause>) -> bool {
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
        terms.push(("provoke".to_owned(), vec![provoke(incident.cause, &seen)]));
        blocks.push(Block::Terms(terms));
    }
    launch::is_read(&document::text(&blocks))
}
