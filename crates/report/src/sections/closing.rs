//! The generator's reliability, the record's directory, and the exit code.

use ungraceful_record::discarded::Discarded;
use ungraceful_record::run::{ClockRecord, Record};
use ungraceful_record::verdict::{exit_of, why_exit};

use super::findings::is_found;
use crate::Context;
use crate::document::Document;
use crate::percentile::Figure;
use crate::scale::{count, counted, time};

pub(super) fn section(record: &Record, context: &Context, measured: &Document, document: &mut Document) {
    document.heading("Reliability");
    document.labelled("Generator", generator(record));
    too_few(measured, document);
    if let Some(dir) = &context.record_dir {
        document.labelled("Record", dir.to_string_lossy());
    }
    page(context, document);
    document.ending(exit_of(record), &why_exit(record));
}

/// The percentiles that the tables of `measured` leave out.
pub(super) fn too_few(measured: &Document, document: &mut Document) {
    let needed: Vec<String> = (0_u8..)
        .zip(&measured.too_few)
        .map(|(index, (needed, name))| match index {
            0 => format!("{name} needs {} samples", count(*needed)),
            _ => format!("{name} {}", count(*needed)),
        })
        .collect();
    if !needed.is_empty() {
        document.labelled("Left out", format!("percentiles with too few samples: {}", needed.join(", ")));
    }
}

/// The page of the run, for a browser.
pub(super) fn page(context: &Context, document: &mut Document) {
    if let Some(page) = &context.page {
        document.labelled("Page", page.to_string_lossy());
    }
}

fn generator(record: &Record) -> String {
    let generator = &record.generator;
    let kept_up = if generator.bottlenecks.is_empty() { "kept up" } else { "DID NOT KEEP UP" };
    let mut text = format!(
        "{kept_up}: schedule slip {}, loop lag {}",
        Figure::P99.named(&generator.schedule_slip),
        Figure::P99.named(&generator.loop_lag),
    );
    // A load's threads use their own timestamps.
    if record.load.is_none() {
        text += &clock(&generator.clock);
    }
    if let Some(cpu_us) = generator.cpu_us {
        text += &format!("; CPU {}", time(cpu_us));
    }
    // A finding says it with more words.
    if generator.attempts_waited_for_a_client > 0 && !is_found(record, "carries_out_the_plan", "--count") {
        let attempts = counted(generator.attempts_waited_for_a_client, "attempt");
        text += &format!("; {attempts} waited for a free client (--count)");
    }
    let Discarded { bytes, messages } = generator.discarded;
    if bytes > 0 {
        text += &format!("; {} discarded to limit memory", counted(bytes, "received byte"));
    }
    if messages > 0 {
        text += &format!("; {} discarded", counted(messages, "received message"));
    }
    text
}

/// The clocks of the attempts' instants; empty for a run without any.
fn clock(clock: &ClockRecord) -> String {
    let part = |by_kernel: u64, by_program: u64, what: &str| {
        let all = by_kernel + by_program;
        (all > 0).then(|| format!("{} of {} {what}", count(by_kernel), count(all)))
    };
    let stamped: Vec<String> = [
        part(clock.kernel_stamped, clock.program_stamped, "sends and reads"),
        part(clock.kernel_stamped_ends, clock.program_stamped_ends, "FIN and RST"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if stamped.is_empty() {
        return String::new();
    }
    let mut text = format!("; kernel timestamps: {}", stamped.join(", "));
    if clock.program_stamped + clock.program_stamped_ends > 0 {
        text += &format!(" (the others are late by {})", Figure::P99.named(&clock.seen_late));
    }
    text
}
