//! The value of `--metrics`: where the metrics of a run are served.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// An address and a port of this machine. A port alone is one of loopback: only who names another address serves others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsAddress(pub SocketAddr);

impl Default for MetricsAddress {
    fn default() -> Self {
        Self::of_loopback(9464)
    }
}

impl MetricsAddress {
    fn of_loopback(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

impl FromStr for MetricsAddress {
    type Err = String;

    /// `9464`, `:9464`, `localhost:9464`, `10.0.0.5:9464` or `[::1]:9464`.
    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix("localhost").unwrap_or(text);
        let port = port.strip_prefix(':').unwrap_or(port);
        if let Ok(port) = port.parse() {
            return Ok(Self::of_loopback(port));
        }
        text.parse().map(Self).map_err(|_invalid| {
            format!(
                "invalid address {text:?}: give a port of loopback such as 9464, or an IP address of this machine with a port, such \
                 as 10.0.0.5:9464 or [::1]:9464"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::MetricsAddress;

    #[test]
    fn a_port_alone_is_one_of_loopback() {
        for text in ["9464", ":9464", "localhost:9464", "127.0.0.1:9464"] {
            assert_eq!(text.parse::<MetricsAddress>().unwrap().to_string(), "127.0.0.1:9464", "{text}");
        }
    }

    #[test]
    fn other_addresses_are_given_in_full() {
        for text in ["0.0.0.0:9464", "10.0.0.5:80", "[::1]:9464", "[::]:1"] {
            assert_eq!(text.parse::<MetricsAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in
            ["", "everywhere", "localhost", "10.0.0.5", "::1", "65536", "example.org:9464", "127.0.0.1:x"]
        {
            let refused = text.parse::<MetricsAddress>().unwrap_err();
            assert!(refused.contains("such as 9464"), "{text}: {refused}");
        }
    }
}
