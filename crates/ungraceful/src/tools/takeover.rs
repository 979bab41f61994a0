//! `ungraceful-takeover`: what happens when clients come back before the broker noticed that they were gone?

use clap::Args;
use ungraceful_faults::connection::takeover::VersionPair;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Readable};
use crate::launch::Tool;

mod dead_peer;
mod duel;
mod flap;
mod race;
mod storm;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-takeover",
    question: "What happens when clients come back before the broker noticed that they were gone (same ClientID)?",
    modes: &[&storm::Storm, &duel::Duel, &dead_peer::DeadPeer, &race::Race, &flap::Flap],
};

/// The versions of the older connection and of the newcomer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct VersionPairArgs {
    /// MQTT versions, separated by commas: 3.1.1 (or 4), 5 (or 5.0); and mixed, older connection first: 3.1.1-to-5, 5-to-3.1.1 [default: 3.1.1 and 5, those that the broker speaks]
    #[arg(
        short = 'V',
        long,
        value_name = "VERSION",
        env = "UNGRACEFUL_PROTOCOL_VERSION",
        value_delimiter = ','
    )]
    protocol_version: Vec<Given<VersionPair>>,
}

/// What versions a run is to speak.
#[derive(Clone, Debug)]
struct Pairs {
    /// Each pair once.
    pairs: Vec<VersionPair>,
    /// Every version of these, each once.
    versions: Vec<ProtocolVersion>,
    /// Whether the user named them.
    named: bool,
}

impl VersionPairArgs {
    fn pairs(&self, mistakes: &mut Vec<Mistake>) -> Pairs {
        let mut pairs: Vec<VersionPair> = self
            .protocol_version
            .iter()
            .filter_map(|pair| pair.take("--protocol-version", mistakes))
            .collect();
        let named = !self.protocol_version.is_empty();
        if !named {
            pairs = [ProtocolVersion::V3_1_1, ProtocolVersion::V5].map(VersionPair::both).to_vec();
        }
        pairs.sort_unstable();
        pairs.dedup();
        let versions = [ProtocolVersion::V3_1_1, ProtocolVersion::V5]
            .into_iter()
            .filter(|version| pairs.iter().any(|pair| pair.old == *version || pair.new == *version))
            .collect();
        Pairs { pairs, versions, named }
    }
}

impl Pairs {
    /// Those of which the broker speaks both.
    fn spoken(&self, spoken: &[ProtocolVersion]) -> impl Iterator<Item = VersionPair> {
        self.pairs.iter().copied().filter(|pair| spoken.contains(&pair.old) && spoken.contains(&pair.new))
    }
}

impl Readable for VersionPair {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
}
