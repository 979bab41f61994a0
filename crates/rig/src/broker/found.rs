//! The broker under test: found or started, and asked which versions it speaks.

use std::collections::BTreeMap;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::live::Observer;
use ungraceful_record::offers::Offers;
use ungraceful_record::run::{BrokerOrigin, BrokerRecord, VersionRecord};
use ungraceful_record::scale::{listed, span};
use ungraceful_wire::{ConnectOptions, Endpoint};

use crate::broker::log_follower::LogFollower;
use crate::broker::owned::{MosquittoSetup, OwnedBroker};
use crate::broker::preflight::{Unfit, try_version};
use crate::broker::process::process_name;
use crate::broker::rights::Probe;
use crate::broker::target::{BrokerChoice, Target};
use crate::error::RunError;
use crate::run::settings::Common;

/// The broker, found or started, and what it answered.
pub(crate) struct Broker {
    pub(crate) owned: Option<OwnedBroker>,
    pub(crate) endpoint: Endpoint,
    pub(crate) spoken: Vec<ProtocolVersion>,
    pub(crate) record: BrokerRecord,
    /// Its log, from before our first packet on; absent when it is not known.
    pub(crate) log: Option<LogFollower>,
}

impl Broker {
    /// What it says that it does.
    pub(crate) fn offers(&self) -> Offers {
        Offers::known(&self.record)
    }

    /// The newest version that was asked for and that it speaks.
    pub(crate) fn newest_version(&self) -> ProtocolVersion {
        self.spoken.iter().copied().max().unwrap_or(ProtocolVersion::V5)
    }

    /// Finds the broker that the user named, or starts one, and asks which versions it speaks.
    ///
    /// # Errors
    /// [`RunError`] when there is none, or none that a run can be made against.
    pub(crate) async fn find(common: &Common, options: &ConnectOptions) -> Result<Self, RunError> {
        let settings = &common.target;
        let log = common.watch.follow_log().map_err(|mistake| RunError::Usage(vec![mistake]))?;
        let (owned, target, origin) = match &settings.broker {
            BrokerChoice::Embedded => {
                let owned = OwnedBroker::embedded()?;
                let target = Target { name: owned.address.to_string(), addresses: vec![owned.address] };
                (Some(owned), target, BrokerOrigin::Embedded)
            }
            BrokerChoice::SpawnMosquitto | BrokerChoice::SpawnAdministeredMosquitto => {
                let setup = match settings.broker {
                    BrokerChoice::SpawnAdministeredMosquitto => MosquittoSetup::Administered,
                    _ => MosquittoSetup::Open,
                };
                let owned = OwnedBroker::mosquitto(setup)?;
                let target = Target { name: owned.address.to_string(), addresses: vec![owned.address] };
                (Some(owned), target, BrokerOrigin::Spawned)
            }
            BrokerChoice::Host { host, port } => {
                let mut target = Target::resolve(host, *port, settings.owned_host.as_deref())?;
                target.prefer_reachable(options).await;
                (None, target, BrokerOrigin::External)
            }
        };
        // The log of a broker that we started needs no flag; without it the run is none the worse.
        let own_log = || LogFollower::at_end(owned.as_ref()?.log()?).ok();
        let log = log.or_else(own_log);
        let endpoint = target.endpoint();
        let (spoken, versions) = try_versions(common, endpoint, options).await?;
        let pid = owned.as_ref().map(OwnedBroker::pid).or(common.watch.pid);
        let record = BrokerRecord {
            origin,
            name: owned.as_ref().map(|owned| owned.name.clone()),
            target: target.name,
            address: endpoint.address.to_string(),
            pid,
            process_name: pid.and_then(process_name),
            versions,
            ..BrokerRecord::default()
        };
        Ok(Self { owned, endpoint, spoken, record, log })
    }

