//! The block of lines that a terminal shows while a run lasts: plain text, cut to the width of the terminal and never wrapped.

use console::{measure_text_width, truncate_str};
use ungraceful_record::live::{Live, LiveBroker, LiveLoad};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::phase::Phase;

use super::{left, outcomes, phase_name, rates};
use crate::escape::plain;
use crate::percentile::Figure;
use crate::scale::{bytes, count, counted, time};

/// Between two figures of a line.
const BETWEEN: &str = " · ";
/// Most columns of the bar, and how much of the terminal it takes at most.
const BAR_MAX: usize = 20;
const BAR_SHARE: usize = 4;

/// The lines of the block. `title` names the run; it may be from a user.
pub(super) fn block(title: &str, live: &Live, width: usize) -> Vec<String> {
    let mut lines = vec![
        vec![phase_name(live).to_owned(), plain(title)],
        how_far(live, width),
        live.load.as_ref().map_or_else(|| of_attempts(live), of_load),
        of_bystanders(live),
        of_broker_and_errors(live),
    ];
    lines.retain(|parts| parts.iter().any(|part| !part.is_empty()));
    lines.into_iter().map(|parts| cut(&parts.join(BETWEEN), width)).collect()
}

/// `line` within `width` columns, with a mark where something is missing.
fn cut(line: &str, width: usize) -> String {
    if measure_text_width(line) <= width {
        return line.to_owned();
    }
    truncate_str(line, width, "…").trim_end().to_owned()
}

/// The bar with the time left, and how much of the plan is done.
fn how_far(live: &Live, width: usize) -> Vec<String> {
    let mut parts = vec![match live.phase_expected_us {
        Some(expected_us) => {
            let columns = (width / BAR_SHARE).min(BAR_MAX);
            format!("{} {}", bar(live.phase_elapsed_us, expected_us, columns), left(live))
        }
        None => left(live),
    }];
    if live.attempts_planned > 0 {
        parts.push(format!("{} of {} attempts", count(live.attempts_finished), count(live.attempts_planned)));
    }
    if live.attempts_dropped > 0 {
        parts.push(format!("{} dropped", count(live.attempts_dropped)));
    }
    parts.extend(live.load.as_ref().and_then(rates));
    parts
}

/// `[=====>    ]`
fn bar(elapsed_us: u64, expected_us: u64, columns: usize) -> String {
    let done = u128::from(elapsed_us) * columns as u128 / u128::from(expected_us.max(1));
    let done = usize::try_from(done).unwrap_or(columns).min(columns);
    let head = if done < columns { ">" } else { "" };
    format!("[{:<columns$}]", "=".repeat(done) + head)
}

fn of_attempts(live: &Live) -> Vec<String> {
    let mut parts: Vec<String> = outcomes(live).into_iter().collect();
    if live.reaction_time.count > 0 {
        parts.push(format!("reaction {}", figures(&live.reaction_time, [Figure::P50, Figure::P99])));
    }
    parts
}

fn of_load(load: &LiveLoad) -> Vec<String> {
    let mut parts =
        vec![format!("{} of {} connected", count(load.connections_ready), count(load.connections_planned))];
    if load.offered > 0 {
        parts.push(format!("sent {} of {}", count(load.sent), count(load.offered)));
    }
    if let Some(sure) = &load.confidence {
        let reached =
            sure.width().map_or_else(|| "too few samples".to_owned(), |width| format!("at {width}"));
        parts.push(format!("{} {reached}", plain(&sure.asked)));
    }
    let response =
        Percentiles { p50_us: load.response_p50_us, p99_us: load.response_p99_us, ..Percentiles::default() };
    let response = figures(&response, [Figure::P50, Figure::P99]);
    if !response.is_empty() {
        parts.push(response);
    }
    parts
}

/// The bystanders of the last second beside their baseline, once that is over.
fn of_bystanders(live: &Live) -> Vec<String> {
    let now = Percentiles {
        p50_us: live.bystander_p50_us,
        max_us: live.bystander_max_us,
        ..Percentiles::default()
    };
    let now = figures(&now, [Figure::P50, Figure::Max]);
    if now.is_empty() {
        return Vec::new();
    }
    let is_after = matches!(live.phase, Some(Phase::Fault | Phase::Load | Phase::Recovery));
    let baseline = figures(&live.baseline_response_time, [Figure::P50, Figure::Max]);
    if is_after && !baseline.is_empty() {
        vec![format!("bystanders {now} (baseline {baseline})")]
    } else {
        vec![format!("bystanders {now}")]
    }
}

/// Errors come first: they are what is to be seen when a line is cut.
fn of_broker_and_errors(live: &Live) -> Vec<String> {
    let mut parts = Vec::new();
    let failed = live.load.as_ref().map_or(0, |load| load.connections_failed);
    if failed > 0 {
        parts.push(format!("{} refused or lost", count(failed)));
    }
    parts.extend(live.broker.map(of_broker));
    if live.troubles > 0 {
        parts.insert(0, counted(live.troubles, "error"));
        // The text is from the broker or from the system, and as long as it likes.
        parts.push(plain(live.latest_trouble.as_deref().unwrap_or_default()));
    }
    parts
}

fn of_broker(broker: LiveBroker) -> String {
    // Of one core: a broker with threads can use more.
    let cpu = broker.cpu_us.map(|us| format!("CPU {} %, ", us.saturating_add(5_000) / 10_000));
    format!("broker {}{}", cpu.unwrap_or_default(), bytes(broker.rss_bytes))
}

