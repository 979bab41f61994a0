//! What modes have in common whose cases are variants of a fault, those of the flood and others: making a fault for each of them and each version.

use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::run::settings::MakeFaults;

use crate::cli::given::{Given, Time};

/// The longest that an attempt takes which publishes so many messages of `size` bytes: its waits, each as long as the
/// reaction timeout, and the messages themselves, for a broker that takes 500 of them a second and 8 MiB. It is given up
/// then.
pub(super) fn longest(matches: &ArgMatches, messages: u64, size: u64) -> Duration {
    /// A flood waits for a broker that goes on answering a dozen times, and for what it delivers.
    const WAITS: u32 = 16;
    /// Waits that have a length of their own.
    const BESIDES: Duration = Duration::from_secs(15);
    const BYTES_A_MILLISECOND: u64 = 8 * 1024;
    let given = matches.get_one::<Given<Time>>("reaction_timeout");
    // A mistake in it is told where it is read.
    let reaction_timeout =
        given.and_then(|given| given.take("", &mut Vec::new())).map_or(Duration::ZERO, |time| time.0);
    let publishing_ms =
        messages.saturating_mul(2).saturating_add(messages.saturating_mul(size) / BYTES_A_MILLISECOND);
    Duration::from_millis(publishing_ms)
        .saturating_add(reaction_timeout.saturating_mul(WAITS))
        .saturating_add(BESIDES)
}

/// Makes a fault of each variant and version for which there is one.
pub(in crate::tools) fn each<V, F>(
    variants: Vec<V>,
    fault: impl Fn(V, ProtocolVersion) -> Option<F> + Send + Sync + 'static,
) -> Arc<MakeFaults>
where
    V: Copy + Send + Sync + 'static,
    F: Fault + 'static,
{
    Arc::new(move |spoken| {
        let faults =
            spoken.iter().flat_map(|version| variants.iter().map(move |variant| (*variant, *version)));
        faults
            .filter_map(|(variant, version)| Some(Arc::new(fault(variant, version)?) as Arc<dyn Fault>))
            .collect()
    })
}
