//! Carries out any scenario: one fault whose steps and expectations are data.
//!
//! The scenarios of the catalogue are files in `scenarios/`, built into the program ([`catalogue`]). The tools that carry out
//! scenarios differ only in where these come from. [`shrinking`] reads what a scenario shows from a record, for `--shrink`.

pub(crate) mod as_hex;
pub mod catalogue;
mod checks;
mod client;
mod performance;
pub(crate) mod selection;
pub mod shrinking;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use ungraceful_mqtt::{PacketType, ProtocolVersion};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::expectation::{Expectation, Expected};
use ungraceful_record::offers::Offers;
use ungraceful_record::verdict::Force;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_scenario::Scenario;
use ungraceful_scenario::encode::Context;
use ungraceful_scenario::model::{self, Action, Requires, Sending, Step};
use ungraceful_scenario::template::{Random, Unresolved, Value, Variables};
use ungraceful_wire::Transport;

pub use self::checks::CHECKS;
use self::performance::Performance;
use self::turns::{Turn, Turns};
use crate::ending::{Unfinished, attempted};

/// One case of a scenario in one version.
#[derive(Clone, Debug)]
pub struct ScenarioFault {
    scenario: Arc<Scenario>,
    /// Its index among the scenario's cases.
    case: usize,
    version: ProtocolVersion,
    steps: Arc<[Step]>,
    /// The clients, in the order of their first step.
    clients: Vec<String>,
    /// Where the reaction time begins: the index of a step.
    provoking: usize,
    expects: Vec<Expectation>,
    /// When its attempts may act; absent for any time.
    turn: Option<Turn>,
}

impl ScenarioFault {
    /// A fault for each case of these scenarios in each of these versions, scenario by scenario.
    #[must_use]
    pub fn of_all(scenarios: &[Arc<Scenario>], spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        Self::each(scenarios, spoken).map(|fault| Arc::new(fault) as Arc<dyn Fault>).collect()
    }

    /// The same for scenarios whose bytes were not made for each attempt: those that would disturb each other take turns.
    #[must_use]
    pub fn in_turns(scenarios: &[Arc<Scenario>], spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let mut turns = Turns::default();
        let faults = Self::each(scenarios, spoken);
        faults
            .map(|fault| Arc::new(Self { turn: turns.of(&fault.steps), ..fault }) as Arc<dyn Fault>)
            .collect()
    }

    fn each(scenarios: &[Arc<Scenario>], spoken: &[ProtocolVersion]) -> impl Iterator<Item = Self> {
        scenarios.iter().flat_map(move |scenario| {
            let cases = scenario.cases.iter().enumerate();
            cases.flat_map(move |(index, case)| {
                let versions = scenario.versions_of(case).into_iter();
                let versions = versions.filter(|version| spoken.contains(version));
                versions.map(move |version| Self::new(scenario, index, version))
            })
        })
    }

    fn new(scenario: &Arc<Scenario>, index: usize, version: ProtocolVersion) -> Self {
        let case = &scenario.cases[index];
        let steps: Arc<[Step]> = scenario.steps_of(case).into();
        let provoking = model::provoking_step(&steps);
        let expects = scenario.expects_of(case, version).into_iter();
        Self {
            scenario: Arc::clone(scenario),
            case: index,
            version,
            clients: scenario.clients_of(case),
            provoking: provoking.expect("a scenario without such a step is rejected when it is read"),
            expects: expects.map(|expect| expectation(expect, version)).collect(),
            steps,
            turn: None,
        }
    }

    /// Why a packet can't be made with the limits of this broker, such as a Topic Alias above 65,535; absent when all can.
    fn impossible(&self, offers: Offers) -> Option<String> {
        let text = || Value::Bytes(b"x".to_vec());
        let mut variables = Variables::from([
            ("topic_alias_maximum".to_owned(), Value::Number(offers.topic_alias_maximum.into())),
            ("n".to_owned(), Value::Number(0)),
        ]);
        variables
            .extend(["topic", "will", "client_id", "first_client_id"].map(|name| (name.to_owned(), text())));
        let maximum = offers
            .maximum_packet_size
            .map(|size| ("maximum_packet_size".to_owned(), Value::Number(size.into())));
        variables.extend(maximum);
        variables.extend(self.of_case().variables(&variables, &mut Random::new(0)).ok()?);
        let mut context = Context {
            version: self.version,
            variables,
            user_name: None,
            password: None,
            will_qos: 0,
            random: Random::new(0),
        };
        let mut made = self.steps.iter().filter_map(|step| match &step.action {
            Action::Send(sending) => Some(context.bytes(sending)),
            _ => None,
        });
        made.find_map(|made| match made {
            Err(why @ (Unresolved::Range { .. } | Unresolved::TooLong { .. })) => {
                Some(format!("the broker's limits leave no room for it: {why}"))
            }
            // What is only known in an attempt.
            _ => None,
        })
    }

