//! Settings, machine, broker and generator as tables.

use ungraceful_record::metric::Percentiles;
use ungraceful_record::run::{Record, SettingSource, VersionRecord};

use crate::document::{Cell, Column, Table, cell};
use crate::percentile::{self, Figure};
use crate::scale::{count, time};
use crate::shell_command;

/// A table of names and values.
fn facts(rows: impl IntoIterator<Item = (&'static str, Cell)>) -> Table {
    Table {
        columns: vec![Column::words(""), Column::words("value")],
        rows: rows.into_iter().map(|(name, value)| vec![cell(name), value]).collect(),
        keys: 1,
    }
}

fn or_unknown(value: Option<impl Into<String>>) -> Cell {
    value.map_or_else(|| cell("unknown"), cell)
}

/// Every setting with its source.
pub(super) fn settings(record: &Record) -> Table {
    let source = |source: SettingSource| match source {
        SettingSource::Flag => "command line",
        SettingSource::Environment => "environment",
        SettingSource::File => "file (--config)",
        SettingSource::Default => "default",
    };
    let columns = ["setting", "value", "from"].map(Column::words).to_vec();
    let rows = record
        .settings
        .iter()
        .map(|(name, setting)| vec![cell(name), cell(&setting.value), cell(source(setting.source))]);
    Table { columns, rows: rows.collect(), keys: 1 }
}

/// The command of the run, without secrets; absent where it is not recorded.
pub(super) fn command(record: &Record) -> Option<String> {
    (!record.command.is_empty()).then(|| shell_command(&record.command))
}

/// The generator's program and machine.
pub(super) fn host(record: &Record) -> Table {
    let (tool, host) = (&record.tool, &record.host);
    let program = [Some(tool.name.as_str()), tool.mode.as_deref()].into_iter().flatten();
    let program = program.collect::<Vec<_>>().join(" ");
    let ports = host.port_range.map(|(first, last)| format!("{first} to {last}"));
    // Absent in a record that was cut short.
    let known = |number: u64| (number > 0).then(|| count(number));
    facts([
        ("program", cell(program)),
        ("version", cell(&tool.version)),
        ("commit", or_unknown(tool.commit.as_deref())),
        ("record format", cell(record.format_version.to_string())),
        ("started (UTC)", cell(&record.started_utc)),
        ("duration", cell(time(record.duration_us))),
        ("seed", cell(record.seed.to_string())),
        ("kernel", or_unknown(Some(host.kernel.as_str()).filter(|kernel| !kernel.is_empty()))),
        ("processor cores", or_unknown(known(host.cores))),
        ("open file limit", or_unknown(known(host.descriptor_limit))),
        ("local ports", or_unknown(ports)),
        ("clock source", or_unknown(host.clock_source.as_deref())),
        ("worker threads", or_unknown(known(host.worker_threads))),
    ])
}

/// The broker.
pub(super) fn broker(record: &Record) -> Table {
    let broker = &record.broker;
    let process = match (broker.pid, &broker.process_name) {
        (Some(pid), Some(name)) => Some(format!("{pid} ({name})")),
        (Some(pid), None) => Some(pid.to_string()),
        (None, _) => None,
    };
    let mut rows = vec![
        ("name", or_unknown(broker.name.as_deref())),
        ("version in $SYS", or_unknown(broker.sys_version.as_deref())),
        ("target", cell(&broker.target)),
        ("address", cell(&broker.address)),
        ("process", or_unknown(process)),
        ("honest connections lost", cell(count(broker.honest_connections_lost))),
    ];
    rows.extend(broker.versions.iter().map(|version| ("MQTT", of_version(version))));
    for node in &broker.further_nodes {
        rows.push(("further node", cell(format!("{} ({})", node.target, node.address))));
        rows.extend(node.versions.iter().map(|version| ("MQTT of that node", of_version(version))));
    }
    rows.extend(broker.exit.iter().map(|exit| ("end of the process", cell(exit))));
    facts(rows)
}

fn of_version(version: &VersionRecord) -> Cell {
    if !version.spoken {
        let why = version.why_not.as_deref().unwrap_or("the broker gave no reason");
        return cell(format!("{}: not supported ({why})", version.version));
    }
    let connack =
        version.connack_time_us.map(|us| format!(", CONNACK after {}", time(us))).unwrap_or_default();
    let mut lines = cell(format!("{}: supported{connack}", version.version));
    lines.extend(version.connack_properties.iter().map(|(name, value)| format!("{name}: {value}")));
    lines
}

/// The generator's own lateness.
pub(super) fn generator(record: &Record) -> Table {
    let generator = &record.generator;
    let mut columns = vec![Column::words("time"), Column::numbers("samples")];
    columns.extend(Figure::ALL.map(|figure| Column::numbers(figure.name())));
    let row = |(name, of): (&str, &Percentiles)| {
        let samples = if of.count == 0 { "no samples".to_owned() } else { count(of.count) };
        let mut row = vec![cell(name), cell(samples)];
        row.extend(Figure::ALL.map(|figure| cell(percentile::shown(of.count, figure.us(of).map(time)))));
        row
    };
    let rows = [
        ("schedule slip", &generator.schedule_slip),
        ("loop lag", &generator.loop_lag),
        ("program's clock behind the kernel's", &generator.clock.seen_late),
    ];
    Table { columns, rows: rows.map(row).to_vec(), keys: 1 }
}
