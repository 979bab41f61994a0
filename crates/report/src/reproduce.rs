//! The command that reproduces one verdict: same broker, case, seed and settings.

use ungraceful_record::run::{BrokerOrigin, Record, Setting, SettingSource, WITHHELD, WebSocketRecord};
use ungraceful_record::verdict::Verdict;

use crate::shell;

/// Settings that choose the broker; replaced by the record's broker.
const OF_THE_BROKER: [&str; 4] = ["host", "port", "url", "spawn"];
/// Settings that choose the case; replaced by the verdict's case, if it has one.
const OF_THE_CASE: [&str; 2] = ["variant", "protocol-version"];
/// Settings that are written differently, or only affect the output.
const OF_THE_REPORT: [&str; 21] = [
    "seed",
    "output",
    "format",
    "junit",
    "events",
    "metrics",
    "accept",
    "repeat",
    "against",
    "compare-with",
    "fail-on-regression",
    "accept-file",
    "config",
    "quiet",
    "progress",
    "no-progress",
    "no-color",
    "print-plan",
    // A later run has another broker process.
    "broker-pid",
    "broker-log",
    "broker-log-max",
];
/// Never written, even if a record contains them by mistake.
const SECRET: [&str; 4] = ["pw", "pw-file", "password", "secret"];

/// Placeholder in a command for a value that is or may contain a secret; the user has to supply it again.
pub const NOT_RECORDED: &str = "<not recorded>";

/// The command that reproduces `verdict`, quoted for a shell.
///
/// It runs only the verdict's case, where the mode's flags can choose one, or the whole run for a verdict on the run. A
/// setting `true` becomes a flag without value; `false` is skipped. Secrets from a flag or a file become [`NOT_RECORDED`];
/// those from the environment are expected there again.
#[must_use]
pub fn reproduce_command(record: &Record, verdict: &Verdict) -> String {
    let mut words = vec![record.tool.name.clone()];
    words.extend(record.tool.mode.clone());
    match &verdict.case {
        Some(case) if record.tool.chooses_faults => words.push(case.fault.clone()),
        _ => words.extend(record.tool.arguments.clone()),
    }
    words.extend(target_words(record));
    if let Some(case) = &verdict.case {
        if record.tool.chooses_variants {
            words.extend(["--variant".to_owned(), case.variant.clone()]);
        }
        words.extend(["-V".to_owned(), case.version.clone()]);
    }
    for (name, setting) in &record.settings {
        let name = name.replace('_', "-");
        if setting.value == WITHHELD {
            words.extend(withheld_words(&name, setting));
            continue;
        }
        let is_replaced = OF_THE_BROKER.contains(&&*name)
            || OF_THE_REPORT.contains(&&*name)
            || SECRET.contains(&&*name)
            || (verdict.case.is_some() && OF_THE_CASE.contains(&&*name));
        if !is_replaced && setting.source != SettingSource::Default {
            words.extend(setting_words(&name, setting));
        }
    }
    words.extend(["--seed".to_owned(), record.seed.to_string()]);
    shell::command(&words)
}

fn target_words(record: &Record) -> Vec<String> {
    match record.broker.origin {
        BrokerOrigin::Embedded => Vec::new(),
        BrokerOrigin::Spawned => {
            let spawn = record.settings.get("spawn").map_or("mosquitto", |setting| &setting.value);
            vec!["--spawn".to_owned(), spawn.to_owned()]
        }
        BrokerOrigin::External => {
            let target = &record.broker.target;
            let mut words = match target.rsplit_once(':') {
                // Several hosts, each with its port.
                _ if target.contains(", ") => vec!["--host".to_owned(), target.replace(", ", ",")],
                Some((host, port)) if port.parse::<u16>().is_ok() => {
                    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                    ["--host", host, "-p", port].map(str::to_owned).to_vec()
                }
                _ => vec!["--host".to_owned(), target.clone()],
            };
            // A URL may have asked for it.
            let is_flag =
                |name: &str| record.settings.get(name).is_some_and(|setting| setting.value == "true");
            if record.broker.tls.is_some() && !is_flag("tls") {
                words.push("--tls".to_owned());
            }
            if let Some(WebSocketRecord { path }) = &record.broker.websocket {
                if !is_flag("ws") {
                    words.push("--ws".to_owned());
                }
                if !record.settings.contains_key("ws-path") {
                    words.extend(["--ws-path".to_owned(), path.clone()]);
                }
            }
            words
        }
    }
}

/// The flags that the user has to supply again.
fn withheld_words(name: &str, setting: &Setting) -> Vec<String> {
    let flags: &[&str] = match (name, setting.source) {
        (_, SettingSource::Environment | SettingSource::Default) => &[],
        // Besides host and port, which are known, a URL may contain these.
        ("url", _) => &["username", "pw"],
        (name, _) => &[name],
    };
    flags.iter().flat_map(|flag| [format!("--{flag}"), NOT_RECORDED.to_owned()]).collect()
}

fn setting_words(name: &str, setting: &Setting) -> Vec<String> {
    match &*setting.value {
        "true" => vec![format!("--{name}")],
        "false" => Vec::new(),
        _ => {
            // A value that looks like a flag needs an equals sign.
            let words = |value: &str| match value.starts_with('-') {
                true => vec![format!("--{name}={value}")],
                false => vec![format!("--{name}"), value.to_owned()],
            };
            setting.values().flat_map(words).collect()
        }
    }
}
