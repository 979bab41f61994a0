//! Oddities of a packet that could be read: the decoder's remarks, which checks and reports turn into findings.
//!
//! An oddity is an observation, not a verdict: whether it breaks a statement depends on who sent the packet and when.

use std::fmt;

macro_rules! oddities {
    ($($(#[$doc:meta])+ $variant:ident => $text:literal,)+) => {
        /// One thing that is odd about a packet.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Oddity {
            $($(#[$doc])+ $variant,)+
        }

        impl Oddity {
            /// Every oddity there is, in the order in which a set lists them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// A short phrase for reports.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

oddities! {
    /// Fixed header flags other than the standard's (`MQTT 5.0 [MQTT-2.1.3-1]`).
    ReservedFlags => "reserved flags set",
    /// Reserved bits inside the body: Connect Flags bit 0, Connect Acknowledge Flags bits 7 to 1.
    ReservedBits => "reserved bits set in the variable header",
    /// The Remaining Length uses more bytes than it needs (`MQTT 5.0 [MQTT-1.5.5-1]`).
    NonMinimalLength => "length not in the fewest bytes",
    /// Bytes after the packet's last field.
    TrailingBytes => "bytes after the last field",
    /// A Reason Code or Connect Return Code the standard does not know.
    UnknownReasonCode => "unknown Reason Code",
    /// A Reason Code the standard knows, but not in this packet.
    ReasonCodeNotAllowedHere => "Reason Code not allowed in this packet",
    /// DISCONNECT in MQTT 3.1.1, where only a Client may send one; so it is odd from a Server alone.
    DisconnectOnV3_1_1 => "DISCONNECT on a 3.1.1 connection",
    /// AUTH, which MQTT 3.1.1 does not have.
    AuthOnV3_1_1 => "AUTH on a 3.1.1 connection",
    /// Packet Identifier 0 (`MQTT 5.0 [MQTT-2.2.1-3]`, `MQTT 3.1.1 [MQTT-2.3.1-1]`).
    PacketIdentifierZero => "Packet Identifier 0",
    /// A QoS of 3 in a PUBLISH, a Will or a subscription; the packet shows QoS 2 (`MQTT 5.0 [MQTT-3.3.1-4]`).
    InvalidQos => "QoS 3",
    /// DUP on a QoS 0 PUBLISH (`MQTT 5.0 [MQTT-3.3.1-2]`).
    DupOnQos0 => "DUP on QoS 0",
    /// A topic with no characters, and no Topic Alias in its place (`MQTT 5.0 [MQTT-4.7.3-1]`).
    EmptyTopic => "empty topic",
    /// `+` or `#` in a Topic Name (`MQTT 5.0 [MQTT-3.3.2-2]`).
    WildcardInTopic => "wildcard in a Topic Name",
    /// Text that is not UTF-8; the field shows what comes before (`MQTT 5.0 [MQTT-1.5.4-1]`).
    InvalidUtf8 => "ill-formed UTF-8",
    /// Text with U+0000 (`MQTT 5.0 [MQTT-1.5.4-2]`).
    NullCharacter => "U+0000 in a string",
    /// A property the standard does not define, after which the rest cannot be read.
    UnknownProperty => "unknown property",
    /// A property of another packet (MQTT 5.0 table 2-4).
    PropertyNotAllowedHere => "property not allowed in this packet",
    /// A property twice that may come once.
    DuplicateProperty => "property given twice",
    /// A property value the standard forbids, such as Receive Maximum 0.
    BadPropertyValue => "forbidden property value",
    /// Properties that end in the middle of one, or a Property Length beyond the packet.
    MalformedProperties => "malformed properties",
    /// Authentication Data, or a step of authentication, without the Authentication Method (MQTT 5.0 section 3.15.2.2.2).
    MissingAuthenticationMethod => "no Authentication Method",
    /// No Property Length where MQTT 5.0 demands one (`MQTT 5.0 [MQTT-2.2.2-1]`).
    MissingPropertyLength => "no Property Length",
    /// Session Present beside a refusal (`MQTT 5.0 [MQTT-3.2.2-6]`, `MQTT 3.1.1 [MQTT-3.2.2-4]`).
    SessionPresentWithError => "Session Present beside an error",
    /// A protocol name or level other than `MQTT` with 4 or 5.
    UnknownProtocol => "unknown protocol name or level",
    /// Will QoS or Will Retain without a Will (`MQTT 5.0 [MQTT-3.1.2-11]`).
    WillFlagsWithoutWill => "Will flags without a Will",
    /// A password without a user name in MQTT 3.1.1 (`MQTT 3.1.1 [MQTT-3.1.2-22]`).
    PasswordWithoutUserName => "password without a user name",
    /// A SUBSCRIBE, UNSUBSCRIBE or acknowledgement of one that lists nothing (`MQTT 5.0 [MQTT-3.8.3-2]`).
    EmptyList => "nothing listed",
    /// Reserved bits or Retain Handling 3 in Subscription Options (`MQTT 5.0 [MQTT-3.8.3-5]`).
    InvalidSubscriptionOptions => "invalid Subscription Options",
    /// A list of Topic Filters that ends in the middle of one.
    TruncatedList => "list cut short",
    /// A Topic Filter with a misplaced wildcard, or with no characters (`MQTT 5.0 [MQTT-4.7.1-1]`).
    InvalidTopicFilter => "invalid Topic Filter",
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// A set of oddities, as small as a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Oddities(u32);

const _: () = assert!(Oddity::ALL.len() <= 32, "one bit for each oddity");

impl Oddities {
    /// Nothing odd.
    pub const NONE: Self = Self(0);

    /// Whether nothing is odd.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this oddity is in the set.
    #[inline]
    pub const fn contains(self, oddity: Oddity) -> bool {
        self.0 & (1 << oddity as u32) != 0
    }

    /// How many oddities there are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Adds one.
    #[inline]
    pub const fn insert(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u32;
    }

    /// Adds one where the condition holds.
    #[inline]
    pub(crate) const fn insert_if(&mut self, condition: bool, oddity: Oddity) {
        self.0 |= (condition as u32) << oddity as u32;
    }

    /// The set without one that is expected, such as a Client's DISCONNECT on a 3.1.1 connection.
    #[must_use]
    pub const fn without(self, oddity: Oddity) -> Self {
        Self(self.0 & !(1 << oddity as u32))
    }

    /// The oddities of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The oddities, in the order of [`Oddity::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Oddity> {
        Oddity::ALL.iter().copied().filter(move |&oddity| self.contains(oddity))
    }
}

impl FromIterator<Oddity> for Oddities {
    fn from_iter<I: IntoIterator<Item = Oddity>>(oddities: I) -> Self {
        oddities.into_iter().fold(Self::NONE, |mut set, oddity| {
            set.insert(oddity);
            set
        })
    }
}

impl fmt::Display for Oddities {
    /// Writes the phrases with commas between them, and nothing for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, oddity) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(oddity.text())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Oddities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_returns_its_members() {
        for &oddity in Oddity::ALL {
            let set: Oddities = [oddity].into_iter().collect();
            assert!(set.contains(oddity));
            assert_eq!(set.iter().collect::<Vec<_>>(), [oddity]);
            assert_eq!(set.without(oddity), Oddities::NONE);
        }
        assert_eq!(Oddities::NONE.to_string(), "");
        let two: Oddities = [Oddity::TrailingBytes, Oddity::ReservedFlags].into_iter().collect();
        assert_eq!(two.to_string(), "reserved flags set, bytes after the last field");
    }
}
