//! Re-authentication (MQTT 5.0 section 4.12.1): a client with an Authentication Method sends another token in AUTH 0x19 on its
//! open connection, and works beyond the end of its first token.

use std::time::{Duration, Instant};

use ungraceful_mqtt::{Auth, Properties, ReasonCode};
use ungraceful_record::reaction::{Outcome, ReactionKind};
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::broker::target::Secret;
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::clock::now;

use super::common::{self, Watched};
use super::signing::spoilt;
use super::token::{GRACE, Issued, Token, Variant};
use super::working_pair::{Served, WorkingPair};
use super::{
    AFTER_FAILURE, AfterFailure, METHOD_IN_AUTH, METHOD_IN_CONNACK, Method, PAST_FIRST_TOKEN, PastFirstToken,
    REAUTHENTICATION, REAUTHENTICATION_TIME, Reauthentication,
};
use crate::ending::{Unfinished, prepared, watch};

/// A client re-authenticates after this fraction of its first token's remaining lifetime.
const RENEWED_AFTER: u32 = 3;
/// How far beyond the first token's end a client is watched at least.
const WATCHED_AFTER: Duration = Duration::from_secs(2);

/// When the client sent AUTH, and when its first token ends.
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
            "CONNECT with an Authentication Method and a token as Authentication Data, SUBSCRIBE, publish and receive \
             messages; before the token expires AUTH 0x19 with {token}; continue until well after the first token's end"
        )
    }

    pub(super) async fn reauthenticate(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        pair: WorkingPair,
        first: Issued,
        will: Option<WitnessWatch>,
    ) -> Result<(), Unfinished> {
        let started = now();
        let before = watch(started, first.expires_at.saturating_duration_since(started) / RENEWED_AFTER);
        let Watched { mut pair, seen } = common::watch_at_work(stage, pair, before).await;
        let sent = match seen.outcome {
            None => Err(Unfinished::Stopped),
            Some(Outcome::Tolerated) => {
                self.send_auth(stage, log.client_id(), log.number(), &mut pair, &first).await
            }
            Some(_) => Err("the broker did not serve the client until its re-authentication".into()),
        };
        let (sent, until) = match sent {
            Ok(sent) => sent,
            Err(why) => {
                pair.leave().await;
                return Err(why);
            }
        };
        log.provoked(sent);
        let watch = watch(sent, until.saturating_duration_since(sent));
        let watched = common::watch_at_work(stage, pair, watch).await;
        let facts = self.facts(stage, &watched, Times { sent, first_ends: first.expires_at });
        let served = Served::after(first.expires_at + GRACE, &watched.pair);
        let companion = common::conclude(stage, log, watched, will, served, None).await;
        let Some(companion) = companion else { return Ok(()) };
        facts.report(log);
        common::leave(stage, log, companion).await;
        Ok(())
    }

    /// Sends AUTH with another token. Returns when it was sent, and until when the client is watched.
    async fn send_auth(
        &self,
        stage: &Stage,
        client_id: &str,
        number: u64,
        pair: &mut WorkingPair,
        first: &Issued,
    ) -> Result<(Instant, Instant), Unfinished> {
        let (token, until) = prepared(stage, self.next_token(stage, client_id, number, first)).await?;
        let authentication = self.authentication(stage, client_id, token);
        let mut bytes = Vec::new();
        Auth::new(ReasonCode::RE_AUTHENTICATE, Properties::List(&authentication.properties()))
            .encode(self.version, &mut bytes)
            .map_err(|error| format!("cannot encode AUTH: {error}"))?;
        let sent = pair.client.connection.send(&bytes).await.map_err(|error| error.to_string())?.at;
        if sent + GRACE > first.expires_at {
            let trouble =
                "AUTH was sent too late, just before the token expired; use a longer --token-lifetime";
            return Err(trouble.into());
        }
        Ok((sent, until))
    }

    /// The token for AUTH, and until when the client is watched.
    async fn next_token(
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
                "the renewed token expires too soon after the first; use tokens with a longer lifetime"
                    .to_owned(),
            );
        }
        Ok((renewed.token, until))
    }

    /// The facts of the re-authentication.
    fn facts(&self, stage: &Stage, watched: &Watched, times: Times) -> Facts {
        let answer = watched.pair.work.auths.first();
        let last_us = stage.clock.us(times.first_ends - GRACE);
        let ended_us = watched.seen.ended_at_us();
        let is_late = ended_us.is_some_and(|us| us >= last_us);
        let disconnect = watched.seen.reactions.iter().find(|seen| seen.kind == ReactionKind::Disconnect);
        // A DISCONNECT at the token's end is no answer to the AUTH.
        let answering_disconnect = disconnect.filter(|seen| seen.at_us < last_us);
        let (answered, at_us) = match (answer, answering_disconnect, ended_us) {
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
            (answered == Reauthentication::Success).then_some(match (watched.seen.outcome, is_late) {
                (Some(Outcome::Tolerated), _) => PastFirstToken::Served,
                (Some(Outcome::Closed | Outcome::Reset), true) => PastFirstToken::CutAtEnd,
                (Some(Outcome::Closed | Outcome::Reset), false) => PastFirstToken::CutBeforeEnd,
                _ => PastFirstToken::NotAnswered,
            });
        let is_refused = match answer {
            Some(auth) => auth.code >= 0x80,
            None => answered != Reauthentication::Nothing,
        };
        let after_failure = is_refused.then_some(match (watched.seen.outcome, is_late, disconnect) {
            (Some(Outcome::Tolerated), _, _) => AfterFailure::Served,
            (Some(Outcome::Closed | Outcome::Reset), true, _) => AfterFailure::ClosedLate,
            (Some(Outcome::Closed | Outcome::Reset), _, Some(_)) => AfterFailure::DisconnectAndClosed,
            (Some(Outcome::Closed | Outcome::Reset), _, None) => AfterFailure::ClosedWithoutDisconnect,
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
            method_in_connack: named(watched.pair.work.method_in_connack.as_deref()),
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
    /// Records them in the attempt.
    fn report(self, log: &mut AttemptLog<'_>) {
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
