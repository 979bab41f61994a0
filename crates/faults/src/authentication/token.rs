//! Credentials that run out: a client connects with a token that ends at a known instant, and goes on working beyond it.
//!
//! No numbered statement obliges a broker to cut it. What an operator finds in the log is "connection auth expired" or
//! "credential expired", or nothing, and a client that is served for as long as its connection lives.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::scale::micros;
use ungraceful_record::scale::time;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::Watch;
use ungraceful_rig::broker::target::{Credentials, Secret};
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::input_file;
use ungraceful_wire::clock::now;

use super::at_work::{Publishes, Served, Workplace};
use super::coming_back::come_back;
use super::command::{ExternalCommand, Told};
use super::judged;
use super::shown::Shown;
use super::signing::{Signer, expires_s, spoilt};
use crate::ending::{interrupted, not_acted};

/// The fault's id in the catalogue.
pub const ID: &str = "auth-expiry";
/// Fact: what became of the client that connected with a new token.
pub const RENEWED: &str = "with_a_new_token";
/// What may stand in the command that gives a token.
pub const PLACEHOLDERS: [&str; 1] = ["client_id"];

/// The end of a token is given in whole seconds; what is served for so much longer is no finding, and a connection that
/// ends so much earlier was ended by it.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// A token must be good for as long as it takes to connect and work.
const GOOD_FOR_MIN: Duration = Duration::from_millis(500);
const SECOND_US: u64 = 1_000_000;

/// What the client publishes to while its token runs out. A broker may look at credentials for each new topic alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Always the same topic.
    OneTopic,
    /// Each time another topic.
    NewTopics,
    /// One topic; and before its token runs out, the client shows a renewed one by AUTH 0x19. MQTT 5.0 alone.
    Reauthenticate,
    /// One topic; and before its token runs out, the client shows the same one, spoilt, by AUTH 0x19. MQTT 5.0 alone.
    ReauthenticateSpoilt,
}

impl Variant {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 4] =
        [Self::OneTopic, Self::NewTopics, Self::Reauthenticate, Self::ReauthenticateSpoilt];

    /// The name used on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneTopic => "one-topic",
            Self::NewTopics => "new-topics",
            Self::Reauthenticate => "reauthenticate",
            Self::ReauthenticateSpoilt => "reauthenticate-spoilt",
        }
    }

    /// Whether the client authenticates itself anew, for which it needs an Authentication Method and MQTT 5.0.
    #[must_use]
    pub const fn reauthenticates(self) -> bool {
        matches!(self, Self::Reauthenticate | Self::ReauthenticateSpoilt)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|variant| variant.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no variant; choose from {names}")
        })
    }
}

/// Where tokens come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// We sign them.
    Signed {
        /// With this key, and these claims.
        signer: Arc<Signer>,
        /// How long each is good for; its end is rounded up to a whole second.
        lifetime: Duration,
    },
    /// The first line of what a command prints.
    Command(Arc<ExternalCommand>),
    /// The first line of a file, one for each attempt; the first again when there are not enough.
    Files(Arc<[PathBuf]>),
}

/// In which field of the CONNECT a token is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownIn {
    /// The Password; the User Name is that of the run, or else the ClientID.
    Password,
    /// The User Name; the Password is that of the run.
    UserName,
}

/// A client whose token runs out.
#[derive(Clone, Debug)]
pub struct Token {
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// What it publishes to.
    pub variant: Variant,
    /// Where its tokens come from.
    pub source: Source,
    /// Where it shows them.
    pub shown_in: ShownIn,
    /// The Authentication Method of the variants that re-authenticate; they show their tokens as Authentication Data, and
    /// in no field. Absent for the others.
    pub method: Option<String>,
    /// How long a token is good for that does not say so itself.
    pub expires_in: Option<Duration>,
    /// How long the end of a token is waited for at the most.
    pub wait_max: Duration,
}

/// A token, and when it ends.
pub(super) struct Issued {
    pub(super) token: Secret,
    pub(super) expires_at: Instant,
}

impl Fault for Token {
    fn case(&self) -> Case {
        Case {
            fault: ID.to_owned(),
            variant: self.variant.name().to_owned(),
            version: self.version.to_string(),
        }
    }

    fn version(&self) -> ProtocolVersion {
        self.version
    }

