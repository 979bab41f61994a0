//! The progress of a run on stderr: a small block that is redrawn on a terminal, plain lines otherwise. Results go to stdout.

mod block;

use std::io::{IsTerminal as _, Stderr, Write};

use indicatif::ProgressBar;
use ungraceful_record::live::{Live, LiveLoad, Observer};
use ungraceful_record::phase::Phase;

use self::block::block;
use crate::escape::plain;
use crate::scale::{count, time};

/// Minimum time between two plain lines of the same phase.
const LINE_EVERY_US: u64 = 5_000_000;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStyle {
    /// A block of lines that is redrawn, for a terminal.
    Block,
    /// A line at every change of phase and at most every five seconds, for logs and pipes.
    Lines,
    /// Only notes.
    None,
}

impl ProgressStyle {
    /// A block if stderr is a terminal, lines otherwise.
    #[must_use]
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Block } else { Self::Lines }
    }
}

/// Shows the progress of a run. Notes are shown in every style. Write errors are ignored: a closed stderr stops no run.
#[derive(Debug)]
pub struct Terminal<W = Stderr> {
    title: String,
    view: View,
    notes: W,
}

#[derive(Debug)]
enum View {
    Block(ProgressBar),
    Lines { shown: Option<(Option<Phase>, u64)> },
    None,
}

impl Terminal {
    /// Shows progress on stderr.
    #[must_use]
    pub fn new(style: ProgressStyle) -> Self {
        Self::writing_to(style, std::io::stderr())
    }
}

impl<W: Write> Terminal<W> {
    /// Shows notes and plain lines on `notes`; a block is always drawn on stderr.
    pub fn writing_to(style: ProgressStyle, notes: W) -> Self {
        let view = match style {
            ProgressStyle::Block => View::Block(drawing()),
            ProgressStyle::Lines => View::Lines { shown: None },
            ProgressStyle::None => View::None,
        };
        Self { title: String::new(), view, notes }
    }

    /// Names the run in the block: what runs, and against which broker.
    pub fn set_title(&mut self, title: String) {
        self.title = title;
    }

    fn write_line(&mut self, line: &str) {
        // A closed stderr must not stop the run.
        let _ = writeln!(self.notes, "{line}");
    }
}

impl<W: Write> Observer for Terminal<W> {
    fn note(&mut self, text: &str) {
        let line = plain(text);
        match &self.view {
            View::Block(drawing) => {
                let drawing = drawing.clone();
                drawing.suspend(|| self.write_line(&line));
            }
            View::Lines { .. } | View::None => self.write_line(&line),
        }
    }

    fn view(&mut self, live: &Live) {
        match &mut self.view {
            View::Block(drawing) => draw(drawing, &self.title, live),
            View::Lines { shown } => {
                let is_due = shown.is_none_or(|(phase, at_us)| {
                    phase != live.phase || live.phase_elapsed_us.saturating_sub(at_us) >= LINE_EVERY_US
                });
                if is_due {
                    *shown = Some((live.phase, live.phase_elapsed_us));
                    self.write_line(&format!("{}: {}", phase_name(live), state(live)));
                }
            }
            View::None => {}
        }
    }

    fn end(&mut self) {
        if let View::Block(drawing) = &self.view {
            drawing.finish_and_clear();
        }
    }
}

fn drawing() -> ProgressBar {
    let style =
        indicatif::ProgressStyle::with_template("{msg}").expect("the template is a constant that parses");
    ProgressBar::new_spinner().with_style(style)
}

fn draw(drawing: &ProgressBar, title: &str, live: &Live) {
    // Asked anew each time, because a terminal can change its size. A full line would wrap on some.
    let (_rows, columns) = console::Term::stderr().size();
    let lines = block(title, live, usize::from(columns).saturating_sub(1));
    drawing.set_message(lines.join("\n"));
    drawing.tick();
}