/// The figures that have enough samples.
fn figures(of: &Percentiles, figures: [Figure; 2]) -> String {
    let shown = figures.into_iter().filter_map(|figure| {
        let us = figure.us(of)?;
        Some(format!("{} {}", figure.name(), time(us)))
    });
    let shown: Vec<String> = shown.collect();
    match (&shown[..], of.max_us) {
        // Too few samples for a percentile.
        ([], Some(max_us)) => format!("max {}", time(max_us)),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use console::measure_text_width;
    use ungraceful_record::confidence::Confidence;
    use ungraceful_record::live::{Live, LiveBroker, LiveLoad};
    use ungraceful_record::metric::Percentiles;
    use ungraceful_record::phase::Phase;

    use super::{bar, block};

    const TITLE: &str = "ungraceful-takeover storm · 10.0.0.5 port 1883";

    fn of_fault() -> Live {
        let times = Percentiles {
            count: 5_000,
            p50_us: Some(290),
            p99_us: Some(2_400),
            max_us: Some(9_120),
            ..Percentiles::default()
        };
        Live {
            phase: Some(Phase::Fault),
            phase_elapsed_us: 3_200_000,
            phase_expected_us: Some(10_000_000),
            attempts_planned: 1_100,
            attempts_finished: 612,
            attempts_dropped: 13,
            outcomes: BTreeMap::from([("closed", 600), ("no_reaction", 12), ("reset", 0)]),
            reaction_time: times,
            bystander_p50_us: Some(310),
            bystander_max_us: Some(24_000),
            baseline_response_time: times,
            broker: Some(LiveBroker {
                cpu_us: Some(1_234_567),
                rss_bytes: 25_700_000,
                ..LiveBroker::default()
            }),
            troubles: 12,
            latest_trouble: Some("cannot connect: connection refused by the broker (os error 111)".into()),
            ..Live::default()
        }
    }

    fn of_load() -> Live {
        let load = LiveLoad {
            connections_planned: 200,
            connections_ready: 197,
            connections_failed: 3,
            offered: 120_010,
            sent: 120_000,
            sent_per_second: 8_000,
            delivered_per_second: 16_000,
            response_p50_us: Some(250),
            response_p99_us: Some(12_300),
            waiting: 10,
            ..LiveLoad::default()
        };
        Live {
            phase: Some(Phase::Load),
            load: Some(load),
            attempts_planned: 0,
            attempts_dropped: 0,
            troubles: 0,
            ..of_fault()
        }
    }

    /// The blocks at this width, with the number of columns of each line.
    fn shown(width: usize) -> String {
        let connecting = LiveLoad { connections_planned: 200, connections_ready: 120, ..LiveLoad::default() };
        let connecting = Live { load: Some(connecting), ..Live::default() };
        let named = [("fault", of_fault()), ("load", of_load()), ("connecting", connecting)];
        let blocks = named.map(|(name, live)| {
            let lines = block(TITLE, &live, width);
            let lines = lines.iter().map(|line| format!("{:>3} {line}", measure_text_width(line)));
            format!("{name}\n{}", lines.collect::<Vec<_>>().join("\n"))
        });
        blocks.join("\n\n")
    }

    #[test]
    fn a_block_has_at_most_five_lines_at_80_columns() {
        insta::assert_snapshot!(shown(80));
    }

    #[test]
    fn a_load_that_waits_for_a_percentile_shows_how_sure_it_is() {
        let sure = |estimate_us| Confidence {
            asked: "e2e p(99) ±5%".to_owned(),
            estimate_us,
            low_us: Some(900),
            high_us: Some(1_120),
            halves_us: None,
            samples: 5_000,
            seconds: 12,
        };
        for (estimate_us, expected) in
            [(Some(1_000), "e2e p(99) ±5% at ±12.0 %"), (None, "±5% too few samples")]
        {
            let mut live = of_load();
            live.load.as_mut().unwrap().confidence = Some(sure(estimate_us));
            let lines = block(TITLE, &live, 200).join("\n");
            assert!(lines.contains(expected), "{lines}");
        }
    }

    #[test]
    fn a_narrow_terminal_cuts_lines_and_wraps_none() {
        insta::assert_snapshot!(shown(40));
    }

    #[test]
    fn hostile_names_are_escaped_and_wide_ones_cut_by_columns() {
        let live = Live { latest_trouble: Some("\u{1b}[2J\r\nbad".into()), ..of_fault() };
        let lines = block("温度计温度计温度计温度计 \u{1b}]0;x\u{7}\nz", &live, 200).join("\n");
        assert!(lines.contains("\\u{1b}[2J\\r\\nbad") && lines.contains("\\u{1b}]0;x"), "{lines}");
        assert_eq!(lines.lines().count(), 5, "{lines}");
        let narrow = block("温度计温度计温度计温度计", &live, 15);
        assert_eq!(narrow[0], "fault · 温度计…");
        for width in 0..60 {
            for line in block("温度计温度计温度计温度计", &live, width) {
                assert!(measure_text_width(&line) <= width.max(1), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn the_bar_is_full_at_its_end_and_after() {
        assert_eq!(bar(0, 10, 20), "[>                   ]");
        assert_eq!(bar(5, 10, 20), "[==========>         ]");
        for elapsed in [10, 11, u64::MAX] {
            assert_eq!(bar(elapsed, 10, 20), "[====================]");
        }
        assert_eq!(bar(0, 0, 20), "[>                   ]");
    }
}
