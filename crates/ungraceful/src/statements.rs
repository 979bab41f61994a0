//! The page of every numbered statement: what checks it, or why nothing does.
//!
//! What is checked is read from the checks of the modes, the expectations of the catalogue's scenarios and the checks of every run.
//! Only what remains is a list, in `unchecked`; a test keeps it complete and free of what is checked.

mod unchecked;

use std::collections::HashMap;

use ungraceful_faults::mode::Mode as FaultMode;
use ungraceful_faults::scenario::catalogue;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{self, Binds, Statement};
use ungraceful_record::check::statements;
use ungraceful_record::checks;
use ungraceful_report::escape;

use crate::launch::Tool;
use crate::reference::{code, row, table};
use crate::tools;

use self::unchecked::{BREACHES, NOT_YET, THROUGH, UNTESTABLE};

/// A family with more scenarios than this for one statement is named with their number.
const NAMED_AT_MOST: usize = 4;

/// What is known of one statement.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Coverage {
    /// Verdicts cite it: the names of what gives them, as Markdown.
    Checked(Vec<String>),
    /// A breach is a breach of this statement too, which is checked.
    Through(Statement),
    /// These scenarios and modes break it as a client.
    Breach { by: &'static [&'static str], has_must: bool },
    /// Why a run can't find a breach.
    Untestable(&'static str),
    /// What would check it.
    NotYet(&'static str),
}

/// The classes of the summary, in its order.
const CLASSES: [&str; 6] = [
    "checked",
    "checked through another statement",
    "broken by our clients; the broker must react",
    "broken by our clients; the reaction is only reported",
    "not testable",
    "not yet",
];

impl Coverage {
    /// Its class: an index of [`CLASSES`].
    const fn class(&self) -> usize {
        match self {
            Self::Checked(_) => 0,
            Self::Through(_) => 1,
            Self::Breach { has_must: true, .. } => 2,
            Self::Breach { has_must: false, .. } => 3,
            Self::Untestable(_) => 4,
            Self::NotYet(_) => 5,
        }
    }

    /// The cell of its row.
    fn cell(&self, binds: Binds) -> String {
        match self {
            Self::Checked(names) => names.join(", "),
            Self::Through(other) => format!("through {}", code(other.id)),
            Self::Breach { by, has_must } => {
                let names: Vec<String> = by.iter().map(|name| name_of(name)).collect();
                let reaction = if *has_must { "" } else { ", reaction reported" };
                let half = if binds == Binds::Both { "; as a sender: not yet" } else { "" };
                format!("broken by {}{reaction}{half}", names.join(", "))
            }
            Self::Untestable(reason) => format!("not testable: {}", escape::markdown(reason)),
            Self::NotYet(what) => format!("not yet: {}", escape::markdown(what)),
        }
    }
}

/// The paragraphs of the page.
pub(crate) fn page() -> Vec<String> {
    let checked = checked();
    let coverages: Vec<(Statement, Coverage)> = statement::ALL
        .iter()
        .filter_map(|statement| Some((*statement, coverage(*statement, &checked)?)))
        .collect();
    let mut paragraphs = vec![
        "# Statements".to_owned(),
        "Every numbered statement of both versions of the standard, in our words, with the faults and scenarios whose verdicts cite it, \
         or why none does. The names are read from the checks. `packet/…` and the like are scenarios: `ungraceful violate --show \
         packet/publish-qos3` prints one. *Every run* means the checks of well-behaved clients in each run."
            .to_owned(),
        "A statement that binds the Client is a duty of the broker only where another statement demands a reaction. Our clients break \
         such statements, and the verdict on the broker's reaction cites that other statement, such as MQTT-4.13.1-1. Where none demands a \
         reaction, the reaction is reported as a note and is never a violation. A statement that binds both is checked for the packets that \
         the broker receives; its cell says where the packets that the broker sends are not checked yet."
            .to_owned(),
        summary(&coverages),
    ];
    for version in [ProtocolVersion::V5, ProtocolVersion::V3_1_1] {
        let of_version = coverages.iter().filter(|(statement, _)| statement.version == version);
        let rows = of_version.map(|(statement, coverage)| {
            let gist = escape::markdown(statement.gist);
            let binds = statement.binds.to_string();
            row([statement.id, &binds, &gist, &coverage.cell(statement.binds)])
        });
        paragraphs.push(format!("## MQTT {version}"));
        paragraphs.push(table(["statement", "binds", "requirement", "checked by"], rows));
    }
    paragraphs
}

/// The numbers of statements in each class.
fn summary(coverages: &[(Statement, Coverage)]) -> String {
    let columns = [ProtocolVersion::V5, ProtocolVersion::V3_1_1]
        .into_iter()
        .flat_map(|version| [(version, true), (version, false)]);
    let counts: Vec<Vec<usize>> = columns
        .map(|(version, server)| {
            let of_column = coverages
                .iter()
                .filter(|(statement, _)| statement.version == version && statement.binds.server() == server);
            let mut counts = vec![0; CLASSES.len() + 1];
            for (_, coverage) in of_column {
                counts[0] += 1;
                counts[coverage.class() + 1] += 1;
            }
            counts
        })
        .collect();
    let rows = std::iter::once("all").chain(CLASSES).enumerate().map(|(number, class)| {
        let numbers: Vec<String> = counts.iter().map(|column| column[number].to_string()).collect();
        row([class, &numbers[0], &numbers[1], &numbers[2], &numbers[3]])
    });
    table(
        ["", "5.0: Server, or both", "5.0: Client alone", "3.1.1: Server, or both", "3.1.1: Client alone"],
        rows,
    )
}

/// What is known of this statement; absent when it is missing in the lists.
fn coverage(statement: Statement, checked: &HashMap<Statement, Vec<String>>) -> Option<Coverage> {
    if let Some(names) = checked.get(&statement) {
        return Some(Coverage::Checked(names.clone()));
    }
    let has_it = |of: &[Statement]| of.contains(&statement);
    let through = THROUGH.iter().find(|(_, of)| has_it(of)).map(|(other, _)| Coverage::Through(*other));
    let breach = || {
        let (by, _) = BREACHES.iter().find(|(_, of)| has_it(of))?;
        let has_must = by.iter().any(|name| cites_any(name, statement.version));
        Some(Coverage::Breach { by, has_must })
    };
    let untestable =
        || UNTESTABLE.iter().find(|(_, of)| has_it(of)).map(|(reason, _)| Coverage::Untestable(reason));
    let not_yet = || NOT_YET.iter().find(|(_, of)| has_it(of)).map(|(what, _)| Coverage::NotYet(what));
    through.or_else(breach).or_else(untestable).or_else(not_yet)
}

/// Every statement that a verdict can cite, with the names of what gives such verdicts.
fn checked() -> HashMap<Statement, Vec<String>> {
    let mut checked: HashMap<Statement, Vec<String>> = HashMap::new();
    let mut add = |statement: Statement, name: String| checked.entry(statement).or_default().push(name);
    for statement in statements(checks::CHECKS) {
        add(statement, "every run".to_owned());
    }
    // A mode that carries out scenarios checks what they cite.
    for (tool, fault) in modes().filter(|(_, fault)| fault.names_its_fault()) {
        for statement in statements(&fault.checks()) {
            add(statement, link(tool, fault));
        }
    }
    for statement in catalogue::statements() {
        let cites = |entry: &&catalogue::Entry| entry.statements().any(|cited| cited == statement);
        for family in catalogue::families() {
            let of_family = catalogue::all().iter().filter(|entry| entry.family == family).filter(cites);
            let paths: Vec<String> = of_family.map(|entry| code(&entry.path())).collect();
            if paths.len() > NAMED_AT_MOST {
                add(statement, format!("{} of {}", paths.len(), code(&format!("{family}/*"))));
            } else {
                paths.into_iter().for_each(|path| add(statement, path));
            }
        }
    }
    checked
}

fn modes() -> impl Iterator<Item = (&'static Tool, &'static dyn FaultMode)> {
    let modes = tools::ALL.into_iter().flat_map(|tool| tool.modes().map(move |mode| (tool, mode)));
    modes.filter_map(|(tool, mode)| Some((tool, mode.fault()?)))
}

/// The words of a mode, such as `takeover duel`.
fn words(tool: &Tool, fault: &dyn FaultMode) -> String {
    let tool_words = tool.name.trim_start_matches("ungraceful-");
    if tool.has_several_modes() { format!("{tool_words} {}", fault.name()) } else { tool_words.to_owned() }
}

/// A link to the reference of a mode.
fn link(tool: &Tool, fault: &dyn FaultMode) -> String {
    let heading = if tool.has_several_modes() { format!("#{}", fault.name()) } else { String::new() };
    format!("[{}]({}.md{heading})", words(tool, fault), tool.name)
}

fn mode_named(name: &str) -> Option<(&'static Tool, &'static dyn FaultMode)> {
    modes().find(|(tool, fault)| words(tool, *fault) == name)
}

/// A scenario or a mode in a cell.
fn name_of(name: &str) -> String {
    mode_named(name).map_or_else(|| code(name), |(tool, fault)| link(tool, fault))
}

/// Whether a verdict on this scenario or mode can cite a statement of this version.
fn cites_any(name: &str, version: ProtocolVersion) -> bool {
    let is_of_version = |statement: &Statement| statement.version == version;
    match (catalogue::find(name), mode_named(name)) {
        (Some(entry), _) => entry.statements().any(|statement| is_of_version(&statement)),
        (None, Some((_, fault))) => statements(&fault.checks()).iter().any(is_of_version),
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// How often each statement is in the lists of `unchecked`.
    fn listed() -> BTreeMap<String, usize> {
        let lists = THROUGH
            .iter()
            .map(|(_, of)| *of)
            .chain(BREACHES.iter().map(|(_, of)| *of))
            .chain(UNTESTABLE.iter().map(|(_, of)| *of))
            .chain(NOT_YET.iter().map(|(_, of)| *of));
        let mut counts = BTreeMap::new();
        for statement in lists.flatten() {
            *counts.entry(statement.to_string()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn every_statement_is_either_checked_or_listed_once() {
        let (checked, listed) = (checked(), listed());
        let wrong = statement::ALL.iter().filter_map(|statement| {
            let name = statement.to_string();
            let count = listed.get(&name).copied().unwrap_or(0);
            match (checked.contains_key(statement), count) {
                (false, 1) | (true, 0) => None,
                (true, _) => Some(format!("{name} is checked: strike it off")),
                (false, _) => Some(format!("{name} is listed {count} times")),
            }
        });
        let wrong: Vec<String> = wrong.collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_stands_for_another_statement_is_of_its_version_and_checked() {
        let checked = checked();
        for (other, of) in THROUGH {
            assert!(checked.contains_key(other), "{other} is not checked");
            for statement in *of {
                assert_eq!(statement.version, other.version, "{statement} through {other}");
            }
        }
    }

    #[test]
    fn every_breach_names_a_scenario_or_a_mode() {
        for (by, of) in BREACHES {
            assert!(!of.is_empty() && !by.is_empty());
            for name in *by {
                let is_known = catalogue::all().iter().any(|entry| entry.path() == *name);
                assert!(is_known || mode_named(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn a_row_says_what_is_known() {
        let breach = |has_must| Coverage::Breach { by: &["packet/publish-qos3"], has_must };
        assert_eq!(breach(true).cell(Binds::Client), "broken by `packet/publish-qos3`");
        assert_eq!(
            breach(false).cell(Binds::Both),
            "broken by `packet/publish-qos3`, reaction reported; as a sender: not yet"
        );
        assert_eq!(
            Coverage::NotYet("shared <subscriptions>").cell(Binds::Server),
            "not yet: shared &lt;subscriptions&gt;"
        );
        assert_eq!(Coverage::Through(statement::V5_3_1_2_22).cell(Binds::Server), "through `MQTT-3.1.2-22`");
    }

    #[test]
    fn the_numbers_of_the_summary_add_up() {
        let page = page();
        let rows: Vec<Vec<usize>> = page
            .iter()
            .flat_map(|paragraph| paragraph.lines())
            .filter_map(|line| line.split('|').skip(2).take(4).map(|cell| cell.trim().parse().ok()).collect())
            .filter(|numbers: &Vec<usize>| numbers.len() == 4)
            .collect();
        let [all, classes @ ..] = &rows[..] else { panic!("no numbers: {page:?}") };
        assert_eq!(classes.len(), CLASSES.len());
        for column in 0..4 {
            assert_eq!(all[column], classes.iter().map(|row| row[column]).sum::<usize>());
        }
        assert_eq!((all[0] + all[1], all[2] + all[3]), (251, 141));
    }
}