fn phase_name(live: &Live) -> &'static str {
    match live.phase {
        None => "setting up",
        Some(Phase::Warmup) => "warm-up",
        Some(measured) => measured.name(),
    }
}

/// The time left in the phase; the time since its beginning if its end is unknown.
fn left(live: &Live) -> String {
    let whole_seconds = |us: u64| us / 1_000_000;
    match live.phase_expected_us {
        Some(expected_us) => {
            format!("{} s left", whole_seconds(expected_us.saturating_sub(live.phase_elapsed_us) + 999_999))
        }
        None => format!("{} s", whole_seconds(live.phase_elapsed_us)),
    }
}

/// How attempts ended; absent before the first.
fn outcomes(live: &Live) -> Option<String> {
    let outcomes = live.outcomes.iter().filter(|(_, times)| **times > 0);
    let outcomes: Vec<_> =
        outcomes.map(|(outcome, times)| format!("{} {}", outcome.replace('_', " "), count(*times))).collect();
    (!outcomes.is_empty()).then(|| outcomes.join(", "))
}

/// Messages of a load in the last second; absent when there were none.
fn rates(load: &LiveLoad) -> Option<String> {
    let rates = [("out", load.sent_per_second), ("in", load.delivered_per_second)];
    let rates = rates.iter().filter(|(_, rate)| *rate > 0);
    let rates: Vec<_> = rates.map(|(name, rate)| format!("{name} {}/s", count(*rate))).collect();
    (!rates.is_empty()).then(|| rates.join(", "))
}

/// The state of the run in one line.
fn state(live: &Live) -> String {
    let mut parts = vec![left(live)];
    if live.attempts_planned > 0 {
        parts.push(format!("{} of {} attempts", count(live.attempts_finished), count(live.attempts_planned)));
    }
    if let Some(load) = &live.load {
        parts.extend(load_state(live, load));
    }
    parts.extend(outcomes(live));
    if live.attempts_dropped > 0 {
        parts.push(format!("{} dropped", count(live.attempts_dropped)));
    }
    let times = [("p50", live.bystander_p50_us), ("max", live.bystander_max_us)];
    let times: Vec<_> =
        times.iter().filter_map(|(name, us)| us.map(|us| format!("{name} {}", time(us)))).collect();
    if !times.is_empty() {
        parts.push(format!("bystanders {}{}", times.join(", "), baseline(live)));
    }
    parts.join(" · ")
}

/// The state of a load: connections first, then rates and times.
fn load_state(live: &Live, load: &LiveLoad) -> Vec<String> {
    let mut parts = Vec::new();
    if load.connections_ready + load.connections_failed < load.connections_planned
        || live.phase != Some(Phase::Load)
    {
        parts.push(format!(
            "{} of {} connected",
            count(load.connections_ready),
            count(load.connections_planned)
        ));
    }
    // The most important comes first: a narrow terminal cuts off the end.
    parts.extend(rates(load));
    let times = [("p50", load.response_p50_us), ("p99", load.response_p99_us)];
    let times: Vec<_> =
        times.iter().filter_map(|(name, us)| us.map(|us| format!("{name} {}", time(us)))).collect();
    if !times.is_empty() {
        parts.push(times.join(", "));
    }
    if load.connections_failed > 0 {
        parts.push(format!("{} refused or lost", count(load.connections_failed)));
    }
    if load.waiting > 0 {
        parts.push(format!("{} due and waiting", count(load.waiting)));
    }
    parts
}

