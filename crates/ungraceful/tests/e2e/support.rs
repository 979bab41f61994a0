//! Calling a binary, and reading what it left behind.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde::de::DeserializeOwned;
use tempfile::TempDir;
use ungraceful_record::attempt::Attempt;
use ungraceful_record::check::statements;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::{BrokerLogLine, CaseRecord, Record};
use ungraceful_record::testing::{every, until};
use ungraceful_record::verdict::{Conclusion, Verdict, exit_of};

/// Short phases, and no judgement of our own lateness: test machines are busy.
const QUICK: [&str; 14] = [
    "--warmup",
    "100ms",
    "--baseline",
    "1s",
    "--recovery",
    "2s",
    "--reaction-timeout",
    "2s",
    "--will-wait",
    "2s",
    "--slip-limit",
    "1h",
    "--no-progress",
    "--quiet",
];

/// The binary under test.
pub(crate) fn binary(name: &str) -> Command {
    let path = match name {
        "ungraceful" => env!("CARGO_BIN_EXE_ungraceful"),
        "ungraceful-double-connect" => env!("CARGO_BIN_EXE_ungraceful-double-connect"),
        "ungraceful-flood" => env!("CARGO_BIN_EXE_ungraceful-flood"),
        "ungraceful-takeover" => env!("CARGO_BIN_EXE_ungraceful-takeover"),
        "ungraceful-vanish" => env!("CARGO_BIN_EXE_ungraceful-vanish"),
        "ungraceful-bench" => env!("CARGO_BIN_EXE_ungraceful-bench"),
        "ungraceful-explain" => env!("CARGO_BIN_EXE_ungraceful-explain"),
        "ungraceful-expire" => env!("CARGO_BIN_EXE_ungraceful-expire"),
        "ungraceful-violate" => env!("CARGO_BIN_EXE_ungraceful-violate"),
        other => panic!("{other} is no binary of ours"),
    };
    program(Path::new(path))
}

/// The program in this file, called in an environment that sets no flags.
pub(crate) fn program(file: &Path) -> Command {
    let mut command = Command::new(file);
    // The caller's environment sets no flags here.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("UNGRACEFUL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Says that the test at work skips something, where the harness keeps no output back, and has it counted where the caller
/// (`scripts/test`) names a file for that.
pub(crate) fn skip(why: &str) {
    let here = std::thread::current();
    let line = format!("skipped in {}: {why}\n", here.name().unwrap_or("a thread"));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("SKIPPED_IN_TESTS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{why}\n").as_bytes()).unwrap();
    }
}

/// Waits until the timeline of a run that writes into `folder` shows this phase; `child` is still at work then.
pub(crate) fn until_phase(phase: &str, folder: &Path, child: &mut Child) {
    until(&format!("the run is in the phase {phase}"), || {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended before the phase {phase}");
        let timeline = std::fs::read_to_string(folder.join("timeline.csv")).unwrap_or_default();
        timeline.contains(&format!(",{phase},"))
    });
}

/// A finished call, and the folder of its record.
pub(crate) struct Call {
    pub(crate) output: Output,
    pub(crate) folder: PathBuf,
    _parent: TempDir,
}

/// Calls `ungraceful-double-connect` with short phases and `arguments`.
pub(crate) fn double_connect(arguments: &[&str]) -> Call {
    call("ungraceful-double-connect", &[], arguments)
}

/// Calls a binary in a mode (none for a binary that has one alone) with short phases and `arguments`.
pub(crate) fn call(name: &str, mode: &[&str], arguments: &[&str]) -> Call {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let mut command = binary(name);
    let output =
        command.args(mode).args(QUICK).args(arguments).arg("--output").arg(&folder).output().unwrap();
    Call { output, folder, _parent: parent }
}

/// Calls a binary in a mode against `address`.
pub(crate) fn call_at(address: SocketAddr, name: &str, mode: &str, arguments: &[&str]) -> Call {
    let target = at(address);
    let all: Vec<&str> = target.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    call(name, &[mode], &all)
}

/// Calls a mode of `ungraceful-bench` with no judgement of our own lateness: test machines are busy.
pub(crate) fn bench(mode: &str, arguments: &[&str]) -> Call {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let mut command = binary("ungraceful-bench");
    command.args([mode, "--warmup", "0s", "--slip-limit", "1h", "--no-progress", "--quiet"]);
    let output = command.args(arguments).arg("--output").arg(&folder).output().unwrap();
    Call { output, folder, _parent: parent }
}

