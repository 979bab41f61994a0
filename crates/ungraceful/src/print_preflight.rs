//! `--preflight`: prints what a run needs of this machine, what there is, and the cure. Sends nothing. The warnings are printed before
//! every run.

use std::fmt::Write;

use serde::Serialize;
use ungraceful_record::exit::Exit;
use ungraceful_record::scale::{bytes, count};
use ungraceful_report::Format;
use ungraceful_rig::run::limits::{Demand, Fit, Limit, Line, Preflight};
use ungraceful_rig::run::settings::Common;

use crate::{launch, print_plan};

/// Columns of the text.
const WIDTH: usize = 80;

#[derive(Serialize)]
struct Printed {
    tool: String,
    target: String,
    /// Whether the run can be made.
    fits: bool,
    limits: Vec<PrintedLine>,
}

#[derive(Serialize)]
struct PrintedLine {
    limit: &'static str,
    /// In bytes for memory.
    needed: u64,
    /// Absent when unknown.
    available: Option<u64>,
    /// `fits`, `warning` or `short`.
    fit: &'static str,
    /// What is wrong and what to do; absent when it fits.
    cure: Option<String>,
}

/// Prints the table; the exit code is 2 when the run can't be made.
pub(crate) fn print(common: &Common, demand: &Demand, format: Format) -> Exit {
    let preflight = Preflight::of_demand(demand);
    let fits = preflight.shortages().is_empty();
    let (tool, target) = (common.tool.name.clone(), print_plan::target(&common.target));
    let text = match format {
        Format::Json => {
            json(&Printed { tool, target, fits, limits: preflight.lines.iter().map(printed).collect() })
        }
        Format::Text | Format::Csv | Format::Markdown | Format::Junit => {
            text(&tool, &target, &preflight.lines).expect("writing into a string never fails")
        }
    };
    match launch::print(&text) {
        Exit::Holds if !fits => Exit::Usage,
        exit => exit,
    }
}

/// Prints the warnings on standard error, before a run; its shortages end it with all other mistakes.
pub(crate) fn warn(tool: &str, demand: &Demand) {
    for warning in Preflight::of_demand(demand).warnings() {
        launch::print_error(&format!("{tool}: warning: {warning}"));
    }
}

fn json(printed: &Printed) -> String {
    let json = serde_json::to_string_pretty(printed).expect("plain data always serialises");
    format!("{json}\n")
}

fn printed(line: &Line) -> PrintedLine {
    PrintedLine {
        limit: line.limit.name(),
        needed: line.needed,
        available: line.available,
        fit: line.fit.name(),
        cure: cure(&line.fit),
    }
}

fn cure(fit: &Fit) -> Option<String> {
    match fit {
        Fit::Fits => None,
        Fit::Warning(what) => Some(what.clone()),
        Fit::Short(mistake) => Some(mistake.what.clone()),
    }
}

fn text(tool: &str, target: &str, lines: &[Line]) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    for line in wrapped(&format!("{tool}: preflight for a run against {target}; nothing is sent"), 0) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\n{:<28} {:>14} {:>14}", "", "needed", "there is")?;
    for line in lines {
        let amount = |amount| if line.limit == Limit::Memory { bytes(amount) } else { count(amount) };
        let available = line.available.map_or_else(|| "unknown".to_owned(), amount);
        writeln!(
            out,
            "{:<28} {:>14} {:>14}  {}",
            line.limit,
            amount(line.needed),
            available,
            line.fit.name()
        )?;
    }
    for line in lines {
        let Some(cure) = cure(&line.fit) else { continue };
        writeln!(out)?;
        for line in wrapped(&format!("{} ({}): {cure}", line.fit.name(), line.limit), 2) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out)
}

/// `text` in lines of at most [`WIDTH`] columns, all but the first indented. Longer words stay whole.
fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        let columns = line.chars().count();
        if columns > 0 && columns + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{}{word}", " ".repeat(indent)));
            continue;
        }
        if columns > 0 {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use ungraceful_flags::Mistake;
    use ungraceful_rig::run::limits::{Fit, Limit, Line};

    use super::{WIDTH, text};

    #[test]
    fn the_table_fits_eighty_columns() {
        let cure = "give fewer, or more, or others, or none at all ".repeat(9);
        let fits = [Fit::Fits, Fit::Warning(cure.clone()), Fit::Short(Mistake::new("--count", cure))];
        let lines: Vec<Line> = Limit::ALL
            .into_iter()
            .zip(fits.into_iter().cycle())
            .map(|(limit, fit)| Line { limit, needed: 10_000_000, available: Some(9_999_999_999), fit })
            .collect();
        let host = "a-broker-with-a-long-name.in-the-laboratory.example port 18883 over TLS";
        let table = text("ungraceful-double-connect", host, &lines).unwrap();
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(WIDTH), "{widest:?}\n{table}");
        assert!(table.contains("warning (descriptors of the broker): give fewer"), "{table}");
    }
}
