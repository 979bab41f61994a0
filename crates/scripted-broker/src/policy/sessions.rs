//! What becomes of a session when its Client comes back (MQTT 5.0 sections 3.1.2.4, 3.2.2.1.1 and 4.4).

use std::fmt;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, listed, name_of};

/// What becomes of a session when its Client comes back, by a take-over or after a close.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Sessions {
    /// Resumed with Clean Start 0, discarded with Clean Start 1, and Session Present says so. Conforms.
    #[default]
    Keep,
    /// Resumed with Clean Start 1 as well, and Session Present says so: breaks `MQTT 5.0 [MQTT-3.1.2-4]` and
    /// `[MQTT-3.2.2-2]`.
    ResumeClean,
    /// Resumed with Clean Start 1 as well, where Session Present says 0: breaks `MQTT 5.0 [MQTT-3.1.2-4]`.
    ResumeCleanSilently,
    /// Discarded with Clean Start 0 as well; Session Present 0.
    Forget,
    /// Discarded with Clean Start 0 as well, but Session Present is 1 there, even when there was none to discard.
    LiePresent,
    /// Resumed with Clean Start 0, but Session Present is 0.
    LieAbsent,
    /// Resumed, but what was sent and not acknowledged is gone: breaks `MQTT 5.0 [MQTT-4.4.0-1]`.
    LoseUnacknowledged,
    /// Resumed, but what waited to be sent is gone.
    LoseQueued,
    /// Resumed, but what is sent again has DUP 0: breaks `MQTT 5.0 [MQTT-3.3.1-1]`.
    ResendWithoutDup,
    /// Resumed, but each PUBLISH that is sent again has another Packet Identifier: breaks `MQTT 5.0 [MQTT-4.4.0-1]`.
    ResendWithNewIdentifiers,
    /// Resumed, but the Packet Identifiers of QoS 2 messages that came in and were not released are gone, so that a
    /// PUBLISH that is sent again counts as a new message.
    ForgetReceived,
    /// Kept only if it was begun with Clean Start 0, whatever the Session Expiry Interval (breaks `MQTT 5.0
    /// [MQTT-3.1.2-5]`), and what is sent again has DUP 0 (breaks `MQTT 5.0 [MQTT-3.3.1-1]`).
    UncleanWithoutDup,
    /// Kept for ever, whatever the Session Expiry Interval, 0 included: breaks `MQTT 5.0 [MQTT-4.1.0-2]`.
    NeverExpire,
}

const TABLE: &[Named<Sessions>] = &[
    Named::one(Sessions::Keep, "keep", "resumed with Clean Start 0, discarded with 1: conforms"),
    Named::one(
        Sessions::ResumeClean,
        "resume-clean",
        "resumed with Clean Start 1 as well; Session Present 1",
    ),
    Named::one(
        Sessions::ResumeCleanSilently,
        "resume-clean-silently",
        "resumed with Clean Start 1 as well; Session Present 0",
    ),
    Named::one(Sessions::Forget, "forget", "discarded with Clean Start 0 as well; Session Present 0"),
    Named::one(
        Sessions::LiePresent,
        "lie-present",
        "discarded with Clean Start 0 as well; Session Present 1 there, even without a session",
    ),
    Named::one(Sessions::LieAbsent, "lie-absent", "resumed with Clean Start 0, but Session Present 0"),
    Named::one(
        Sessions::LoseUnacknowledged,
        "lose-unacknowledged",
        "resumed, but what was not acknowledged is not sent again",
    ),
    Named::one(Sessions::LoseQueued, "lose-queued", "resumed, but what waited to be sent is gone"),
    Named::one(Sessions::ResendWithoutDup, "resend-without-dup", "resumed, but what is sent again has DUP 0"),
    Named::one(
        Sessions::ResendWithNewIdentifiers,
        "resend-with-new-identifiers",
        "resumed, but what is sent again has other Packet Identifiers",
    ),
    Named::one(
        Sessions::ForgetReceived,
        "forget-received",
        "resumed, but a QoS 2 PUBLISH that a Client sends again counts as a new message",
    ),
    Named::one(
        Sessions::UncleanWithoutDup,
        "unclean-without-dup",
        "kept only if begun with Clean Start 0, and what is sent again has DUP 0",
    ),
    Named::one(Sessions::NeverExpire, "never-expire", "kept for ever, whatever the Session Expiry Interval"),
];

impl Sessions {
    /// Every name with its meaning.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(TABLE, self).unwrap_or_default())
    }
}

impl FromStr for Sessions {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text).ok_or_else(|| UnknownName::new("sessions", text))
    }
}
