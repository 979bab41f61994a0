//! The broker under test: found or started, and tried in each version.

use std::collections::BTreeMap;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::live::Observer;
use ungraceful_record::offers::Offers;
use ungraceful_record::run::{
    BrokerOrigin, BrokerRecord, NodeRecord, VersionRecord, generated_client_id_prefix, transport,
};
use ungraceful_record::scale::{listed, span};
use ungraceful_wire::{ConnectOptions, Endpoint};

use crate::broker::clients::Clients;
use crate::broker::log_follower::LogFollower;
use crate::broker::nodes::{Node, Nodes};
use crate::broker::owned::{MosquittoSetup, OwnedBroker};
use crate::broker::preflight::{Unfit, try_version};
use crate::broker::process::process_name;
use crate::broker::rights::{Companions, Probe};
use crate::broker::target::{BrokerChoice, Target, TargetSettings};
use crate::bystanders::pulse::Pulse;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::run::settings::Common;

/// The broker, found or started, and its answers.
pub(crate) struct Broker {
    pub(crate) owned: Option<OwnedBroker>,
    /// It, or its nodes.
    pub(crate) nodes: Nodes,
    pub(crate) spoken: Vec<ProtocolVersion>,
    pub(crate) record: BrokerRecord,
    /// Its log, from before the first packet of the run; absent when unknown.
    pub(crate) log: Option<LogFollower>,
}

impl Broker {
    pub(crate) fn offers(&self) -> Offers {
        Offers::known(&self.record)
    }

    pub(crate) fn newest_version(&self) -> ProtocolVersion {
        self.spoken.iter().copied().max().unwrap_or(ProtocolVersion::V5)
    }

    /// Finds the broker that the user named, or starts one, and tries the versions.
    pub(crate) async fn find(
        common: &Common,
        options: &ConnectOptions,
        counts: (u64, u64),
    ) -> Result<Self, RunError> {
        let settings = &common.target;
        let log = common.watch.follow_log().map_err(|mistake| RunError::Usage(vec![mistake]))?;
        let (owned, target, origin) = match &settings.broker {
            BrokerChoice::Embedded => started(OwnedBroker::embedded()?, BrokerOrigin::Embedded),
            BrokerChoice::SpawnMosquitto => {
                started(OwnedBroker::mosquitto(MosquittoSetup::Open)?, BrokerOrigin::Spawned)
            }
            BrokerChoice::SpawnAdministeredMosquitto => {
                started(OwnedBroker::mosquitto(MosquittoSetup::Administered)?, BrokerOrigin::Spawned)
            }
            BrokerChoice::Host { host, port } => {
                let mut target = Target::resolve(host, *port, settings.owned_host.as_deref())?;
                target.prefer_reachable(options).await;
                (None, target, BrokerOrigin::External)
            }
        };
        let nodes = nodes(settings, &target, options).await?;
        // The log of a broker that the run started needs no flag and is optional.
        let own_log = || LogFollower::at_end(owned.as_ref()?.log()?).ok();
        let log = log.or_else(own_log);
        let clients = trying_clients(common, preflight_client_id_prefix(common), String::new(), counts);
        let (mut spoken, mut versions) =
            try_versions(common, target.endpoint(), &nodes.first().options(options), &clients).await?;
        let mut further_nodes = Vec::new();
        for node in &nodes.all()[1..] {
            let (too, of_node) =
                try_versions(common, node.endpoint, &node.options(options), &clients).await?;
            spoken.retain(|version| too.contains(version));
            keep_to(&mut versions, &of_node);
            let (target, address) = (node.name.clone(), node.endpoint.address.to_string());
            further_nodes.push(NodeRecord { target, address, versions: of_node });
        }
        if spoken.is_empty() {
            let what = "the hosts of --host have no version of MQTT in common; leave some of them out";
            return Err(RunError::Environment(what.to_owned()));
        }
        let pid = owned.as_ref().map(OwnedBroker::pid).or(common.watch.pid);
        let record = BrokerRecord {
            origin,
            name: owned.as_ref().map(|owned| owned.name.clone()),
            target: listed_nodes(&nodes, |node| node.name.clone()),
            address: listed_nodes(&nodes, |node| node.endpoint.address.to_string()),
            tls: settings.tls_record(),
            websocket: settings.websocket_record(),
            pid,
            process_name: pid.and_then(process_name),
            versions,
            further_nodes,
            ..BrokerRecord::default()
        };
        Ok(Self { owned, nodes, spoken, record, log })
    }

