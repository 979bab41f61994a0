//! Credentials that expire: a client connects with a token that expires at a known instant, and continues beyond it.
//!
//! No numbered statement requires that a broker cuts it. The broker's log says "connection auth expired" or "credential
//! expired", or nothing while the client stays connected.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};
use ungraceful_flags::{Mistake, Named, PositiveTime, Versions, Wanted, named, names_all, reader};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::FactOf;
use ungraceful_record::scale::{micros, time};
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::broker::external_command::{ExternalCommand, Show};
use ungraceful_rig::broker::target::{Credentials, Secret};
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::input_file;
use ungraceful_wire::clock::now;

use super::authentication::Authentication;
use super::common;
use super::reconnect::{Reconnect, reconnect};
use super::signing::{Signer, expires_s, spoilt};
use super::working_pair::{CompanionClient, Publishes, Served, WorkingPair};
use super::{Return, reauthentication_checks, token_checks};
use crate::ending::{Unfinished, attempted, prepared, watch};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};

/// The fault's id in the catalogue.
pub const ID: &str = "token";
/// Fact: the answer to the client that connected with a new token.
pub const RENEWED: FactOf<Return> = FactOf::new("with_a_new_token");
/// The placeholders of the command that prints a token.
pub const PLACEHOLDERS: [&str; 1] = ["client_id"];

/// Tokens expire at whole seconds: service for this much longer is no finding, and a connection that ends this much earlier
/// counts as cut by the expiry.
pub(super) const GRACE: Duration = Duration::from_secs(1);
const EXPIRED: &str = "the token has expired or is about to expire";
/// A token must be valid for at least the time to connect and start working.
const GOOD_FOR_MIN: Duration = Duration::from_millis(500);
const SECOND_US: u64 = 1_000_000;

ungraceful_record::words! {
    /// The topics that the client publishes to, or how it renews its token. A broker may check credentials only for new topics.
    pub enum Variant: "variant" {
        /// Always the same topic.
        OneTopic = "one-topic",
        /// A new topic each time.
        NewTopics = "new-topics",
        /// One topic; before its token expires, the client sends a renewed one in AUTH 0x19. Only MQTT 5.0.
        Reauthenticate = "reauthenticate",
        /// One topic; before its token expires, the client sends the same token, spoilt, in AUTH 0x19. Only MQTT 5.0.
        ReauthenticateSpoilt = "reauthenticate-spoilt",
    }
}

impl Variant {
    /// Whether the client re-authenticates, which needs an Authentication Method and MQTT 5.0.
    #[must_use]
    pub const fn reauthenticates(self) -> bool {
        matches!(self, Self::Reauthenticate | Self::ReauthenticateSpoilt)
    }
}

ungraceful_record::words! {
    /// The field of the CONNECT that carries a token.
    enum TokenField: "field for a token" {
        /// The Password; the User Name is that of the run, or else the ClientID.
        Password = "password",
        /// The User Name; the Password is that of the run.
        UserName = "username",
    }
}

/// Claims of a token.
#[derive(Clone, Debug, Default, PartialEq)]
struct Claims(Map<String, Value>);

