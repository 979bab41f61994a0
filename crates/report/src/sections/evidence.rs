//! The first irregular messages of the bystanders in one line, and the number of further ones.

use ungraceful_record::ledger::IrregularityKind;
use ungraceful_record::run::{BystandersRecord, IrregularityRecord};

use crate::scale::{count, time};

/// Maximum number of entries in a line.
const NAMED_AT_MOST: usize = 8;

/// The messages of this kind; absent when there are none.
pub(super) fn line(bystanders: &BystandersRecord, kind: IrregularityKind) -> Option<String> {
    let of_kind = bystanders.irregularities.iter().filter(|listed| listed.irregularity.kind == kind);
    let (named, others): (Vec<_>, Vec<_>) =
        of_kind.enumerate().partition(|(index, _)| *index < NAMED_AT_MOST);
    if named.is_empty() {
        return None;
    }
    let not_listed = bystanders.irregularities_left_out.get(&kind).copied().unwrap_or(0);
    let more =
        others.iter().map(|(_, listed)| listed.irregularity.messages()).fold(not_listed, u64::saturating_add);
    let mut named: Vec<_> = named.into_iter().map(|(_, listed)| listed).collect();
    // Grouped by phase and pair.
    named.sort_by_key(|listed| (listed.phase, listed.pair));
    let mut groups: Vec<String> = Vec::new();
    for same in named.chunk_by(|one, next| heading(one) == heading(next)) {
        let messages: Vec<_> = same.iter().map(|listed| message(listed)).collect();
        groups.push(format!("{} {}", heading(same[0]), messages.join(", ")));
    }
    let mut text = groups.join(" · ");
    if more > 0 {
        text += &format!(" · and {} more, see run.json", count(more));
    }
    Some(text)
}

fn heading(listed: &IrregularityRecord) -> String {
    format!("{}, pair {} (QoS {}):", listed.phase.name(), listed.pair, listed.qos)
}

fn message(listed: &IrregularityRecord) -> String {
    let what = &listed.irregularity;
    let mut text = if what.first == what.last {
        format!("{}", what.first)
    } else {
        format!("{}–{}", what.first, what.last)
    };
    if let Some(code) = what.code {
        text += &format!(" 0x{code:02X}");
    }
    if let Some(at_us) = what.at_us {
        text += &format!(" at {}", time(at_us));
    }
    if let Some(dup) = what.dup {
        text += &format!(" DUP {}", u8::from(dup));
    }
    text
}
