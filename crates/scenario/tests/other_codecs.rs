//! What the catalogue of scenarios calls malformed, two independent codecs and ours call malformed too, and what it calls legal they
//! read. Where another codec differs, `other_codecs/tables.rs` says why.
#![cfg(test)]

#[path = "other_codecs/codecs.rs"]
mod codecs;
#[path = "other_codecs/streams.rs"]
mod streams;
#[path = "other_codecs/tables.rs"]
mod tables;

use codecs::{Codec, Finding};
use streams::{Judged, Stream};
use tables::{CUT, Excuse, MALFORMED_BEFORE, THEY_ACCEPT, WELL_FORMED};

fn reads(codec: Codec, stream: &Stream) -> Finding {
    codec.read(&stream.bytes, stream.version)
}

/// Whether each codec finds the same.
fn each_finds(stream: &Stream, finding: &Finding) -> bool {
    !Codec::EACH.iter().any(|codec| reads(*codec, stream) != *finding)
}

fn covers(table: &[Excuse], stream: &Stream) -> bool {
    table.iter().any(|excuse| excuse.of.iter().any(|what| stream.is(what)))
}

/// Whether nothing is wrong with the packets themselves, and a table says what is wrong.
fn is_exempt(stream: &Stream) -> bool {
    covers(WELL_FORMED, stream) && each_finds(stream, &Finding::Accepted)
        || covers(CUT, stream) && each_finds(stream, &Finding::Incomplete)
}

/// Whether another codec is known to accept the malformed packet.
fn is_lenient(codec: Codec, stream: &Stream) -> bool {
    let excuses = THEY_ACCEPT.iter().filter(|leniency| leniency.codecs.contains(&codec));
    excuses.flat_map(|leniency| leniency.of).any(|what| stream.is(what))
}

/// Checks that each codec rejects what provokes a broker to close.
fn are_malformed(judged: Judged) {
    let mut accepted = Vec::new();
    let (mut exempt, mut rejected_by_each, mut excused) = (0, 0, 0);
    for stream in streams::of_catalogue().iter().filter(|stream| stream.judged == judged) {
        if is_exempt(stream) {
            exempt += 1;
            continue;
        }
        let accepting = Codec::EACH.map(|codec| (codec, reads(codec, stream)));
        let accepting = accepting.iter().filter(|(_, finding)| !matches!(finding, Finding::Rejected(_)));
        let (known, unknown): (Vec<_>, Vec<_>) = accepting.partition(|(codec, _)| is_lenient(*codec, stream));
        for (codec, finding) in &unknown {
            accepted.push(format!("{codec:?} {finding:?} {stream}"));
        }
        if known.is_empty() && unknown.is_empty() {
            rejected_by_each += 1;
        }
        excused += usize::from(!known.is_empty());
    }
    println!(
        "{judged:?}: {rejected_by_each} rejected by each codec, {excused} excused, {exempt} well-formed"
    );
    assert!(accepted.is_empty(), "not malformed, or in no table:\n{}", accepted.join("\n"));
    assert!(rejected_by_each > 100, "{rejected_by_each}");
}

#[test]
fn each_codec_rejects_what_a_broker_must_close_upon() {
    are_malformed(Judged::MustClose);
}

#[test]
fn each_codec_rejects_what_a_broker_closes_upon_by_prose() {
    are_malformed(Judged::ProseCloses);
}

#[test]
fn each_codec_accepts_what_is_sent_before_and_what_a_broker_serves() {
    let (mut rejected, mut controls) = (Vec::new(), 0);
    for stream in &streams::of_catalogue() {
        let is_control = matches!(stream.judged, Judged::Before | Judged::Stays);
        if !is_control || is_exempt(stream) || covers(MALFORMED_BEFORE, stream) {
            continue;
        }
        controls += 1;
        for codec in Codec::EACH {
            let finding = reads(codec, stream);
            if finding != Finding::Accepted {
                rejected.push(format!("{codec:?} {finding:?} {stream}"));
            }
        }
    }
    println!("{controls} controls");
    assert!(rejected.is_empty(), "not well-formed, or in no table:\n{}", rejected.join("\n"));
    assert!(controls > 500, "{controls}");
}

#[test]
fn no_entry_of_a_table_can_go() {
    let streams = streams::of_catalogue();
    let mut needless = Vec::new();
    let mut need = |why: &str, what: &str, is_needed: &dyn Fn(&Stream) -> bool| {
        if !streams.iter().any(|stream| stream.is(what) && is_needed(stream)) {
            needless.push(format!("{what}: {why}"));
        }
    };
    let closes = |stream: &Stream| matches!(stream.judged, Judged::MustClose | Judged::ProseCloses);
    let accepted = |stream: &Stream| each_finds(stream, &Finding::Accepted);
    for Excuse { why, of } in WELL_FORMED {
        of.iter().for_each(|what| need(why, what, &|stream| closes(stream) && accepted(stream)));
    }
    for Excuse { why, of } in CUT {
        of.iter().for_each(|what| need(why, what, &|stream| each_finds(stream, &Finding::Incomplete)));
    }
    for Excuse { why, of } in MALFORMED_BEFORE {
        let is_needed = |stream: &Stream| stream.judged == Judged::Before && !accepted(stream);
        of.iter().for_each(|what| need(why, what, &is_needed));
    }
    for leniency in THEY_ACCEPT {
        for codec in leniency.codecs {
            let is_needed = |stream: &Stream| {
                closes(stream) && !is_exempt(stream) && reads(*codec, stream) == Finding::Accepted
            };
            leniency.of.iter().for_each(|what| need(leniency.why, what, &is_needed));
        }
    }
    assert!(needless.is_empty(), "remove from the tables:\n{}", needless.join("\n"));
}
