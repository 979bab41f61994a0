//! Before the first phase: may this user do on the run's topics what the run needs, which QoS does the broker serve,
//! and does it admit enough clients at the same time? What is missing ends the run here, in one sentence with its
//! cure: later it would look like lost messages and broken rules. Only a QoS that is not served does not: the run
//! keeps to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout, timeout_at};
use ungraceful_mqtt::{
    Ack, Connect, Packet, PacketIdentifier, Properties, ProtocolVersion, Publish, QoS, Subscribe,
    Subscription, Will,
};
use ungraceful_record::reaction::{connack_code_text, hex};
use ungraceful_record::run::QosLimitRecord;
use ungraceful_record::scale::{counted, listed, span};
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, ConnectOptions, ReceivedPacket};

use crate::attempts::client::Client;
use crate::attempts::companion::Companion;
use crate::attempts::fault::Fault;
use crate::broker::clients::{Clients, Identity, filter_of_all};
use crate::broker::nodes::{Node, Nodes};
use crate::error::RunError;

/// How long the broker has to acknowledge, and to deliver, the messages of one QoS.
pub(crate) const SERVED_WITHIN: Duration = Duration::from_secs(3);
/// How long after a deadline ready arrivals are still taken: this thread may be late.
const LATE_MAX: Duration = Duration::from_secs(1);
/// The pause before clients that were not admitted try again: a broker may admit only so many per second.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often they try again, as long as some of them are admitted each time.
pub(crate) const TIMES_AGAIN: u32 = 2;
/// Clients connected at the same time to try the broker's limit. A run that needs more finds out by itself.
const CLIENTS_MAX: u64 = 64;
/// Clients that are tried at the same time, where they vary.
const CLIENTS_TRIED_AT_A_TIME: usize = 32;
/// How long a device takes to connect again when another client took its ClientID; usual are no time, or a second.
const DEVICE_BACK_WITHIN: Duration = Duration::from_millis(1_200);
/// The last level of every topic that is tried.
const LEVEL: &str = "probe";

/// How long trying each of so many clients that vary may take.
pub(crate) fn each_tried_within(clients: u64) -> Duration {
    const EACH: Duration = Duration::from_millis(20);
    Duration::from_secs(20) + EACH.saturating_mul(u32::try_from(clients).unwrap_or(u32::MAX))
}

/// The second clients that attempts of these faults have, each with the faults that have it.
pub(crate) type Companions = BTreeMap<Companion, BTreeSet<String>>;

/// The second clients of these faults.
pub(crate) fn companions(faults: &[&Arc<dyn Fault>]) -> Companions {
    let mut companions = Companions::new();
    for fault in faults {
        for companion in fault.companions() {
            companions.entry(*companion).or_default().insert(fault.case().fault);
        }
    }
    companions
}

/// What is tried, and as which user.
pub(crate) struct Probe<'a> {
    /// Where it is tried.
    pub(crate) node: &'a Node,
    /// All nodes.
    pub(crate) nodes: &'a Nodes,
    /// How the run connects.
    pub(crate) options: &'a ConnectOptions,
    /// Who tries it.
    pub(crate) clients: &'a Clients,
    /// The Maximum QoS of the CONNACK.
    pub(crate) maximum_qos: QoS,
    /// The second clients of attempts.
    pub(crate) companions: &'a Companions,
}

/// Why a QoS is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unserved {
    /// The acknowledgement refused it.
    Refused(u8),
    /// The connection ended.
    Closed { disconnect_code: Option<u8> },
    /// No acknowledgement came.
    NotAcknowledged,
    /// It did not come back to its own subscriber.
    NotDelivered,
    /// The subscription was granted less.
    GrantedLess(QoS),
}

impl Unserved {
    /// Nothing came: a right may be missing, or the broker stalls.
    fn is_silence(&self) -> bool {
        matches!(self, Self::NotAcknowledged | Self::NotDelivered)
    }

