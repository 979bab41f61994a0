//! Credentials that run out: a client connects with a token that ends at a known instant, and goes on working beyond it.
//!
//! No numbered statement obliges a broker to cut it. What an operator finds in the log is "connection auth expired" or
//! "credential expired", or nothing, and a client that is served for as long as its connection lives.

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
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
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
use super::{Return, reauthentication_checks, token_checks};
use crate::ending::{Untold, attempted, prepared, watch};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};

/// The fault's id in the catalogue.
pub const ID: &str = "token";
/// Fact: what became of the client that connected with a new token.
pub const RENEWED: FactOf<Return> = FactOf::new("with_a_new_token");
/// What may stand in the command that gives a token.
pub const PLACEHOLDERS: [&str; 1] = ["client_id"];

/// The end of a token is given in whole seconds; what is served for so much longer is no finding, and a connection that
/// ends so much earlier was ended by it.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// A token must be good for as long as it takes to connect and work.
const GOOD_FOR_MIN: Duration = Duration::from_millis(500);
const SECOND_US: u64 = 1_000_000;

ungraceful_record::words! {
    /// What the client publishes to while its token runs out. A broker may look at credentials for each new topic alone.
    pub enum Variant: "variant" {
        /// Always the same topic.
        OneTopic = "one-topic",
        /// Each time another topic.
        NewTopics = "new-topics",
        /// One topic; and before its token runs out, the client shows a renewed one by AUTH 0x19. MQTT 5.0 alone.
        Reauthenticate = "reauthenticate",
        /// One topic; and before its token runs out, the client shows the same one, spoilt, by AUTH 0x19. MQTT 5.0 alone.
        ReauthenticateSpoilt = "reauthenticate-spoilt",
    }
}

impl Variant {
    /// Whether the client authenticates itself anew, for which it needs an Authentication Method and MQTT 5.0.
    #[must_use]
    pub const fn reauthenticates(self) -> bool {
        matches!(self, Self::Reauthenticate | Self::ReauthenticateSpoilt)
    }
}

ungraceful_record::words! {
    /// In which field of the CONNECT a token is shown.
    enum ShownIn: "field for a token" {
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
                Err("exp is told by --token-lifetime; leave it out".to_owned())
            }
            Ok(Value::Object(claims)) => Ok(Self(claims)),
            _ => Err(format!("{text:?} is no JSON object; write one such as {{\"aud\":\"broker\"}}")),
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
    #[arg(long, value_name = "FIELD", default_value = "password", value_parser = reader::<ShownIn>())]
    token_in: ShownIn,
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
    const LONG_ABOUT: &'static str = "Connects clients with a token that ends at a known instant (from --token-cmd, from files in \
         --token-dir, or signed with --token-key-file) and has them publish and be published to beyond \
         it. Reports how long after the token's end each is cut and with which Reason Code, whether \
         messages are still delivered, what becomes of the Will, whether the stale token is refused and a \
         new one accepted. A client with a spoilt token comes first: where the broker lets it in, it \
         checks no tokens, and the run says so. The clock of this machine is what counts; a broker \
         elsewhere may have another.";
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
            mistake("--claims", "is for tokens that we sign; give --token-key-file");
        }
        let reauthenticates = self.named().into_iter().any(Variant::reauthenticates);
        let Some(method) = &self.auth_method else {
            if reauthenticates {
                let what = "re-authentication needs a method that the broker offers; give --auth-method";
                mistake("--variant", what);
            }
            return;
        };
        if method.is_empty() {
            mistake("--auth-method", "is empty; name the method that the broker offers");
        }
        if !self.wanted().versions.contains(&ProtocolVersion::V5) {
            mistake("--auth-method", "is of MQTT 5.0; add 5 to --protocol-version, or leave it out");
        }
        if !self.variant.is_empty() && !reauthenticates {
            mistake("--auth-method", "is for re-authentication; add reauthenticate to --variant");
        }
        if self.token_dir.is_some() {
            let what = "re-authentication needs renewed tokens; give --token-cmd or --token-key-file in place of \
                        --token-dir";
            mistake("--auth-method", what);
        }
    }

    fn connections(&self) -> ConnectionsOf {
        // The client, and the publisher beside it.
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
            // Where 3.1.1 alone is spoken, the attempts say so.
            let is_case = !variant.reauthenticates() || version == ProtocolVersion::V5 || !speaks_v5;
            is_case.then(|| Token { version, variant, source: source.clone(), flags: self.clone() })
        })
    }
}

impl Flags {
    /// The variants that can be had: without a method there is none to re-authenticate by.
    fn possible(&self) -> Vec<Variant> {
        let is_possible = |variant: &Variant| self.auth_method.is_some() || !variant.reauthenticates();
        Variant::ALL.into_iter().filter(is_possible).collect()
    }

    /// The variants that were named; `all` is all that can be had.
    fn named(&self) -> Vec<Variant> {
        if names_all(&self.variant) { self.possible() } else { named(&Variant::ALL, &self.variant) }
    }

