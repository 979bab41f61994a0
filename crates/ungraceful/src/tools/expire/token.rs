//! `ungraceful-expire token`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};
use ungraceful_faults::authentication::command::ExternalCommand;
use ungraceful_faults::authentication::reauthentication_checks;
use ungraceful_faults::authentication::signing::Signer;
use ungraceful_faults::authentication::token::{self, PLACEHOLDERS, ShownIn, Source, Variant};
use ungraceful_faults::authentication::token_checks::{CHECKS, STATEMENTS};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::verdict::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::broker::target::Secret;
use ungraceful_rig::error::Mistake;
use ungraceful_rig::run::input_file;

use crate::cli::given::{Given, Named, Readable, Time, named, names_all};
use crate::cli::versions::VersionArgs;
use crate::launch::{AttemptsOf, ConnectionsOf, FaultPlan, Mode};

/// The client, and the publisher beside it.
const CONNECTIONS: u64 = 2;

/// The mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token;

/// The flags that only this mode has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct TokenArgs {
    /// Variants, separated by commas: one-topic, new-topics (what the client publishes to), reauthenticate, reauthenticate-spoilt (another token by AUTH, MQTT 5.0) [default: the first two; with --auth-method all]
    #[arg(long, value_name = "VARIANT", env = "UNGRACEFUL_VARIANT", value_delimiter = ',')]
    variant: Vec<Given<Named<Variant>>>,
    /// Command whose first line of output is a token, run without a shell for each client; {client_id} is replaced. What it prints is shown nowhere
    #[arg(long, value_name = "COMMAND", env = "UNGRACEFUL_TOKEN_CMD")]
    token_cmd: Option<String>,
    /// The longest that --token-cmd may take
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_TOKEN_TIMEOUT",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    token_timeout: Given<Time>,
    /// Folder of files with a token in the first line, one file for each attempt, in the order of their names
    #[arg(long, value_name = "DIR", env = "UNGRACEFUL_TOKEN_DIR")]
    token_dir: Option<PathBuf>,
    /// File whose first line is a key: tokens are signed with it (JWT, HS256)
    #[arg(long, value_name = "FILE", env = "UNGRACEFUL_TOKEN_KEY_FILE")]
    token_key_file: Option<PathBuf>,
    /// How long tokens are good for that we sign; the end is rounded up to a whole second
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_TOKEN_LIFETIME",
        default_value = "3s",
        allow_hyphen_values = true
    )]
    token_lifetime: Given<Time>,
    /// Claims of tokens that we sign, as a JSON object, beside sub (the ClientID), iat and exp; {client_id} in a text is replaced
    #[arg(long, value_name = "JSON", env = "UNGRACEFUL_CLAIMS")]
    claims: Option<Given<Claims>>,
    /// How long tokens are good for that do not say so themselves
    #[arg(long, value_name = "TIME", env = "UNGRACEFUL_EXPIRES_IN", allow_hyphen_values = true)]
    expires_in: Option<Given<Time>>,
    /// Field of the CONNECT that carries the token: password or username
    #[arg(long, value_name = "FIELD", env = "UNGRACEFUL_TOKEN_IN", default_value = "password")]
    token_in: Given<ShownIn>,
    /// Authentication Method that the broker offers; the variants that re-authenticate name it in their CONNECT, and show their tokens as Authentication Data (MQTT 5.0)
    #[arg(long, value_name = "NAME", env = "UNGRACEFUL_AUTH_METHOD")]
    auth_method: Option<String>,
    /// How long the end of a token is waited for at the most
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_WAIT_MAX",
        default_value = "5m",
        allow_hyphen_values = true
    )]
    wait_max: Given<Time>,
}

/// Claims of a token.
#[derive(Clone, Debug, PartialEq)]
struct Claims(Map<String, Value>);

impl Readable for Claims {
    fn read(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(claims)) if claims.contains_key("exp") => {
                Err("exp is told by --token-lifetime; leave it out".to_owned())
            }
            Ok(Value::Object(claims)) => Ok(Self(claims)),
            _ => Err(format!("{text:?} is no JSON object; write one such as {{\"aud\":\"broker\"}}")),
        }
    }
}

