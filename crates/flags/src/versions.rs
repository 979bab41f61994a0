//! The flag that chooses versions of MQTT.

use clap::Args;
use ungraceful_mqtt::ProtocolVersion;

use crate::reader::reader;

/// The flag for MQTT versions.
#[derive(Args, Clone, Debug, Default)]
pub struct Versions {
    /// MQTT versions, separated by commas: 3.1.1 (or 4), 5 (or 5.0) [default: both, if the broker supports them]
    #[arg(
        short = 'V',
        long,
        value_name = "VERSION",
        value_delimiter = ',',
        value_parser = reader::<ProtocolVersion>(),
        help_heading = "Fault"
    )]
    pub protocol_version: Vec<ProtocolVersion>,
}

/// The selected versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The versions, each once, older ones first.
    pub versions: Vec<ProtocolVersion>,
    /// Whether the user named them: then a broker that does not support one of them ends the run before it begins.
    pub are_named: bool,
}

impl Versions {
    /// The named versions; both when none is named.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let are_named = !self.protocol_version.is_empty();
        let is_wanted = |version: &ProtocolVersion| !are_named || self.protocol_version.contains(version);
        Wanted { versions: ProtocolVersion::ALL.into_iter().filter(is_wanted).collect(), are_named }
    }
}
