//! A command given by the user that removes a client, or prints a token or a password. It runs without a shell, with a time limit.

use std::fmt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::broker::command_output::{BYTES_MAX, HiddenWords, last_line};
use crate::broker::target::Secret;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use ungraceful_record::scale::span;
use ungraceful_wire::clock::now;

/// How many bytes of standard output are kept: a token is in the first line, and no longer than an MQTT field.
const PRINTED_BYTES_MAX: usize = 65_536;

/// A command with its placeholders. Its words may hold a password, so only the program's name is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalCommand {
    words: Vec<String>,
    limit: Duration,
}

impl fmt::Debug for ExternalCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalCommand({})", self.program())
    }
}

/// The name of each placeholder, without its braces, and its value.
pub type Placeholders<'a> = [(&'a str, &'a str)];

/// A running command.
#[derive(Debug)]
pub struct Running {
    child: Child,
    program: String,
    limit: Duration,
    /// Words of the command that must not appear in its reported output.
    hidden: HiddenWords,
    /// When it was started.
    pub started: Instant,
}

impl ExternalCommand {
    /// Splits `text` into words like a shell, without any other expansion.
    ///
    /// # Errors
    /// A message for the user, without the text itself, when there is no program, a quotation mark is left open, or a
    /// placeholder is not one of `known`.
    pub fn parse(text: &Secret, known: &[&str], limit: Duration) -> Result<Self, String> {
        let text = String::from_utf8_lossy(text.reveal());
        let words: Vec<String> = shlex::split(&text).ok_or("has an unclosed quotation mark")?;
        if words.first().is_none_or(String::is_empty) {
            return Err("names no program".to_owned());
        }
        if words[0].contains('{') {
            return Err("has a placeholder instead of a program; name the program itself".to_owned());
        }
        for word in &words {
            for name in placeholders(word) {
                if known.is_empty() {
                    return Err(format!("has {{{name}}}, and nothing is filled in here"));
                }
                if !known.contains(&name) {
                    let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                    return Err(format!(
                        "has the unknown placeholder {{{name}}}; the known ones are {}",
                        known.join(", ")
                    ));
                }
            }
        }
        Ok(Self { words, limit })
    }

    /// The program's name.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.words[0]
    }

    /// Its time limit.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether it contains this placeholder.
    #[must_use]
    pub fn names(&self, placeholder: &str) -> bool {
        self.words.iter().any(|word| placeholders(word).any(|name| name == placeholder))
    }

    /// Runs it, without placeholders, and returns the first line that it prints, without its end.
    ///
    /// # Errors
    /// A message for the user, without any output, when it fails or prints nothing.
    pub fn secret(&self) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
        let finished = runtime.block_on(async { self.start(&[])?.finished(Show::Nothing).await })?;
        let line = finished.printed.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Err(format!("{} printed nothing in its first line", self.program()));
        }
        Ok(line.to_vec())
    }

    /// Starts it, with each placeholder replaced.
    ///
    /// # Errors
    /// A message for the user when it cannot be started.
    pub fn start(&self, placeholders: &Placeholders<'_>) -> Result<Running, String> {
        let fill = |word: &String| {
            placeholders
                .iter()
                .fold(word.clone(), |word, (name, value)| word.replace(&format!("{{{name}}}"), value))
        };
        let child = Command::new(self.program())
            .args(self.words[1..].iter().map(fill))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.program()))?;
        let hidden = HiddenWords::of(self.words[1..].iter().map(String::as_str));
        Ok(Running { child, program: self.program().to_owned(), limit: self.limit, hidden, started: now() })
    }
}

/// The names between braces; braces around anything else (JSON) are left alone.
fn placeholders(word: &str) -> impl Iterator<Item = &str> {
    let inside = word.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
    inside
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

impl Running {
    /// Waits for its end, and returns its output.
    ///
    /// # Errors
    /// A message for the user when it exceeds its time limit and is killed, or when it fails: with its last line on standard
    /// error where `show` permits.
    pub async fn finished(self, show: Show) -> Result<Finished, String> {
        let Self { mut child, program, limit, hidden, .. } = self;
        let (mut printed, mut last_printed, mut last_errors) = (Vec::new(), Vec::new(), Vec::new());
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let end = async {
            let (status, ..) = tokio::join!(
                child.wait(),
                drain(output, |bytes| {
                    let room = PRINTED_BYTES_MAX - printed.len();
                    printed.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    keep_last(&mut last_printed, bytes);
                }),
                drain(errors, |bytes| keep_last(&mut last_errors, bytes)),
            );
            status
        };
        let status = match timeout(limit, end).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(format!("cannot wait for {program}: {error}")),
            Err(_elapsed) => {
                return Err(format!("{program} did not end within {} and was killed", span(limit)));
            }
        };
        let at = now();
        let last_line = match (show, last_line(&last_errors, &hidden)) {
            (Show::Nothing, _) => String::new(),
            (Show::LastLine, error) if error.is_empty() => last_line(&last_printed, &hidden),
            (Show::LastLine, error) => error,
        };
        if status.success() {
            return Ok(Finished { at, printed, last_line });
        }
        let why = if last_line.is_empty() { last_line } else { format!(": {last_line}") };
        Err(format!("{program} ended with {status}{why}"))
    }
}

