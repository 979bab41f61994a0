//! Which hosts a run may be aimed at. A pure function over resolved addresses: against the wrong host, these tools
//! are an attack.

use std::net::IpAddr;

/// Brokers that are open to the public for testing. Runs against them are always refused.
const PUBLIC_TEST_BROKERS: [&str; 12] = [
    "test.mosquitto.org",
    "broker.emqx.io",
    "broker-cn.emqx.io",
    "broker.hivemq.com",
    "mqtt-dashboard.com",
    "broker.mqtt.cool",
    "mqtt.eclipseprojects.io",
    "iot.eclipse.org",
    "mqtt.flespi.io",
    "mqtt.fluux.io",
    "test.mqtt.io",
    "public.mqtthq.com",
];

/// Why a host is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A public test broker.
    #[error("{0} is a public test broker: runs against it are always refused, start one of your own")]
    PublicTestBroker(String),
    /// An address outside loopback, private, link-local and unique-local ranges, without the owner's consent.
    #[error(
        "{host} resolves to {address}, which is neither loopback nor private: this would load or break somebody else's \
         broker; if it is yours, add --i-own-this-broker {host}"
    )]
    NotPrivate {
        /// The host as given.
        host: String,
        /// The first address that is not private.
        address: IpAddr,
    },
    /// The consent names another host.
    #[error("--i-own-this-broker names {named:?}, but the run is aimed at {host:?}: repeat the host exactly")]
    OtherHostOwned {
        /// The host that the run is aimed at.
        host: String,
        /// The host that was named.
        named: String,
    },
}

/// Whether a run may be aimed at `host`, which resolved to `addresses`, given the host named by
/// `--i-own-this-broker`. Every address must pass, because the connection may go to any of them.
///
/// # Errors
/// Why the host is refused.
pub fn permit(host: &str, addresses: &[IpAddr], owned: Option<&str>) -> Result<(), Refusal> {
    let bare = host.trim_end_matches('.').to_ascii_lowercase();
    let is_public_test = |broker: &&str| bare == **broker || bare.ends_with(&format!(".{broker}"));
    if PUBLIC_TEST_BROKERS.iter().any(is_public_test) {
        return Err(Refusal::PublicTestBroker(host.to_owned()));
    }
    let Some(address) = addresses.iter().copied().find(|address| !is_private(*address)) else {
        return Ok(());
    };
    match owned {
        Some(named) if named == host => Ok(()),
        Some(named) => Err(Refusal::OtherHostOwned { host: host.to_owned(), named: named.to_owned() }),
        None => Err(Refusal::NotPrivate { host: host.to_owned(), address }),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Refusal, permit};

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn private_addresses_need_no_consent() {
        let private = "127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 172.31.255.255 192.168.0.1 169.254.1.1 ::1 fd00::1 \
                       fc00::1 fe80::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1";
        for address in private.split_whitespace() {
            assert_eq!(permit("broker", &addresses(&[address]), None), Ok(()), "{address}");
        }
    }

    #[test]
    fn other_addresses_need_the_owners_consent() {
        let public = "8.8.8.8 172.32.0.1 172.15.0.1 192.169.0.1 11.0.0.1 100.64.0.1 0.0.0.0 128.0.0.1 224.0.0.1 \
                      255.255.255.255 :: 2001:db8::1 ff02::1 fec0::1 ::ffff:8.8.8.8";
        for address in public.split_whitespace() {
            let permitted = permit("broker", &addresses(&[address]), None);
            assert!(matches!(permitted, Err(Refusal::NotPrivate { .. })), "{address}");
        }
    }

    #[test]
    fn one_public_address_among_private_ones_is_enough_to_refuse() {
        let found = permit("broker", &addresses(&["10.0.0.1", "9.9.9.9", "::1"]), None);
        let expected = Refusal::NotPrivate { host: "broker".into(), address: "9.9.9.9".parse().unwrap() };
        assert_eq!(found, Err(expected));
    }

    #[test]
    fn consent_counts_only_for_exactly_the_host_of_the_run() {
        let public = addresses(&["9.9.9.9"]);
        assert_eq!(permit("broker.example", &public, Some("broker.example")), Ok(()));
        for named in ["broker", "Broker.example", "broker.example.", "9.9.9.9", ""] {
            let permitted = permit("broker.example", &public, Some(named));
            assert!(matches!(permitted, Err(Refusal::OtherHostOwned { .. })), "{named}");
        }
    }

    #[test]
    fn public_test_brokers_are_always_refused() {
        for host in ["test.mosquitto.org", "TEST.mosquitto.ORG", "broker.emqx.io.", "eu.broker.hivemq.com"] {
            for resolved in [addresses(&["127.0.0.1"]), addresses(&["9.9.9.9"]), vec![]] {
                let permitted = permit(host, &resolved, Some(host));
                assert!(matches!(permitted, Err(Refusal::PublicTestBroker(_))), "{host}");
            }
        }
        assert_eq!(permit("nottest.mosquitto.org.example", &addresses(&["10.0.0.1"]), None), Ok(()));
    }
}
