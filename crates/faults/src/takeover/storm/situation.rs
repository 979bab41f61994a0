//! The settings that determine the fate of session and Will in a storm.

use ungraceful_mqtt::ProtocolVersion;

ungraceful_record::words! {
    /// What determines the fate of session and Will.
    pub enum Situation: "variant" {
        /// A persistent session and a newcomer that resumes it.
        Resume = "resume",
        /// The same, with a delayed Will of the older connection.
        ResumeWillDelay = "resume-will-delay",
        /// The same as [`Situation::Resume`], with a session begun with Clean Start 0.
        ResumeCleanStart0 = "resume-clean-start-0",
        /// A persistent session and a newcomer that requests a new one.
        Discard = "discard",
        /// The same, with a delayed Will.
        DiscardWillDelay = "discard-will-delay",
        /// A session that ends with its connection and a newcomer that requests to resume it.
        Ended = "ended",
        /// The same, with a delayed Will.
        EndedWillDelay = "ended-will-delay",
        /// A session that ends with its connection and a newcomer that requests a new one.
        Clean = "clean",
        /// The same, with a delayed Will.
        CleanWillDelay = "clean-will-delay",
    }
}

impl Situation {
    /// The newcomer sends Clean Start 1 (3.1.1: Clean Session 1).
    #[must_use]
    pub const fn clean_start(self) -> bool {
        matches!(self, Self::Discard | Self::DiscardWillDelay | Self::Clean | Self::CleanWillDelay)
    }

    /// The older session outlives its connection (Session Expiry Interval above 0; 3.1.1: Clean Session 0).
    #[must_use]
    pub const fn persistent(self) -> bool {
        !matches!(self, Self::Ended | Self::EndedWillDelay | Self::Clean | Self::CleanWillDelay)
    }

    /// The older connection's Will has a Will Delay Interval (MQTT 5.0).
    #[must_use]
    pub const fn will_delay(self) -> bool {
        matches!(
            self,
            Self::ResumeWillDelay | Self::DiscardWillDelay | Self::EndedWillDelay | Self::CleanWillDelay
        )
    }

    /// On MQTT 5.0, where Clean Start is a flag of its own, the older client sends 1. A broker may keep only sessions begun
    /// with Clean Start 0, as those of MQTT 3.1.1 are.
    #[must_use]
    pub const fn begun_clean(self) -> bool {
        !matches!(self, Self::ResumeCleanStart0)
    }

    /// Whether older clients of `version` can be in it: MQTT 3.1.1 has no Will Delay Interval, and keeps no session begun
    /// with Clean Session 1.
    #[must_use]
    pub const fn is_in(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V5 => true,
            ProtocolVersion::V3_1_1 => self.begun_clean() && !self.will_delay(),
        }
    }

    /// The newcomer requests a session that has ended.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !self.persistent() && !self.clean_start()
    }

    /// The newcomer resumes the older session.
    #[must_use]
    pub const fn resumes(self) -> bool {
        self.persistent() && !self.clean_start()
    }

    /// The older connection's Will must be published: always, except a delayed one whose session is resumed.
    #[must_use]
    pub const fn will_is_due(self) -> bool {
        !(self.resumes() && self.will_delay())
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::ProtocolVersion;

    use super::Situation;

    #[test]
    fn one_situation_forbids_the_will_and_each_parses_from_its_name() {
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
