//! The one source of randomness of a run: a printed and recorded seed, and the streams drawn from it.

use std::fmt;
use std::str::FromStr;

use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};

/// Makes a run repeatable: the same seed and settings give the same plan, ClientIDs and payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// Draws a seed from the operating system, for runs that were given none: 32 bits, because people retype it.
    #[must_use]
    pub fn draw() -> Self {
        // Without the system's generator, the process id still distinguishes runs, and the seed is printed.
        Self(u64::from(SysRng.try_next_u32().unwrap_or_else(|_no_generator| std::process::id())))
    }

    /// An independent stream of random numbers for one purpose; the same label gives the same stream.
    #[must_use]
    pub fn stream(self, label: &str) -> StdRng {
        // FNV-1a keeps streams apart without depending on a hasher whose output may change.
        let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        StdRng::seed_from_u64(self.0 ^ hash)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("invalid seed {text:?}: give a whole number from 0 to {}", u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::Seed;

    #[test]
    fn the_same_seed_and_label_give_the_same_stream_and_others_do_not() {
        let first = Seed(7).stream("plan").next_u64();
        assert_eq!(first, Seed(7).stream("plan").next_u64());
        assert_ne!(first, Seed(8).stream("plan").next_u64());
        assert_ne!(first, Seed(7).stream("client ids").next_u64());
    }
}
