//! Who publishes to whom. Every publisher has a topic of its own; the shape says who subscribes to it.

use ungraceful_mqtt::QoS;

ungraceful_record::words! {
    /// Who receives what.
    pub enum Shape: "shape" {
        /// Subscriber n receives what publisher n sends, and nothing else.
        Pairs = "pairs",
        /// Every subscriber receives everything: fan-out, fan-in, many to many.
        Everyone = "everyone",
        /// All subscribers share one subscription, so that each message comes to one of them.
        Shared = "shared",
    }
}

/// The name of the group of a Shared Subscription.
pub(crate) const GROUP: &str = "ungraceful";

/// The QoS of each publisher, by weights: in turn, so that any few of them have about the same mix as all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QosMix {
    turn: Vec<QoS>,
}

impl QosMix {
    /// A mixture; `weights` of zero in all count as QoS 0.
    #[must_use]
    pub fn new(weights: &[(QoS, u32)]) -> Self {
        let all: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        // Each place goes to the QoS that lags most behind its share.
        let mut given = vec![0_u64; weights.len()];
        let turn = (1..=all.min(10_000)).filter_map(|place| {
            let lag = |index: usize| {
                i128::from(u64::from(weights[index].1) * place) - i128::from(given[index] * all)
            };
            let most = (0..weights.len()).max_by_key(|index| (lag(*index), std::cmp::Reverse(*index)))?;
            given[most] += 1;
            Some(weights[most].0)
        });
        let turn: Vec<QoS> = turn.collect();
        Self { turn: if turn.is_empty() { vec![QoS::AtMostOnce] } else { turn } }
    }

    /// The QoS of the publisher with this number.
    #[must_use]
    pub fn of(&self, publisher: u32) -> QoS {
        self.turn[publisher as usize % self.turn.len()]
    }

    /// The highest QoS of any publisher.
    #[must_use]
    pub fn highest(&self) -> QoS {
        self.turn.iter().copied().max().unwrap_or(QoS::AtMostOnce)
    }

    /// Every QoS that there is, ascending.
    #[must_use]
    pub fn all(&self) -> Vec<QoS> {
        let mut all = self.turn.clone();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::QoS;

    use super::QosMix;

    #[test]
    fn publishers_have_their_qos_in_turn_by_weight() {
        let mix = QosMix::new(&[(QoS::AtMostOnce, 2), (QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 1)]);
        let turn: Vec<u8> = (0..8).map(|number| mix.of(number).level()).collect();
        assert_eq!(turn, [0, 1, 2, 0, 0, 1, 2, 0]);
        assert_eq!((mix.highest(), mix.all().len()), (QoS::ExactlyOnce, 3));
        let one = QosMix::new(&[(QoS::AtLeastOnce, 7)]);
        assert!((0..100).all(|number| one.of(number) == QoS::AtLeastOnce));
    }
}
