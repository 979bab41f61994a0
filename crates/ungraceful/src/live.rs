//! Watching a run live, besides the terminal: `--events` and `--metrics`. Both are opened before the first packet, and neither
//! ends a run or holds up its clients: a reader that stalls is waited for only between runs and at the end, for what must not be
//! lost. The figures are those of the live view, once a second.

mod events;
mod line_writer;
mod metrics_server;

use std::time::Instant;

use serde_json::Value;
use ungraceful_record::exit::Exit;
use ungraceful_record::live::{Live, Observer};
use ungraceful_report::progress::Terminal;
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::run;
use ungraceful_rig::run::settings::{Experiment, Finished};

use self::events::{EventStream, RunEvents};
use self::metrics_server::MetricsServer;
use crate::cli::common::OutputArgs;
use crate::launch::progress_style;
use crate::print_plan;

pub(crate) use self::events::check;

/// The live outputs of a call, which may make several runs.
pub(crate) struct LiveOutputs {
    events: Option<EventStream>,
    metrics: Option<MetricsServer>,
}

impl LiveOutputs {
    /// Opens what the flags ask for.
    ///
    /// # Errors
    /// A usage error for what can't be opened.
    pub(crate) fn open(output: &OutputArgs) -> Result<Self, RunError> {
        let metrics = MetricsServer::open(output)?;
        if let Some(metrics) = metrics.as_ref().filter(|_| !output.quiet) {
            terminal(output).note(&format!("metrics of the run: {}", metrics.url()));
        }
        Ok(Self { events: EventStream::open(output)?, metrics })
    }

    /// Makes a run and shows it in every way that the flags ask for. `plan` is what it will do.
    ///
    /// # Errors
    /// Those of the run.
    pub(crate) fn run(
        &self,
        experiment: &Experiment,
        plan: impl FnOnce() -> Value,
        terminal: &mut Terminal,
    ) -> Result<Finished, RunError> {
        terminal.set_title(title(experiment));
        let events = self.events.as_ref().map(|stream| RunEvents::of(stream, &experiment.common, plan()));
        let metrics = self.metrics.as_ref();
        if let Some(metrics) = metrics {
            metrics.begin(&experiment.common);
        }
        let mut watching = Watching { terminal, events, metrics };
        let result = run(experiment, &mut watching);
        if let Some(events) = watching.events {
            events.end(&result);
        }
        result
    }

    /// Waits until everything is written. A failure is printed, and an error of the environment.
    pub(crate) fn close(self) -> Exit {
        if let Some(metrics) = self.metrics {
            metrics.close();
        }
        self.events.map_or(Exit::Holds, EventStream::close)
    }
}

/// What runs, and against which broker.
fn title(experiment: &Experiment) -> String {
    let common = &experiment.common;
    let tool = std::iter::once(&common.tool.name).chain(&common.tool.mode);
    let tool: Vec<&str> = tool.map(String::as_str).collect();
    format!("{} · {}", tool.join(" "), print_plan::target(&common.target))
}

/// A terminal for the runs of a call.
pub(crate) fn terminal(output: &OutputArgs) -> Terminal {
    Terminal::new(progress_style(output))
}

/// Passes on what is seen of one run.
struct Watching<'a> {
    terminal: &'a mut Terminal,
    events: Option<RunEvents<'a>>,
    metrics: Option<&'a MetricsServer>,
}

impl Observer for Watching<'_> {
    fn begin(&mut self, origin: Instant, started_us: i64) {
        if let Some(events) = &mut self.events {
            events.begin(origin, started_us);
        }
    }

    fn note(&mut self, text: &str) {
        self.terminal.note(text);
        if let Some(events) = &mut self.events {
            events.note(text);
        }
    }

    fn view(&mut self, live: &Live) {
        self.terminal.view(live);
        if let Some(events) = &mut self.events {
            events.view(live);
        }
        if let Some(metrics) = self.metrics {
            metrics.show(live);
        }
    }

    fn end(&mut self) {
        self.terminal.end();
    }
}
