//! A histogram as text, as in `metrics.hlog`: HdrHistogram's V2 encoding, compressed, in base64. For what a later merge needs
//! exactly; other programs read it too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::{HIGHEST_US, LOWEST_US, SIGNIFICANT_DIGITS, histogram};

/// A histogram with the common range and precision as text; empty without samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Encoded(String);

impl Encoded {
    /// The text of `histogram`. Equal histograms have equal texts.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .expect("memory takes every histogram of the common range");
        Self(STANDARD.encode(bytes))
    }

    /// Whether it has no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The histogram.
    ///
    /// # Errors
    /// Why the text is none.
    pub fn histogram(&self) -> Result<Histogram<u64>, String> {
        if self.is_empty() { Ok(histogram()) } else { decoded(&self.0) }
    }
}

/// The histogram in this text. One of another range or precision is refused: it can't be added to others without loss.
pub(crate) fn decoded(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
    let read: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| format!("a histogram can't be read: {error:?}"))?;
    let is_common = (read.low(), read.high(), read.sigfig()) == (LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS);
    if is_common { Ok(read) } else { Err("a histogram has another range or precision than ours".to_owned()) }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::Encoded;
    use crate::metric::{histogram, merge};

    fn of(values: &[u64]) -> Histogram<u64> {
        let mut recorded = histogram();
        values.iter().for_each(|value| recorded.saturating_record(*value));
        recorded
    }

    #[test]
    fn a_histogram_of_another_range_is_refused() {
        let mut foreign = Histogram::<u64>::new_with_bounds(1, 1_000, 2).unwrap();
        foreign.record(7).unwrap();
        let refused = Encoded::of(&foreign).histogram().unwrap_err();
        assert!(refused.contains("another range"), "{refused}");
        for damaged in ["x", "AAAA", "HISTFAAAAA=="] {
            assert!(Encoded(damaged.to_owned()).histogram().is_err(), "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn the_texts_of_shards_merge_to_the_text_of_one_recorder(
            samples in prop::collection::vec((0_u64..5_000_000_000, 0_usize..4), 0..300),
        ) {
            let shard = |wanted| {
                let of_shard = samples.iter().filter(|(_, shard)| *shard == wanted);
                Encoded::of(&of(&of_shard.map(|(value, _)| *value).collect::<Vec<_>>()))
            };
            let mut merged = histogram();
            for number in 0..4 {
                merge(&mut merged, &shard(number).histogram().unwrap());
            }
            let whole = of(&samples.iter().map(|(value, _)| *value).collect::<Vec<_>>());
            prop_assert_eq!(Encoded::of(&merged), Encoded::of(&whole));
            prop_assert_eq!(merged, whole);
        }
    }
}
