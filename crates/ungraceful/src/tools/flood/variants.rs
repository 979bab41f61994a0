//! What the modes of the flood have in common: choosing variants, and making a fault for each of them and each version.

use std::sync::Arc;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::error::Mistake;
use ungraceful_rig::fault::Fault;
use ungraceful_rig::run::MakeFaults;

use crate::cli::given::{Given, Readable};

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
