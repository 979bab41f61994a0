//! What makes a load: threads of this process, or worker processes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use ungraceful_record::load::{DiedProcess, LoadProcessRecord};
use ungraceful_rig::broker::owned::hidden;
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::load::{LoadReports, LoadStage};
use ungraceful_wire::clock::now;

use super::{Order, Processes, Said, Start, Used};
use crate::engine::start_threads;
use crate::progress::{Orders, Progress, sum};
use crate::settings::LoadSettings;
use crate::split::Split;
use crate::worker::{Ended, TAKEN_WITHIN};

/// How long the next client may take to leave, beside what a worker process waits for.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// What makes a load.
#[derive(Debug)]
pub(crate) struct Crew {
    /// The progress of each thread, of all processes.
    pub(crate) progress: Vec<Arc<Progress>>,
    pub(crate) orders: Arc<Orders>,
    members: Members,
    /// How far the worker processes have left; absent until the load is stopped.
    leaving: Cell<Option<Leaving>>,
}

/// Worker processes that were told to leave. Closing a million connections takes minutes, so that only those are killed of which no client
/// has left for a while.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    left: u64,
    killed_at: Instant,
}

impl Leaving {
    fn after(left: u64, now: Instant) -> Self {
        Self { left, killed_at: now + TAKEN_WITHIN + LEAVES_WITHIN }
    }

    /// Whether none has left for so long that the rest is killed; `left` is how many have by now.
    fn is_stuck(&mut self, left: u64, now: Instant) -> bool {
        if left > self.left {
            *self = Self::after(left, now);
        }
        now >= self.killed_at
    }
}

#[derive(Debug)]
enum Members {
    Threads(Vec<JoinHandle<Result<Ended, String>>>),
    Processes(Vec<WorkerProcess>),
}

/// The results of a load's threads, and of its worker processes where there are any.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) ended: Vec<Ended>,
    pub(crate) processes: Vec<LoadProcessRecord>,
}

/// A worker process, and the thread that reads what it says.
#[derive(Debug)]
struct WorkerProcess {
    pid: Pid,
    orders: ChildStdin,
    reading: JoinHandle<Result<OfProcess, String>>,
}

#[derive(Debug)]
struct OfProcess {
    ended: Vec<Ended>,
    record: LoadProcessRecord,
}

impl Crew {
    /// Starts threads, or as many worker processes as the split has.
    pub(crate) fn start(
        settings: &Arc<LoadSettings>,
        stage: &LoadStage,
        split: Split,
        processes: Option<&Processes>,
    ) -> Result<Self, RunError> {
        let orders = Arc::new(Orders::default());
        let (progress, members) = match processes.filter(|_| split.processes() > 1) {
            None => {
                let (progress, threads) = start_threads(settings, stage, split, 0, &orders)?;
                (progress, Members::Threads(threads))
            }
            Some(processes) => {
                let (progress, started) = start_processes(settings, stage, split, processes)?;
                (progress, Members::Processes(started))
            }
        };
        Ok(Self { progress, orders, members, leaving: Cell::default() })
    }

    /// Whether a member ended: before it was told to, because it failed or died.
    pub(crate) fn has_ended_one(&self) -> bool {
        match &self.members {
            Members::Threads(threads) => threads.iter().any(JoinHandle::is_finished),
            Members::Processes(processes) => processes.iter().any(|process| process.reading.is_finished()),
        }
    }

    /// Whether all have ended. Kills worker processes that were told to leave and are stuck.
    pub(crate) fn have_ended(&self) -> bool {
        let left = sum(&self.progress, |progress| &progress.left);
        let mut leaving = self.leaving.get();
        let is_stuck = leaving.as_mut().is_some_and(|leaving| leaving.is_stuck(left, now()));
        self.leaving.set(leaving);
        match &self.members {
            Members::Threads(threads) => threads.iter().all(JoinHandle::is_finished),
            Members::Processes(processes) => {
                let mut staying =
                    processes.iter().filter(|process| !process.reading.is_finished()).peekable();
                let have_ended = staying.peek().is_none();
                if is_stuck {
                    for process in staying {
                        let _gone_already = kill_process(process.pid, Signal::KILL);
                    }
                }
                have_ended
            }
        }
    }