/// The bystanders' median in the baseline, once that is over.
fn baseline(live: &Live) -> String {
    match (live.phase, live.baseline_response_time.p50_us) {
        (Some(Phase::Fault | Phase::Load | Phase::Recovery), Some(us)) => {
            format!(" (baseline p50 {})", time(us))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ungraceful_record::live::{Live, LiveLoad, Observer as _};
    use ungraceful_record::metric::Percentiles;
    use ungraceful_record::phase::Phase;

    use super::{ProgressStyle, Terminal, state};

    fn at(phase: Phase, elapsed_s: u64) -> Live {
        Live {
            phase: Some(phase),
            phase_elapsed_us: elapsed_s * 1_000_000,
            phase_expected_us: Some(20_000_000),
            ..Live::default()
        }
    }

    fn shown(style: ProgressStyle, watch: impl FnOnce(&mut Terminal<&mut Vec<u8>>)) -> String {
        let mut written = Vec::new();
        let mut terminal = Terminal::writing_to(style, &mut written);
        watch(&mut terminal);
        terminal.end();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn the_line_has_every_figure_of_the_view() {
        let live = Live {
            phase: Some(Phase::Fault),
            phase_elapsed_us: 3_200_000,
            phase_expected_us: Some(10_000_000),
            attempts_planned: 1_100,
            attempts_finished: 612,
            attempts_dropped: 13,
            outcomes: BTreeMap::from([("closed", 600), ("no_reaction", 12), ("reset", 0)]),
            bystander_p50_us: Some(310),
            bystander_max_us: Some(2_400),
            load: None,
            baseline_response_time: Percentiles { count: 500, p50_us: Some(290), ..Percentiles::default() },
            ..Live::default()
        };
        let line = "7 s left · 612 of 1,100 attempts · closed 600, no reaction 12 · 13 dropped · bystanders p50 310 µs, \
                    max 2.40 ms (baseline p50 290 µs)";
        assert_eq!(state(&live), line);
    }

    #[test]
    fn a_load_shows_connections_first_then_rates_and_times() {
        let load = |ready, sent_per_second| LiveLoad {
            connections_planned: 200,
            connections_ready: ready,
            connections_failed: 3,
            sent_per_second,
            delivered_per_second: 2 * sent_per_second,
            response_p50_us: (sent_per_second > 0).then_some(250),
            response_p99_us: None,
            waiting: sent_per_second / 100,
            ..LiveLoad::default()
        };
        let connecting = Live { load: Some(load(120, 0)), ..Live::default() };
        assert_eq!(state(&connecting), "0 s · 120 of 200 connected · 3 refused or lost");
        let loaded = Live { load: Some(load(197, 1_000)), ..at(Phase::Load, 15) };
        let line = "5 s left · out 1,000/s, in 2,000/s · p50 250 µs · 3 refused or lost · 10 due and waiting";
        assert_eq!(state(&loaded), line);
    }

    #[test]
    fn absent_figures_are_skipped() {
        assert_eq!(state(&Live { phase_elapsed_us: 2_900_000, ..Live::default() }), "2 s");
        assert_eq!(
            state(&Live { bystander_max_us: Some(7), ..Live::default() }),
            "0 s · bystanders max 7 µs"
        );
        assert_eq!(state(&at(Phase::Fault, 25)), "0 s left");
    }

    #[test]
    fn plain_lines_come_at_phase_changes_and_at_most_every_five_seconds() {
        let written = shown(ProgressStyle::Lines, |terminal| {
            for second in 0..=11 {
                terminal.view(&at(Phase::Baseline, second));
            }
            terminal.view(&at(Phase::Fault, 0));
            terminal.view(&at(Phase::Fault, 1));
            terminal.note("broker\u{1b}[2J went down");
        });
        let expected = "baseline: 20 s left\nbaseline: 15 s left\nbaseline: 10 s left\nfault: 20 s left\n\
                        broker\\u{1b}[2J went down\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn without_progress_only_notes_are_shown() {
        let written = shown(ProgressStyle::None, |terminal| {
            terminal.view(&at(Phase::Fault, 0));
            terminal.note("one note");
        });
        assert_eq!(written, "one note\n");
    }

    #[test]
    fn a_block_draws_nothing_into_the_notes() {
        let written = shown(ProgressStyle::Block, |terminal| {
            terminal.view(&at(Phase::Fault, 0));
            terminal.view(&Live::default());
            terminal.note("one note");
        });
        assert_eq!(written, "one note\n");
    }
}
