//! Re-authentication (MQTT 5.0 section 4.12.1): a client that named an Authentication Method shows another token by AUTH
//! 0x19, on the connection that it has, and works on past the end of its first one.

use std::time::{Duration, Instant};

use ungraceful_mqtt::{Auth, Properties, ReasonCode};
use ungraceful_record::reaction::{Outcome, ReactionKind};
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::broker::target::Secret;
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::clock::now;

use super::at_work::{Served, Workplace};
use super::judged::{self, Cut};
use super::signing::spoilt;
use super::token::{GRACE, Issued, Token, Variant};
use super::{
    AFTER_FAILURE, AfterFailure, METHOD_IN_AUTH, METHOD_IN_CONNACK, Method, PAST_FIRST_TOKEN, PastFirstToken,
    REAUTHENTICATION, REAUTHENTICATION_TIME, Reauthentication,
};
use crate::ending::{Untold, prepared, watch};

/// The part of its first token's time after which a client re-authenticates.
const RENEWED_AFTER: u32 = 3;
/// How far beyond the first token's end a client is watched at the least.
const WATCHED_AFTER: Duration = Duration::from_secs(2);

/// When the client re-authenticated, and how long it is watched.
#[derive(Clone, Copy)]
struct Times {
    sent: Instant,
    first_ends: Instant,
}

impl Token {
    pub(super) fn describe_reauthentication(&self) -> String {
        let token = match self.variant {
            Variant::ReauthenticateSpoilt => "the same token, spoilt",
            _ => "a renewed token",
        };
        format!(
            "CONNECT with an Authentication Method and a token as Authentication Data, SUBSCRIBE, publish and be published \
             to; before the token ends AUTH 0x19 with {token}; work on until well after the first token's end"
        )
    }

    pub(super) async fn reauthenticate(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        place: Workplace,
        first: Issued,
        will: Option<WitnessWatch>,
    ) -> Result<(), Untold> {
        let started = now();
        let before = watch(started, first.expires_at.saturating_duration_since(started) / RENEWED_AFTER);
        let Cut { mut place, seen } = judged::watch_at_work(stage, place, before).await;
        if seen.outcome.is_none() {
            place.leave().await;
            return Err(Untold::Stopped);
        }
        if seen.outcome != Some(Outcome::Tolerated) {
            place.leave().await;
            let trouble = "the broker did not serve the client until its re-authentication";
            return Err(trouble.into());
        }
        let client_id = log.client_id().to_owned();
        let another = self.another(stage, &client_id, log.number(), &first);
        let (token, until) = match prepared(stage, another).await {
            Ok(another) => another,
            Err(why) => {
                place.leave().await;
                return Err(why);
            }
        };
        let shown = self.shown(stage, &client_id, token);
        let mut bytes = Vec::new();
        let encoded = Auth::new(ReasonCode::RE_AUTHENTICATE, Properties::List(&shown.properties()))
            .encode(self.version, &mut bytes)
            .map_err(|error| format!("AUTH can't be encoded: {error}"));
        let sent = match encoded {
            Ok(()) => place.client.connection.send(&bytes).await.map_err(|error| error.to_string()),
            Err(trouble) => Err(trouble),
        };
        let sent = sent.and_then(|sent| match first.expires_at.checked_duration_since(sent.at + GRACE) {
            Some(_) => Ok(sent.at),
            None => {
                Err("the token was about to end before AUTH was sent; one that is good for longer helps \
                     (--token-lifetime)"
                    .to_owned())
            }
        });
        let sent = match sent {
            Ok(sent) => sent,
            Err(trouble) => {
                place.leave().await;
                return Err(trouble.into());
            }
        };
        log.provoked(sent);
        let watch = watch(sent, until.saturating_duration_since(sent));
        let cut = judged::watch_at_work(stage, place, watch).await;
        let facts = self.facts(stage, &cut, Times { sent, first_ends: first.expires_at });
        let served = Served::after(first.expires_at + GRACE, &cut.place.work, &cut.place.beside);
        let beside = judged::conclude(stage, log, cut, will, served, None).await;
        let Some(beside) = beside else { return Ok(()) };
        facts.tell(log);
        judged::part(stage, log, beside).await;
        Ok(())
    }