    pub(crate) fn begin(&mut self, begin_us: u64, counted_from_us: u64) {
        self.orders.counted_from_us.store(counted_from_us, Release);
        self.orders.begin_us.store(begin_us, Release);
        self.tell(Order::Begin(begin_us, counted_from_us));
    }

    pub(crate) fn end_at(&mut self, until_us: u64) {
        self.orders.until_us.store(until_us, Release);
        self.tell(Order::EndAt(until_us));
    }

    pub(crate) fn stop(&mut self) {
        if !self.orders.stop.swap(true, Relaxed) {
            let left = sum(&self.progress, |progress| &progress.left);
            self.leaving.set(Some(Leaving::after(left, now())));
            self.tell(Order::Stop);
        }
    }

    fn tell(&mut self, order: Order) {
        if let Members::Processes(processes) = &mut self.members {
            let mut line = serde_json::to_vec(&order).expect("plain data always serialises");
            line.push(b'\n');
            for process in processes {
                // One that is gone is noticed where its output is read.
                let _gone = process.orders.write_all(&line).and_then(|()| process.orders.flush());
            }
        }
    }

    /// The results; waits for the end of all members.
    pub(crate) fn finish(self) -> Result<Finished, RunError> {
        let mut finished = Finished::default();
        let panicked = |_panic| RunError::Bug("a thread of the load panicked".to_owned());
        match self.members {
            Members::Threads(threads) => {
                for thread in threads {
                    finished.ended.push(thread.join().map_err(panicked)?.map_err(RunError::Environment)?);
                }
            }
            Members::Processes(processes) => {
                // None is left behind when one has failed.
                let all: Vec<_> = processes.into_iter().map(|process| process.reading.join()).collect();
                for of_process in all {
                    let of_process = of_process.map_err(panicked)?.map_err(RunError::Environment)?;
                    finished.ended.extend(of_process.ended);
                    finished.processes.push(of_process.record);
                }
            }
        }
        Ok(finished)
    }
}

fn start_processes(
    settings: &LoadSettings,
    stage: &LoadStage,
    split: Split,
    processes: &Processes,
) -> Result<(Vec<Arc<Progress>>, Vec<WorkerProcess>), RunError> {
    let progress: Vec<Arc<Progress>> = (0..split.threads()).map(|_| Arc::default()).collect();
    let clients = split.clients(settings);
    let mut started = Vec::new();
    for number in 0..split.processes() {
        let start = Start::new(processes, number, split, stage);
        // The error drops those before, whose standard input ends.
        let (child, orders, output) = spawn(&start)
            .map_err(|error| RunError::Environment(format!("cannot start a worker process: {error}")))?;
        let threads: Vec<usize> = split.threads_of(number).map(|thread| thread as usize).collect();
        let reader = Reader {
            name: format!("worker process {} of {}", number + 1, split.processes()),
            clients: threads.iter().map(|thread| clients[*thread]).collect(),
            progress: threads.iter().map(|thread| Arc::clone(&progress[*thread])).collect(),
            reports: stage.reports.clone(),
        };
        let pid = Pid::from_child(&child);
        let reading = std::thread::Builder::new()
            .name(format!("load-process-{number}"))
            .spawn(move || reader.read(child, output))
            .map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))?;
        started.push(WorkerProcess { pid, orders, reading });
    }
    Ok((progress, started))
}

fn spawn(start: &Start) -> std::io::Result<(Child, ChildStdin, ChildStdout)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(hidden::LOAD_WORKER)
        // Out of reach of the terminal's signals: the run tells it when to leave.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("no pipes"));
    };
    let mut line = serde_json::to_vec(start).map_err(std::io::Error::other)?;
    line.push(b'\n');
    orders.write_all(&line)?;
    Ok((child, orders, output))
}

