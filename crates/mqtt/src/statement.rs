//! The numbered statements of the standard, each with its gist in our words and with whom it binds.
//!
//! Both versions number their statements alike and mean different things by the same number, so a statement is always
//! named with its version. What checks which statement is not known here.

use std::fmt;

use crate::version::ProtocolVersion;

/// One numbered statement of the standard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Statement {
    /// The version whose document has the statement.
    pub version: ProtocolVersion,
    /// The number in that document, such as `MQTT-3.1.0-2`.
    pub id: &'static str,
    /// Whose duty it is.
    pub binds: Binds,
    /// Its requirement, in one sentence.
    pub gist: &'static str,
}

/// Whom a statement binds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Binds {
    /// The Server.
    Server,
    /// The Client. A Server may have to react to a breach; another statement says so.
    Client,
    /// Either of them, as a sender or as a receiver.
    Both,
}

impl Binds {
    /// Whether the statement is a duty of the Server, alone or with the Client.
    #[must_use]
    pub const fn server(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }
}

impl fmt::Display for Binds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "Server",
            Self::Client => "Client",
            Self::Both => "both",
        })
    }
}

impl fmt::Display for Statement {
    /// Writes `MQTT 5.0 [MQTT-3.1.0-2]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MQTT {} [{}]", self.version, self.id)
    }
}

/// The statement of this version with this number, with or without `MQTT-` before it; absent when it is not here.
pub fn find(version: ProtocolVersion, id: &str) -> Option<Statement> {
    let number = id.strip_prefix("MQTT-").unwrap_or(id);
    ALL.iter()
        .copied()
        .find(|statement| statement.version == version && statement.id.strip_prefix("MQTT-") == Some(number))
}

/// Defines a constant for each statement of a version, and the list of them.
macro_rules! statements {
    ($version:ident, $list:ident: $($constant:ident, $id:literal, $binds:ident, $gist:literal;)+) => {
        $(
            #[doc = concat!("`[", $id, "]` ", $gist)]
            pub const $constant: Statement = Statement {
                version: ProtocolVersion::$version,
                id: $id,
                binds: Binds::$binds,
                gist: $gist,
            };
        )+

        /// Every statement of the version, in the order of the standard.
        pub(super) const $list: &[Statement] = &[$($constant),+];
    };
}
mod v3_1_1;
mod v5;

pub use v3_1_1::*;
pub use v5::*;

/// Every statement of both versions, those of MQTT 5.0 first.
pub const ALL: &[Statement] = &both_versions();

const fn both_versions() -> [Statement; OF_V5.len() + OF_V3_1_1.len()] {
    let first = OF_V5.len();
    let mut all = [OF_V5[0]; OF_V5.len() + OF_V3_1_1.len()];
    let mut number = 0;
    while number < all.len() {
        all[number] = if number < first { OF_V5[number] } else { OF_V3_1_1[number - first] };
        number += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_prints_with_its_version() {
        assert_eq!(V5_3_1_0_2.to_string(), "MQTT 5.0 [MQTT-3.1.0-2]");
        assert_eq!(V311_3_1_4_2.to_string(), "MQTT 3.1.1 [MQTT-3.1.4-2]");
    }

    #[test]
    fn every_statement_is_found_by_its_version_and_number_alone() {
        for statement in ALL {
            assert_eq!(find(statement.version, statement.id), Some(*statement));
        }
        assert_eq!(find(ProtocolVersion::V5, "3.1.4-3"), Some(V5_3_1_4_3));
        assert_eq!(find(ProtocolVersion::V3_1_1, "3.1.4-3"), Some(V311_3_1_4_3));
        assert_eq!(find(ProtocolVersion::V3_1_1, "3.1.4-6"), None);
    }

    /// The chapter, sections and number of a statement, which order it.
    fn numbers(statement: &Statement) -> (Vec<u16>, u16) {
        let (section, number) = statement.id.strip_prefix("MQTT-").unwrap().rsplit_once('-').unwrap();
        (section.split('.').map(|part| part.parse().unwrap()).collect(), number.parse().unwrap())
    }

    #[test]
    fn each_version_has_all_its_statements_once_and_in_order() {
        for (version, count) in [(ProtocolVersion::V5, 251), (ProtocolVersion::V3_1_1, 141)] {
            let of_version: Vec<&Statement> =
                ALL.iter().filter(|statement| statement.version == version).collect();
            assert_eq!(of_version.len(), count, "{version}");
            for pair in of_version.windows(2) {
                assert!(numbers(pair[0]) < numbers(pair[1]), "{} before {}", pair[0], pair[1]);
            }
        }
        assert_eq!(ALL.len(), 251 + 141);
    }

    #[test]
    fn a_gist_is_one_short_sentence() {
        for Statement { gist, id, .. } in ALL {
            assert!(gist.ends_with('.') && gist.len() <= 120, "{id}: {gist}");
        }
    }
}