    fn describe(&self) -> String {
        let topics = match self.variant {
            Variant::OneTopic => "one topic",
            Variant::NewTopics => "a new topic each time",
            Variant::Reauthenticate | Variant::ReauthenticateSpoilt => {
                return self.describe_reauthentication();
            }
        };
        format!(
            "CONNECT with a Will and a token that runs out, SUBSCRIBE, be published to and publish to {topics} until \
             well after its end; then CONNECT again with the same token, and with a new one"
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        Box::pin(self.carry_out(stage, log))
    }
}

impl Token {
    async fn carry_out(&self, stage: &Stage, mut log: AttemptLog<'_>) -> Attempt {
        if self.variant.reauthenticates() && self.version != ProtocolVersion::V5 {
            let trouble = "AUTH is of MQTT 5.0, and this broker speaks 3.1.1 alone";
            return not_acted(stage, log, self.version, trouble).await;
        }
        let client_id = log.client_id().to_owned();
        let issued = match stage.unless_stopped(self.prepare(stage, &client_id, log.number())).await {
            Some(Ok(issued)) => issued,
            Some(Err(trouble)) => return not_acted(stage, log, self.version, &trouble).await,
            None => return interrupted(log),
        };
        let shown = self.shown(stage, &client_id, issued.token.clone());
        let will = stage.watch_will(&client_id);
        let open = Workplace::open(stage, &mut log, self.version, &shown, will.as_ref());
        let mut place = match stage.unless_stopped(open).await {
            Some(Ok(place)) => place,
            Some(Err(trouble)) => return not_acted(stage, log, self.version, &trouble).await,
            None => return interrupted(log),
        };
        if self.variant.reauthenticates() {
            return self.reauthenticate(stage, log, place, issued, will).await;
        }
        if self.variant == Variant::NewTopics {
            place.work.publishes = Publishes::ToNewTopics;
        }
        log.provoked(issued.expires_at);
        let watch = Watch {
            provoked_at: issued.expires_at,
            within: stage.reaction_timeout,
            connacks_due: 0,
            subscribed: true,
        };
        let cut = judged::watch_at_work(stage, place, watch).await;
        let early = cut.ended_at_us().map(|us| stage.clock.us(issued.expires_at).saturating_sub(us));
        if let Some(early_us) = early.filter(|early_us| *early_us > micros(GRACE)) {
            let trouble =
                format!("the broker ended the connection {} before the token's end", time(early_us));
            cut.place.leave().await;
            return not_acted(stage, log, self.version, &trouble).await;
        }
        let served = Served::after(issued.expires_at + GRACE, &cut.place.work, &cut.place.beside);
        let (mut log, beside) = judged::conclude(stage, log, cut, will, served, Some(&shown)).await;
        let Some(mut beside) = beside else { return log.end() };
        if let Some(renewed) =
            stage.unless_stopped(self.renew(stage, &client_id, &mut beside)).await.flatten()
        {
            renewed.tell(RENEWED, &mut log);
        }
        judged::part(stage, log, beside).await
    }

    /// A token, once it is known that the broker looks at tokens at all.
    async fn prepare(&self, stage: &Stage, client_id: &str, number: u64) -> Result<Issued, String> {
        let issued = self.issue(stage, client_id, number, Duration::ZERO).await?;
        let left = issued.expires_at.saturating_duration_since(now());
        if left < GOOD_FOR_MIN {
            return Err("the token has run out, or does so at once".to_owned());
        }
        if left > self.wait_max {
            return Err(format!(
                "the token is good for {} s yet, which is longer than --wait-max",
                left.as_secs()
            ));
        }
        let shown = self.shown(stage, client_id, spoilt(&issued.token));
        let (mut client, _) =
            stage.open(self.version).await.map_err(|error| format!("cannot connect: {error}"))?;
        let properties = shown.properties();
        let connect = shown.connect(client_id, &properties);
        let let_in = client.connect(&connect, stage.options.connect_timeout).await.is_ok();
        client.leave().await;
        if let_in {
            return Err("the broker lets in a client whose token is spoilt as well: it checks no tokens, so nothing can \
                        be said about those that run out; docs/expire.md says what brokers need for it"
                .to_owned());
        }
        Ok(issued)
    }