/// Calls a mode of `ungraceful-bench` against `address`.
pub(crate) fn bench_at(address: SocketAddr, mode: &str, arguments: &[&str]) -> Call {
    let target = at(address);
    let all: Vec<&str> = target.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    bench(mode, &all)
}

/// The call itself, for those who want to do something while it runs.
pub(crate) fn quick_command(arguments: &[&str]) -> Command {
    let mut command = binary("ungraceful-double-connect");
    command.args(QUICK).args(arguments);
    command
}

/// The flags that aim at `address`.
pub(crate) fn at(address: SocketAddr) -> [String; 4] {
    ["--host".to_owned(), address.ip().to_string(), "--port".to_owned(), address.port().to_string()]
}

/// Calls a mode of `ungraceful-flood` with short phases and `arguments`.
pub(crate) fn flood(mode: &str, arguments: &[&str]) -> Call {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let mut command = binary("ungraceful-flood");
    let output = command.arg(mode).args(QUICK).args(arguments).arg("--output").arg(&folder).output().unwrap();
    Call { output, folder, _parent: parent }
}

/// Calls a mode of `ungraceful-flood` against `address`.
pub(crate) fn flood_at(address: SocketAddr, mode: &str, arguments: &[&str]) -> Call {
    let target = at(address);
    let all: Vec<&str> = target.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    flood(mode, &all)
}

/// Calls `ungraceful-double-connect` against `address`.
pub(crate) fn double_connect_at(address: SocketAddr, arguments: &[&str]) -> Call {
    let target = at(address);
    let all: Vec<&str> = target.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    double_connect(&all)
}

impl Call {
    /// The exit code; and that without the one verdict which says that our own lateness may be why honest clients were served
    /// more slowly, where that is all that is inconclusive: test machines are busy.
    pub(crate) fn exit(&self) -> i32 {
        let code = self.output.status.code().expect("the process was not killed");
        if code != i32::from(Exit::Inconclusive.code()) || !self.folder.join("run.json").exists() {
            return code;
        }
        let mut record = self.record();
        let is_ours = |verdict: &Verdict| {
            verdict.check == "bystanders_keep_their_pace"
                && verdict.evidence.contains("which may be all of it")
        };
        record.verdicts.retain(|verdict| !is_ours(verdict));
        i32::from(exit_of(&record).code())
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// Everything that was said, for the message of a failed assertion.
    pub(crate) fn said(&self) -> String {
        format!("exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.output.status, self.stdout(), self.stderr())
    }

    pub(crate) fn record(&self) -> Record {
        let text = std::fs::read_to_string(self.folder.join("run.json"))
            .unwrap_or_else(|error| panic!("no run.json: {error}\n{}", self.said()));
        serde_json::from_str(&text).unwrap()
    }

    /// These, of which there is at least one: what is asserted of all of none holds whatever was seen.
    fn some<T>(&self, what: &str, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let all = Vec::from_iter(all);
        assert!(!all.is_empty(), "no {what}\n{}", self.said());
        all
    }

    fn lines<T: DeserializeOwned>(&self, file: &str) -> Vec<T> {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap();
        self.some(file, text.lines().map(|line| serde_json::from_str(line).unwrap()))
    }

    /// The attempts that were written, of which there is at least one.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.lines("attempts.ndjson")
    }

    /// What was kept of the broker's log: at least a line.
    pub(crate) fn broker_log(&self) -> Vec<BrokerLogLine> {
        self.lines("broker-log.ndjson")
    }

    /// A column of the timeline, of at least a row.
    pub(crate) fn timeline(&self, column: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("timeline.csv")).unwrap();
        let mut rows = text.lines().map(|line| line.split(','));
        let at = rows.next().unwrap().position(|name| name == column).unwrap();
        self.some("rows of the timeline", rows.map(|mut row| row.nth(at).unwrap().to_owned()))
    }

    /// The case of this variant and version.
    pub(crate) fn case(&self, variant: &str, version: &str) -> CaseRecord {
        let is_it = |case: &CaseRecord| case.case.variant == variant && case.case.version == version;
        self.record().cases.into_iter().find(is_it).unwrap_or_else(|| panic!("no such case\n{}", self.said()))
    }