    fn in_words(&self, topic: &str) -> String {
        let within = span(SERVED_WITHIN);
        match self {
            Self::Refused(code) => format!("PUBLISH to {topic:?} is refused with 0x{code:02X}"),
            Self::Closed { disconnect_code: None } => {
                format!("the broker ends the connection on PUBLISH to {topic:?}")
            }
            Self::Closed { disconnect_code: Some(code) } => {
                format!("the broker ends the connection on PUBLISH to {topic:?} with DISCONNECT 0x{code:02X}")
            }
            Self::NotAcknowledged => format!("PUBLISH to {topic:?} is not acknowledged within {within}"),
            Self::NotDelivered => {
                format!("PUBLISH to {topic:?} does not reach a subscription to it within {within}")
            }
            Self::GrantedLess(granted) => format!("a subscription is granted {granted}"),
        }
    }
}

impl Probe<'_> {
    /// Tries topics and QoS with clients of `version`. Returns the limit where less is served than the CONNACK says.
    ///
    /// One QoS 1 message and one QoS 2 message, each on its own connection: a broker that miscounts unacknowledged
    /// messages is for the run to find. The error is one sentence for a user who lacks a right.
    pub(crate) async fn serves(&self, version: ProtocolVersion) -> Result<Option<QosLimitRecord>, RunError> {
        let who = self.who(version, "r");
        let mut client = self.connect(version, &who).await?;
        let tried = self.try_topics(&mut client, &who).await;
        client.client.leave().await;
        match tried? {
            None if self.maximum_qos == QoS::ExactlyOnce => {}
            limit => return Ok(limit),
        }
        let who = self.who(version, "q");
        let mut client = self.connect(version, &who).await?;
        let [bystander, ..] = self.topics(&who);
        let tried = match self.subscribe(&mut client, &who, &bystander).await {
            Ok(granted) => Ok(self.try_qos(&mut client, &bystander, granted, QoS::ExactlyOnce).await),
            Err(error) => Err(error),
        };
        client.client.leave().await;
        tried
    }

    /// Tries every topic at QoS 0, and one at QoS 1.
    async fn try_topics(
        &self,
        client: &mut Exchanger,
        who: &Identity,
    ) -> Result<Option<QosLimitRecord>, RunError> {
        let [bystander, will, other] = self.topics(who);
        // Subscribes to Wills as the witness does.
        let wills = self.clients.filters("will/+");
        let mut granted = self.maximum_qos;
        for filter in [&bystander, &other].into_iter().chain(&wills) {
            granted = granted.min(self.subscribe(client, who, filter).await?);
        }
        for topic in [&bystander, &will, &other] {
            let Err(why) = client.exchange(topic, QoS::AtMostOnce).await else { continue };
            // A message may be lost at QoS 0; and a failure at QoS 1 says more than silence.
            let why = match client.exchange(topic, QoS::AtLeastOnce.min(self.maximum_qos)).await {
                Ok(()) => continue,
                Err(Unserved::Closed { .. }) => why,
                Err(why) => why,
            };
            if why.is_silence() && self.answers_again(client).await? {
                match client.exchange(topic, QoS::AtMostOnce).await {
                    Ok(()) => continue,
                    // Why it was refused is known already.
                    Err(_) => self.answers(client).await?,
                }
            }
            return Err(self.lacks(who, &why.in_words(topic)));
        }
        if self.maximum_qos == QoS::AtMostOnce {
            return Ok(None);
        }
        Ok(self.try_qos(client, &bystander, granted, QoS::AtLeastOnce).await)
    }

    /// Tries `qos` where a subscription was granted `granted`; absent when it is served.
    async fn try_qos(
        &self,
        client: &mut Exchanger,
        topic: &str,
        granted: QoS,
        qos: QoS,
    ) -> Option<QosLimitRecord> {
        let tried = match granted < qos {
            true => Err(Unserved::GrantedLess(granted)),
            false => client.exchange(topic, qos).await,
        };
        // Messages lost after they were accepted are for the run to judge; late ones may have met a stall.
        let why = tried.err().filter(|why| !why.is_silence())?;
        let why = why.in_words(topic);
        let because = match self.nodes.are_several() {
            true => format!("{}: {why}", self.node.name),
            false => why,
        };
        Some(QosLimitRecord { maximum_qos: qos.level() - 1, because })
    }

    async fn subscribe(&self, client: &mut Exchanger, who: &Identity, filter: &str) -> Result<QoS, RunError> {
        let within = self.options.connect_timeout;
        let mut granted = client.subscribe(filter, self.maximum_qos, within).await;
        if matches!(granted, Err(Unsubscribed::Unanswered(_))) && self.answers_again(client).await? {
            granted = client.subscribe(filter, self.maximum_qos, within).await;
            if matches!(granted, Err(Unsubscribed::Unanswered(_))) {
                self.answers(client).await?;
            }
        }
        granted.map_err(|why| self.lacks(who, &format!("SUBSCRIBE to {filter:?} {why}")))
    }

    /// Whether to try again what the broker left unanswered, once for each client: it stalled then, and answers now.
    async fn answers_again(&self, client: &mut Exchanger) -> Result<bool, RunError> {
        self.answers(client).await?;
        Ok(!std::mem::replace(&mut client.has_tried_again, true))
    }

    /// Checks that the broker answers at all, before a single missing answer is reported.
    async fn answers(&self, client: &mut Exchanger) -> Result<(), RunError> {
        if client.is_answered().await {
            return Ok(());
        }
        let (at, within) = (self.node.endpoint.address, span(SERVED_WITHIN));
        Err(RunError::Unreachable(format!(
            "the broker does not answer: {at} accepted a client a moment ago, and now leaves even PINGREQ unanswered for {within}; \
             it is stalled or overloaded, so try again once it answers"
        )))
    }

    /// Tries the rights of each of the first `count` clients that vary: on their topics, with the ClientIDs of second clients where
    /// attempts have some, and that the witness receives their Wills. What an access rule explains must not be laid on the broker.
    pub(crate) async fn serves_each(
        &self,
        version: ProtocolVersion,
        count: u64,
        pairs: u64,
    ) -> Result<(), RunError> {
        let within = each_tried_within(count);
        timeout(within, self.try_each(version, count, pairs)).await.unwrap_or_else(|_elapsed| {
            Err(RunError::Unreachable(format!(
                "the broker did not serve all of {} within {}: try again once it is less busy, or lower --count",
                counted(count, "client"),
                span(within)
            )))
        })
    }

    async fn try_each(&self, version: ProtocolVersion, count: u64, pairs: u64) -> Result<(), RunError> {
        let witness = self.who(version, "w");
        let mut watcher = self.connect(version, &witness).await?;
        for filter in &self.clients.filters("will/+") {
            watcher
                .subscribe(filter, QoS::AtMostOnce, self.options.connect_timeout)
                .await
                .map_err(|why| self.lacks(&witness, &format!("SUBSCRIBE to {filter:?} {why}")))?;
        }
        for pair in 0..pairs {
            self.serves_pair(version, pair).await?;
        }
        let mut next = 0..usize::try_from(count).unwrap_or(usize::MAX);
        let mut connected = Vec::new();
        loop {
            let numbers: Vec<usize> = next.by_ref().take(CLIENTS_TRIED_AT_A_TIME).collect();
            if numbers.is_empty() {
                break;
            }
            let tried = join_all(numbers.iter().map(|number| self.serves_numbered(version, *number))).await;
            let mut wills = BTreeMap::new();
            for tried in tried {
                let Tried { will, who, client } = tried?;
                wills.insert(will, who.clone());
                connected.push((who, client));
            }
            if let Some((topic, who)) = watcher.not_heard(wills).await.pop_first() {
                let what = format!(
                    "its message to {topic:?} does not reach the witness for Wills ({}) within {}",
                    user(&witness),
                    span(SERVED_WITHIN)
                );
                let error = self.lacks(&who, &what);
                let of_it = connected.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &who));
                let Some((_, client)) = of_it else { return Err(error) };
                // Sees the end of the connection, if it came before the message was read.
                let _answered = client.is_answered().await;
                return Err(self.or_used_elsewhere(error, &who, client));
            }
        }
        watcher.client.leave().await;
        self.are_alone(connected).await
    }

    /// Waits for as long as a device takes to come back, and checks that none took a ClientID away: it would do so in the run as well.
    async fn are_alone(&self, connected: Vec<(Arc<Identity>, Exchanger)>) -> Result<(), RunError> {
        let names_devices = self.clients.settings().names_devices();
        if names_devices {
            sleep(DEVICE_BACK_WITHIN).await;
        }
        for (who, mut client) in connected {
            self.answers(&mut client).await?;
            if !(client.has_ended && names_devices) {
                client.client.leave().await;
                continue;
            }
            return Err(RunError::Environment(format!(
                "the broker ended the connection of a client that did nothing: {}",
                used_elsewhere(&who)
            )));
        }
        Ok(())
    }

    /// Tries whether the subscriber of a pair of bystanders receives what its publisher publishes.
    async fn serves_pair(&self, version: ProtocolVersion, pair: u64) -> Result<(), RunError> {
        let from = self.clients.honest(&format!("p{pair}"));
        let to = self.clients.honest(&format!("s{pair}"));
        let topic = self.clients.bystander_topic(&pair.to_string(), &from);
        let (mut publisher, mut subscriber) =
            (self.connect(version, &from).await?, self.connect(version, &to).await?);
        self.subscribe(&mut subscriber, &to, &topic).await?;
        let qos = QoS::AtLeastOnce.min(self.maximum_qos);
        let sent = publisher.publish(&topic, qos).await;
        sent.map_err(|why| self.lacks(&from, &why.in_words(&topic)))?;
        let missing = subscriber.not_heard(BTreeMap::from([(topic.clone(), ())])).await;
        publisher.client.leave().await;
        subscriber.client.leave().await;
        if missing.is_empty() {
            return Ok(());
        }
        Err(self.lacks(
            &to,
            &format!(
                "as the subscriber of a pair of bystanders it does not receive what {} publishes to {topic:?}; give a \
                 --bystander-topic that both may use",
                user(&from)
            ),
        ))
    }

    /// Tries the topics of one client, and the second clients beside it.
    async fn serves_numbered(&self, version: ProtocolVersion, number: usize) -> Result<Tried, RunError> {
        let who = self.clients.numbered(number);
        // Others may have the same root, and are tried at the same time.
        let (will, other) = (
            format!("{}/will/{LEVEL}{number}", who.topic_root),
            format!("{}/{LEVEL}{number}", who.topic_root),
        );
        let mut client = self.connect(version, &who).await?;
        self.serves_on(&mut client, &who, &other).await?;
        for (companion, faults) in self.companions {
            let beside = self.clients.numbered(number).beside(*companion);
            self.serves_companion(version, *companion, &beside, &other).await.map_err(|error| {
                let faults: Vec<String> = faults.iter().cloned().collect();
                error.in_words(|text| {
                    format!(
                        "{text}. {:?} is the ClientID of a second client, which attempts of {} have beside {:?}: where rights depend on the \
                         ClientID (%c), give it the rights of {:?} too, or leave out what has such a client",
                        beside.client_id,
                        listed(&faults),
                        who.client_id,
                        who.client_id
                    )
                })
            })?;
        }
        let _refused_or_unheard = client.publish(&will, QoS::AtMostOnce).await;
        Ok(Tried { will, who: Arc::new(who), client })
    }

    /// Tries a second client: that it connects, and may use the topic if it uses topics.
    async fn serves_companion(
        &self,
        version: ProtocolVersion,
        companion: Companion,
        who: &Identity,
        topic: &str,
    ) -> Result<(), RunError> {
        // It has no Will in an attempt either.
        let mut client = self.connect_with(version, who, None).await?;
        let served = match companion {
            Companion::UsesTopics | Companion::AlsoUsesTopics => {
                self.serves_on(&mut client, who, topic).await
            }
            Companion::OnlyConnects => Ok(()),
        };
        client.client.leave().await;
        served
    }

    /// Tries whether a client receives on a topic what it publishes there.
    async fn serves_on(&self, client: &mut Exchanger, who: &Identity, topic: &str) -> Result<(), RunError> {
        let qos = QoS::AtLeastOnce.min(self.maximum_qos);
        let served = match self.subscribe(client, who, topic).await {
            Ok(_) => client.exchange(topic, qos).await.map_err(|why| self.lacks(who, &why.in_words(topic))),
            Err(error) => Err(error),
        };
        served.map_err(|error| self.or_used_elsewhere(error, who, client))
    }

    /// The error names the other explanation where the broker ended the connection of a client that a device may be.
    fn or_used_elsewhere(&self, error: RunError, who: &Identity, client: &Exchanger) -> RunError {
        match client.has_ended && self.clients.settings().names_devices() {
            true => error.in_words(|text| format!("{text}; or {}", used_elsewhere(who))),
            false => error,
        }
    }

    /// The error names the node where there are several.
    pub(crate) fn at_its_node(&self, error: RunError) -> RunError {
        match self.nodes.are_several() {
            true => error.in_words(|text| format!("at {}: {text}", self.node.name)),
            false => error,
        }
    }

    /// Tries whether so many clients are admitted at the same time, 64 at most, spread over all nodes.
    pub(crate) async fn admits(&self, version: ProtocolVersion, clients: u64) -> Result<(), RunError> {
        let tried = clients.min(CLIENTS_MAX);
        let mut let_in = Vec::new();
        let mut refusals = self.admit(version, (0..tried).collect(), &mut let_in).await;
        let mut limit = None;
        for _ in 0..TIMES_AGAIN {
            let Some((_, why)) = refusals.first() else { break };
            let (why, before) = (why.clone(), let_in.len());
            // A busy broker may drop some of many simultaneous handshakes, and one with a limit of connections per
            // second admits the others later. It is a limit of clients only when no further one is admitted.
            sleep(AGAIN_AFTER).await;
            let again = refusals.into_iter().map(|(number, _)| number).collect();
            refusals = self.admit(version, again, &mut let_in).await;
            if let_in.len() == before {
                limit = Some(why);
                break;
            }
        }
        let count = let_in.len();
        join_all(let_in.into_iter().map(Client::leave_and_await_close)).await;
        let Some(why) = limit else { return Ok(()) };
        if let Some((number, why)) = refusals.first().filter(|_| self.clients.vary()) {
            return Err(refused(&self.who_connects(*number), why));
        }
        Err(RunError::Environment(format!(
            "the broker admits only {} of {tried} at the same time ({why}), and this run needs up to {clients} connections at \
             once: raise the broker's limit for {} (max_connections in Mosquitto), or lower --bystanders and --count",
            counted(count as u64, "client"),
            user(&self.who_connects(0))
        )))
    }

    /// Connects these clients at the same moment, and adds those that are admitted. Returns the others, and why.
    async fn admit(
        &self,
        version: ProtocolVersion,
        numbers: Vec<u64>,
        let_in: &mut Vec<Client>,
    ) -> Vec<(u64, String)> {
        let all = join_all(numbers.iter().map(|number| self.admitted(version, *number))).await;
        let mut refusals = Vec::new();
        for (number, client) in numbers.into_iter().zip(all) {
            match client {
                Ok(client) => let_in.push(client),
                Err(why) => refusals.push((number, why)),
            }
        }
        refusals
    }

    async fn admitted(&self, version: ProtocolVersion, number: u64) -> Result<Client, String> {
        let who = self.who_connects(number);
        let node = self.nodes.at(usize::try_from(number).unwrap_or(usize::MAX));
        let at_node = |why: String| match self.nodes.are_several() {
            true => format!("{}: {why}", node.name),
            false => why,
        };
        let options = node.options(&who.options(self.options));
        let opened = node.endpoint.open(&options).await.map_err(|error| at_node(error.to_string()))?;
        let mut client = Client::new(opened.connection, version);
        let connect = Client::honest_connect(&who.client_id, &who.credentials);
        let accepted = client.connect(&connect, self.options.connect_timeout).await;
        accepted.map(|_| client).map_err(|error| at_node(error.to_string()))
    }

    fn who_connects(&self, number: u64) -> Identity {
        match self.clients.vary() {
            true => self.clients.numbered(usize::try_from(number).unwrap_or(usize::MAX)),
            false => self.clients.trying(&format!("c{number}")),
        }
    }

    fn who(&self, version: ProtocolVersion, name: &str) -> Identity {
        self.clients.trying(&format!("{name}{}", version.level()))
    }

    /// A client with a Will on the run's Will topics.
    async fn connect(&self, version: ProtocolVersion, who: &Identity) -> Result<Exchanger, RunError> {
        let [_, topic, _] = self.topics(who);
        let qos = QoS::AtLeastOnce.min(self.maximum_qos);
        let properties = Properties::NONE;
        let will = Will { topic: &topic, payload: LEVEL.as_bytes(), qos, retain: false, properties };
        self.connect_with(version, who, Some(will)).await
    }

    async fn connect_with(
        &self,
        version: ProtocolVersion,
        who: &Identity,
        will: Option<Will<'_>>,
    ) -> Result<Exchanger, RunError> {
        let at = self.node.endpoint.address;
        let went_down = |why: String| {
            RunError::Unreachable(format!("{at} accepted MQTT {version} a moment ago, and now {why}"))
        };
        let options = self.node.options(&who.options(self.options));
        let opened = self.node.endpoint.open(&options).await.map_err(|error| went_down(error.to_string()))?;
        let mut client = Client::new(opened.connection, version);
        let connect = Connect { will, ..Client::honest_connect(&who.client_id, &who.credentials) };
        match client.connect(&connect, self.options.connect_timeout).await {
            Ok(_) => Ok(Exchanger::new(client)),
            Err(crate::attempts::client::NotConnected::Refused { version, code }) => {
                let code = connack_code_text(version, code);
                match will.filter(|_| !self.clients.vary()) {
                    Some(Will { topic, .. }) => {
                        let what = format!("a CONNECT with a Will on {topic:?} is refused with {code}");
                        Err(self.lacks(who, &what))
                    }
                    None => Err(refused(who, &code)),
                }
            }
            Err(why) => Err(went_down(why.to_string())),
        }
    }

    /// The topics of a bystander, of a Will and of everything else.
    fn topics(&self, who: &Identity) -> [String; 3] {
        let root = &who.topic_root;
        [self.clients.bystander_topic(LEVEL, who), format!("{root}/will/{LEVEL}"), format!("{root}/{LEVEL}")]
    }

    /// The error for a user who lacks a right, with the cure.
    fn lacks(&self, who: &Identity, what: &str) -> RunError {
        let root = self.clients.named_root(who);
        let whose = match &who.credentials.user_name {
            Some(name) => format!("below `user {name}`"),
            None => "above the first `user`".to_owned(),
        };
        let of_bystanders = self.clients.settings().bystander_topic.as_deref();
        let and = of_bystanders.map(|topic| format!(" and {}", filter_of_all(topic))).unwrap_or_default();
        let named = match self.clients.vary() {
            true => format!("{} with ClientID {:?}", user(who), who.client_id),
            false => user(who),
        };
        RunError::Environment(format!(
            "{named} cannot use the topics of this run: {what}; let it publish to and subscribe to {root}/#{and} (Mosquitto: the line \
             `topic readwrite {root}/#` {whose} in its acl_file), or name another root with --topic-root"
        ))
    }
}