impl FromStr for Claims {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(claims)) if claims.contains_key("exp") => {
                Err("must not contain exp, which --token-lifetime defines".to_owned())
            }
            Ok(Value::Object(claims)) => Ok(Self(claims)),
            _ => Err(format!("{text:?} is not a JSON object; write one such as {{\"aud\":\"broker\"}}")),
        }
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: one-topic, new-topics (what the client publishes to), reauthenticate, reauthenticate-spoilt (another token by AUTH, MQTT 5.0) [default: the first two; with --auth-method all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Command that prints a token in its first line, run without a shell for each client; {client_id} is replaced. Its output is never shown
    #[arg(long, value_name = "COMMAND")]
    token_cmd: Option<Secret>,
    /// Maximum duration of --token-cmd
    #[arg(long, value_name = "TIME", default_value = "10s")]
    token_timeout: PositiveTime,
    /// Folder with one file per attempt, in the order of their names; the first line of each is a token
    #[arg(long, value_name = "DIR")]
    token_dir: Option<PathBuf>,
    /// File whose first line is a key: tokens are signed with it (JWT, HS256)
    #[arg(long, value_name = "FILE")]
    token_key_file: Option<PathBuf>,
    /// Lifetime of the signed tokens; the end is rounded up to a whole second
    #[arg(long, value_name = "TIME", default_value = "3s")]
    token_lifetime: PositiveTime,
    /// More claims of the signed tokens, as a JSON object, beside sub (the ClientID), iat and exp; {client_id} in a string is replaced
    #[arg(long, value_name = "JSON", value_parser = reader::<Claims>())]
    claims: Option<Claims>,
    /// Lifetime of tokens that do not contain one
    #[arg(long, value_name = "TIME")]
    expires_in: Option<PositiveTime>,
    /// Field of the CONNECT that carries the token: password or username
    #[arg(long, value_name = "FIELD", default_value = "password", value_parser = reader::<TokenField>())]
    token_in: TokenField,
    /// Authentication Method that the broker supports; the variants that re-authenticate use it, with their tokens as Authentication Data (MQTT 5.0)
    #[arg(long, value_name = "NAME")]
    auth_method: Option<String>,
    /// Maximum time to wait for a token to expire
    #[arg(long, value_name = "TIME", default_value = "5m")]
    wait_max: PositiveTime,
    #[command(flatten)]
    versions: Versions,
    #[arg(skip)]
    source: Option<Source>,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "Credentials expire while clients work: are the clients disconnected, or served on?";
    const LONG_ABOUT: &'static str = "Connects clients with a token that expires at a known instant (from --token-cmd, from files in --token-dir, or \
         signed with --token-key-file) and has them publish and receive messages beyond it. Reports how long after the \
         token's end each client is cut and with which Reason Code, whether messages are still delivered, whether the \
         Will is published, and whether the broker refuses the stale token and accepts a new one. Each attempt first \
         connects with a spoilt token: if the broker accepts it, the broker checks no tokens, and the run reports that. \
         Expiry is measured by the clock of this machine; the broker's clock may differ.";
    const CHECKS: &'static [&'static [Check]] = &[token_checks::CHECKS, reauthentication_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "5"), ("connrate", "20"), ("count", "100"), ("will-wait", "2s")];
    const REQUIRED_FLAGS: &'static [&'static str] = &["--token-cmd", "COMMAND {client_id}"];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        match self.read_source() {
            Ok(source) => self.source = Some(source),
            Err(mistake) => mistakes.push(mistake),
        }
        let mut mistake = |flag: &str, what: &str| mistakes.push(Mistake::new(flag, what));
        if self.claims.is_some() && self.token_key_file.is_none() {
            mistake("--claims", "applies only to signed tokens; give --token-key-file");
        }
        let reauthenticates = self.named().into_iter().any(Variant::reauthenticates);
        let Some(method) = &self.auth_method else {
            if reauthenticates {
                let what = "re-authentication needs a method that the broker supports; give --auth-method";
                mistake("--variant", what);
            }
            return;
        };
        if method.is_empty() {
            mistake("--auth-method", "is empty; name the method that the broker supports");
        }
        if !self.wanted().versions.contains(&ProtocolVersion::V5) {
            mistake("--auth-method", "needs MQTT 5.0; add 5 to --protocol-version, or leave it out");
        }
        if !self.variant.is_empty() && !reauthenticates {
            mistake("--auth-method", "applies only to re-authentication; add reauthenticate to --variant");
        }
        if self.token_dir.is_some() {
            let what = "re-authentication needs renewed tokens; give --token-cmd or --token-key-file instead of \
                        --token-dir";
            mistake("--auth-method", what);
        }
    }

    fn connections(&self) -> ConnectionsOf {
        // The client, and its companion.
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        match &self.source {
            Some(Source::Signed { lifetime, .. }) => (*lifetime + Duration::from_secs(1)).min(*self.wait_max),
            _ => *self.wait_max,
        }
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let Some(source) = &self.source else { return Vec::new() };
        let speaks_v5 = spoken.contains(&ProtocolVersion::V5);
        let variants = if self.variant.is_empty() { self.possible() } else { self.named() };
        each_case(&variants, spoken, |variant, version| {
            // Where only 3.1.1 is spoken, the attempts report that.
            let is_case = !variant.reauthenticates() || version == ProtocolVersion::V5 || !speaks_v5;
            is_case.then(|| Token { version, variant, source: source.clone(), flags: self.clone() })
        })
    }
}

impl Flags {
    /// The available variants: re-authentication needs a method.
    fn possible(&self) -> Vec<Variant> {
        let is_possible = |variant: &Variant| self.auth_method.is_some() || !variant.reauthenticates();
        Variant::ALL.into_iter().filter(is_possible).collect()
    }

    /// The variants of the flag; `all` means all available ones.
    fn named(&self) -> Vec<Variant> {
        if names_all(&self.variant) { self.possible() } else { named(&Variant::ALL, &self.variant) }
    }

