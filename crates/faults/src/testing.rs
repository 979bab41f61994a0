//! A scripted broker and a stage, for the tests of this crate.

use std::time::Duration;

use ungraceful_mqtt::QoS;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::phase::Phase;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::connections::OpenConnections;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::broker::clients::Clients;
use ungraceful_rig::broker::nodes::Nodes;
use ungraceful_rig::broker::target::{Credentials, SourceAddresses};
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::seed::Seed;
use ungraceful_rig::run::stop::Stop;
use ungraceful_scripted_broker::{Script, ScriptedBroker};
use ungraceful_wire::ConnectOptions;

/// The ClientID of each attempt.
const CLIENT_ID: &str = "ug000000";

/// A broker, and a stage without other clients. There is no witness, and the broker counts as alive.
pub(crate) struct Scene {
    pub(crate) broker: ScriptedBroker,
    pub(crate) stage: Stage,
}

impl Scene {
    pub(crate) fn with(script: Script) -> Self {
        let broker = ScriptedBroker::start(script);
        let nodes = Nodes::only(broker.address());
        nodes.first().pulse.beat(u64::MAX);
        let stage = Stage {
            seed: Seed(1),
            nodes,
            options: ConnectOptions { connect_timeout: Duration::from_secs(5), ..ConnectOptions::default() },
            sources: SourceAddresses::new(&[]),
            credentials: Credentials::default(),
            clients: Clients::alike("ug", RunClock::start()),
            administrator: None,
            clock: RunClock::start(),
            witness: None,
            stop: Stop::default(),
            connections: OpenConnections::default(),
            maximum_qos: QoS::ExactlyOnce,
            topic_root: "ungraceful/1".into(),
            reaction_timeout: Duration::from_secs(1),
            will_wait: Duration::from_secs(1),
        };
        Self { broker, stage }
    }

    pub(crate) fn conforming() -> Self {
        Self::with(Script::default())
    }

    /// The same, but the stage has to find out whether the broker is alive.
    pub(crate) fn mortal(script: Script) -> Self {
        let mut scene = Self::with(script);
        scene.stage.nodes = Nodes::only(scene.broker.address());
        scene
    }

    /// Carries `fault` out once.
    pub(crate) async fn attempt(&self, fault: &dyn Fault) -> Attempt {
        let case: Case = fault.case();
        let log = AttemptLog::begin(0, case, CLIENT_ID.into(), Phase::Fault, 0, &self.stage.clock)
            .beside(fault.companions());
        let attempt = fault.attempt(&self.stage, log).await;
        // The trial before a run knows only the ClientIDs that a fault declares.
        for client_id in self.broker.log().client_ids() {
            let may_be = |companion: &Companion| companion.client_id(CLIENT_ID) == client_id;
            let is_undeclared = client_id.starts_with(CLIENT_ID)
                && client_id != CLIENT_ID
                && !fault.companions().iter().any(may_be);
            assert!(!is_undeclared, "{:?} is not declared by {}", client_id, fault.case());
        }
        attempt
    }
}