impl Readable for ShownIn {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "password" => Ok(Self::Password),
            "username" => Ok(Self::UserName),
            _ => Err(format!("{text:?} is no field for a token; give password or username")),
        }
    }
}

impl Readable for Variant {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl TokenArgs {
    /// Tells what does not fit to re-authentication.
    fn check_method(&self, versions: &[ProtocolVersion], named: &[Variant], mistakes: &mut Vec<Mistake>) {
        let is_named = named.iter().any(|variant| variant.reauthenticates());
        let mut mistake = |flag: &str, what: &str| mistakes.push(Mistake::new(flag, what));
        if is_named && self.auth_method.is_none() {
            mistake(
                "--variant",
                "re-authentication needs a method that the broker offers; give --auth-method",
            );
        }
        let Some(method) = &self.auth_method else { return };
        if method.is_empty() {
            mistake("--auth-method", "is empty; name the method that the broker offers");
        }
        if !versions.contains(&ProtocolVersion::V5) {
            mistake("--auth-method", "is of MQTT 5.0; add 5 to --protocol-version, or leave it out");
        }
        if !named.is_empty() && !is_named {
            mistake("--auth-method", "is for re-authentication; add reauthenticate to --variant");
        }
        if self.token_dir.is_some() {
            let what = "re-authentication needs renewed tokens; give --token-cmd or --token-key-file in place of \
                        --token-dir";
            mistake("--auth-method", what);
        }
    }

    /// Where tokens come from; absent, with the mistake told, when that is nowhere or at several places.
    fn source(&self, mistakes: &mut Vec<Mistake>) -> Option<Source> {
        let lifetime = self.token_lifetime.positive("--token-lifetime", mistakes).unwrap_or_default();
        let limit = self.token_timeout.positive("--token-timeout", mistakes).unwrap_or_default();
        let claims = self.claims.as_ref().and_then(|claims| claims.take("--claims", mistakes));
        if self.claims.is_some() && self.token_key_file.is_none() {
            mistakes.push(Mistake::new("--claims", "is for tokens that we sign; give --token-key-file"));
        }
        let claims = claims.map(|claims| claims.0).unwrap_or_default();
        let mut mistake = |flag: &str, what: String| mistakes.push(Mistake::new(flag, what));
        match (&self.token_cmd, &self.token_dir, &self.token_key_file) {
            (Some(text), None, None) => ExternalCommand::parse(text, &PLACEHOLDERS, limit)
                .map(|command| Source::Command(Arc::new(command)))
                .map_err(|what| mistake("--token-cmd", what))
                .ok(),
            (None, Some(folder), None) => {
                files(folder).map(Source::Files).map_err(|what| mistake("--token-dir", what)).ok()
            }
            (None, None, Some(path)) => match input_file::first_line(path) {
                Ok(key) if key.is_empty() => {
                    mistake("--token-key-file", format!("the first line of {} is empty", path.display()));
                    None
                }
                Ok(key) => {
                    let signer = Arc::new(Signer { key: Secret::new(key), claims });
                    Some(Source::Signed { signer, lifetime })
                }
                Err(what) => {
                    mistake("--token-key-file", what);
                    None
                }
            },
            (None, None, None) => {
                let what = "no token that could run out: give --token-cmd, --token-dir, or --token-key-file to have \
                            tokens signed";
                mistake("--token-cmd", what.to_owned());
                None
            }
            _ => {
                let what =
                    "tokens come from one place; keep one of --token-cmd, --token-dir and --token-key-file";
                mistake("--token-cmd", what.to_owned());
                None
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

impl Mode for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn about(&self) -> &'static str {
        "Credentials run out while clients work: are they cut, or served for ever?"
    }

    fn long_about(&self) -> &'static str {
        "Connects clients with a token that ends at a known instant (from --token-cmd, from files in --token-dir, or signed \
         with --token-key-file) and has them publish and be published to beyond it. Tells how long after the token's end \
         each is cut and with which Reason Code, whether messages are still delivered, what becomes of the Will, whether \
         the stale token is refused and a new one accepted. A client with a spoilt token comes first: where the broker lets \
         it in, it checks no tokens, and the run says so. The clock of this machine is what counts; a broker elsewhere may \
         have another."
    }

    fn add_flags(&self, command: Command) -> Command {
        VersionArgs::augment_args(TokenArgs::augment_args(command))
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[("attempts", "5"), ("connrate", "20"), ("count", "100"), ("will-wait", "2s")]
    }

    fn indispensable(&self) -> &'static [&'static str] {
        &["--token-cmd", "COMMAND {client_id}"]
    }