    /// The source of tokens: a mistake when there is none or more than one.
    fn read_source(&self) -> Result<Source, Mistake> {
        match (&self.token_cmd, &self.token_dir, &self.token_key_file) {
            (Some(text), None, None) => {
                let command = ExternalCommand::parse(text, &PLACEHOLDERS, *self.token_timeout);
                let command = command.map_err(|what| Mistake::new("--token-cmd", what))?;
                Ok(Source::Command(Arc::new(command)))
            }
            (None, Some(folder), None) => {
                files(folder).map(Source::Files).map_err(|what| Mistake::new("--token-dir", what))
            }
            (None, None, Some(path)) => {
                let key = match input_file::first_line(path) {
                    Ok(key) if key.is_empty() => {
                        Err(format!("the first line of {} is empty", path.display()))
                    }
                    read => read,
                };
                let key = Secret::new(key.map_err(|what| Mistake::new("--token-key-file", what))?);
                let claims = self.claims.clone().unwrap_or_default().0;
                Ok(Source::Signed {
                    signer: Arc::new(Signer { key, claims }),
                    lifetime: *self.token_lifetime,
                })
            }
            (None, None, None) => {
                let what = "there is no source of tokens: give --token-cmd, --token-dir, or --token-key-file to sign them";
                Err(Mistake::new("--token-cmd", what))
            }
            _ => {
                let what = "conflicts with another source of tokens; keep one of --token-cmd, --token-dir and --token-key-file";
                Err(Mistake::new("--token-cmd", what))
            }
        }
    }
}

/// The files of a folder, sorted by name.
fn files(folder: &Path) -> Result<Arc<[PathBuf]>, String> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort_unstable();
    if files.is_empty() {
        return Err(format!(
            "{} contains no files; put one token in a file for each client",
            folder.display()
        ));
    }
    Ok(files.into())
}

/// Where tokens come from.
#[derive(Clone, Debug)]
enum Source {
    /// The run signs them.
    Signed {
        signer: Arc<Signer>,
        /// The end of the lifetime is rounded up to a whole second.
        lifetime: Duration,
    },
    /// The first line of a command's output.
    Command(Arc<ExternalCommand>),
    /// The first line of a file, one for each attempt; starting over when there are not enough.
    Files(Arc<[PathBuf]>),
}

/// A client whose token expires.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) version: ProtocolVersion,
    pub(super) variant: Variant,
    source: Source,
    flags: Flags,
}

/// A token, and when it expires.
pub(super) struct Issued {
    pub(super) token: Secret,
    pub(super) expires_at: Instant,
}

