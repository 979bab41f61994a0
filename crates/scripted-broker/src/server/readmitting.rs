//! Clients that reconnect: applies the readmission policy.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::ReasonCode;

use super::Server;
use crate::policy::Readmission;

const SECOND: Duration = Duration::from_secs(1);

/// The ClientIDs that have been accepted, and those that came back.
#[derive(Default)]
pub(super) struct Returners {
    /// By ClientID; those that have not come back yet have no number.
    known: HashMap<String, Option<Return>>,
    returned: u32,
    window: Window,
}

/// The current second, and how many Clients were accepted in it.
#[derive(Default)]
pub(super) struct Window(Option<(Instant, u32)>);

impl Window {
    /// Whether another Client is accepted, with at most so many a second.
    pub(super) fn accepts_one(&mut self, at_most: u32) -> bool {
        let now = Instant::now();
        let (began, let_in) = self.0.filter(|(began, _)| now < *began + SECOND).unwrap_or((now, 0));
        self.0 = Some((began, (let_in + 1).min(at_most)));
        let_in < at_most
    }
}

/// A ClientID that came back.
#[derive(Clone, Copy)]
struct Return {
    /// Its place in the order in which they came back, from 1.
    number: u32,
    first: Instant,
}

impl Server {
    /// The Reason Code that refuses a Client that comes back; absent when it is accepted, or new.
    pub(super) fn refuses_return(&mut self, client_id: &str) -> Option<ReasonCode> {
        let returners = &mut self.returners;
        let Some(known) = returners.known.get_mut(client_id) else {
            returners.known.insert(client_id.to_owned(), None);
            return None;
        };
        let now = Instant::now();
        let returned = *known.get_or_insert_with(|| {
            returners.returned += 1;
            Return { number: returners.returned, first: now }
        });
        match self.script.readmission {
            Readmission::Always => None,
            Readmission::After(time) => {
                (now < returned.first + time).then_some(ReasonCode::SERVER_UNAVAILABLE)
            }
            Readmission::AtMostPerSecond(clients) => {
                let is_let_in = returners.window.accepts_one(clients.get());
                (!is_let_in).then_some(ReasonCode::CONNECTION_RATE_EXCEEDED)
            }
            Readmission::NeverEvery(clients) => {
                returned.number.is_multiple_of(clients.get()).then_some(ReasonCode::QUOTA_EXCEEDED)
            }
        }
    }
}