    /// The token to show by AUTH, and until when the client is watched.
    async fn another(
        &self,
        stage: &Stage,
        client_id: &str,
        number: u64,
        first: &Issued,
    ) -> Result<(Secret, Instant), String> {
        let until = first.expires_at + stage.reaction_timeout.max(WATCHED_AFTER);
        if self.variant == Variant::ReauthenticateSpoilt {
            return Ok((spoilt(&first.token), until));
        }
        let at_least = until.saturating_duration_since(now()) + 2 * WATCHED_AFTER;
        let renewed = self.issue(stage, client_id, number, at_least).await?;
        let until = until.min(renewed.expires_at - GRACE);
        if until < first.expires_at + WATCHED_AFTER {
            return Err(
                "the renewed token ends too soon after the first; have tokens be good for longer".to_owned()
            );
        }
        Ok((renewed.token, until))
    }

    /// What is told of the re-authentication, unless the attempt says nothing.
    fn facts(&self, stage: &Stage, cut: &Cut, times: Times) -> Facts {
        let answer = cut.place.work.auths.first();
        let last_us = stage.clock.us(times.first_ends - GRACE);
        let ended_us = cut.ended_at_us();
        let is_late = ended_us.is_some_and(|us| us >= last_us);
        let disconnect = cut.seen.reactions.iter().find(|seen| seen.kind == ReactionKind::Disconnect);
        // What comes with the token's end is no answer to the AUTH.
        let told_to_go = disconnect.filter(|seen| seen.at_us < last_us);
        let (answered, at_us) = match (answer, told_to_go, ended_us) {
            (Some(auth), _, _) => {
                let answered = match auth.code {
                    0x00 => Reauthentication::Success,
                    0x18 => Reauthentication::Continue,
                    code => Reauthentication::Auth(format!("{code:02X}")),
                };
                (answered, Some(stage.clock.us(auth.at)))
            }
            (None, Some(seen), _) => {
                let code = format!("{:02X}", seen.code.unwrap_or_default());
                (Reauthentication::Disconnect(code), Some(seen.at_us))
            }
            (None, None, Some(us)) if !is_late => (Reauthentication::Closed, Some(us)),
            _ => (Reauthentication::Nothing, None),
        };
        let past_first_token =
            (answered == Reauthentication::Success).then_some(match (cut.seen.outcome, is_late) {
                (Some(Outcome::Tolerated), _) => PastFirstToken::Served,
                (Some(Outcome::Closed | Outcome::Reset), true) => PastFirstToken::CutAtEnd,
                (Some(Outcome::Closed | Outcome::Reset), false) => PastFirstToken::CutBeforeEnd,
                _ => PastFirstToken::NotAnswered,
            });
        let is_refused = match answer {
            Some(auth) => auth.code >= 0x80,
            None => answered != Reauthentication::Nothing,
        };
        let after_failure = is_refused.then_some(match (cut.seen.outcome, is_late, disconnect) {
            (Some(Outcome::Tolerated), _, _) => AfterFailure::Served,
            (Some(Outcome::Closed | Outcome::Reset), true, _) => AfterFailure::ClosedLate,
            (Some(Outcome::Closed | Outcome::Reset), _, Some(_)) => AfterFailure::ToldAndClosed,
            (Some(Outcome::Closed | Outcome::Reset), _, None) => AfterFailure::OnlyClosed,
            _ => AfterFailure::NotAnswered,
        });
        let named = |method: Option<&str>| match method {
            None => Method::None,
            same if same == self.method() => Method::Same,
            Some(_) => Method::Other,
        };
        let sent_us = stage.clock.us(times.sent);
        Facts {
            answered,
            past_first_token,
            after_failure,
            method_in_connack: named(cut.place.work.method_in_connack.as_deref()),
            method_in_auth: answer.map(|auth| {
                if auth.has_properties { named(auth.method.as_deref()) } else { Method::NoProperties }
            }),
            answered_after: at_us.map(|us| Duration::from_micros(us.saturating_sub(sent_us))),
        }
    }
}

struct Facts {
    answered: Reauthentication,
    past_first_token: Option<PastFirstToken>,
    after_failure: Option<AfterFailure>,
    method_in_connack: Method,
    method_in_auth: Option<Method>,
    answered_after: Option<Duration>,
}

impl Facts {
    /// Puts them into the attempt.
    fn tell(self, log: &mut AttemptLog<'_>) {
        log.fact(REAUTHENTICATION, self.answered);
        log.fact(METHOD_IN_CONNACK, self.method_in_connack);
        if let Some(past) = self.past_first_token {
            log.fact(PAST_FIRST_TOKEN, past);
        }
        if let Some(after) = self.after_failure {
            log.fact(AFTER_FAILURE, after);
        }
        if let Some(method) = self.method_in_auth {
            log.fact(METHOD_IN_AUTH, method);
        }
        if let Some(time) = self.answered_after {
            log.measure(REAUTHENTICATION_TIME, micros(time));
        }
    }
}
