//! Who each client of a load is, and what it sends first.

use ungraceful_rig::broker::clients::{Identity, filled_in, filter_of_all};
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::load::LoadStage;
use ungraceful_wire::Tls;

use crate::client::{Client, Role};
use crate::handshake::{connect, subscribe};
use crate::settings::LoadSettings;
use crate::shape::{GROUP, Shape};

/// What a client connects with.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) connect: Vec<u8>,
    /// Empty for a client that does not subscribe.
    pub(crate) subscribe: Vec<u8>,
    /// TLS with the client's own certificate; that of the run when absent.
    pub(crate) tls: Option<Tls>,
}

impl Greeting {
    /// The greeting of a client.
    ///
    /// The error says what of it can't be written.
    pub(crate) fn of(client: &Client, settings: &LoadSettings, stage: &LoadStage) -> Result<Self, RunError> {
        let number = client.number;
        let (who, filter) = match &client.role {
            Role::Publisher(_) => (publisher_of(settings, stage, number).1, None),
            Role::Subscriber { .. } => {
                let who = stage.clients.of_load(settings.publishers + number, &format!("s{number:05x}"));
                let filter = filter_of(settings, stage, number, &who)?;
                (who, Some(filter))
            }
            Role::Idle => {
                let in_all = settings.publishers + settings.subscribers + number;
                (stage.clients.of_load(in_all, &format!("c{number:05x}")), None)
            }
        };
        let subscribe = match filter {
            Some(filter) => subscribe(&filter, settings.qos.highest(), stage.version),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            connect: connect(&who, settings, stage.version).map_err(RunError::Environment)?,
            subscribe: subscribe.map_err(RunError::Environment)?,
            tls: who.tls,
        })
    }
}

/// A publisher, and its topic.
pub(crate) fn publisher_of(settings: &LoadSettings, stage: &LoadStage, number: u32) -> (String, Identity) {
    let who = stage.clients.of_load(number, &format!("p{number:05x}"));
    (topic_of(settings.topic.as_ref(), number, &who), who)
}

/// The topic by its template, or the client's own below its topic root.
fn topic_of(template: Option<&String>, number: u32, who: &Identity) -> String {
    match template {
        Some(template) => {
            let user_name = who.credentials.user_name.as_deref().unwrap_or_default();
            filled_in(template, &number.to_string(), &who.client_id, user_name)
        }
        None => format!("{}/load/{number}", who.topic_root),
    }
}

/// The filter of a subscriber.
fn filter_of(
    settings: &LoadSettings,
    stage: &LoadStage,
    number: u32,
    who: &Identity,
) -> Result<String, RunError> {
    let filter = unshared(settings, stage, number, who)?;
    Ok(match settings.shape {
        Shape::Shared if !filter.starts_with("$share/") => format!("$share/{GROUP}/{filter}"),
        _ => filter,
    })
}

/// The filter of a subscriber, before it is shared.
fn unshared(
    settings: &LoadSettings,
    stage: &LoadStage,
    number: u32,
    who: &Identity,
) -> Result<String, RunError> {
    if settings.filter.is_some() {
        return Ok(topic_of(settings.filter.as_ref(), number, who));
    }
    match settings.shape {
        // A subscriber without a publisher has a topic to which nothing is sent.
        Shape::Pairs => Ok(publisher_of(settings, stage, number).0),
        Shape::Everyone if settings.publishers == 1 => Ok(publisher_of(settings, stage, 0).0),
        Shape::Everyone | Shape::Shared => {
            let of_all = match &settings.topic {
                Some(template) => vec![filter_of_all(template)],
                None => stage.clients.filters("load/+"),
            };
            <[String; 1]>::try_from(of_all).map(|[filter]| filter).map_err(|filters| {
                RunError::Environment(format!(
                    "the topics of --clients-file have {} roots, and each subscriber has one subscription: give --topic, or --shape \
                     pairs",
                    filters.len()
                ))
            })
        }
    }
}