impl Fault for Token {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
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
            "CONNECT with a Will and a token that expires, SUBSCRIBE, receive messages and publish to {topics} until well \
             after its end; then CONNECT again with the same token, and with a new one"
        )
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::UsesTopics]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Token {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        if self.variant.reauthenticates() && self.version != ProtocolVersion::V5 {
            let trouble = "AUTH needs MQTT 5.0, and this broker only speaks 3.1.1";
            return Err(trouble.into());
        }
        let client_id = log.client_id().to_owned();
        let issued = prepared(stage, self.prepare(stage, &client_id, log.number())).await?;
        let authentication = self.authentication(stage, &client_id, issued.token.clone());
        let will = stage.watch_will(log.name());
        let open = WorkingPair::open(stage, log, self.version, &authentication, will.as_ref());
        let mut pair = prepared(stage, open).await?;
        if self.variant.reauthenticates() {
            return self.reauthenticate(stage, log, pair, issued, will).await;
        }
        if self.variant == Variant::NewTopics {
            pair.work.publishes = Publishes::ToNewTopics;
        }
        log.provoked(issued.expires_at);
        let watch = watch(issued.expires_at, stage.reaction_timeout);
        let watched = common::watch_at_work(stage, pair, watch).await;
        let early = watched.seen.ended_at_us().map(|us| stage.clock.us(issued.expires_at).saturating_sub(us));
        if let Some(early_us) = early.filter(|early_us| *early_us > micros(GRACE)) {
            let trouble =
                format!("the broker ended the connection {} before the token's end", time(early_us));
            watched.pair.leave().await;
            return Err(trouble.into());
        }
        let served = Served::after(issued.expires_at + GRACE, &watched.pair);
        let companion = common::conclude(stage, log, watched, will, served, Some(&authentication)).await;
        let Some(mut companion) = companion else { return Ok(()) };
        let renewed = stage.unless_stopped(self.renew(stage, log, &mut companion)).await;
        if let Some(renewed) = renewed.flatten() {
            renewed.report(RENEWED, log);
        }
        common::leave(stage, log, companion).await;
        Ok(())
    }

    /// A token, after checking that the broker refuses a spoilt one.
    async fn prepare(&self, stage: &Stage, client_id: &str, number: u64) -> Result<Issued, String> {
        let issued = self.issue(stage, client_id, number, Duration::ZERO).await?;
        let left = issued.expires_at.saturating_duration_since(now());
        if left < GOOD_FOR_MIN {
            return Err(EXPIRED.to_owned());
        }
        if left > *self.flags.wait_max {
            return Err(format!(
                "the token remains valid for {} s, which is longer than --wait-max",
                left.as_secs()
            ));
        }
        let authentication = self.authentication(stage, client_id, spoilt(&issued.token));
        let (mut client, _) =
            stage.open(self.version).await.map_err(|error| format!("cannot connect: {error}"))?;
        let properties = authentication.properties();
        let connect = authentication.connect(client_id, &properties);
        let is_accepted = client.connect(&connect, stage.options.connect_timeout).await.is_ok();
        client.leave().await;
        if is_accepted {
            return Err("the broker also accepts a client with a spoilt token: it checks no tokens, so their expiry cannot be \
                        tested; docs/expire.md describes how to set up brokers for it"
                .to_owned());
        }
        Ok(issued)
    }

    /// A token. A signed one is valid for `at_least` this long.
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
                let finished = command.start(&[("client_id", client_id)])?.finished(Show::Nothing).await?;
                first_line(&finished.printed)
                    .ok_or_else(|| format!("{} printed no token", command.program()))?
            }
            Source::Files(files) => {
                let count = files.len().max(1) as u64;
                let file = usize::try_from(number % count).ok().and_then(|index| files.get(index));
                let file = file.ok_or("there is no file with a token")?;
                first_line(&input_file::first_line(file)?)
                    .ok_or_else(|| format!("{} contains no token", file.display()))?
            }
        };
        let expires_at = match (expires_s(token.reveal()), self.flags.expires_in) {
            (Some(at_s), _) => instant(&stage.clock, at_s),
            (None, Some(time)) => Some(now() + *time),
            (None, None) => {
                return Err("the token contains no expiry time; give --expires-in".to_owned());
            }
        };
        let expires_at = expires_at.ok_or(EXPIRED)?;
        Ok(Issued { token, expires_at })
    }

    /// The Authentication Method of the variants that re-authenticate, which send their tokens as Authentication Data. Absent for
    /// the others.
    pub(super) fn method(&self) -> Option<&str> {
        self.flags.auth_method.as_deref().filter(|_| self.variant.reauthenticates())
    }

    /// The authentication of a client with this token.
    pub(super) fn authentication(&self, stage: &Stage, client_id: &str, token: Secret) -> Authentication {
        if let Some(method) = self.method() {
            return Authentication {
                credentials: stage.credentials.clone(),
                method: Some((method.to_owned(), token)),
            };
        }
        Authentication::from(match self.flags.token_in {
            TokenField::Password => Credentials {
                user_name: stage.credentials.user_name.clone().or_else(|| Some(client_id.to_owned())),
                password: Some(token),
            },
            TokenField::UserName => Credentials {
                user_name: Some(String::from_utf8_lossy(token.reveal()).into_owned()),
                password: stage.credentials.password.clone(),
            },
        })
    }

    /// Connects with a new token; absent where there is none.
    async fn renew(
        &self,
        stage: &Stage,
        log: &AttemptLog<'_>,
        companion: &mut CompanionClient,
    ) -> Option<Reconnect> {
        if matches!(self.source, Source::Files(_)) {
            return None;
        }
        let issued = self.issue(stage, log.client_id(), 0, Duration::ZERO).await.ok()?;
        let authentication = self.authentication(stage, log.client_id(), issued.token);
        Some(reconnect(stage, self.version, log, &authentication, companion).await)
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
    use serde_json::json;
    use ungraceful_rig::measure::clock::RunClock;

    use super::{Claims, SECOND_US, first_line, instant, unix_us};

    #[test]
    fn a_wall_clock_second_maps_to_the_run_clock() {
        let clock = RunClock::start();
        let at_s = unix_us(&clock, clock.origin()) / SECOND_US + 5;
        let found = instant(&clock, at_s).unwrap();
        assert_eq!(unix_us(&clock, found), at_s * SECOND_US);
        assert_eq!(instant(&clock, at_s - 10), None, "before the run's start");
        assert_eq!(instant(&clock, u64::MAX), None);
    }

    #[test]
    fn a_token_is_the_trimmed_first_line() {
        assert_eq!(first_line(b" abc.def \r\nsecond").unwrap().reveal(), b"abc.def");
        assert!(first_line(b"").is_none() && first_line(b"\nabc").is_none());
    }

    #[test]
    fn claims_are_a_json_object_without_exp() {
        let Claims(claims) = r#"{"aud":["a","b"],"scope":"x,y=z"}"#.parse().unwrap();
        assert_eq!((&claims["aud"], &claims["scope"]), (&json!(["a", "b"]), &json!("x,y=z")));
        for wrong in ["aud=x", "[]", "", r#"{"exp":5}"#] {
            assert!(wrong.parse::<Claims>().is_err(), "{wrong}");
        }
    }
}