/// Reads what a worker process says.
struct Reader {
    name: String,
    /// The clients of each of its threads.
    clients: Vec<u64>,
    progress: Vec<Arc<Progress>>,
    reports: LoadReports,
}

impl Reader {
    /// Reads to the end. The error is why the process can't make its share.
    fn read(self, mut child: Child, output: ChildStdout) -> Result<OfProcess, String> {
        let pid = child.id();
        let mut result = None;
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(Said::Progress(counts)) => {
                    for (progress, counts) in self.progress.iter().zip(&counts) {
                        progress.store(counts);
                    }
                }
                Ok(Said::Measured(thread, interval)) => self.reports.report_last(thread, interval),
                Ok(Said::Ended(ended, used)) => result = Some(Ok((ended, used))),
                Ok(Said::Failed(why)) => result = Some(Err(why)),
                // It died in the middle of a line.
                Err(_) => break,
            }
        }
        let how = match child.wait() {
            Ok(status) => match status.signal() {
                Some(signal) => format!("by signal {signal}"),
                None => status.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let record =
            LoadProcessRecord { pid, clients: self.clients.iter().sum(), ..LoadProcessRecord::default() };
        match result {
            Some(Ok((ended, used))) => {
                let Used { cpu_us_connecting, cpu_us, rss_bytes_before, rss_bytes_connected } = used;
                let record = LoadProcessRecord {
                    cpu_us_connecting,
                    cpu_us,
                    rss_bytes_before,
                    rss_bytes_connected,
                    ..record
                };
                Ok(OfProcess { ended, record })
            }
            Some(Err(why)) => Err(format!("{} failed: {why}", self.name)),
            None => Ok(self.died(how, pid)),
        }
    }

    /// The share of a process that died, as far as its last report tells.
    fn died(self, how: String, pid: u32) -> OfProcess {
        let why = format!("{} died ({how})", self.name);
        let sum = |of: fn(&Progress) -> &std::sync::atomic::AtomicU64| sum(&self.progress, of);
        let died = DiedProcess {
            how,
            sent: sum(|progress| &progress.sent),
            delivered: sum(|progress| &progress.delivered),
        };
        let ended = self.progress.iter().zip(&self.clients).map(|(progress, clients)| {
            let (ready, failed) = (progress.ready.load(Relaxed), progress.failed.load(Relaxed));
            let rest = clients.saturating_sub(ready + failed);
            let counted = |why: String, number: u64| {
                (number > 0).then_some((why, number)).into_iter().collect::<BTreeMap<_, _>>()
            };
            let mut refused = counted(format!("not accepted before {why}"), rest);
            refused.extend(counted(format!("refused or lost before {why}"), failed));
            Ended { accepted: ready, lost: counted(why.clone(), ready), refused, ..Ended::default() }
        });
        let clients = self.clients.iter().sum();
        let record = LoadProcessRecord { pid, clients, died: Some(died), ..LoadProcessRecord::default() };
        OfProcess { ended: ended.collect(), record }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAVES_WITHIN, Leaving};
    use crate::worker::TAKEN_WITHIN;
    use ungraceful_wire::clock::now;

    #[test]
    fn workers_of_which_clients_still_leave_are_not_stuck() {
        let (began, within) = (now(), TAKEN_WITHIN + LEAVES_WITHIN);
        let mut leaving = Leaving::after(0, began);
        for (left, after, is_stuck) in [
            (0, within / 2, false),
            (1, within, false),
            (2, 2 * within - within / 4, false),
            (2, 2 * within, false),
            (2, 3 * within, true),
            (3, 3 * within, false),
            (3, 4 * within, true),
        ] {
            assert_eq!(leaving.is_stuck(left, began + after), is_stuck, "{left} after {after:?}");
        }
    }
}