    /// Tries at each node the user's rights on the run's topics and each QoS, and whether so many `connections` are admitted at the same
    /// time, over all nodes; where
    /// clients vary, the rights of each client that misbehaves or loads; `counts` are theirs and the honest ones'.
    /// Records the QoS limit.
    pub(crate) async fn probe(
        &mut self,
        common: &Common,
        options: &ConnectOptions,
        of_run: &str,
        (connections, counts): (u64, (u64, u64)),
        companions: &Companions,
    ) -> Result<(), RunError> {
        // Unique to this run: another one may be using the same broker.
        let client_id_prefix = generated_client_id_prefix(&preflight_client_id_prefix(common), common.seed.0);
        let clients = trying_clients(common, client_id_prefix, of_run.to_owned(), counts);
        let probe = |node| Probe {
            node,
            nodes: &self.nodes,
            options,
            clients: &clients,
            maximum_qos: self.offers().maximum_qos,
            companions,
        };
        let mut limits = Vec::new();
        for node in self.nodes.all() {
            let probe = probe(node);
            for version in &self.spoken {
                limits.extend(probe.serves(*version).await.map_err(|error| probe.at_its_node(error))?);
            }
            if clients.vary() {
                let served =
                    probe.serves_each(self.newest_version(), counts.0, common.bystanders.pairs).await;
                served.map_err(|error| probe.at_its_node(error))?;
            }
        }
        // Others have no row or number of their own.
        let connections = if clients.vary() { connections.min(counts.0 + counts.1) } else { connections };
        probe(self.nodes.first()).admits(self.newest_version(), connections).await?;
        self.record.qos_limit = limits.into_iter().min_by_key(|limit| limit.maximum_qos);
        Ok(())
    }

    pub(crate) fn announce(&self, common: &Common, observer: &mut dyn Observer) {
        let name = match self.record.origin {
            BrokerOrigin::Embedded => "embedded broker",
            BrokerOrigin::Spawned => "mosquitto, started for this run,",
            BrokerOrigin::External => "broker",
        };
        let versions: Vec<String> = self.spoken.iter().map(ToString::to_string).collect();
        observer.note(&format!(
            "{} → {name} at {}{}, MQTT {}, seed {}, {} at the longest",
            common.tool.name,
            self.record.target,
            transport(self.record.tls, self.record.websocket.as_ref()),
            versions.join(" and "),
            common.seed,
            span(common.bound.longest)
        ));
        for version in self.record.versions.iter().filter(|version| !version.spoken) {
            let why = version.why_not.as_deref().unwrap_or_default();
            observer.note(&format!("MQTT {} is skipped: {why}", version.version));
        }
    }
}

/// The broker that was found, and the other hosts of the user's list.
async fn nodes(
    settings: &TargetSettings,
    first: &Target,
    options: &ConnectOptions,
) -> Result<Nodes, RunError> {
    let node = |target: &Target, host: Option<&str>| Node {
        name: target.name.clone(),
        endpoint: target.endpoint(),
        server_name: host.map(str::to_owned),
        pulse: Pulse::default(),
    };
    let further = settings.nodes.as_ref();
    let first_host = match &settings.broker {
        BrokerChoice::Host { host, .. } => further.filter(|nodes| nodes.named).map(|_| host.as_str()),
        _ => None,
    };
    let mut all = vec![node(first, first_host)];
    for (host, port) in further.iter().flat_map(|nodes| &nodes.further) {
        let mut target = Target::resolve(host, *port, settings.owned_host.as_deref())?;
        target.prefer_reachable(options).await;
        all.push(node(&target, further.filter(|nodes| nodes.named).map(|_| host.as_str())));
    }
    Ok(Nodes::new(all, further.map(|nodes| nodes.order).unwrap_or_default()))
}

