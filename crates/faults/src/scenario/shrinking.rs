//! The flags of `--shrink`, and what a scenario shows in the record of a run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use ungraceful_flags::{Given, Mistake, PositiveTime, Wanted, Whole};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record};
use ungraceful_record::verdict::Conclusion;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_scenario::Scenario;
use ungraceful_scenario::shrink::{Kept, alone};

use super::{ScenarioFault, as_hex};

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Shrinking")]
pub(crate) struct ShrinkFlags {
    /// Find the smallest scenario that still shows what this one shows: the scenario has one case, in one version
    #[arg(long, help_heading = "Fault")]
    shrink: bool,
    /// With --shrink, what must show: violated, differs (each also with a check, such as 'violated keeps_serving'), died, closed, 'closed
    /// with 0x81', served, silent [default: the violation or the death of the broker that the scenario shows]
    #[arg(long, value_name = "WHAT")]
    until: Option<Given<Sought>>,
    /// With --shrink, how often the scenario is carried out before and after, to see how reliably it shows
    #[arg(long, value_name = "N", default_value = "5")]
    tries: Whole<1, 100>,
    /// With --shrink, when to stop and print the smallest scenario so far
    #[arg(long, value_name = "TIME", default_value = "2m")]
    budget: PositiveTime,
}

/// What to shrink, and until what.
#[derive(Clone, Debug)]
pub struct Shrink {
    /// The scenario: one case, one version. Or what is wrong with the choice.
    pub scenario: Result<Scenario, Vec<Mistake>>,
    /// What must show; absent for what the first tries show.
    pub until: Option<Sought>,
    /// How often it is carried out before and after.
    pub tries: u64,
    /// How long to go on.
    pub budget: std::time::Duration,
}

impl ShrinkFlags {
    /// What to shrink; absent without the flag.
    pub(crate) fn wanted(&self, scenarios: &[Arc<Scenario>], wanted: &Wanted) -> Option<Shrink> {
        if !self.shrink {
            return None;
        }
        let mut mistakes = Vec::new();
        let until = self.until.as_ref().and_then(|until| until.take("--until", &mut mistakes));
        let scenario = only_one(scenarios, wanted).map_err(|mistake| mistakes.extend(mistake));
        let scenario = match scenario {
            Ok(scenario) if mistakes.is_empty() => Ok(scenario),
            _ => Err(mistakes),
        };
        Some(Shrink { scenario, until, tries: self.tries.0, budget: self.budget.0 })
    }
}

/// The only case of the only scenario, in the only version.
///
/// # Errors
/// How to choose it. Absent without any scenario: then other flags have a mistake.
fn only_one(scenarios: &[Arc<Scenario>], wanted: &Wanted) -> Result<Scenario, Option<Mistake>> {
    let mistake = |what: String| Err(Some(Mistake::new("--shrink", what)));
    let scenario = match scenarios {
        [scenario] => scenario,
        [] => return Err(None),
        _ => {
            let what = format!("shrinks one scenario, and these are {}: name one alone", scenarios.len());
            return mistake(what);
        }
    };
    let [case] = &scenario.cases[..] else {
        let names: Vec<&str> = scenario.cases.iter().map(|case| &*case.name).collect();
        let what = format!("shrinks one case: choose it by --variant NAME, of {}", names.join(", "));
        return mistake(what);
    };
    let versions = scenario.versions_of(case).into_iter();
    let versions: Vec<ProtocolVersion> =
        versions.filter(|version| wanted.versions.contains(version)).collect();
    match versions[..] {
        [version] => Ok(alone(scenario, case, version)),
        [] => mistake(format!("{} has no case in the chosen versions", scenario.id)),
        _ => {
            let names: Vec<String> = versions.iter().map(ToString::to_string).collect();
            mistake(format!("shrinks in one version: choose it by -V, of {}", names.join(", ")))
        }
    }
}

