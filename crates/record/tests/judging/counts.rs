//! Counts that are declared once are added and named once.

use std::collections::BTreeMap;

use ungraceful_record::counts;

counts! {
    /// Two kinds of counts.
    #[derive(Debug, PartialEq)]
    pub struct Both {
        /// A number.
        pub plain: u64,
        /// Numbers by code.
        pub by_code: BTreeMap<u8, u64>,
    }
}

#[test]
fn every_count_is_added_and_named() {
    let mut sum = Both { plain: 1, by_code: BTreeMap::from([(0x97, 2)]) };
    sum += &Both { plain: 10, by_code: BTreeMap::from([(0x80, 30), (0x97, 20)]) };
    assert_eq!(sum, Both { plain: 11, by_code: BTreeMap::from([(0x80, 30), (0x97, 22)]) });
    assert_eq!(sum.named(), [("plain", 11), ("by_code", 52)]);
}