fn listed_nodes(nodes: &Nodes, part: impl Fn(&Node) -> String) -> String {
    nodes.all().iter().map(part).collect::<Vec<_>>().join(", ")
}

fn started(owned: OwnedBroker, origin: BrokerOrigin) -> (Option<OwnedBroker>, Target, BrokerOrigin) {
    let target = Target { name: owned.address.to_string(), addresses: vec![owned.address] };
    (Some(owned), target, origin)
}

/// Leaves of the versions those that a further node supports too.
fn keep_to(versions: &mut [VersionRecord], of_node: &[VersionRecord]) {
    for version in versions.iter_mut().filter(|version| version.spoken) {
        let lacks = |other: &&VersionRecord| other.version == version.version && !other.spoken;
        if let Some(other) = of_node.iter().find(lacks) {
            (version.spoken, version.why_not) = (false, other.why_not.clone());
        }
    }
}

/// The clients that try the broker before the run.
fn trying_clients(common: &Common, prefix: String, of_run: String, counts: (u64, u64)) -> Clients {
    Clients::new(common.target.clients.clone(), prefix, of_run, counts, RunClock::start())
}

/// Prefix of the ClientIDs that try a version; the version's level follows.
pub(crate) fn preflight_client_id_prefix(common: &Common) -> String {
    format!("{}pre", common.client_id_prefix)
}

async fn try_versions(
    common: &Common,
    endpoint: Endpoint,
    options: &ConnectOptions,
    clients: &Clients,
) -> Result<(Vec<ProtocolVersion>, Vec<VersionRecord>), RunError> {
    let settings = &common.target;
    let (mut spoken, mut records, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    let mut closes_always = true;
    for version in &settings.versions {
        let client = clients.trying(&version.level().to_string());
        let why = match try_version(endpoint, options, &client, *version).await {
            Ok(record) => {
                spoken.push(*version);
                records.push(record);
                continue;
            }
            Err(Unfit::VersionRefused { why, is_closed }) => {
                closes_always &= is_closed;
                why
            }
            // A broker is there: it answered another version a moment ago.
            Err(Unfit::Silent(_)) if !spoken.is_empty() => {
                let within = span(options.connect_timeout);
                format!("{} does not answer a CONNECT of this version within {within}", endpoint.address)
            }
            Err(Unfit::Unreachable(why)) if spoken.is_empty() => return Err(RunError::Unreachable(why)),
            Err(Unfit::Unreachable(why)) => {
                return Err(RunError::Unreachable(format!(
                    "the broker went down: it accepted MQTT {} a moment ago, and now {why}",
                    listed(&spoken.iter().map(ToString::to_string).collect::<Vec<_>>())
                )));
            }
            Err(Unfit::Unusable(why) | Unfit::Silent(why)) => return Err(RunError::Environment(why)),
        };
        refusals.push(format!("MQTT {version}: {why}"));
        records.push(VersionRecord {
            version: version.to_string(),
            spoken: false,
            why_not: Some(why),
            connack_properties: BTreeMap::new(),
            connack_time_us: None,
        });
    }
    if spoken.is_empty()
        && closes_always
        && !options.transport.is_layered()
        && endpoint.speaks_tls(options).await
    {
        return Err(RunError::Environment(format!(
            "{} expects TLS: add --tls, and --cafile FILE if this system does not trust the certificate's issuer",
            endpoint.address
        )));
    }
    if spoken.is_empty() && closes_always {
        return Err(RunError::Unreachable(format!(
            "the broker accepts connections and closes them without a CONNACK ({}): check whether it is up, its credentials \
             and access rules, its limit of connections, and whether the port expects TLS",
            refusals.join("; ")
        )));
    }
    if spoken.is_empty() || (settings.versions_required && !refusals.is_empty()) {
        return Err(RunError::Environment(format!(
            "the broker does not support what the run needs: {}; choose with -V, and where it closes without a CONNACK, \
             check credentials, access rules, its limit of connections, and whether the port expects TLS",
            refusals.join("; ")
        )));
    }
    Ok((spoken, records))
}
