//! Calls a binary and reads its output and record.

use std::fmt::{Display, Formatter};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use ungraceful_record::attempt::Attempt;
use ungraceful_record::check::statements;
use ungraceful_record::exit::Exit;
use ungraceful_record::load::LoadRecord;
use ungraceful_record::run::{BrokerLogLine, CaseRecord, Record};
use ungraceful_record::testing::{every, until};
use ungraceful_record::verdict::{Conclusion, Verdict, exit_of};
use ungraceful_scripted_broker::{Script, ScriptedBroker};

/// Short phases, and no verdict on the generator's lateness: test machines are busy.
pub(crate) const QUICK: &str = "--warmup 100ms --baseline 1s --recovery 2s --reaction-timeout 2s --will-wait 2s \
                                --slip-limit 1h --no-progress --quiet";
/// The same for a load, which has a baseline and a recovery only with bystanders.
const QUICK_LOAD: &str = "--warmup 0s --slip-limit 1h --no-progress --quiet";

/// Both MQTT versions.
pub(crate) const VERSIONS: [&str; 2] = ["3.1.1", "5.0"];

/// The binary under test with these arguments: a line, as a shell splits it.
pub(crate) fn binary(line: &str) -> Command {
    let words = shlex::split(line).unwrap();
    let path = match &*words[0] {
        "ungraceful" => env!("CARGO_BIN_EXE_ungraceful"),
        "ungraceful-double-connect" => env!("CARGO_BIN_EXE_ungraceful-double-connect"),
        "ungraceful-flood" => env!("CARGO_BIN_EXE_ungraceful-flood"),
        "ungraceful-takeover" => env!("CARGO_BIN_EXE_ungraceful-takeover"),
        "ungraceful-vanish" => env!("CARGO_BIN_EXE_ungraceful-vanish"),
        "ungraceful-bench" => env!("CARGO_BIN_EXE_ungraceful-bench"),
        "ungraceful-explain" => env!("CARGO_BIN_EXE_ungraceful-explain"),
        "ungraceful-expire" => env!("CARGO_BIN_EXE_ungraceful-expire"),
        "ungraceful-violate" => env!("CARGO_BIN_EXE_ungraceful-violate"),
        "ungraceful-report" => env!("CARGO_BIN_EXE_ungraceful-report"),
        "ungraceful-replay" => env!("CARGO_BIN_EXE_ungraceful-replay"),
        other => panic!("unknown binary {other}"),
    };
    let mut command = program(Path::new(path));
    command.args(&words[1..]);
    command
}

/// The program in this file, without the caller's environment variables for flags.
pub(crate) fn program(file: &Path) -> Command {
    let mut command = Command::new(file);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("UNGRACEFUL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Reports that the current test skips something, bypassing the harness's capture, and adds it to the file that `scripts/test` counts.
pub(crate) fn skip(why: &str) {
    let here = std::thread::current();
    let line = format!("skipped in {}: {why}\n", here.name().unwrap_or("a thread"));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("SKIPPED_IN_TESTS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{why}\n").as_bytes()).unwrap();
    }
}

/// Waits until the timeline in `folder` shows this phase; `child` must still be running.
pub(crate) fn until_phase(phase: &str, folder: &Path, child: &mut Child) {
    until(&format!("the run is in the phase {phase}"), || {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended before the phase {phase}");
        let timeline = std::fs::read_to_string(folder.join("timeline.csv")).unwrap_or_default();
        timeline.contains(&format!(",{phase},"))
    });
}

/// The record in this folder, complete or partial.
pub(crate) fn record_in(folder: &Path) -> Record {
    serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).unwrap()).unwrap()
}

/// The target of a call: an address, or the script of a broker that lives as long as the call.
pub(crate) trait Target {
    fn open(self) -> (SocketAddr, Option<ScriptedBroker>);
}

impl Target for SocketAddr {
    fn open(self) -> (SocketAddr, Option<ScriptedBroker>) {
        (self, None)
    }
}