fn used_elsewhere(who: &Identity) -> String {
    format!(
        "another client uses this ClientID, {:?}, such as the device itself: stop it, or give this run ClientIDs of its own",
        who.client_id
    )
}

fn refused(who: &Identity, why: &str) -> RunError {
    RunError::Environment(format!(
        "{} with ClientID {:?} is not admitted ({why}): check its row in --clients-file, or --client-id, --username and --pw, and the \
         broker's limit of clients",
        user(who),
        who.client_id
    ))
}

fn user(who: &Identity) -> String {
    match &who.credentials.user_name {
        Some(name) => format!("user {name:?}"),
        None => "a client without a User Name".to_owned(),
    }
}

/// A client that may use its topics, still connected.
struct Tried {
    /// The Will topic that it published to.
    will: String,
    who: Arc<Identity>,
    client: Exchanger,
}

/// A client that takes and acknowledges what comes.
struct Exchanger {
    client: Client,
    identifier: PacketIdentifier,
    /// Whether something that was unanswered was tried again.
    has_tried_again: bool,
    /// Whether the broker ended the connection.
    has_ended: bool,
}

/// Why there is no subscription; follows the name of the filter.
#[derive(Debug, thiserror::Error)]
enum Unsubscribed {
    #[error("is not answered within {}", span(*.0))]
    Unanswered(Duration),
    #[error("{0}")]
    Otherwise(String),
}