    fn of_case(&self) -> &model::Case {
        &self.scenario.cases[self.case]
    }

    /// Whether the witness is to wait for a Will.
    fn expects_will(&self) -> bool {
        self.expects.iter().any(|expectation| matches!(expectation.what, Expected::Will(_)))
    }
}

/// An expectation as the record has it: a MUST that this version does not have is prose.
fn expectation(expect: &model::Expect, version: ProtocolVersion) -> Expectation {
    let (force, by) = match &expect.force {
        model::Force::Must(statements) => match statements.iter().find(|of| of.version == version) {
            Some(statement) => (Force::Must, statement.id.to_owned()),
            None => (Force::Prose, String::new()),
        },
        model::Force::Should(place) => (Force::Should, place.clone()),
        model::Force::May(place) => (Force::May, place.clone()),
        model::Force::Prose(place) => (Force::Prose, place.clone()),
    };
    Expectation { what: expect.what.clone(), force, by }
}

impl Fault for ScenarioFault {
    fn case(&self) -> Case {
        Case::new(&self.scenario.id, &self.of_case().name, self.version)
    }

    fn describe(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(in_words).collect();
        format!("{}: {}", self.scenario.about, steps.join(", "))
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| {
            let turn = match &self.turn {
                Some(turn) => Some(stage.unless_stopped(turn.taken()).await.ok_or(Unfinished::Stopped)?),
                None => None,
            };
            Performance::new(self, stage, log)?.carry_out(log, turn).await
        })
    }

    fn unsupported_reason(&self, offers: Offers, _transport: &Transport) -> Option<String> {
        let of_case = &self.scenario.cases[self.case].requires;
        lacking(&self.scenario.requires, offers)
            .or_else(|| lacking(of_case, offers))
            .or_else(|| self.impossible(offers))
    }

    fn expects(&self) -> Vec<Expectation> {
        self.expects.clone()
    }

    fn companions(&self) -> &'static [Companion] {
        let further = self.clients.len().saturating_sub(1).min(COMPANIONS.len());
        &COMPANIONS[..further]
    }

    fn repeats_connect(&self) -> bool {
        self.steps.iter().any(sends_connect)
    }
}

/// The second and the third client of a scenario.
static COMPANIONS: [Companion; 2] = [Companion::UsesTopics, Companion::AlsoUsesTopics];

/// Whether a step sends a CONNECT, or bytes that may be one.
fn sends_connect(step: &Step) -> bool {
    match &step.action {
        Action::Send(sending) => match &**sending {
            Sending::Bytes(_) => true,
            Sending::Packet(packet) => packet.body.packet_type() == PacketType::Connect,
        },
        Action::Repeat(_, steps) => steps.iter().any(sends_connect),
        _ => false,
    }
}

/// Why a broker that offers this can't show what a scenario requires; absent when it can.
fn lacking(requires: &Requires, offers: Offers) -> Option<String> {
    let switches = [
        (requires.retain_available, offers.retain_available, "retained messages"),
        (
            requires.wildcard_subscription_available,
            offers.wildcard_subscription_available,
            "wildcards in Topic Filters",
        ),
        (
            requires.shared_subscription_available,
            offers.shared_subscription_available,
            "Shared Subscriptions",
        ),
        (
            requires.subscription_identifiers_available,
            offers.subscription_identifiers_available,
            "Subscription Identifiers",
        ),
        (requires.topic_alias, offers.topic_alias_maximum > 0, "Topic Aliases"),
    ];
    for (required, is_offered, what) in switches {
        match required {
            Some(true) if !is_offered => return Some(format!("the broker does not support {what}")),
            Some(false) if is_offered => return Some(format!("the broker supports {what}")),
            _ => {}
        }
    }
    let maximum_qos = offers.maximum_qos.level();
    if requires.qos.is_some_and(|qos| qos > maximum_qos) {
        return Some(format!("the broker supports QoS {maximum_qos} at most"));
    }
    if requires.qos_below.is_some_and(|below| maximum_qos >= below) {
        return Some(format!("the broker supports QoS {maximum_qos}"));
    }
    match (requires.maximum_packet_size, offers.maximum_packet_size) {
        (Some(true), None) => Some("the broker announces no Maximum Packet Size".to_owned()),
        (Some(false), Some(_)) => Some("the broker announces a Maximum Packet Size".to_owned()),
        _ => None,
    }
}