    fn fault_plan(&self, matches: &ArgMatches, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let read = "the flags are those of this mode's command";
        let args = TokenArgs::from_arg_matches(matches).expect(read);
        let (versions, versions_required) =
            VersionArgs::from_arg_matches(matches).expect(read).versions(mistakes);
        let source = args.source(mistakes);
        // `all` is all that can be had: without a method there is none to re-authenticate by.
        let all: Vec<Variant> = Variant::ALL
            .into_iter()
            .filter(|variant| {
                !variant.reauthenticates() || args.auth_method.is_some() || !names_all(&args.variant)
            })
            .collect();
        let named = named(&all, &args.variant, mistakes);
        args.check_method(&versions, &named, mistakes);
        let method = args.auth_method.clone();
        let expires_in = args.expires_in.as_ref().and_then(|time| time.positive("--expires-in", mistakes));
        let wait_max = args.wait_max.positive("--wait-max", mistakes).unwrap_or(Duration::from_secs(1));
        let shown_in = args.token_in.take("--token-in", mistakes).unwrap_or(ShownIn::Password);
        let longest_pause = match &source {
            Some(Source::Signed { lifetime, .. }) => (*lifetime + Duration::from_secs(1)).min(wait_max),
            _ => wait_max,
        };
        FaultPlan {
            versions,
            versions_required,
            attempts: AttemptsOf::Flags,
            connections: ConnectionsOf::EachClient(CONNECTIONS),
            longest_pause,
            make: Arc::new(move |spoken| {
                let Some(source) = &source else { return Vec::new() };
                let variants = Variant::ALL.into_iter().filter(|variant| {
                    let is_possible = method.is_some() || !variant.reauthenticates();
                    is_possible && (named.is_empty() || named.contains(variant))
                });
                let speaks_v5 = spoken.contains(&ProtocolVersion::V5);
                let cases = variants.flat_map(|variant| {
                    let method = method.clone().filter(|_| variant.reauthenticates());
                    // Where 3.1.1 alone is spoken, the attempts say so.
                    let versions = spoken.iter().filter(move |version| {
                        !variant.reauthenticates() || **version == ProtocolVersion::V5 || !speaks_v5
                    });
                    versions.map(move |version| token::Token {
                        version: *version,
                        variant,
                        source: source.clone(),
                        shown_in,
                        method: method.clone(),
                        expires_in,
                        wait_max,
                    })
                });
                cases.map(|token| Arc::new(token) as Arc<dyn Fault>).collect()
            }),
        }
    }

    fn checks(&self) -> Vec<Check> {
        [&CHECKS[..], &reauthentication_checks::CHECKS].concat()
    }

    fn accuses_by(&self) -> Vec<Statement> {
        [STATEMENTS, reauthentication_checks::STATEMENTS].concat()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Claims, Readable};

    #[test]
    fn claims_are_an_object_and_leave_the_end_of_the_token_to_its_own_flag() {
        let claims = Claims::read(r#"{"aud":["a","b"],"scope":"x,y=z"}"#).unwrap().0;
        assert_eq!((&claims["aud"], &claims["scope"]), (&json!(["a", "b"]), &json!("x,y=z")));
        for wrong in ["aud=x", "[]", "", r#"{"exp":5}"#] {
            assert!(Claims::read(wrong).is_err(), "{wrong}");
        }
    }
}
