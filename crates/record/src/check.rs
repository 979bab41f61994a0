//! Checks: claims about a broker or a run, as data. A check has its claim, force and numbered statements; its function only
//! evaluates a record. The data give the verdict's citation and force, the list of statements that a mode checks, and the test
//! that each check can fail.

use std::num::NonZeroU64;
use std::ops::Deref;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;

use crate::run::{CaseRecord, Record};
use crate::verdict::{Conclusion, Force, Verdict};

/// A claim, and a function that judges a record by it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The claim in snake case, such as `closes_on_second_connect`.
    pub claim: &'static str,
    /// Its force. [`Force::Must`] applies to versions with a statement; for other versions the claim is prose.
    pub force: Force,
    /// The numbered statements that it can violate. The first one of the case's version is cited by default.
    pub statements: &'static [Statement],
    /// Version and section of an unnumbered rule: a broker that does not serve a client that keeps it is a violation. Absent
    /// for most.
    pub section: Option<(ProtocolVersion, &'static str)>,
    /// The fault whose cases it applies to; absent for all.
    fault: Option<&'static str>,
    judge: Judge,
}

#[derive(Clone, Copy, Debug)]
enum Judge {
    /// The run as a whole.
    Run(fn(&Record) -> Option<Finding>),
    /// Each case that it applies to.
    Cases { applies: fn(&CaseRecord) -> bool, judge: fn(&Judged<'_>) -> Option<Finding> },
}

impl Check {
    /// A claim about each case.
    #[must_use]
    pub const fn new(claim: &'static str, force: Force, judge: fn(&Judged<'_>) -> Option<Finding>) -> Self {
        let judge = Judge::Cases { applies: |_case| true, judge };
        Self { claim, force, statements: &[], section: None, fault: None, judge }
    }

    /// A claim of numbered statements.
    #[must_use]
    pub const fn must(
        claim: &'static str,
        statements: &'static [Statement],
        judge: fn(&Judged<'_>) -> Option<Finding>,
    ) -> Self {
        Self { statements, ..Self::new(claim, Force::Must, judge) }
    }

    /// A claim without a numbered statement.
    #[must_use]
    pub const fn prose(claim: &'static str, judge: fn(&Judged<'_>) -> Option<Finding>) -> Self {
        Self::new(claim, Force::Prose, judge)
    }

    /// A claim about the run as a whole.
    #[must_use]
    pub const fn of_run(
        claim: &'static str,
        force: Force,
        statements: &'static [Statement],
        judge: fn(&Record) -> Option<Finding>,
    ) -> Self {
        Self { claim, force, statements, section: None, fault: None, judge: Judge::Run(judge) }
    }

    /// Restricts the check to these cases; no effect on a check of the run.
    #[must_use]
    pub const fn on(self, applies: fn(&CaseRecord) -> bool) -> Self {
        match self.judge {
            Judge::Run(_) => self,
            Judge::Cases { judge, .. } => Self { judge: Judge::Cases { applies, judge }, ..self },
        }
    }

    /// Restricts the check to cases of this fault.
    #[must_use]
    pub const fn of_fault(self, fault: &'static str) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// Allows a violation without a numbered statement: [`Finding::violated_without_number`].
    #[must_use]
    pub const fn by_section(self, version: ProtocolVersion, section: &'static str) -> Self {
        Self { section: Some((version, section)), ..self }
    }

    /// The verdicts on a record: one for each case that it applies to, or one for the run.
    #[must_use]
    pub fn verdicts(&self, record: &Record) -> Vec<Verdict> {
        match self.judge {
            Judge::Run(judge) => {
                let bystanders = record.bystanders.as_ref();
                let version = bystanders.and_then(|bystanders| bystanders.version.parse().ok());
                // Notes and inconclusive results cite no statement.
                let cites = |finding: &Finding| {
                    finding.differs.is_none() && finding.conclusion != Conclusion::Inconclusive
                };
                let verdict = |finding| {
                    let version = version.filter(|_| cites(&finding));
                    self.verdict(finding, version, self.force)
                };
                judge(record).map(verdict).into_iter().collect()
            }
            Judge::Cases { applies, judge } => {
                // For an unknown version the standard's demands are unknown.
                let is_ours = |case: &&CaseRecord| {
                    self.fault.is_none_or(|fault| fault == case.case.fault)
                        && case.case.protocol_version().is_some()
                };
                let cases = record.cases.iter().filter(is_ours).filter(|case| applies(case));
                let verdict = |of| {
                    let finding = judge(&Judged { record, of })?;
                    let version = of.case.protocol_version();
                    let force = match self.force {
                        Force::Must if self.statement(version).is_none() => Force::Prose,
                        force => force,
                    };
                    Some(self.verdict(finding, version, force).on(&of.case))
                };
                cases.filter_map(verdict).collect()
            }
        }
    }

    /// Its statement of this version; absent without one.
    fn statement(&self, version: Option<ProtocolVersion>) -> Option<Statement> {
        self.statements.iter().copied().find(|statement| Some(statement.version) == version)
    }

    fn verdict(&self, finding: Finding, version: Option<ProtocolVersion>, force: Force) -> Verdict {
        debug_assert!(
            finding.by.is_none_or(|by| self.statements.contains(&by)),
            "{} cites {:?}, which is not among its statements",
            self.claim,
            finding.by
        );
        let force = finding.force.unwrap_or(force);
        if let (true, Some((version, section))) = (finding.without_number, self.section) {
            let citation = format!("MQTT {version} §{section} (prose, no numbered statement)");
            return Verdict { citation: Some(citation), ..finding.verdict(self.claim, Force::Prose) };
        }
        let by = finding.by.or_else(|| self.statement(version).filter(|_| force == Force::Must));
        match (finding.conclusion, by) {
            // A violation needs a numbered statement.
            (Conclusion::Violated, None) => {
                Finding::inconclusive(finding.evidence).verdict(self.claim, force)
            }
            _ => Finding { by, ..finding }.verdict(self.claim, force),
        }
    }
}

/// The statements that these checks can violate, each once.
#[must_use]
pub fn statements(checks: &[Check]) -> Vec<Statement> {
    let mut all: Vec<Statement> = Vec::new();
    for statement in checks.iter().flat_map(|check| check.statements) {
        if !all.contains(statement) {
            all.push(*statement);
        }
    }
    all
}

/// Version and section of an unnumbered rule that one of these checks can violate, such as `MQTT 5.0 §4.9`; absent for most.
#[must_use]
pub fn section(checks: &[Check]) -> Option<String> {
    let (version, section) = checks.iter().find_map(|check| check.section)?;
    Some(format!("MQTT {version} §{section}"))
}

/// A judged case with its record.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The whole record.
    pub record: &'a Record,
    /// The case.
    pub of: &'a CaseRecord,
}

impl Deref for Judged<'_> {
    type Target = CaseRecord;