    /// A token. One that we sign is good for `at_least` so long.
    pub(super) async fn issue(
        &self,
        stage: &Stage,
        client_id: &str,
        number: u64,
        at_least: Duration,
    ) -> Result<Issued, String> {
        let token = match &self.source {
            Source::Signed { signer, lifetime } => {
                let now_us = unix_us(&stage.clock, now());
                let expires_s = (now_us + micros((*lifetime).max(at_least))).div_ceil(SECOND_US);
                signer.token(client_id, now_us / SECOND_US, expires_s)
            }
            Source::Command(command) => {
                let finished = command.start(&[("client_id", client_id)])?.finished(Told::Nothing).await?;
                first_line(&finished.printed)
                    .ok_or_else(|| format!("{} printed no token", command.program()))?
            }
            Source::Files(files) => {
                let count = files.len().max(1) as u64;
                let file = usize::try_from(number % count).ok().and_then(|index| files.get(index));
                let file = file.ok_or("there is no file with a token")?;
                first_line(&input_file::first_line(file)?)
                    .ok_or_else(|| format!("{} holds no token", file.display()))?
            }
        };
        let expires_at = match (expires_s(token.reveal()), self.expires_in) {
            (Some(at_s), _) => instant(&stage.clock, at_s),
            (None, Some(time)) => Some(now() + time),
            (None, None) => {
                return Err("the token does not say when it runs out; give --expires-in".to_owned());
            }
        };
        let expires_at = expires_at.ok_or("the token has run out, or does so at once")?;
        Ok(Issued { token, expires_at })
    }

    /// What a client shows that has this token.
    pub(super) fn shown(&self, stage: &Stage, client_id: &str, token: Secret) -> Shown {
        if let Some(method) = &self.method {
            return Shown { credentials: stage.credentials.clone(), method: Some((method.clone(), token)) };
        }
        Shown::from(match self.shown_in {
            ShownIn::Password => Credentials {
                user_name: stage.credentials.user_name.clone().or_else(|| Some(client_id.to_owned())),
                password: Some(token),
            },
            ShownIn::UserName => Credentials {
                user_name: Some(String::from_utf8_lossy(token.reveal()).into_owned()),
                password: stage.credentials.password.clone(),
            },
        })
    }

    /// Connects with another token; absent where there is no other.
    async fn renew(
        &self,
        stage: &Stage,
        client_id: &str,
        beside: &mut super::at_work::Beside,
    ) -> Option<super::coming_back::CameBack> {
        if matches!(self.source, Source::Files(_)) {
            return None;
        }
        let issued = self.issue(stage, client_id, 0, Duration::ZERO).await.ok()?;
        let shown = self.shown(stage, client_id, issued.token);
        Some(come_back(stage, self.version, client_id, &shown, beside).await)
    }
}

fn first_line(bytes: &[u8]) -> Option<Secret> {
    let line = bytes.split(|byte| *byte == b'\n').next()?.trim_ascii();
    (!line.is_empty()).then(|| Secret::new(line))
}

/// µs since 1970 at this instant, by the wall clock as it was at the run's start.
fn unix_us(clock: &RunClock, at: Instant) -> u64 {
    u64::try_from(clock.started().as_microsecond()).unwrap_or_default() + clock.us(at)
}

/// The instant of a second since 1970; absent for one before the run's start.
fn instant(clock: &RunClock, at_s: u64) -> Option<Instant> {
    let since_start = at_s.checked_mul(SECOND_US)?.checked_sub(unix_us(clock, clock.origin()))?;
    clock.origin().checked_add(Duration::from_micros(since_start))
}

#[cfg(test)]
mod tests {
    use ungraceful_rig::measure::clock::RunClock;

    use super::{SECOND_US, Variant, first_line, instant, unix_us};

    #[test]
    fn a_second_of_the_wall_clock_is_found_on_the_clock_of_the_run() {
        let clock = RunClock::start();
        let at_s = unix_us(&clock, clock.origin()) / SECOND_US + 5;
        let found = instant(&clock, at_s).unwrap();
        assert_eq!(unix_us(&clock, found), at_s * SECOND_US);
        assert_eq!(instant(&clock, at_s - 10), None, "before the run's start");
        assert_eq!(instant(&clock, u64::MAX), None);
    }

    #[test]
    fn a_token_is_the_first_line_without_what_is_around_it() {
        assert_eq!(first_line(b" abc.def \r\nsecond").unwrap().reveal(), b"abc.def");
        assert!(first_line(b"").is_none() && first_line(b"\nabc").is_none());
        for variant in Variant::ALL {
            assert_eq!(variant.to_string().parse(), Ok(variant));
        }
    }
}
