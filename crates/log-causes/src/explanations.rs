//! What each cause means: who closed, what the standard says, what lies behind it, how to tell the candidates apart,
//! what provokes it, what cures it. For people; the texts name no broker where all do the same.

mod admission;
mod broker;
mod connection;
mod flow;
mod packets;

use ungraceful_mqtt::statement::Statement;

use crate::cause::Cause;

/// Who ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closer {
    /// The broker, as it must or may.
    Broker,
    /// The client, or whatever is between it and the broker: the broker only saw the end.
    ClientOrNetwork,
    /// Either; the line does not tell.
    Unknown,
    /// Nobody: the connection lives on, or there was none.
    Nobody,
}

impl Closer {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Broker => "the broker closed",
            Self::ClientOrNetwork => "the client, or the network between, closed",
            Self::Unknown => "the line does not tell who closed",
            Self::Nobody => "nobody closed by it",
        }
    }
}

/// How a cause is provoked with our tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provoke {
    /// This binary, in this mode (empty for one that has one alone), with these flags; broker, MQTT version and ClientID
    /// prefix are added.
    With {
        /// The binary's name.
        tool: &'static str,
        /// Its mode.
        mode: &'static str,
        /// Flags of the mode.
        flags: &'static [&'static str],
    },
    /// No tool of ours does it yet; what else does.
    NotYet(&'static str),
}

/// What is known of a cause.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The cause.
    pub cause: Cause,
    /// In plain words.
    pub title: &'static str,
    /// Who closed.
    pub closed_by: Closer,
    /// The numbered statements it rests on; empty when there is none.
    pub standard: &'static [Statement],
    /// What the standard says without a number, or that it says nothing; empty when the statements say it all.
    pub standard_prose: &'static str,
    /// What usually lies behind it in the field.
    pub behind: &'static [&'static str],
    /// How to tell the candidates apart.
    pub tell_apart: &'static [&'static str],
    /// How to provoke it.
    pub provoke: Provoke,
    /// What cures it on the client.
    pub cure_client: &'static [&'static str],
    /// What cures it on the broker, or what is between.
    pub cure_broker: &'static [&'static str],
}

/// What is known of `cause`.
#[must_use]
pub fn explain(cause: Cause) -> &'static Explanation {
    let all = [connection::ALL, flow::ALL, packets::ALL, admission::ALL, broker::ALL];
    let found = all.into_iter().flatten().find(|explanation| explanation.cause == cause);
    found.unwrap_or_else(|| unreachable!("a test asks for every cause"))
}

#[cfg(test)]
mod tests {
    use super::{Closer, Provoke, explain};
    use crate::cause::Cause;
    use crate::pattern::patterns;

    #[test]
    fn every_cause_is_explained_once_and_wholly() {
        for cause in Cause::ALL {
            let told = explain(*cause);
            assert!(!told.title.is_empty() && !told.title.ends_with('.'), "{cause:?}");
            if cause.is_ordinary() {
                continue;
            }
            assert!(!told.behind.is_empty() && !told.cure_broker.is_empty(), "{cause:?}");
            assert!(!told.cure_client.is_empty() && !told.tell_apart.is_empty(), "{cause:?}");
            assert!(!told.standard.is_empty() || !told.standard_prose.is_empty(), "{cause:?}");
        }
        let all = [
            super::connection::ALL,
            super::flow::ALL,
            super::packets::ALL,
            super::admission::ALL,
            super::broker::ALL,
        ];
        assert_eq!(all.into_iter().map(<[_]>::len).sum::<usize>(), Cause::ALL.len());
    }

    #[test]
    fn every_cause_but_those_of_codes_alone_is_in_a_pattern() {
        for cause in Cause::ALL {
            // 0x9C and 0x9D: no broker in the patterns logs them as such.
            let is_in_codes_alone = *cause == Cause::Moved;
            let has_pattern = patterns().iter().any(|pattern| pattern.cause == *cause);
            assert_eq!(has_pattern, !is_in_codes_alone, "{cause:?}");
        }
    }

    #[test]
    fn who_closed_agrees_with_what_the_lines_say() {
        assert_eq!(explain(Cause::TakeOver).closed_by, Closer::Broker);
        assert_eq!(explain(Cause::Lost).closed_by, Closer::ClientOrNetwork);
        assert!(matches!(
            explain(Cause::TakeOver).provoke,
            Provoke::With { tool: "ungraceful-takeover", .. }
        ));
    }
}