struct UnderWay<'a> {
    topic: &'a str,
    payload: &'a [u8],
    is_acknowledged: bool,
    is_delivered: bool,
    /// The Reason Code of a DISCONNECT.
    disconnect_code: Option<u8>,
}

impl Exchanger {
    fn new(client: Client) -> Self {
        Self { client, identifier: PacketIdentifier::MAX, has_tried_again: false, has_ended: false }
    }

    /// Subscribes, and returns the granted QoS.
    async fn subscribe(&mut self, filter: &str, qos: QoS, within: Duration) -> Result<QoS, Unsubscribed> {
        let otherwise = |why: String| Err(Unsubscribed::Otherwise(why));
        let identifier = self.next_identifier();
        let filters = [Subscription::new(filter, qos)];
        let mut bytes = Vec::new();
        if let Err(error) = Subscribe::new(identifier, &filters).encode(self.client.version, &mut bytes) {
            return otherwise(format!("can't be encoded: {error}"));
        }
        // An end of the connection is read next.
        let _ended = self.client.connection.send(&bytes).await;
        let deadline = now() + within;
        loop {
            match self.next(deadline).await {
                None => return Err(Unsubscribed::Unanswered(within)),
                Some(Arrival::End(end)) => {
                    self.has_ended = true;
                    let why = end.why.map(|why| format!(" ({why})")).unwrap_or_default();
                    return otherwise(format!("is answered by the end of the connection{why}"));
                }
                Some(Arrival::Unframeable { bytes, .. }) => {
                    return otherwise(format!("is answered by what is no packet: {}", hex(&bytes)));
                }
                Some(Arrival::Packet(packet)) => {
                    if let Packet::SubAck(suback) = packet.frame().decode(self.client.version).packet {
                        let code = suback.reason_codes.first().copied().unwrap_or(0x80);
                        return QoS::try_from(code)
                            .or_else(|_| otherwise(format!("is refused (SUBACK 0x{code:02X})")));
                    }
                }
            }
        }
    }