    fn deref(&self) -> &CaseRecord {
        self.of
    }
}

/// The result of a check: a verdict without the check's own data.
#[derive(Clone, Debug)]
#[must_use]
pub struct Finding {
    conclusion: Conclusion,
    samples: Option<NonZeroU64>,
    differs: Option<String>,
    evidence: String,
    examples: Vec<u64>,
    by: Option<Statement>,
    force: Option<Force>,
    without_number: bool,
}

impl Finding {
    fn new(conclusion: Conclusion, evidence: impl Into<String>) -> Self {
        Self {
            conclusion,
            samples: None,
            differs: None,
            evidence: evidence.into(),
            examples: Vec::new(),
            by: None,
            force: None,
            without_number: false,
        }
    }

    /// The claim holds for all `samples`, which could have failed it. Inconclusive without any.
    pub fn holds(samples: u64, evidence: impl Into<String>) -> Self {
        match NonZeroU64::new(samples) {
            Some(samples) => Self { samples: Some(samples), ..Self::new(Conclusion::Holds, evidence) },
            None => Self::inconclusive(format!("there was nothing to judge: {}", evidence.into())),
        }
    }

    /// Nothing can be concluded.
    pub fn inconclusive(why: impl Into<String>) -> Self {
        Self::new(Conclusion::Inconclusive, why)
    }

    /// A note: the broker deviates from what is only allowed or described, in some of `samples`. Inconclusive without any.
    pub fn differs(samples: u64, note: impl Into<String>, evidence: impl Into<String>) -> Self {
        let finding = Self::holds(samples, evidence);
        Self { differs: finding.samples.map(|_| note.into()), ..finding }
    }

    /// The check's statement, or the one set with [by](Finding::by), is violated.
    pub fn violated(evidence: impl Into<String>) -> Self {
        Self::new(Conclusion::Violated, evidence)
    }

    /// A client that keeps every rule of the standard is not served. Only for this case, which no numbered statement covers. The
    /// check names the section of the rule ([`Check::by_section`]).
    pub fn violated_without_number(evidence: impl Into<String>) -> Self {
        Self { without_number: true, ..Self::new(Conclusion::Violated, evidence) }
    }

    /// Sets the statement, which must be one of the check's. Default: the first one of the case's version.
    pub fn by(self, statement: Statement) -> Self {
        Self { by: Some(statement), ..self }
    }

    /// Overrides the check's force.
    pub fn of(self, force: Force) -> Self {
        Self { force: Some(force), ..self }
    }

    /// Adds example attempts.
    pub fn with_examples(self, examples: impl IntoIterator<Item = u64>) -> Self {
        Self { examples: examples.into_iter().collect(), ..self }
    }

    /// The verdict of `check`, for thresholds; [`Check::verdicts`] makes all other verdicts.
    #[must_use]
    pub fn verdict(self, check: &str, force: Force) -> Verdict {
        Verdict {
            check: check.to_owned(),
            case: None,
            conclusion: self.conclusion,
            differs: self.differs,
            citation: self.by.map(|by| by.to_string()),
            force,
            samples: self.samples,
            evidence: self.evidence,
            accepted: None,
            examples: self.examples,
        }
    }
}
