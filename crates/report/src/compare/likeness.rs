//! Whether runs are alike: those that are compared have the same tool, settings and machine, and nothing that makes a run's figures
//! unreliable; shards of one run have the same tool and settings.

use std::collections::BTreeSet;

use ungraceful_record::run::{Completeness, Record};

/// Settings that may differ between runs that are compared: where the broker is, what becomes of the result, and chance.
const MAY_DIFFER: [&str; 29] = [
    "host",
    "port",
    "url",
    "spawn",
    "seed",
    "output",
    "format",
    "junit",
    "config",
    "quiet",
    "no-progress",
    "broker-pid",
    "broker-log",
    "broker-log-max",
    "events",
    "metrics",
    "threshold",
    "accept",
    "accept-file",
    "attempts-max",
    "username",
    "pw",
    "pw-file",
    "pw-cmd",
    "ca",
    "repeat",
    "against",
    "compare-with",
    "fail-on-regression",
];

/// Settings that compared runs share, and shards need not: what is each machine's own.
const OF_A_SHARD: [&str; 10] = [
    "client-id-prefix",
    "client-id",
    "clients-file",
    "ifaddr",
    "threads",
    "processes",
    "cafile",
    "cert",
    "key",
    "host-order",
];
/// Settings that compared runs need not share, and shards do: the merged record is judged by them.
const JUDGED_BY: [&str; 3] = ["threshold", "accept", "accept-file"];

/// What makes shards unlike, in words; empty when they are of one run.
#[must_use]
pub fn shard_differences(one: &Record, other: &Record) -> Vec<String> {
    let may_differ =
        |name: &str| (MAY_DIFFER.contains(&name) && !JUDGED_BY.contains(&name)) || OF_A_SHARD.contains(&name);
    let mut found = of_call(one, other, &may_differ);
    differ(&mut found, "version of the program", &one.tool.version, &other.tool.version);
    found
}

/// What makes `other` unlike `one`, in words; empty when they can be compared.
#[must_use]
pub fn differences(one: &Record, other: &Record) -> Vec<String> {
    let mut found = of_call(one, other, &|name| MAY_DIFFER.contains(&name));
    if is_other_tool(one, other) {
        return found;
    }
    differ(&mut found, "kernel", &one.host.kernel, &other.host.kernel);
    differ(&mut found, "cores", &one.host.cores.to_string(), &other.host.cores.to_string());
    differ(
        &mut found,
        "generator threads",
        &one.host.worker_threads.to_string(),
        &other.host.worker_threads.to_string(),
    );
    for record in [one, other] {
        if record.completeness != Completeness::Complete {
            let because = record.incomplete_because.as_deref().unwrap_or("it was cut short");
            found.push(format!("the run of {} is not complete: {because}", record.started_utc));
        }
        if let Some(bottleneck) = record.generator.bottlenecks.first() {
            found.push(format!(
                "the generator did not keep up in the run of {}: {bottleneck}",
                record.started_utc
            ));
        }
    }
    found
}

fn differ(found: &mut Vec<String>, what: &str, before: &str, after: &str) {
    if before != after {
        found.push(format!("{what}: {before} and {after}"));
    }
}

/// Tool, mode and arguments.
fn tool(record: &Record) -> String {
    let words = [Some(&record.tool.name), record.tool.mode.as_ref()].into_iter().flatten().cloned();
    words.chain(record.tool.arguments.iter().cloned()).collect::<Vec<_>>().join(" ")
}

fn is_other_tool(one: &Record, other: &Record) -> bool {
    tool(one) != tool(other)
}

/// The differences of tool and settings; those of another tool are not listed.
fn of_call(one: &Record, other: &Record, may_differ: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    differ(&mut found, "tool", &tool(one), &tool(other));
    if is_other_tool(one, other) {
        return found;
    }
    let names: BTreeSet<&String> = one.settings.keys().chain(other.settings.keys()).collect();
    for name in names.into_iter().filter(|name| !may_differ(&name.replace('_', "-"))) {
        let value = |record: &Record| {
            let setting = record.settings.get(name);
            setting.map_or_else(
                || "not there".to_owned(),
                |setting| setting.values().collect::<Vec<_>>().join(", "),
            )
        };
        differ(&mut found, &format!("--{name}"), &value(one), &value(other));
    }
    found
}
