//! What decides the fate of session and Will in a storm.

use std::fmt;
use std::str::FromStr;

use ungraceful_mqtt::ProtocolVersion;

/// What decides the fate of session and Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Situation {
    /// The newcomer asks for Clean Start 1 (3.1.1: Clean Session 1).
    pub clean_start: bool,
    /// The older session was to outlive its connection (Session Expiry Interval above 0; 3.1.1: Clean Session 0).
    pub persistent: bool,
    /// The older connection's Will has a Will Delay Interval (MQTT 5.0).
    pub will_delay: bool,
    /// The older client's CONNECT asks for Clean Start 1 where the version has one flag for that alone (MQTT 5.0). A broker
    /// may keep only sessions that were begun with Clean Start 0, as those of MQTT 3.1.1 are.
    pub begun_clean: bool,
}

impl Situation {
    /// Every situation, in the order of the tables.
    pub const ALL: [Self; 9] = {
        const fn of(clean_start: bool, persistent: bool, will_delay: bool) -> Situation {
            Situation { clean_start, persistent, will_delay, begun_clean: true }
        }
        [
            of(false, true, false),
            of(false, true, true),
            Situation { begun_clean: false, ..of(false, true, false) },
            of(true, true, false),
            of(true, true, true),
            of(false, false, false),
            of(false, false, true),
            of(true, false, false),
            of(true, false, true),
        ]
    };

    /// The name used on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.clean_start, self.persistent, self.will_delay) {
            (false, true, false) if !self.begun_clean => "resume-clean-start-0",
            (false, true, false) => "resume",
            (false, true, true) => "resume-will-delay",
            (true, true, false) => "discard",
            (true, true, true) => "discard-will-delay",
            (false, false, false) => "ended",
            (false, false, true) => "ended-will-delay",
            (true, false, false) => "clean",
            (true, false, true) => "clean-will-delay",
        }
    }

    /// Whether older clients of `version` have it: MQTT 3.1.1 knows no Will Delay Interval, and keeps no session that was
    /// begun with Clean Session 1.
    #[must_use]
    pub const fn is_in(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V5 => true,
            ProtocolVersion::V3_1_1 => self.begun_clean && !self.will_delay,
        }
    }

    /// Whether there is no session to go on with although the newcomer asks for it.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !self.persistent && !self.clean_start
    }

    /// Whether the newcomer is to go on with the older session.
    #[must_use]
    pub const fn resumes(self) -> bool {
        self.persistent && !self.clean_start
    }

    /// Whether the older connection's Will is to be published: always, but for a delayed one whose session goes on.
    #[must_use]
    pub const fn will_is_due(self) -> bool {
        !(self.resumes() && self.will_delay)
    }

    /// The situation with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|situation| situation.name() == name)
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Situation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::named(text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no variant; choose from {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::ProtocolVersion;

    use super::Situation;

    #[test]
    fn every_situation_is_found_by_its_name_and_one_alone_forbids_the_will() {
        for situation in Situation::ALL {
            assert_eq!(situation.to_string().parse(), Ok(situation));
        }
        let forbidding = Situation::ALL.into_iter().filter(|situation| !situation.will_is_due());
        assert_eq!(forbidding.map(Situation::name).collect::<Vec<_>>(), ["resume-will-delay"]);
        let resuming = Situation::ALL.into_iter().filter(|situation| situation.resumes());
        assert_eq!(
            resuming.map(Situation::name).collect::<Vec<_>>(),
            ["resume", "resume-will-delay", "resume-clean-start-0"]
        );
        let of_3_1_1 =
            Situation::ALL.into_iter().filter(|situation| situation.is_in(ProtocolVersion::V3_1_1));
        let of_3_1_1: Vec<_> = of_3_1_1.map(Situation::name).collect();
        assert_eq!(of_3_1_1, ["resume", "discard", "ended", "clean"]);
    }
}
