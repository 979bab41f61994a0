//! A second client of an attempt, beside the one that the attempt is about.

/// A second client of an attempt, with a letter behind the attempt's ClientID. It has the same User Name, Password and certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Companion {
    /// Publishes or subscribes to the topics of the attempt's client, and so needs the same rights on them.
    UsesTopics,
    /// The same, a third client.
    AlsoUsesTopics,
    /// Connects, and uses no topic: needs no right but to connect.
    OnlyConnects,
}

impl Companion {
    /// What follows the attempt's ClientID. Each has its own, so that both exist at the same time. A letter keeps to what every 3.1.1
    /// broker must accept (MQTT 3.1.1 [MQTT-3.1.3-5]).
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::UsesTopics => 'p',
            Self::AlsoUsesTopics => 'q',
            Self::OnlyConnects => 'o',
        }
    }

    /// Its ClientID, beside the attempt's.
    #[must_use]
    pub fn client_id(self, client_id: &str) -> String {
        format!("{client_id}{}", self.letter())
    }
}
