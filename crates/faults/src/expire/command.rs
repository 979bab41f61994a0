//! A command that the user gives: how a client is removed, or where a token comes from. It is run without a shell, with
//! a time limit.

use std::fmt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use ungraceful_record::scale::span;
use ungraceful_rig::broker::command_output::{BYTES_MAX, HiddenWords, last_line};
use ungraceful_rig::broker::target::Secret;
use ungraceful_wire::clock::now;

/// Bytes of standard output that are kept: a token is in the first line, and is no longer than an MQTT field.
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

/// What may stand in a command: `{name}`, and what it stands for.
pub type Placeholders<'a> = [(&'a str, &'a str)];

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    program: String,
    limit: Duration,
    /// Words of the command that are not to be seen in what it says.
    hidden: HiddenWords,
    /// When it had been started.
    pub started: Instant,
}

impl ExternalCommand {
    /// Splits `text` into words as a shell would, and does nothing else of what a shell does.
    ///
    /// # Errors
    /// In words, when there is no program in it, a quotation mark is left open, or a placeholder is none of `known`. The
    /// text itself is not repeated.
    pub fn parse(text: &Secret, known: &[&str], limit: Duration) -> Result<Self, String> {
        let text = String::from_utf8_lossy(text.reveal());
        let words: Vec<String> = shlex::split(&text).ok_or("has a quotation mark that is not closed")?;
        if words.first().is_none_or(String::is_empty) {
            return Err("names no program".to_owned());
        }
        if words[0].contains('{') {
            return Err("has a placeholder for a program; name the program itself".to_owned());
        }
        for word in &words {
            for name in placeholders(word) {
                if !known.contains(&name) {
                    let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                    return Err(format!(
                        "has the placeholder {{{name}}}, which there is not; there are {}",
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

    /// The longest that it may take.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether this placeholder stands in it.
    #[must_use]
    pub fn names(&self, placeholder: &str) -> bool {
        self.words.iter().any(|word| placeholders(word).any(|name| name == placeholder))
    }

    /// Starts it, with each placeholder replaced.
    ///
    /// # Errors
    /// In words, when it can't be started.
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
    /// Waits for its end and tells what it printed.
    ///
    /// # Errors
    /// In words, when it takes too long, and is then killed, or when it does not succeed: with the last line that it said
    /// on its standard error where `told`.
    pub async fn finished(self, told: Told) -> Result<Finished, String> {
        let Self { mut child, program, limit, hidden, .. } = self;
        let (mut printed, mut last_printed, mut complained) = (Vec::new(), Vec::new(), Vec::new());
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let end = async {
            let (status, ..) = tokio::join!(
                child.wait(),
                drain(output, |bytes| {
                    let room = PRINTED_BYTES_MAX - printed.len();
                    printed.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    keep_last(&mut last_printed, bytes);
                }),
                drain(errors, |bytes| keep_last(&mut complained, bytes)),
            );
            status
        };
        let status = match timeout(limit, end).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(format!("cannot wait for {program}: {error}")),
            Err(_elapsed) => {
                return Err(format!("{program} did not end within {}, and was killed", span(limit)));
            }
        };
        let at = now();
        let said = match told {
            Told::LastLine => Some(last_line(&complained, &hidden)).filter(|said| !said.is_empty()),
            Told::Nothing => Some(String::new()),
        };
        let said = said.unwrap_or_else(|| last_line(&last_printed, &hidden));
        if status.success() {
            return Ok(Finished { at, printed, said });
        }
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Err(format!("{program} ended with {status}{said}"))
    }
}

/// Reads to the end, however long that is, and hands over what comes.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        take(&buffer[..count]);
    }
}

/// Adds `bytes` and lets go of all but the last.
fn keep_last(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    kept.drain(..kept.len().saturating_sub(BYTES_MAX));
}

/// What of a command's output may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its last line, without the words that the user gave.
    LastLine,
    /// Nothing: it may be a secret.
    Nothing,
}

/// A command that has succeeded.
#[derive(Clone, PartialEq, Eq)]
pub struct Finished {
    /// When its end was seen.
    pub at: Instant,
    /// The first 64 KiB of its standard output. They may hold a secret.
    pub printed: Vec<u8>,
    /// Its last line; empty when it said nothing, or when it is not to be told.
    pub said: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ExternalCommand, Secret, Told};

    const KNOWN: [&str; 2] = ["client_id", "port"];
    const LIMIT: Duration = Duration::from_secs(20);

    fn command(text: &str) -> ExternalCommand {
        ExternalCommand::parse(&Secret::new(text), &KNOWN, LIMIT).unwrap()
    }

    async fn said(text: &str, told: Told) -> Result<String, String> {
        let running = command(text).start(&[("client_id", "c 1;$(id)"), ("port", "1883")]).unwrap();
        running.finished(told).await.map(|finished| String::from_utf8(finished.printed).unwrap())
    }

    #[tokio::test]
    async fn a_placeholder_is_one_word_whatever_is_in_it_and_no_shell_sees_it() {
        let printed =
            said("printf '%s|' kick {client_id} '--at=127.0.0.1:{port}' $HOME '*'", Told::LastLine).await;
        assert_eq!(printed.unwrap(), "kick|c 1;$(id)|--at=127.0.0.1:1883|$HOME|*|");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_its_last_line_and_without_the_words_it_was_given() {
        // The words that it says are none of its own: `ref%sed` prints `refused`.
        let failing = r#"sh -c 'echo out; printf "ref%sed: $1 \\033[2J\\n" us >&2; exit 3' sh --pw=hunter2"#;
        let why = said(failing, Told::LastLine).await.unwrap_err();
        assert!(why.ends_with("sh ended with exit status: 3: refused: --pw=*** \\u{1b}[2J"), "{why}");
        let why = said(failing, Told::Nothing).await.unwrap_err();
        assert!(why.ends_with("exit status: 3"), "{why}");
    }

    #[tokio::test]
    async fn however_much_a_command_prints_little_of_it_is_kept() {
        let printed = said("head -c 20000000 /dev/zero", Told::Nothing).await.unwrap();
        assert_eq!(printed.len(), super::PRINTED_BYTES_MAX);
        let failing = "sh -c 'head -c 20000000 /dev/zero >&2; exit 1'";
        let why = said(failing, Told::LastLine).await.unwrap_err();
        assert!(why.contains("exit status: 1") && why.len() < 2_000, "{}", why.len());
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_given_up() {
        let command =
            ExternalCommand::parse(&Secret::new("sleep 60"), &KNOWN, Duration::from_millis(50)).unwrap();
        let why = command.start(&[]).unwrap().finished(Told::LastLine).await.err().unwrap();
        assert!(why.contains("did not end within 50 ms"), "{why}");
        let missing = ExternalCommand::parse(&Secret::new("/nonexistent/kick"), &KNOWN, LIMIT).unwrap();
        assert!(missing.start(&[]).unwrap_err().starts_with("cannot start /nonexistent/kick"));
    }

    #[test]
    fn what_is_no_command_is_refused_without_repeating_it() {
        for (wrong, why) in [
            ("", "names no program"),
            ("kick 'hunter2", "quotation mark"),
            ("{client_id} hunter2", "placeholder for a program"),
            ("kick {clientid} hunter2", "{clientid}, which there is not; there are {client_id}, {port}"),
        ] {
            let told = ExternalCommand::parse(&Secret::new(wrong), &KNOWN, LIMIT).unwrap_err();
            assert!(told.contains(why) && !told.contains("hunter2"), "{told}");
        }
        let json = command(r#"curl -d '{"a":1,"id":"{client_id}"}' http://127.0.0.1"#);
        assert!(json.names("client_id") && !json.names("port"));
        assert_eq!(format!("{json:?}"), "ExternalCommand(curl)");
    }
}