/// Reads to the end and passes everything to `take`.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        take(&buffer[..count]);
    }
}

/// Adds `bytes`, and keeps only the last [`BYTES_MAX`].
fn keep_last(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    kept.drain(..kept.len().saturating_sub(BYTES_MAX));
}

/// How much of a command's output may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Its last line, without the words that the user gave.
    LastLine,
    /// Nothing: it may be a secret.
    Nothing,
}

/// A command that succeeded.
#[derive(Clone, PartialEq, Eq)]
pub struct Finished {
    /// When it ended.
    pub at: Instant,
    /// The first 64 KiB of its standard output, which may contain a secret.
    pub printed: Vec<u8>,
    /// Its last line; empty when it printed nothing, or with [`Show::Nothing`].
    pub last_line: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ExternalCommand, Secret, Show};

    const KNOWN: [&str; 2] = ["client_id", "port"];
    const LIMIT: Duration = Duration::from_secs(20);

    fn command(text: &str) -> ExternalCommand {
        ExternalCommand::parse(&Secret::new(text), &KNOWN, LIMIT).unwrap()
    }

    async fn output_of(text: &str, show: Show) -> Result<String, String> {
        let running = command(text).start(&[("client_id", "c 1;$(id)"), ("port", "1883")]).unwrap();
        running.finished(show).await.map(|finished| String::from_utf8(finished.printed).unwrap())
    }

    #[tokio::test]
    async fn a_placeholder_is_one_word_and_no_shell_expands_it() {
        let printed =
            output_of("printf '%s|' kick {client_id} '--at=127.0.0.1:{port}' $HOME '*'", Show::LastLine)
                .await;
        assert_eq!(printed.unwrap(), "kick|c 1;$(id)|--at=127.0.0.1:1883|$HOME|*|");
    }

    #[tokio::test]
    async fn a_failure_shows_the_last_line_without_the_given_words() {
        // `ref%sed` prints `refused`, which is no word of the command.
        let failing = r#"sh -c 'echo out; printf "ref%sed: $1 \\033[2J\\n" us >&2; exit 3' sh --pw=hunter2"#;
        let why = output_of(failing, Show::LastLine).await.unwrap_err();
        assert!(why.ends_with("sh ended with exit status: 3: refused: --pw=*** \\u{1b}[2J"), "{why}");
        let why = output_of(failing, Show::Nothing).await.unwrap_err();
        assert!(why.ends_with("exit status: 3"), "{why}");
    }

    #[tokio::test]
    async fn only_part_of_a_long_output_is_kept() {
        let printed = output_of("head -c 20000000 /dev/zero", Show::Nothing).await.unwrap();
        assert_eq!(printed.len(), super::PRINTED_BYTES_MAX);
        let failing = "sh -c 'head -c 20000000 /dev/zero >&2; exit 1'";
        let why = output_of(failing, Show::LastLine).await.unwrap_err();
        assert!(why.contains("exit status: 1") && why.len() < 2_000, "{}", why.len());
    }

    #[tokio::test]
    async fn a_command_that_exceeds_its_time_limit_is_killed() {
        let command =
            ExternalCommand::parse(&Secret::new("sleep 60"), &KNOWN, Duration::from_millis(50)).unwrap();
        let why = command.start(&[]).unwrap().finished(Show::LastLine).await.err().unwrap();
        assert!(why.contains("did not end within 50 ms"), "{why}");
        let missing = ExternalCommand::parse(&Secret::new("/nonexistent/kick"), &KNOWN, LIMIT).unwrap();
        assert!(missing.start(&[]).unwrap_err().starts_with("cannot start /nonexistent/kick"));
    }

    #[test]
    fn an_invalid_command_is_rejected_without_repeating_it() {
        for (wrong, why) in [
            ("", "names no program"),
            ("kick 'hunter2", "quotation mark"),
            ("{client_id} hunter2", "placeholder instead of a program"),
            (
                "kick {clientid} hunter2",
                "unknown placeholder {clientid}; the known ones are {client_id}, {port}",
            ),
        ] {
            let error = ExternalCommand::parse(&Secret::new(wrong), &KNOWN, LIMIT).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
        let json = command(r#"curl -d '{"a":1,"id":"{client_id}"}' http://127.0.0.1"#);
        assert!(json.names("client_id") && !json.names("port"));
        assert_eq!(format!("{json:?}"), "ExternalCommand(curl)");
    }
}