impl Target for Script {
    fn open(self) -> (SocketAddr, Option<ScriptedBroker>) {
        let broker = ScriptedBroker::start(self);
        (broker.address(), Some(broker))
    }
}

/// A free port of its own for each call, below those that the system gives to clients and to listeners on any port.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(29_999);
    loop {
        let port = NEXT.fetch_sub(1, Ordering::Relaxed);
        assert!(port > 20_000, "no free port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The flags that select `address`.
pub(crate) fn at(address: SocketAddr) -> String {
    format!("--host {} --port {}", address.ip(), address.port())
}

/// The exit code of this record, ignoring the verdict that the generator's lateness may be why bystanders were slower.
fn without_our_lateness(mut record: Record) -> i32 {
    let is_ours = |verdict: &Verdict| {
        verdict.check == "bystanders_keep_their_pace"
            && verdict.conclusion == Conclusion::Inconclusive
            && verdict.evidence.contains("which may explain all of it")
    };
    record.verdicts.retain(|verdict| !is_ours(verdict));
    i32::from(exit_of(&record).code())
}

/// A finished call, and the folder of its record.
pub(crate) struct Call {
    pub(crate) output: Output,
    pub(crate) folder: PathBuf,
    _parent: TempDir,
}

/// Calls a mode of a binary (empty if it has only one) with short phases and these flags: a line, as a shell splits it.
pub(crate) fn call(name: &str, mode: &str, flags: &str) -> Call {
    let quick = if name == "ungraceful-bench" { QUICK_LOAD } else { QUICK };
    Call::of(binary(&format!("{name} {mode} {quick} {flags}")))
}

/// The same against `target`.
pub(crate) fn call_at(target: impl Target, name: &str, mode: &str, flags: &str) -> Call {
    let (address, _lives_until_the_end) = target.open();
    call(name, mode, &format!("{} {flags}", at(address)))
}

pub(crate) fn double_connect(flags: &str) -> Call {
    call("ungraceful-double-connect", "", flags)
}

pub(crate) fn double_connect_at(target: impl Target, flags: &str) -> Call {
    call_at(target, "ungraceful-double-connect", "", flags)
}

pub(crate) fn bench(mode: &str, flags: &str) -> Call {
    call("ungraceful-bench", mode, flags)
}

pub(crate) fn bench_at(target: impl Target, mode: &str, flags: &str) -> Call {
    call_at(target, "ungraceful-bench", mode, flags)
}

pub(crate) fn flood(mode: &str, flags: &str) -> Call {
    call("ungraceful-flood", mode, flags)
}

pub(crate) fn flood_at(target: impl Target, mode: &str, flags: &str) -> Call {
    call_at(target, "ungraceful-flood", mode, flags)
}

/// Calls the tour, without a verdict on the generator's lateness.
pub(crate) fn tour(flags: &str) -> Call {
    Call::of(binary(&format!("ungraceful --slip-limit 1h --no-progress {flags}")))
}

/// The same against `target`.
pub(crate) fn tour_at(target: impl Target, flags: &str) -> Call {
    let (address, _lives_until_the_end) = target.open();
    tour(&format!("{} {flags}", at(address)))
}

/// A running call.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) folder: PathBuf,
    _parent: TempDir,
}

impl Running {
    /// `ungraceful-double-connect` with short phases and these flags, in its fault phase.
    pub(crate) fn double_connect(flags: &str) -> Self {
        Self::of(binary(&format!("ungraceful-double-connect {QUICK} {flags}")), "fault")
    }

    /// A command whose timeline shows this phase.
    pub(crate) fn of(command: Command, phase: &str) -> Self {
        let mut running = Self::begin(command);
        until_phase(phase, &running.folder, &mut running.child);
        running
    }

    /// A command that has just started.
    pub(crate) fn begin(mut command: Command) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("record");
        command.arg("--output").arg(&folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { child, folder, _parent: parent }
    }

    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// The process of the run's broker.
    pub(crate) fn broker(&self) -> Pid {
        let pid = record_in(&self.folder).broker.pid.unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Call {
        let output = self.child.wait_with_output().unwrap();
        Call { output, folder: self.folder, _parent: self._parent }
    }
}

/// Exit code and output, for the message of a failed assertion.
impl Display for Call {
    fn fmt(&self, to: &mut Formatter<'_>) -> std::fmt::Result {
        let status = self.output.status;
        write!(to, "exit {status:?}\n--- stdout\n{}\n--- stderr\n{}", self.stdout(), self.stderr())
    }
}

impl Call {
    /// Calls a command that writes its record into a folder.
    pub(crate) fn of(mut command: Command) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("record");
        let output = command.arg("--output").arg(&folder).output().unwrap();
        Self { output, folder, _parent: parent }
    }

    /// The call of a command without a record.
    pub(crate) fn without_record(output: Output) -> Self {
        let parent = tempfile::tempdir().unwrap();
        Self { output, folder: parent.path().join("record"), _parent: parent }
    }

    /// The exit code, ignoring the verdict that the generator's lateness may be why bystanders were slower, in a run and in each of a
    /// tour: test machines are busy.
    pub(crate) fn exit(&self) -> i32 {
        let code = self.output.status.code().expect("the process was not killed");
        let has = |file: &str| self.folder.join(file).exists();
        if code != i32::from(Exit::Inconclusive.code()) {
            return code;
        }
        if has("run.json") {
            return without_our_lateness(self.record());
        }
        if !has("tour.json") {
            return code;
        }
        // The worst first: no run of an inconclusive tour has an exit code above 3.
        let causes = self.causes_of_the_tour();
        causes.iter().map(|cause| self.exit_of_cause(cause, code)).max().unwrap_or(code)
    }

    fn causes_of_the_tour(&self) -> Vec<Value> {
        let tour = std::fs::read_to_string(self.folder.join("tour.json")).unwrap();
        serde_json::from_str::<Value>(&tour).unwrap()["causes"].as_array().unwrap().clone()
    }

    /// The exit code of a cause in a tour with this one; 0 if it was not planned.
    fn exit_of_cause(&self, cause: &Value, of_tour: i32) -> i32 {
        match (&cause["run"]["record_dir"], &cause["exit"]) {
            (Value::String(folder), _) => without_our_lateness(record_in(Path::new(folder))),
            (_, Value::Null) => 0,
            _failed => of_tour,
        }
    }

    /// The record of each run of a tour, by cause, at least one.
    pub(crate) fn records_of_the_tour(&self) -> Vec<(String, Record)> {
        let folder = |cause: &Value| {
            Some((cause["name"].as_str()?.to_owned(), cause["run"]["record_dir"].as_str()?.to_owned()))
        };
        let runs = self.causes_of_the_tour();
        let runs = runs.iter().filter_map(folder).map(|(name, folder)| (name, record_in(Path::new(&folder))));
        self.some("run of the tour", runs)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// The call, which ended with this exit code.
    #[track_caller]
    pub(crate) fn expect_exit(self, code: i32) -> Self {
        assert_eq!(self.exit(), code, "{self}");
        self
    }

    /// Standard output contains each of these texts.
    #[track_caller]
    pub(crate) fn assert_prints(&self, words: &[&str]) {
        assert!(every(words, |word| self.stdout().contains(word)), "{words:?} are not all in\n{self}");
    }

    /// Neither the record, with those in its folders, nor the output contains this.
    #[track_caller]
    pub(crate) fn assert_says(&self, words: &str) {
        assert!(self.stderr().contains(words), "{words:?} is not in\n{self}");
    }

    pub(crate) fn assert_keeps_secret(&self, secret: &str) {
        let mut folders = vec![self.folder.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let (within, of_folder): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
            folders.extend(within);
            files.extend(of_folder);
        }
        for file in self.some("file", files) {
            let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
            assert!(!text.contains(secret), "{} has {secret}", file.display());
        }
        assert!(!self.to_string().contains(secret), "{self}");
    }

    /// Standard error contains each of these texts.
    #[track_caller]
    pub(crate) fn assert_reports(&self, words: &[&str]) {
        assert!(every(words, |word| self.stderr().contains(word)), "{words:?} are not all in\n{self}");
    }

    /// The call is invalid usage, and standard error contains each of these texts.
    #[track_caller]
    pub(crate) fn assert_mistake(&self, words: &[&str]) {
        assert_eq!(self.exit(), 2, "{self}");
        self.assert_reports(words);
    }

    /// Exactly these checks are violated, and the exit code is 1.
    #[track_caller]
    pub(crate) fn assert_violates(&self, checks: &[&str]) {
        assert_eq!(self.exit(), 1, "{self}");
        assert_eq!(self.violated(), checks, "{self}");
    }

    /// No check is violated; some may be inconclusive.
    #[track_caller]
    pub(crate) fn assert_violates_nothing(&self) {
        assert_eq!(self.violated(), Vec::<String>::new(), "{self}");
    }

    /// The printed JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    pub(crate) fn record(&self) -> Record {
        let text = std::fs::read_to_string(self.folder.join("run.json"))
            .unwrap_or_else(|error| panic!("no run.json: {error}\n{self}"));
        serde_json::from_str(&text).unwrap()
    }

    /// The record of the load.
    pub(crate) fn load(&self) -> LoadRecord {
        self.record().load.unwrap_or_else(|| panic!("no load\n{self}"))
    }

    /// Why connections of the load were refused or lost.
    pub(crate) fn connection_errors(&self) -> Vec<String> {
        let connections = self.load().connections;
        connections.refused.into_keys().chain(connections.lost.into_keys()).collect()
    }

    /// These, at least one: an assertion about all of none would always hold.
    fn some<T>(&self, what: &str, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let all = Vec::from_iter(all);
        assert!(!all.is_empty(), "no {what}\n{self}");
        all
    }

    fn lines<T: DeserializeOwned>(&self, file: &str) -> Vec<T> {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap();
        self.some(file, text.lines().map(|line| serde_json::from_str(line).unwrap()))
    }

    /// The recorded attempts, at least one.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.lines("attempts.ndjson")
    }

    /// The recorded lines of the broker's log, at least one.
    pub(crate) fn broker_log(&self) -> Vec<BrokerLogLine> {
        self.lines("broker-log.ndjson")
    }

    /// A column of the timeline, at least one row.
    pub(crate) fn timeline(&self, column: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("timeline.csv")).unwrap();
        let mut rows = text.lines().map(|line| line.split(','));
        let at = rows.next().unwrap().position(|name| name == column).unwrap();
        self.some("rows of the timeline", rows.map(|mut row| row.nth(at).unwrap().to_owned()))
    }

    /// The case of this variant and version.
    pub(crate) fn case(&self, variant: &str, version: &str) -> CaseRecord {
        let is_it = |case: &CaseRecord| case.case.variant == variant && case.case.version == version;
        self.record().cases.into_iter().find(is_it).unwrap_or_else(|| panic!("no such case\n{self}"))
    }

    /// The only case of this run.
    pub(crate) fn only_case(&self) -> CaseRecord {
        let cases = self.record().cases;
        assert_eq!(cases.len(), 1, "{self}");
        cases.into_iter().next().unwrap()
    }

    /// The checks of cases that differ: they hold with a note.
    pub(crate) fn differing(&self) -> Vec<String> {
        let differs = |verdict: &Verdict| verdict.case.is_some() && verdict.differs.is_some();
        let mut checks: Vec<String> =
            self.record().verdicts.into_iter().filter(differs).map(|verdict| verdict.check).collect();
        checks.sort_unstable();
        checks.dedup();
        checks
    }

    /// The verdicts of this check, at least one.
    pub(crate) fn verdicts(&self, check: &str) -> Vec<Verdict> {
        let all = self.record().verdicts.into_iter();
        self.some(&format!("verdict of {check}"), all.filter(|verdict| verdict.check == check))
    }

    /// The conclusions of this check.
    pub(crate) fn conclusions(&self, check: &str) -> Vec<Conclusion> {
        self.verdicts(check).into_iter().map(|verdict| verdict.conclusion).collect()
    }

    /// Whether this check has no verdict.
    pub(crate) fn has_no_verdict_of(&self, check: &str) -> bool {
        every(&self.record().verdicts, |verdict| verdict.check != check)
    }

    /// The check has verdicts, and none is violated.
    pub(crate) fn assert_not_violated(&self, check: &str) {
        let _each_is_listed = self.violated();
        let verdicts = self.verdicts(check);
        assert!(every(&verdicts, |verdict| verdict.conclusion != Conclusion::Violated), "{self}");
    }

    /// Every check of a case holds without a note, and the exit code is 0.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.exit(), 0, "{self}");
        let verdicts = self.record().verdicts;
        let of_the_broker =
            self.some("case was judged", verdicts.iter().filter(|verdict| verdict.case.is_some()));
        assert!(every(of_the_broker, |verdict| verdict.conclusion == Conclusion::Holds), "{self}");
        assert_eq!(self.differing(), Vec::<String>::new(), "{self}");
    }

    /// Only this check is violated, at least once with each citation, and the result has the command to reproduce it.
    pub(crate) fn assert_caught(&self, check: &str, citations: &[&str]) {
        assert_eq!((self.exit(), self.violated()), (1, vec![check.to_owned()]), "{self}");
        for citation in citations {
            self.assert_cites(check, citation);
        }
        let tool = self.record().tool;
        let command = [Some(tool.name), tool.mode].into_iter().flatten().collect::<Vec<_>>().join(" ");
        assert!(self.stdout().contains(&format!("reproduce: {command}")), "{self}");
    }

    /// A verdict of this check is violated, with this citation.
    #[track_caller]
    pub(crate) fn assert_cites(&self, check: &str, citation: &str) {
        let verdicts = self.verdicts(check);
        let violated = verdicts.iter().filter(|verdict| verdict.conclusion == Conclusion::Violated);
        let cited: Vec<_> = violated.filter_map(|verdict| verdict.citation.as_deref()).collect();
        assert!(cited.contains(&citation), "{citation} is not in {cited:?}\n{self}");
    }

    /// The conclusion of this check on this variant and version.
    pub(crate) fn conclusion(&self, check: &str, variant: &str, version: &str) -> Conclusion {
        let is_it = |verdict: &Verdict| {
            verdict.case.as_ref().is_some_and(|case| case.variant == variant && case.version == version)
        };
        let verdict = self.verdicts(check).into_iter().find(is_it);
        verdict.unwrap_or_else(|| panic!("no verdict of {check}\n{self}")).conclusion
    }

    /// The conclusion of this check on this variant, the same in both versions.
    #[track_caller]
    pub(crate) fn assert_concludes(&self, check: &str, variant: &str, expected: Conclusion) {
        for version in VERSIONS {
            assert_eq!(
                self.conclusion(check, variant, version),
                expected,
                "{check} {variant} {version}\n{self}"
            );
        }
    }

    /// The first violated verdict of this check.
    pub(crate) fn violation(&self, check: &str) -> Verdict {
        let mut verdicts = self.verdicts(check).into_iter();
        verdicts
            .find(|verdict| verdict.conclusion == Conclusion::Violated)
            .unwrap_or_else(|| panic!("{self}"))
    }

    /// The violated checks.
    pub(crate) fn violated(&self) -> Vec<String> {
        let record = self.record();
        let tool = ungraceful::tools::ALL.into_iter().find(|tool| tool.name == record.tool.name).unwrap();
        let mode =
            record.tool.mode.as_deref().map_or_else(|| tool.default_mode(), |mode| tool.mode(mode).unwrap());
        let listed: Vec<String> = statements(&mode.checks()).iter().map(ToString::to_string).collect();
        let violated = |verdict: &Verdict| verdict.conclusion == Conclusion::Violated;
        let violations: Vec<Verdict> = record.verdicts.into_iter().filter(violated).collect();
        for verdict in &violations {
            // A violated statement must be listed for its mode; some violations have no number.
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
