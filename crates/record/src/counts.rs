//! Declares counts once: the field, its documentation, its sum, and its name in tables.

use std::collections::BTreeMap;

/// A field of [`counts!`](crate::counts!).
pub trait Count {
    /// Adds another count.
    fn add(&mut self, other: &Self);

    /// The total.
    fn total(&self) -> u64;
}

impl Count for u64 {
    fn add(&mut self, other: &Self) {
        *self += other;
    }

    fn total(&self) -> u64 {
        *self
    }
}

/// Counts by code or text.
impl<K: Ord + Clone> Count for BTreeMap<K, u64> {
    fn add(&mut self, other: &Self) {
        for (key, count) in other {
            *self.entry(key.clone()).or_default() += count;
        }
    }

    fn total(&self) -> u64 {
        self.values().sum()
    }
}

/// Declares a struct of counts with `+=` and a list of the counts by name.
#[macro_export]
macro_rules! counts {
    (
        $(#[$of_all:meta])*
        pub struct $name:ident {
            $($(#[$of_field:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$of_all])*
        pub struct $name {
            $($(#[$of_field])* pub $field: $kind,)*
        }

        impl std::ops::AddAssign<&Self> for $name {
            fn add_assign(&mut self, other: &Self) {
                $($crate::counts::Count::add(&mut self.$field, &other.$field);)*
            }
        }

        impl $name {
            /// Each count with its name, in the order of declaration.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), $crate::counts::Count::total(&self.$field)),)*]
            }
        }
    };
}
