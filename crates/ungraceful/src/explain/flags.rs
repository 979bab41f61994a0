//! The flags of `ungraceful-explain`, checked together.

use std::path::PathBuf;

use clap::Args;
use ungraceful_flags::{Given, Mistake, Whole, reader};
use ungraceful_log_causes::Broker;
use ungraceful_log_causes::codes::{self, Code};
use ungraceful_log_causes::story::Limits;
use ungraceful_log_causes::timestamp::LogTime;

/// The flags.
#[derive(Args, Clone, Debug)]
pub(super) struct ExplainArgs {
    /// Logs to read, plain or compressed (.gz, .zst, .xz); standard input without a file, or for `-`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Keep reading as the log grows (`-` for standard input), and report each incident as it happens; stop with Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Broker that wrote the log: hivemq, mosquitto, emqx, vernemq, nanomq, flashmq, rumqttd, rmqtt, rabbitmq, nats, artemis, aedes, aws-iot, azure-event-grid, azure-iot-hub, mochi, moquette, amqtt, ejabberd, client [default: detected from its lines]
    #[arg(long, value_name = "BROKER")]
    broker: Option<Given<Broker>>,
    /// Skip earlier lines, by the log's own times: 2026-11-24, 2026-11-24T23:10, 2026-11-24T23:10:06, seconds since 1970, or 23:10 for a log that names no day
    #[arg(long, value_name = "TIME")]
    since: Option<Given<LogTime>>,
    /// Skip lines at this time or later
    #[arg(long, value_name = "TIME")]
    until: Option<Given<LogTime>>,
    /// Report on this client only
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Maximum number of incidents to list; further ones are only counted
    #[arg(long, value_name = "N", default_value = "1000")]
    incidents: Whole<0, 10_000_000>,
    /// Maximum number of clients to track; incidents of further clients are only counted
    #[arg(long, value_name = "N", default_value = "100000")]
    clients_max: Whole<1, 100_000_000>,
    /// Number of worst clients to show
    #[arg(long, value_name = "N", default_value = "10")]
    top: Whole<0, 100_000>,
    /// Explain a code instead of a log: 0x8E, 142, "session taken over"; 1 to 5 for a CONNACK of MQTT 3.1.1; rc=7 or -3 of a client library, 1006 of a WebSocket, DUPLICATE_CLIENTID of a cloud
    #[arg(long, value_name = "CODE", allow_hyphen_values = true, conflicts_with_all = ["files", "follow", "list"])]
    code: Option<String>,
    /// List every cause and every known log line, instead of reading a log
    #[arg(long, conflicts_with_all = ["files", "follow"])]
    list: bool,
    /// Print a scenario that provokes the most frequent cause, for `ungraceful replay`, instead of the report
    #[arg(long, conflicts_with_all = ["follow", "code", "list"])]
    as_scenario: bool,
    /// Format of the result on standard output: text, json or markdown
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = reader::<OutputFormat>())]
    format: OutputFormat,
}

ungraceful_record::words! {
    /// The format of the result.
    pub(super) enum OutputFormat: "format" {
        /// For a person at a terminal.
        Text = "text",
        /// For programs.
        Json = "json",
        /// For an issue or a wiki.
        Markdown = "markdown",
    }
}

/// How to read a log.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) broker: Option<Broker>,
    pub(super) limits: Limits,
    pub(super) incidents_max: usize,
    pub(super) top: usize,
    pub(super) format: OutputFormat,
    /// Whether a scenario is printed instead of the report.
    pub(super) as_scenario: bool,
}

/// What the arguments ask for.
#[derive(Debug)]
pub(super) enum Wanted {
    Code(Vec<Code>, OutputFormat),
    List(OutputFormat),
    Follow(PathBuf, Options),
    Read(Vec<PathBuf>, Options),
}

impl ExplainArgs {
    /// Checks all flags together; all mistakes are reported at once, with those in single values.
    pub(super) fn wanted(&self, mut mistakes: Vec<Mistake>) -> Result<Wanted, Vec<Mistake>> {
        let format = self.format;
        let broker = self.broker.as_ref().and_then(|broker| broker.take("--broker", &mut mistakes));
        let since = self.since.as_ref().and_then(|since| since.take("--since", &mut mistakes));
        let until = self.until.as_ref().and_then(|until| until.take("--until", &mut mistakes));
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            mistakes.push(Mistake::new("--until", format!("{until} is not later than --since {since}")));
        }
        let codes = self.code.as_ref().and_then(|code| match codes::find(code) {
            Ok(codes) => Some(codes),
            Err(what) => {
                mistakes.push(Mistake::new("--code", what));
                None
            }
        });
        let files: Vec<PathBuf> = self.files.iter().filter(|file| file.as_os_str() != "-").cloned().collect();
        if self.files.len() > 1 && files.len() < self.files.len() {
            mistakes.push(Mistake::new("FILE", "`-` is standard input and can't be combined with files"));
        }
        if self.client.as_ref().is_some_and(|client| client.trim().is_empty()) {
            let what = "is blank; give the ClientID as the log prints it, or leave the flag out";
            mistakes.push(Mistake::new("--client", what));
        }
        if self.files.iter().any(|file| file.as_os_str().is_empty()) {
            mistakes.push(Mistake::new("FILE", "empty file name; give a log, or none for standard input"));
        }
        if self.follow && self.files.len() != 1 {
            mistakes.push(Mistake::new(
                "--follow",
                "give exactly one log file to follow, or `-` for standard input",
            ));
        }
        if self.follow && format != OutputFormat::Text {
            mistakes.push(Mistake::new("--format", "--follow prints text only; leave the flag out"));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        if let Some(codes) = codes {
            return Ok(Wanted::Code(codes, format));
        }
        if self.list {
            return Ok(Wanted::List(format));
        }
        let limits =
            Limits { clients_max: self.clients_max.get(), since, until, client: self.client.clone() };
        let options = Options {
            broker,
            limits,
            incidents_max: self.incidents.get(),
            top: self.top.get(),
            format,
            as_scenario: self.as_scenario,
        };
        Ok(match self.files.first().filter(|_| self.follow) {
            Some(path) => Wanted::Follow(path.clone(), options),
            None => Wanted::Read(files, options),
        })
    }
}
