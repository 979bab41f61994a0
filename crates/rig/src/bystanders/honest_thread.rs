//! The thread of the honest clients: bystanders and witness, apart from everything a fault does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use ungraceful_record::ledger::{IrregularityKind, LedgerCounts};
use ungraceful_record::phase::{Phase, PhaseTrack};
use ungraceful_record::run::{BystanderOutagesRecord, Drain, IrregularityRecord, WitnessRecord};

use crate::attempts::waves::WaveTrack;
use crate::broker::outage::OutageTrack;
use crate::bystanders::context::{ClientSettings, HonestClients, HonestContext};
use crate::bystanders::lost_connections::LostConnections;
use crate::bystanders::message_meter::{MessageMeter, SharedRecoveryWatch, WaveMessages, WaveMeter};
use crate::bystanders::orders::{OrdersReceiver, OrdersSender, orders};
use crate::bystanders::pair::{self, BystanderSettings};
use crate::bystanders::readiness::{ReadinessReceiver, ReadinessSender, readiness};
use crate::bystanders::sys_topics::{self, SysTopics};
use crate::bystanders::witness::Witness;
use crate::bystanders::witness_client::watch_for_wills;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::collector::{Report, Source, report_intervals};
use crate::measure::loop_lag;
use crate::measure::meter::Meter;

/// How long messages may still arrive after the run before they count as lost.
pub(crate) const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How long a proof message to the witness may take.
pub(crate) const PROOF_WITHIN: Duration = Duration::from_secs(3);
/// How long honest clients may take to come up.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(15);

#[derive(Clone, Debug)]
pub(crate) struct HonestSettings {
    pub(crate) clients: ClientSettings,
    pub(crate) bystanders: BystanderSettings,
    /// Distinguishes the messages of this run from those of others.
    pub(crate) run: u64,
}

#[derive(Debug, Default)]
pub(crate) struct HonestResult {
    pub(crate) by_phase: BTreeMap<Phase, BTreeMap<u8, LedgerCounts>>,
    pub(crate) connections_lost: BTreeMap<String, u64>,
    /// Absent when no outage was planned.
    pub(crate) outages: Option<BystanderOutagesRecord>,
    pub(crate) waves: Vec<WaveMessages>,
    pub(crate) irregularities: Vec<IrregularityRecord>,
    pub(crate) irregularities_left_out: BTreeMap<IrregularityKind, u64>,
    pub(crate) pairs_below_qos: u64,
    pub(crate) drain: Option<Drain>,
    pub(crate) sys: SysTopics,
    pub(crate) witness: WitnessRecord,
}

#[derive(Clone, Debug)]
pub(crate) struct HonestLinks {
    pub(crate) clock: RunClock,
    pub(crate) phases: PhaseTrack,
    pub(crate) witness: Witness,
    pub(crate) outages: OutageTrack,
    pub(crate) waves: WaveTrack,
    pub(crate) reports: mpsc::Sender<Report>,
}

/// The run's handle on the honest thread.
#[derive(Debug)]
pub(crate) struct HonestThread {
    thread: JoinHandle<HonestResult>,
    orders: OrdersSender,
    readiness: ReadinessReceiver,
    pub(crate) recovery: SharedRecoveryWatch,
    witness: Witness,
    is_witness_proved: bool,
}

