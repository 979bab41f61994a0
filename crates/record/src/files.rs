//! The names of a record's files, for the program that writes them and for those that read them.

/// Everything about the run.
pub const RUN_JSON: &str = "run.json";
/// One line per attempt.
pub const ATTEMPTS_NDJSON: &str = "attempts.ndjson";
/// One line per second and phase.
pub const TIMELINE_CSV: &str = "timeline.csv";
/// HdrHistogram interval logs, one tag per metric and phase.
pub const METRICS_HLOG: &str = "metrics.hlog";
/// One line per line of the broker's log; only where there is a log to follow.
pub const BROKER_LOG_NDJSON: &str = "broker-log.ndjson";
/// The page of the run, made of the other files.
pub const REPORT_HTML: &str = "report.html";