    /// Where tokens come from: a mistake when that is nowhere or at several places.
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
                let what = "no token that could run out: give --token-cmd, --token-dir, or --token-key-file to have \
                            tokens signed";
                Err(Mistake::new("--token-cmd", what))
            }
            _ => {
                let what =
                    "tokens come from one place; keep one of --token-cmd, --token-dir and --token-key-file";
                Err(Mistake::new("--token-cmd", what))
            }
        }
    }
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Result<Arc<[PathBuf]>, String> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort_unstable();
    if files.is_empty() {
        return Err(format!(
            "there is no file in {}; put a token into one for each client",
            folder.display()
        ));
    }
    Ok(files.into())
}

/// Where tokens come from.
#[derive(Clone, Debug)]
enum Source {
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

/// A client whose token runs out.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) version: ProtocolVersion,
    pub(super) variant: Variant,
    source: Source,
    flags: Flags,
}

/// A token, and when it ends.
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
            "CONNECT with a Will and a token that runs out, SUBSCRIBE, be published to and publish to {topics} until \
             well after its end; then CONNECT again with the same token, and with a new one"
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Token {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        if self.variant.reauthenticates() && self.version != ProtocolVersion::V5 {
            let trouble = "AUTH is of MQTT 5.0, and this broker speaks 3.1.1 alone";
            return Err(trouble.into());
        }
        let client_id = log.client_id().to_owned();
        let issued = prepared(stage, self.prepare(stage, &client_id, log.number())).await?;
        let shown = self.shown(stage, &client_id, issued.token.clone());
        let will = stage.watch_will(&client_id);
        let open = Workplace::open(stage, log, self.version, &shown, will.as_ref());
        let mut place = prepared(stage, open).await?;
        if self.variant.reauthenticates() {
            return self.reauthenticate(stage, log, place, issued, will).await;
        }
        if self.variant == Variant::NewTopics {
            place.work.publishes = Publishes::ToNewTopics;
        }
        log.provoked(issued.expires_at);
        let watch = watch(issued.expires_at, stage.reaction_timeout);
        let cut = judged::watch_at_work(stage, place, watch).await;
        let early = cut.ended_at_us().map(|us| stage.clock.us(issued.expires_at).saturating_sub(us));
        if let Some(early_us) = early.filter(|early_us| *early_us > micros(GRACE)) {
            let trouble =
                format!("the broker ended the connection {} before the token's end", time(early_us));
            cut.place.leave().await;
            return Err(trouble.into());
        }
        let served = Served::after(issued.expires_at + GRACE, &cut.place.work, &cut.place.beside);
        let beside = judged::conclude(stage, log, cut, will, served, Some(&shown)).await;
        let Some(mut beside) = beside else { return Ok(()) };
        if let Some(renewed) =
            stage.unless_stopped(self.renew(stage, &client_id, &mut beside)).await.flatten()
        {
            renewed.tell(RENEWED, log);
        }
        judged::part(stage, log, beside).await;
        Ok(())
    }

    /// A token, once it is known that the broker looks at tokens at all.
    async fn prepare(&self, stage: &Stage, client_id: &str, number: u64) -> Result<Issued, String> {
        let issued = self.issue(stage, client_id, number, Duration::ZERO).await?;
        let left = issued.expires_at.saturating_duration_since(now());
        if left < GOOD_FOR_MIN {
            return Err("the token has run out, or does so at once".to_owned());
        }
        if left > *self.flags.wait_max {
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
        let expires_at = match (expires_s(token.reveal()), self.flags.expires_in) {
            (Some(at_s), _) => instant(&stage.clock, at_s),
            (None, Some(time)) => Some(now() + *time),
            (None, None) => {
                return Err("the token does not say when it runs out; give --expires-in".to_owned());
            }
        };
        let expires_at = expires_at.ok_or("the token has run out, or does so at once")?;
        Ok(Issued { token, expires_at })
    }

    /// The Authentication Method of the variants that re-authenticate, which show their tokens as Authentication Data and in
    /// no field. Absent for the others.
    pub(super) fn method(&self) -> Option<&str> {
        self.flags.auth_method.as_deref().filter(|_| self.variant.reauthenticates())
    }

    /// What a client shows that has this token.
    pub(super) fn shown(&self, stage: &Stage, client_id: &str, token: Secret) -> Shown {
        if let Some(method) = self.method() {
            return Shown {
                credentials: stage.credentials.clone(),
                method: Some((method.to_owned(), token)),
            };
        }
        Shown::from(match self.flags.token_in {
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
    use serde_json::json;
    use ungraceful_rig::measure::clock::RunClock;

    use super::{Claims, SECOND_US, first_line, instant, unix_us};

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
    }

    #[test]
    fn claims_are_an_object_and_leave_the_end_of_the_token_to_its_own_flag() {
        let Claims(claims) = r#"{"aud":["a","b"],"scope":"x,y=z"}"#.parse().unwrap();
        assert_eq!((&claims["aud"], &claims["scope"]), (&json!(["a", "b"]), &json!("x,y=z")));
        for wrong in ["aud=x", "[]", "", r#"{"exp":5}"#] {
            assert!(wrong.parse::<Claims>().is_err(), "{wrong}");
        }
    }
}
