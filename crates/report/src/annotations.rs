//! Annotations for GitHub Actions: lines on standard error that its runner shows beside the job.

use ungraceful_record::run::Record;
use ungraceful_record::verdict::Verdict;

use crate::document::Class;
use crate::{escape, sections};

/// One annotation for each claim that does not hold without a note, worst first: an error for a violation, a warning where nothing was
/// concluded, a notice for a deviation that is allowed or known. GitHub shows at most ten of each kind in a step.
#[must_use]
pub fn annotations(record: &Record) -> Vec<String> {
    let title = [Some(&record.tool.name), record.tool.mode.as_ref()].into_iter().flatten();
    let title = title.cloned().collect::<Vec<_>>().join(" ");
    let kinds = Class::ALL.into_iter().filter_map(|class| Some((class, kind(class)?)));
    kinds
        .flat_map(|(class, kind)| {
            let of_class: Vec<&Verdict> =
                record.verdicts.iter().filter(|verdict| Class::of(verdict) == class).collect();
            let claims = sections::by_claim(&of_class).into_iter();
            let lines = claims.map(|same| {
                let said = sections::finding(record, class, &same);
                let more = match said.points.len().saturating_sub(1) {
                    0 => String::new(),
                    more => format!("; and {more} more, see the report"),
                };
                let first = said.points.first().map(|point| format!(": {}", point.text)).unwrap_or_default();
                let message = format!("{} {}{first}{more}", class.name(), said.claim);
                format!("::{kind} title={}::{}", property(&title), value(&message))
            });
            lines.collect::<Vec<_>>()
        })
        .collect()
}

const fn kind(class: Class) -> Option<&'static str> {
    match class {
        Class::Violated => Some("error"),
        Class::Inconclusive => Some("warning"),
        Class::Accepted | Class::Differs => Some("notice"),
        Class::Holds => None,
    }
}

/// A message: the runner reads `%`-escapes in it.
fn value(text: &str) -> String {
    escape::plain(text).replace('%', "%25")
}

/// A property ends at a comma or a colon.
fn property(text: &str) -> String {
    value(text).replace(':', "%3A").replace(',', "%2C")
}
