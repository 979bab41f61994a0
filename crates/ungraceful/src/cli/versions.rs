//! The flag by which versions of MQTT are chosen.

use clap::Args;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::error::Mistake;

use super::given::Given;

/// Which versions to speak.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct VersionArgs {
    /// MQTT versions, separated by commas: 3.1.1 (or 4), 5 (or 5.0) [default: both, those that the broker speaks]
    #[arg(
        short = 'V',
        long,
        value_name = "VERSION",
        env = "UNGRACEFUL_PROTOCOL_VERSION",
        value_delimiter = ','
    )]
    protocol_version: Vec<Given<ProtocolVersion>>,
}

impl VersionArgs {
    /// The versions, each once, and whether the user named them.
    pub fn versions(&self, mistakes: &mut Vec<Mistake>) -> (Vec<ProtocolVersion>, bool) {
        let named: Vec<ProtocolVersion> = self
            .protocol_version
            .iter()
            .filter_map(|version| version.take("--protocol-version", mistakes))
            .collect();
        let versions = [ProtocolVersion::V3_1_1, ProtocolVersion::V5]
            .into_iter()
            .filter(|version| named.is_empty() || named.contains(version))
            .collect();
        (versions, !named.is_empty())
    }
}