    /// The only case of this run.
    pub(crate) fn only_case(&self) -> CaseRecord {
        let cases = self.record().cases;
        assert_eq!(cases.len(), 1, "{}", self.said());
        cases.into_iter().next().unwrap()
    }

    /// What broke with a note: checks that hold with a difference.
    pub(crate) fn differing(&self) -> Vec<String> {
        let differs = |verdict: &Verdict| verdict.case.is_some() && verdict.differs.is_some();
        let mut checks: Vec<String> =
            self.record().verdicts.into_iter().filter(differs).map(|verdict| verdict.check).collect();
        checks.sort_unstable();
        checks.dedup();
        checks
    }

    /// The verdicts of this check, of which there is at least one.
    pub(crate) fn verdicts(&self, check: &str) -> Vec<Verdict> {
        let all = self.record().verdicts.into_iter();
        self.some(&format!("verdict of {check}"), all.filter(|verdict| verdict.check == check))
    }

    /// Whether this check said nothing at all.
    pub(crate) fn has_no_verdict_of(&self, check: &str) -> bool {
        every(&self.record().verdicts, |verdict| verdict.check != check)
    }

    /// The check gave verdicts, and none of them is a violation.
    pub(crate) fn assert_not_violated(&self, check: &str) {
        let _each_is_listed = self.violated();
        let verdicts = self.verdicts(check);
        assert!(every(&verdicts, |verdict| verdict.conclusion != Conclusion::Violated), "{}", self.said());
    }

    /// Everything of the broker's holds, without a note, and the run came to its end.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.exit(), 0, "{}", self.said());
        let verdicts = self.record().verdicts;
        let of_the_broker =
            self.some("case was judged", verdicts.iter().filter(|verdict| verdict.case.is_some()));
        assert!(every(of_the_broker, |verdict| verdict.conclusion == Conclusion::Holds), "{}", self.said());
        assert_eq!(self.differing(), Vec::<String>::new(), "{}", self.said());
    }

    /// Of all checks this one alone is violated, somewhere by the statement with this citation, and the run can be repeated.
    pub(crate) fn assert_caught(&self, check: &str, citation: &str) {
        assert_eq!((self.exit(), self.violated()), (1, vec![check.to_owned()]), "{}", self.said());
        let verdicts = self.verdicts(check);
        let is_it = |verdict: &Verdict| {
            verdict.conclusion == Conclusion::Violated && verdict.citation.as_deref() == Some(citation)
        };
        assert!(verdicts.iter().any(is_it), "{verdicts:?}");
        let tool = self.record().tool;
        let command = [Some(tool.name), tool.mode].into_iter().flatten().collect::<Vec<_>>().join(" ");
        assert!(self.stdout().contains(&format!("reproduce: {command}")), "{}", self.said());
    }

    /// What this check concludes about this variant and version.
    pub(crate) fn conclusion(&self, check: &str, variant: &str, version: &str) -> Conclusion {
        let is_it = |verdict: &Verdict| {
            verdict.case.as_ref().is_some_and(|case| case.variant == variant && case.version == version)
        };
        let verdict = self.verdicts(check).into_iter().find(is_it);
        verdict.unwrap_or_else(|| panic!("no verdict of {check}\n{}", self.said())).conclusion
    }

    /// The checks that came out violated.
    pub(crate) fn violated(&self) -> Vec<String> {
        let record = self.record();
        let tool = ungraceful::tools::ALL.into_iter().find(|tool| tool.name == record.tool.name).unwrap();
        let mode =
            record.tool.mode.as_deref().map_or_else(|| tool.default_mode(), |mode| tool.mode(mode).unwrap());
        let listed: Vec<String> = statements(&mode.checks()).iter().map(ToString::to_string).collect();
        let violated = |verdict: &Verdict| verdict.conclusion == Conclusion::Violated;
        let violations: Vec<Verdict> = record.verdicts.into_iter().filter(violated).collect();
        for verdict in &violations {
            // What a mode says that it accuses by is what it does accuse by; some accusations have no number.
            let is_listed = verdict.citation.as_ref().is_none_or(|citation| {
                listed.contains(citation) || verdict.case.is_none() || !citation.contains('[')
            });
            assert!(is_listed, "{} is not in the list of faults: {verdict:?}", record.tool.name);
        }
        let mut checks: Vec<String> = violations.into_iter().map(|verdict| verdict.check).collect();
        checks.sort_unstable();
        checks.dedup();
        checks
    }
}