    /// Publishes, and waits for the acknowledgement.
    async fn publish(&mut self, topic: &str, qos: QoS) -> Result<(), Unserved> {
        let mut under_way = UnderWay {
            topic,
            payload: LEVEL.as_bytes(),
            is_acknowledged: qos == QoS::AtMostOnce,
            is_delivered: true,
            disconnect_code: None,
        };
        self.send(&mut under_way, qos).await
    }

    /// Those of the awaited topics from which no message comes in time.
    async fn not_heard<T>(&mut self, mut awaited: BTreeMap<String, T>) -> BTreeMap<String, T> {
        let deadline = now() + SERVED_WITHIN;
        while !awaited.is_empty() {
            match self.next(deadline).await {
                Some(Arrival::Packet(packet)) => {
                    if let Packet::Publish(publish) = packet.frame().decode(self.client.version).packet {
                        awaited.remove(publish.topic);
                    }
                }
                Some(Arrival::End(_) | Arrival::Unframeable { .. }) | None => break,
            }
        }
        awaited
    }

    /// Whether a PINGREQ is answered, or the connection ends, which is an answer too. Earlier packets are late.
    async fn is_answered(&mut self) -> bool {
        // An end of the connection is read next.
        let _ended = self.client.ping().await;
        let deadline = now() + SERVED_WITHIN;
        loop {
            match self.next(deadline).await {
                None => return false,
                Some(Arrival::End(_) | Arrival::Unframeable { .. }) => {
                    self.has_ended = true;
                    return true;
                }
                Some(Arrival::Packet(packet)) => {
                    if matches!(packet.frame().decode(self.client.version).packet, Packet::PingResp) {
                        return true;
                    }
                }
            }
        }
    }

