//! What decides the fate of session and Will in a storm.

use ungraceful_mqtt::ProtocolVersion;

ungraceful_record::words! {
    /// What decides the fate of session and Will.
    pub enum Situation: "variant" {
        /// A session that is kept, and a newcomer that goes on with it.
        Resume = "resume",
        /// The same, and the older connection's Will is delayed.
        ResumeWillDelay = "resume-will-delay",
        /// The same as [`Situation::Resume`], of a session that was begun with Clean Start 0.
        ResumeCleanStart0 = "resume-clean-start-0",
        /// A session that is kept, and a newcomer that asks for a new one.
        Discard = "discard",
        /// The same, and the Will is delayed.
        DiscardWillDelay = "discard-will-delay",
        /// A session that ends with its connection, and a newcomer that asks to go on with it.
        Ended = "ended",
        /// The same, and the Will is delayed.
        EndedWillDelay = "ended-will-delay",
        /// A session that ends with its connection, and a newcomer that asks for a new one.
        Clean = "clean",
        /// The same, and the Will is delayed.
        CleanWillDelay = "clean-will-delay",
    }
}

impl Situation {
    /// The newcomer asks for Clean Start 1 (3.1.1: Clean Session 1).
    #[must_use]
    pub const fn clean_start(self) -> bool {
        matches!(self, Self::Discard | Self::DiscardWillDelay | Self::Clean | Self::CleanWillDelay)
    }

    /// The older session was to outlive its connection (Session Expiry Interval above 0; 3.1.1: Clean Session 0).
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

    /// The older client's CONNECT asks for Clean Start 1 where the version has one flag for that alone (MQTT 5.0). A broker
    /// may keep only sessions that were begun with Clean Start 0, as those of MQTT 3.1.1 are.
    #[must_use]
    pub const fn begun_clean(self) -> bool {
        !matches!(self, Self::ResumeCleanStart0)
    }

    /// Whether older clients of `version` have it: MQTT 3.1.1 knows no Will Delay Interval, and keeps no session that was
    /// begun with Clean Session 1.
    #[must_use]
    pub const fn is_in(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V5 => true,
            ProtocolVersion::V3_1_1 => self.begun_clean() && !self.will_delay(),
        }
    }

    /// Whether there is no session to go on with although the newcomer asks for it.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !self.persistent() && !self.clean_start()
    }

    /// Whether the newcomer is to go on with the older session.
    #[must_use]
    pub const fn resumes(self) -> bool {
        self.persistent() && !self.clean_start()
    }

    /// Whether the older connection's Will is to be published: always, but for a delayed one whose session goes on.
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
