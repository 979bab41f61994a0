//! The worker process: its threads make their clients, and it passes on what they report.

use std::io::{BufRead, Write};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ungraceful_rig::broker::clients::Clients;
use ungraceful_rig::broker::nodes::Nodes;
use ungraceful_rig::broker::target::TargetSettings;
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::measure::own_usage;
use ungraceful_rig::run::limits::raise_descriptor_limit;
use ungraceful_rig::run::load::{LoadReports, LoadStage};
use ungraceful_rig::run::seed::Seed;

use super::{Order, Said, Share, Used};
use crate::engine::start_threads;
use crate::progress::{Counts, NOT_YET, Orders};
use crate::settings::LoadSettings;
use crate::split::Split;
use crate::worker::Ended;

/// How often progress is reported, if there is any.
const REPORT_EVERY: Duration = Duration::from_millis(50);
/// How long a worker process may take to leave when its run is gone.
const ORPHANED_MAX: Duration = Duration::from_secs(15);

/// Writes lines from several threads. A run that is gone reads none, and standard input has ended then.
#[derive(Clone)]
struct Output(Arc<Mutex<Box<dyn Write + Send>>>);

impl Output {
    fn say(&self, said: &Said) {
        let mut line = serde_json::to_vec(said).expect("plain data always serialises");
        line.push(b'\n');
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone = output.write_all(&line).and_then(|()| output.flush());
    }
}

/// Makes the share of a load to its end. Not generic, so that it is compiled with this crate, for speed.
///
/// `prepared` is the run's command line, read again, or why that failed; `orders` is standard
/// input after its first line.
pub fn serve(
    share: &Share,
    prepared: Result<(LoadSettings, TargetSettings), String>,
    orders: Box<dyn BufRead + Send>,
    output: Box<dyn Write + Send>,
) {
    let output = Output(Arc::new(Mutex::new(output)));
    let made = prepared.and_then(|(settings, target)| made(share, settings, &target, orders, &output));
    match made {
        Ok((ended, used)) => output.say(&Said::Ended(ended, used)),
        Err(why) => output.say(&Said::Failed(why)),
    }
}

fn made(
    share: &Share,
    settings: LoadSettings,
    target: &TargetSettings,
    input: Box<dyn BufRead + Send>,
    output: &Output,
) -> Result<(Vec<Ended>, Used), String> {
    let _as_of_the_run = raise_descriptor_limit();
    let before = own_usage();
    let (reports, mut reported) = LoadReports::for_another_process();
    let stage = stage(share, target, reports);
    let split = Split::of(&settings, share.processes, share.threads);
    let orders = Arc::new(Orders::default());
    follow(input, Arc::clone(&orders));
    let started = start_threads(&Arc::new(settings), &stage, split, share.process, &orders);
    let (progress, threads) = started.map_err(|error| error.to_string())?;
    // Theirs are the only ones: the reports end with the threads.
    drop(stage);
    let measured = output.clone();
    let passing_on = std::thread::spawn(move || {
        while let Some((thread, interval)) = reported.wait() {
            measured.say(&Said::Measured(thread, interval));
        }
    });
    let (mut last, mut connected) = (Vec::new(), None);
    loop {
        let are_over = threads.iter().all(std::thread::JoinHandle::is_finished);
        let now: Vec<Counts> = progress.iter().map(|progress| progress.read()).collect();
        if now != last {
            output.say(&Said::Progress(now.clone()));
            last = now;
        }
        if connected.is_none() && orders.begin_us.load(Relaxed) != NOT_YET {
            connected = own_usage();
        }
        if are_over {
            break;
        }
        std::thread::sleep(REPORT_EVERY);
    }
    let mut ended = Vec::new();
    for thread in threads {
        ended.push(thread.join().map_err(|_panic| "a thread of the load panicked".to_owned())??);
    }
    let _panicked = passing_on.join();
    let after = own_usage();
    let connected = connected.or(after);
    let cpu_us = |from: Option<_>, to: Option<_>| {
        let (from, to): (ungraceful_rig::measure::OwnUsage, ungraceful_rig::measure::OwnUsage) =
            from.zip(to)?;
        Some(to.cpu_us.saturating_sub(from.cpu_us))
    };
    let used = Used {
        cpu_us_connecting: cpu_us(before, connected),
        cpu_us: cpu_us(connected, after),
        rss_bytes_before: before.map(|usage| usage.rss_bytes),
        rss_bytes_connected: connected.map(|usage| usage.rss_bytes),
    };
    Ok((ended, used))
}

fn stage(share: &Share, target: &TargetSettings, reports: LoadReports) -> LoadStage {
    let clock = RunClock::of_shared(share.clock);
    LoadStage {
        nodes: Nodes::of_shared(share.nodes.clone()),
        version: share.version(),
        maximum_qos: share.maximum_qos,
        maximum_packet_size: share.maximum_packet_size,
        shared_subscriptions: share.shared_subscriptions,
        clients: Clients::of_shared(target.clients.clone(), &share.clients, clock),
        sources: target.sources.clone(),
        transport: target.transport.clone(),
        connect_timeout: target.connect_timeout,
        clock,
        seed: Seed(share.seed),
        threads: NonZeroU32::new(share.threads).unwrap_or(NonZeroU32::MIN),
        reports,
    }
}

/// Passes orders on to the threads. When the run is gone, its workers leave.
fn follow(input: Box<dyn BufRead + Send>, orders: Arc<Orders>) {
    std::thread::spawn(move || {
        for line in input.lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(Order::Begin(begin_us, counted_from_us)) => {
                    orders.counted_from_us.store(counted_from_us, Release);
                    orders.begin_us.store(begin_us, Release);
                }
                Ok(Order::EndAt(until_us)) => orders.until_us.store(until_us, Release),
                Ok(Order::Stop) => orders.stop.store(true, Relaxed),
                Err(_) => break,
            }
        }
        orders.stop.store(true, Relaxed);
        std::thread::sleep(ORPHANED_MAX);
        std::process::exit(i32::from(ungraceful_record::exit::Exit::Environment.code()));
    });
}