/// What a scenario must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// A check is violated: this one, or any.
    Violated(Option<String>),
    /// A check has a note: this one, or any.
    Differs(Option<String>),
    /// The broker went down.
    Died,
    /// The broker closed the connection, with this Reason Code if there is one.
    Closed(Option<u8>),
    /// The broker kept serving the client.
    Served,
    /// The broker neither closed the connection nor answered.
    Silent,
}

impl FromStr for Sought {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let check = |name: &str| match super::CHECKS.iter().any(|check| check.claim == name) {
            true => Ok(Some(name.to_owned())),
            false => {
                let names: Vec<&str> = super::CHECKS.iter().map(|check| check.claim).collect();
                Err(format!("{name:?} is no check of scenarios; they are {}", names.join(", ")))
            }
        };
        match words[..] {
            ["violated"] => Ok(Self::Violated(None)),
            ["violated", name] => check(name).map(Self::Violated),
            ["differs"] => Ok(Self::Differs(None)),
            ["differs", name] => check(name).map(Self::Differs),
            ["died"] => Ok(Self::Died),
            ["closed"] => Ok(Self::Closed(None)),
            ["closed", "with", code] => {
                let digits = code.strip_prefix("0x").or_else(|| code.strip_prefix("0X"));
                let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                code.map(|code| Self::Closed(Some(code)))
                    .ok_or_else(|| "write the Reason Code as in the standard: 'closed with 0x81'".to_owned())
            }
            ["served"] => Ok(Self::Served),
            ["silent"] => Ok(Self::Silent),
            _ => Err(format!(
                "{text:?} can't be shown; write violated, differs, died, closed, 'closed with 0x81', served or silent"
            )),
        }
    }
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violated(None) => f.write_str("violated"),
            Self::Violated(Some(check)) => write!(f, "violated {check}"),
            Self::Differs(None) => f.write_str("differs"),
            Self::Differs(Some(check)) => write!(f, "differs {check}"),
            Self::Died => f.write_str("died"),
            Self::Closed(None) => f.write_str("closed"),
            Self::Closed(Some(code)) => write!(f, "closed with 0x{code:02X}"),
            Self::Served => f.write_str("served"),
            Self::Silent => f.write_str("silent"),
        }
    }
}

impl Sought {
    /// What smaller scenarios must have in common with the first.
    #[must_use]
    pub fn kept(&self) -> Kept {
        /// What a broker does about an illegal client: doing it to a legal one is right.
        const OF_OFFENCES: [&str; 4] =
            ["closes_the_connection", "refuses_the_connect", "delivers_as_expected", "withholds_the_will"];
        match self {
            Self::Died => Kept::Nothing,
            Self::Served => Kept::Offence,
            Self::Violated(Some(check)) | Self::Differs(Some(check)) if !OF_OFFENCES.contains(&&**check) => {
                Kept::Rules
            }
            Self::Violated(_) | Self::Differs(_) => Kept::Offence,
            Self::Closed(_) | Self::Silent => Kept::Rules,
        }
    }

    /// Whether this case shows it.
    #[must_use]
    pub fn shows_in(&self, record: &Record, case: &CaseRecord) -> bool {
        match self {
            Self::Violated(check) => {
                verdict(record, case, check.as_deref(), |of| of.conclusion == Conclusion::Violated)
            }
            Self::Differs(check) => verdict(record, case, check.as_deref(), |of| of.differs.is_some()),
            Self::Died => is_down(record),
            Self::Closed(None) => case.ended() > 0,
            Self::Closed(Some(code)) => case.ended() > 0 && case.disconnect_codes.contains_key(code),
            Self::Served => case.outcome(Outcome::Tolerated) > 0,
            Self::Silent => case.outcome(Outcome::NoReaction) > 0,
        }
    }

