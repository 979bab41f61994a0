//! Explains each cause: who closed, what the standard says, the usual reasons, how to distinguish them, how to provoke
//! and how to cure it. The texts name no broker where all behave alike.

mod admission;
mod broker;
mod connection;
mod elsewhere;
mod flow;
mod packets;

use ungraceful_mqtt::statement::Statement;

use crate::cause::Cause;

/// Who ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closer {
    /// The broker.
    Broker,
    /// The client, by its own log.
    Client,
    /// The client or the network: the broker only saw the end.
    ClientOrNetwork,
    /// Either; the line does not say.
    Unknown,
    /// Not closed: the connection lives on, or there was none.
    NotClosed,
}

impl Closer {
    /// The text for reports.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Broker => "the broker closed",
            Self::Client => "the client closed",
            Self::ClientOrNetwork => "the client or the network closed",
            Self::Unknown => "the line does not say who closed",
            Self::NotClosed => "nothing was closed",
        }
    }
}

/// How to provoke a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provoke {
    /// With a tool; broker, MQTT version and ClientID prefix are added.
    With {
        /// The binary's name.
        tool: &'static str,
        /// Its mode; empty for a binary without modes.
        mode: &'static str,
        /// Flags of the mode.
        flags: &'static [&'static str],
    },
    /// No tool does it; why not, or how else.
    NotYet(&'static str),
}

impl Provoke {
    /// With scenarios of the catalogue, by names or patterns.
    pub(crate) const fn scenario(ids: &'static [&'static str]) -> Self {
        Self::With { tool: "ungraceful-violate", mode: "scenario", flags: ids }
    }
}

/// The explanation of a cause.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The cause.
    pub cause: Cause,
    /// What happened, in one line.
    pub title: &'static str,
    /// Who closed.
    pub closed_by: Closer,
    /// The numbered statements that apply; may be empty.
    pub standard: &'static [Statement],
    /// What the standard says without a number, or that it is silent; empty when the statements cover it.
    pub standard_prose: &'static str,
    /// The usual reasons in the field.
    pub behind: &'static [&'static str],
    /// How to distinguish the reasons.
    pub tell_apart: &'static [&'static str],
    /// How to provoke it.
    pub provoke: Provoke,
    /// Cures on the client.
    pub cure_client: &'static [&'static str],
    /// Cures on the broker or the network.
    pub cure_broker: &'static [&'static str],
}

/// The explanation of `cause`.
#[must_use]
pub fn explain(cause: Cause) -> &'static Explanation {
    let all = [connection::ALL, flow::ALL, packets::ALL, admission::ALL, broker::ALL, elsewhere::ALL];
    let found = all.into_iter().flatten().find(|explanation| explanation.cause == cause);
    found.unwrap_or_else(|| unreachable!("a test asks for every cause"))
}

#[cfg(test)]
mod tests {
    use super::{Closer, Provoke, explain};
    use crate::cause::Cause;
    use crate::pattern::patterns;

    #[test]
    fn every_cause_is_explained_once_and_completely() {
        for cause in Cause::ALL {
            let explanation = explain(*cause);
            assert!(!explanation.title.is_empty() && !explanation.title.ends_with('.'), "{cause:?}");
            if cause.is_ordinary() {
                continue;
            }
            assert!(!explanation.behind.is_empty() && !explanation.cure_broker.is_empty(), "{cause:?}");
            assert!(!explanation.cure_client.is_empty() && !explanation.tell_apart.is_empty(), "{cause:?}");
            assert!(!explanation.standard.is_empty() || !explanation.standard_prose.is_empty(), "{cause:?}");
        }
        let all = [
            super::connection::ALL,
            super::flow::ALL,
            super::packets::ALL,
            super::admission::ALL,
            super::broker::ALL,
            super::elsewhere::ALL,
        ];
        assert_eq!(all.into_iter().map(<[_]>::len).sum::<usize>(), Cause::ALL.len());
    }

    #[test]
    fn every_cause_outside_the_codes_has_a_pattern() {
        for cause in Cause::ALL {
            // No known line stands for 0x9C and 0x9D; the others follow from several lines.
            let is_derived =
                matches!(cause, Cause::Moved | Cause::KeepAliveEarly | Cause::Stall | Cause::ClockJump);
            let has_pattern = patterns().iter().any(|pattern| pattern.cause == *cause);
            assert!(has_pattern != is_derived, "{cause:?}");
        }
    }

    #[test]
    fn the_closing_side_agrees_with_the_lines() {
        assert_eq!(explain(Cause::TakeOver).closed_by, Closer::Broker);
        assert_eq!(explain(Cause::Lost).closed_by, Closer::ClientOrNetwork);
        assert!(matches!(
            explain(Cause::TakeOver).provoke,
            Provoke::With { tool: "ungraceful-takeover", .. }
        ));
    }
}