    /// Publishes a message at `qos`, and waits for its acknowledgement and delivery.
    async fn exchange(&mut self, topic: &str, qos: QoS) -> Result<(), Unserved> {
        let payload = [qos.level()];
        let is_acknowledged = qos == QoS::AtMostOnce;
        let mut under_way = UnderWay {
            topic,
            payload: &payload,
            is_acknowledged,
            is_delivered: false,
            disconnect_code: None,
        };
        self.send(&mut under_way, qos).await
    }

    /// Sends the message, and waits for what is still to come of it.
    async fn send(&mut self, under_way: &mut UnderWay<'_>, qos: QoS) -> Result<(), Unserved> {
        let packet_identifier = (qos > QoS::AtMostOnce).then(|| self.next_identifier().get());
        let mut bytes = Vec::new();
        let publish = Publish { qos, packet_identifier, ..Publish::new(under_way.topic, under_way.payload) };
        publish.encode(self.client.version, &mut bytes).expect("a topic below a root that was checked");
        // An end of the connection is read next.
        let _ended = self.client.connection.send(&bytes).await;
        let deadline = now() + SERVED_WITHIN;
        while !(under_way.is_acknowledged && under_way.is_delivered) {
            match self.next(deadline).await {
                Some(Arrival::Packet(packet)) => {
                    let answer = under_way.take(self.client.version, &packet)?;
                    if !answer.is_empty() {
                        let _ended = self.client.connection.send(&answer).await;
                    }
                }
                Some(Arrival::End(_) | Arrival::Unframeable { .. }) => {
                    self.has_ended = true;
                    return Err(Unserved::Closed { disconnect_code: under_way.disconnect_code });
                }
                None if !under_way.is_acknowledged => return Err(Unserved::NotAcknowledged),
                None => return Err(Unserved::NotDelivered),
            }
        }
        Ok(())
    }