    /// What a case shows by itself: that the broker went down, or the first check that is violated; absent if neither.
    #[must_use]
    pub fn of_record(record: &Record) -> Option<Self> {
        if is_down(record) {
            return Some(Self::Died);
        }
        let violated = record.verdicts.iter().filter(|verdict| verdict.case.is_some());
        let mut violated = violated.filter(|verdict| verdict.conclusion == Conclusion::Violated);
        violated.next().map(|verdict| Self::Violated(Some(verdict.check.clone())))
    }
}

fn verdict(
    record: &Record,
    case: &CaseRecord,
    check: Option<&str>,
    is_so: impl Fn(&ungraceful_record::verdict::Verdict) -> bool,
) -> bool {
    let mut of_case = record.verdicts.iter().filter(|verdict| verdict.case.as_ref() == Some(&case.case));
    of_case.any(|verdict| check.is_none_or(|check| verdict.check == check) && is_so(verdict))
}

/// Whether the broker went down during the run.
#[must_use]
pub fn is_down(record: &Record) -> bool {
    record.completeness == Completeness::BrokerDown
        || record.cases.iter().any(|case| case.outcome(Outcome::BrokerDown) > 0)
}

/// Faults that carry out these scenarios, which have one case each. Those that would disturb each other take turns.
#[must_use]
pub fn faults(scenarios: &[Arc<Scenario>], spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
    ScenarioFault::in_turns(scenarios, spoken)
}

/// Connections that an attempt of this scenario has at the same time.
#[must_use]
pub fn connections(scenario: &Scenario) -> u64 {
    scenario.clients_of(&scenario.cases[0]).len() as u64
}

/// What the scenario sends, as `--hex` prints it, without the end of the line.
#[must_use]
pub fn hex(scenario: &Scenario) -> Option<String> {
    let scenarios = [Arc::new(scenario.clone())];
    as_hex::lines(&scenarios, &scenario.versions, None).pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::catalogue;

    #[test]
    fn what_must_show_is_written_as_it_is_read_and_mistakes_name_the_cure() {
        let forms = [
            "violated",
            "violated keeps_serving",
            "differs",
            "differs reports_the_reason",
            "died",
            "closed",
            "closed with 0x81",
            "served",
            "silent",
        ];
        for form in forms {
            assert_eq!(form.parse::<Sought>().map(|sought| sought.to_string()).as_deref(), Ok(form));
        }
        for (wrong, cure) in [
            ("closed with 81", "closed with 0x81"),
            ("crashed", "died"),
            ("violated nothing", "closes_the_connection"),
            ("", "served"),
        ] {
            let why = wrong.parse::<Sought>().unwrap_err();
            assert!(why.contains(cure), "{why}");
        }
    }

    #[test]
    fn each_case_of_the_catalogue_is_a_scenario_by_itself() {
        let mut cases = 0;
        for entry in catalogue::all() {
            for case in &entry.scenario.cases {
                for version in entry.scenario.versions_of(case) {
                    let alone = alone(&entry.scenario, case, version);
                    let read = ungraceful_scenario::parse(&ungraceful_scenario::print(&alone));
                    assert_eq!(read.as_ref(), Ok(&alone), "{} {}", alone.id, case.name);
                    cases += 1;
                }
            }
        }
        assert!(cases > 500, "{cases}");
    }

    #[test]
    fn several_cases_or_versions_are_refused_with_the_way_to_choose() {
        let both = |versions: &[ProtocolVersion]| Wanted { versions: versions.to_vec(), are_named: false };
        let of = |pattern: &str, versions: &[ProtocolVersion]| {
            let entries = catalogue::matching(pattern);
            let scenarios: Vec<_> = entries.iter().map(|entry| Arc::clone(&entry.scenario)).collect();
            only_one(&scenarios, &both(versions)).unwrap_err().unwrap().to_string()
        };
        let all = ProtocolVersion::ALL;
        assert!(of("publish-qos3", &all).contains("--variant NAME, of plain, retain"));
        assert!(of("packet/*", &all).contains("name one alone"));
        assert!(of("packet-too-short", &all).contains("choose it by"), "{}", of("packet-too-short", &all));
    }
}