/// A step in a few words, for `--print-plan`.
fn in_words(step: &Step) -> String {
    let what = match &step.action {
        Action::Open => "open a connection".to_owned(),
        Action::Connect(_) => "CONNECT, wait for CONNACK".to_owned(),
        Action::Send(sending) => match &**sending {
            Sending::Bytes(_) => "send bytes".to_owned(),
            Sending::Packet(packet) => packet.body.packet_type().to_string(),
        },
        Action::WaitFor(wait) => format!("wait for {}", wait.packet),
        Action::Pause(time) => format!("pause {time:?}"),
        Action::Repeat(times, steps) => {
            let steps: Vec<String> = steps.iter().map(in_words).collect();
            format!("{times} times ({})", steps.join(", "))
        }
        Action::End(end) => match end {
            model::End::Fin => "FIN".to_owned(),
            model::End::Rst => "RST".to_owned(),
            model::End::HalfClose => "half-close".to_owned(),
            model::End::StopReading => "stop reading".to_owned(),
            model::End::Disconnect(_) => "DISCONNECT, FIN".to_owned(),
        },
    };
    if step.client == model::FIRST_CLIENT { what } else { format!("{}: {what}", step.client) }
}

/// The longest time that an attempt of one of these scenarios takes, besides the wait for a reaction.
#[must_use]
pub fn longest_pause(scenarios: &[Arc<Scenario>], reaction_timeout: Duration) -> Duration {
    let cases =
        scenarios.iter().flat_map(|scenario| scenario.cases.iter().map(move |case| scenario.steps_of(case)));
    // Deliveries to further clients are waited for as well.
    let further = reaction_timeout;
    cases.map(|steps| pauses(&steps, reaction_timeout).saturating_add(further)).max().unwrap_or_default()
}

fn pauses(steps: &[Step], reaction_timeout: Duration) -> Duration {
    let of = |step: &Step| match &step.action {
        Action::Pause(time) => *time,
        Action::WaitFor(wait) => wait.within.unwrap_or(reaction_timeout),
        // Times from a variable are few: the parameters of a case.
        Action::Repeat(times, steps) => {
            let times = times.value(&Variables::new(), 1_000_000).unwrap_or(1_000);
            pauses(steps, reaction_timeout).saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
        }
        // A CONNECT, and bytes that the kernel does not take at once.
        Action::Connect(_) | Action::Send(_) => reaction_timeout / 8,
        Action::Open | Action::End(_) => Duration::ZERO,
    };
    steps.iter().map(of).fold(Duration::ZERO, Duration::saturating_add)
}

/// How long an attempt of one of these scenarios waits at most for those that it would disturb, if each is carried out once.
#[must_use]
pub fn longest_wait_for_turn(scenarios: &[Arc<Scenario>], longest_attempt: Duration) -> Duration {
    let mut turns = Turns::default();
    for scenario in scenarios {
        for case in &scenario.cases {
            turns.of(&scenario.steps_of(case));
        }
    }
    longest_attempt.saturating_mul(turns.waiting)
}

/// How many connections an attempt of one of these scenarios has at the same time, at most.
#[must_use]
pub fn connections(scenarios: &[Arc<Scenario>]) -> u64 {
    let of =
        |scenario: &Arc<Scenario>| scenario.cases.iter().map(|case| scenario.clients_of(case).len()).max();
    let most = scenarios.iter().filter_map(of).max().unwrap_or(1);
    u64::try_from(most).unwrap_or(1)
}