    fn next_identifier(&mut self) -> PacketIdentifier {
        self.identifier = self.identifier.next();
        self.identifier
    }

    async fn next(&mut self, deadline: Instant) -> Option<Arrival> {
        // A broker that never stops sending does not block us forever.
        if now() > deadline + LATE_MAX {
            return None;
        }
        timeout_at(deadline.into(), self.client.connection.next()).await.ok()
    }
}

impl UnderWay<'_> {
    /// Takes a packet; returns the bytes of the answer.
    fn take(&mut self, version: ProtocolVersion, packet: &ReceivedPacket) -> Result<Vec<u8>, Unserved> {
        let mut answer = Vec::new();
        let mut say = |packet: fn(Ack<'static>) -> Packet<'static>, identifier: u16| {
            if let Some(identifier) = PacketIdentifier::new(identifier) {
                let encoded = packet(Ack::new(identifier)).encode(version, &mut answer);
                encoded.expect("an acknowledgement without a code is legal");
            }
        };
        match packet.frame().decode(version).packet {
            Packet::Publish(publish) => {
                match (publish.qos, publish.packet_identifier) {
                    (QoS::AtLeastOnce, Some(identifier)) => say(Packet::PubAck, identifier),
                    (QoS::ExactlyOnce, Some(identifier)) => say(Packet::PubRec, identifier),
                    _ => {}
                }
                self.is_delivered |= publish.topic == self.topic && publish.payload == self.payload;
            }
            Packet::PubRel(ack) => say(Packet::PubComp, ack.packet_identifier),
            Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason_code.is_error() => {
                return Err(Unserved::Refused(ack.reason_code.0));
            }
            Packet::PubRec(ack) => say(Packet::PubRel, ack.packet_identifier),
            Packet::PubAck(_) | Packet::PubComp(_) => self.is_acknowledged = true,
            Packet::Disconnect(disconnect) => self.disconnect_code = Some(disconnect.reason_code.0),
            _ => {}
        }
        Ok(answer)
    }
}