impl HonestThread {
    /// Starts the thread, waits until every bystander is connected and subscribed, and has the witness prove that it hears.
    /// The clients begin to publish on [`HonestThread::begin`].
    ///
    /// # Errors
    /// [`RunError`] when bystanders did not come up in time.
    pub(crate) async fn start(settings: HonestSettings, links: HonestLinks) -> Result<Self, RunError> {
        let (orders, orders_received) = orders();
        let (readiness_sender, readiness) = readiness();
        let pairs = settings.bystanders.pairs;
        let witness = links.witness.clone();
        let recovery = SharedRecoveryWatch::default();
        let for_thread = recovery.clone();
        let thread = std::thread::Builder::new()
            .name("honest".to_owned())
            .spawn(move || live(settings, links, orders_received, readiness_sender, for_thread))
            .map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))?;
        let mut honest = Self { thread, orders, readiness, recovery, witness, is_witness_proved: true };
        honest.readiness.ready(pairs, READY_WITHIN).await.map_err(RunError::Environment)?;
        honest.prove_witness().await;
        Ok(honest)
    }

    pub(crate) fn begin(&self) {
        self.orders.begin();
    }

    /// Sends the witness a message on one of its topics. It is proved while it has heard every such message: from
    /// this call on it is not, until it has heard this one too.
    pub(crate) fn prove_witness(&mut self) -> impl Future<Output = ()> {
        let was_proved = std::mem::replace(&mut self.is_witness_proved, false);
        async move {
            let proof = self.orders.prove_witness();
            self.is_witness_proved = self.readiness.proof_heard(proof, PROOF_WITHIN).await && was_proved;
        }
    }

    /// The witness; absent when it is not proved.
    pub(crate) fn proved_witness(&self) -> Option<Witness> {
        self.is_witness_proved.then(|| self.witness.clone())
    }

    /// Stops publishing, waits for messages under way, and ends the thread.
    pub(crate) fn drain(self) -> Result<HonestResult, RunError> {
        self.orders.drain();
        let panicked = |_panic| RunError::Bug("the honest clients' thread panicked".to_owned());
        let result = self.thread.join().map_err(panicked)?;
        let witness = witness_record(&self.witness, self.is_witness_proved, self.readiness.witness_gaps());
        Ok(HonestResult { witness, ..result })
    }
}

/// One that was away for a while is not proved: what came meanwhile, it did not hear.
fn witness_record(witness: &Witness, is_proved: bool, gaps: u32) -> WitnessRecord {
    WitnessRecord { proved: is_proved && gaps == 0, unexpected: witness.on_unwatched_topics() }
}

fn live(
    settings: HonestSettings,
    links: HonestLinks,
    orders: OrdersReceiver,
    readiness: ReadinessSender,
    recovery: SharedRecoveryWatch,
) -> HonestResult {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        readiness.refused("out of file descriptors");
        return HonestResult::default();
    };
    let HonestLinks { clock, phases, witness, outages, waves, reports } = links;
    let meter = Meter::default();
    let context = Rc::new(HonestContext {
        clients: HonestClients::new(settings.clients),
        clock,
        orders,
        readiness,
        lost: LostConnections::new(outages),
        messages: MessageMeter {
            meter: meter.clone(),
            phases: phases.clone(),
            recovery,
            waves: WaveMeter::new(waves),
        },
    });
    LocalSet::new().block_on(&runtime, async move {
        let sys = Rc::new(RefCell::new(SysTopics::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn_local(watch_for_wills(witness, Rc::clone(&context)));
        tasks.spawn_local(sys_topics::listen(Rc::clone(&sys), Rc::clone(&context)));
        tasks.spawn_local(loop_lag::measure(meter.clone(), clock, phases));
        tasks.spawn_local(report_intervals(Source::Honest, meter.clone(), reports.clone()));
        let pairs = pair::start(settings.run, &settings.bystanders, &context, &mut tasks);
        context.orders.draining().await;
        let drain = pair::drain(&pairs, DRAIN_WITHIN).await;
        pairs.iter().for_each(|pair| pair.borrow_mut().close_gap());
        context.clients.leave().await;
        let _collector_is_gone = reports.send(Report::Interval(Source::Honest, meter.take())).await;
        let by_phase =
            Phase::MEASURED.into_iter().map(|phase| (phase, pair::counts_by_qos(&pairs, phase))).collect();
        let (irregularities, irregularities_left_out) = pair::irregularities(&pairs, &clock);
        HonestResult {
            by_phase,
            connections_lost: context.lost.unplanned(),
            outages: context.lost.to_outages(),
            waves: context.messages.waves.take(),
            irregularities,
            irregularities_left_out,
            pairs_below_qos: pair::pairs_below_qos(&pairs),
            drain: Some(drain),
            sys: sys.take(),
            witness: WitnessRecord::default(),
        }
    })
}

#[cfg(test)]
mod tests {
    use ungraceful_record::run::WitnessRecord;

    use super::witness_record;
    use crate::bystanders::witness::{Witness, Witnessed};

    #[test]
    fn a_witness_that_was_away_for_a_while_is_not_proved() {
        let witness = Witness::default();
        for at_us in [1, 2, 3, 4, 5] {
            witness.hear("late", Witnessed { at_us, payload: Vec::new() });
        }
        let record = |is_proved, gaps| witness_record(&witness, is_proved, gaps);
        assert_eq!(record(true, 0), WitnessRecord { proved: true, unexpected: 5 });
        assert!(!record(true, 1).proved && !record(false, 0).proved);
    }
}