    /// Tries what the run's user may do on the run's topics, which QoS is served, and whether `clients` are let in at the same
    /// time. What is served is kept in the record.
    ///
    /// # Errors
    /// [`RunError`] when the run can't be made with these rights and limits.
    pub(crate) async fn probe(
        &mut self,
        common: &Common,
        options: &ConnectOptions,
        run_root: &str,
        clients: u64,
    ) -> Result<(), RunError> {
        let probe = Probe {
            endpoint: self.endpoint,
            options,
            credentials: &common.target.credentials,
            // Of this run alone: another one may be under way at the same broker.
            client_id_prefix: &format!(
                "{}{:05x}",
                preflight_client_id_prefix(common),
                common.seed.0 & 0xF_FFFF
            ),
            root: &common.target.topic_root,
            run_root,
            maximum_qos: self.offers().maximum_qos,
        };
        let mut limits = Vec::new();
        for version in &self.spoken {
            limits.extend(probe.serves(*version).await?);
        }
        if let Some(version) = self.spoken.iter().max() {
            probe.admits(*version, clients).await?;
        }
        self.record.qos_limit = limits.into_iter().min_by_key(|limit| limit.maximum_qos);
        Ok(())
    }

    /// Tells who watches what the run is aimed at.
    pub(crate) fn announce(&self, common: &Common, observer: &mut dyn Observer) {
        let name = match self.record.origin {
            BrokerOrigin::Embedded => "embedded broker",
            BrokerOrigin::Spawned => "mosquitto, started for this run,",
            BrokerOrigin::External => "broker",
        };
        let versions: Vec<String> = self.spoken.iter().map(ToString::to_string).collect();
        observer.note(&format!(
            "{} → {name} at {}, MQTT {}, seed {}, {} at the longest",
            common.tool.name,
            self.record.target,
            versions.join(" and "),
            common.seed,
            span(common.bound.longest)
        ));
        for version in self.record.versions.iter().filter(|version| !version.spoken) {
            let why = version.why_not.as_deref().unwrap_or_default();
            observer.note(&format!("MQTT {} is left out: {why}", version.version));
        }
    }
}

/// What the ClientIDs begin with that ask for a version; the version's level follows.
pub(crate) fn preflight_client_id_prefix(common: &Common) -> String {
    format!("{}pre", common.client_id_prefix)
}

async fn try_versions(
    common: &Common,
    endpoint: Endpoint,
    options: &ConnectOptions,
) -> Result<(Vec<ProtocolVersion>, Vec<VersionRecord>), RunError> {
    let settings = &common.target;
    let (mut spoken, mut records, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    let mut closes_always = true;
    for version in &settings.versions {
        let client_id = format!("{}{}", preflight_client_id_prefix(common), version.level());
        match try_version(endpoint, options, &settings.credentials, &client_id, *version).await {
            Ok(record) => {
                spoken.push(*version);
                records.push(record);
            }
            Err(Unfit::VersionRefused { why, is_closed }) => {
                closes_always &= is_closed;
                refusals.push(format!("MQTT {version}: {why}"));
                records.push(not_spoken(*version, why));
            }
            // A broker is there: it has answered another version a moment ago.
            Err(Unfit::Silent(_)) if !spoken.is_empty() => {
                let within = span(options.connect_timeout);
                let why = format!("{} answers no CONNECT of this version within {within}", endpoint.address);
                refusals.push(format!("MQTT {version}: {why}"));
                records.push(not_spoken(*version, why));
            }
            Err(Unfit::Unreachable(why)) if spoken.is_empty() => return Err(RunError::Unreachable(why)),
            Err(Unfit::Unreachable(why)) => {
                return Err(RunError::Unreachable(format!(
                    "the broker went down: it accepted MQTT {} a moment ago, and now {why}",
                    listed(&spoken.iter().map(ToString::to_string).collect::<Vec<_>>())
                )));
            }
            Err(Unfit::Unusable(why) | Unfit::Silent(why)) => return Err(RunError::Environment(why)),
        }
    }
    if spoken.is_empty() && closes_always {
        return Err(RunError::Unreachable(format!(
            "the broker accepts connections and closes them without a CONNACK ({}): check whether it is up, its credentials \
             and access rules, its limit of connections, and whether the port wants TLS",
            refusals.join("; ")
        )));
    }
    if spoken.is_empty() || (settings.versions_required && !refusals.is_empty()) {
        return Err(RunError::Environment(format!(
            "the broker does not speak what the run needs: {}; choose with -V, and where it closes without a CONNACK, \
             check credentials, access rules, its limit of connections, and whether the port wants TLS",
            refusals.join("; ")
        )));
    }
    Ok((spoken, records))
}

fn not_spoken(version: ProtocolVersion, why: String) -> VersionRecord {
    VersionRecord {
        version: version.to_string(),
        spoken: false,
        why_not: Some(why),
        connack_properties: BTreeMap::new(),
        connack_time_us: None,
    }
}
