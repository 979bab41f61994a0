//! What the modes of the flood have in common: choosing variants, and making a fault for each of them and each version.

use std::sync::Arc;
use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::error::Mistake;
use ungraceful_rig::fault::Fault;
use ungraceful_rig::run::MakeFaults;

use crate::cli::given::{Given, Readable};

/// What the waits of an attempt come to at the most, beside the one for a reaction: each is as long as that one, and a
/// broker that goes on answering is given a dozen.
pub(super) const WAITS: Duration = Duration::from_secs(60);

/// How long it takes to publish so many messages, at the most, to a broker that takes a thousand a second.
pub(super) const fn publishing(messages: u64) -> Duration {
    Duration::from_millis(messages).saturating_add(WAITS)
}

/// The variants that were named, in the order of `all`; all of them when none was.
pub(super) fn chosen<V: Readable + PartialEq>(
    all: &[V],
    given: &[Given<V>],
    mistakes: &mut Vec<Mistake>,
) -> Vec<V> {
    let named: Vec<V> = given.iter().filter_map(|variant| variant.take("--variant", mistakes)).collect();
    all.iter().filter(|variant| named.is_empty() || named.contains(variant)).cloned().collect()
}

/// Makes a fault of each variant and version for which there is one.
pub(super) fn each<V, F>(
    variants: Vec<V>,
    fault: impl Fn(V, ProtocolVersion) -> Option<F> + Send + Sync + 'static,
) -> Box<MakeFaults>
where
    V: Copy + Send + Sync + 'static,
    F: Fault + 'static,
{
    Box::new(move |spoken| {
        let faults =
            spoken.iter().flat_map(|version| variants.iter().map(move |variant| (*variant, *version)));
        faults
            .filter_map(|(variant, version)| Some(Arc::new(fault(variant, version)?) as Arc<dyn Fault>))
            .collect()
    })
}
