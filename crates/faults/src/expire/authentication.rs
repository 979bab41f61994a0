//! How a client authenticates in its CONNECT.

use ungraceful_mqtt::{Connect, Properties, Property};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::broker::target::{Credentials, Secret};

/// User Name and Password, and an Authentication Method where one is used (MQTT 5.0 alone).
#[derive(Clone, Debug)]
pub(super) struct Authentication {
    pub(super) credentials: Credentials,
    /// The method with its data; absent for authentication by User Name and Password.
    pub(super) method: Option<(String, Secret)>,
}

impl From<Credentials> for Authentication {
    fn from(credentials: Credentials) -> Self {
        Self { credentials, method: None }
    }
}

impl Authentication {
    /// The properties of the method, for [`Self::connect`] or an AUTH.
    pub(super) fn properties(&self) -> Vec<Property<'_>> {
        let method = self.method.as_ref().map(|(name, data)| {
            [Property::AuthenticationMethod(name), Property::AuthenticationData(data.reveal())]
        });
        method.into_iter().flatten().collect()
    }

    /// The CONNECT of a well-behaved client, with the properties of [`Self::properties`].
    pub(super) fn connect<'a>(&'a self, client_id: &'a str, properties: &'a [Property<'a>]) -> Connect<'a> {
        Connect {
            properties: Properties::List(properties),
            ..Client::honest_connect(client_id, &self.credentials)
        }
    }
}
