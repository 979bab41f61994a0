//! The flags that say who the clients are, one by one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ungraceful_flags::Mistake;
use ungraceful_rig::broker::clients::{ClientsSettings, filled_in};
use ungraceful_rig::broker::clients_file::{ClientsFile, wrong_root};
use ungraceful_rig::broker::external_command::ExternalCommand;
use ungraceful_rig::broker::target::{Credentials, Secret};
use ungraceful_wire::Tls;

/// How long the command of a password may take; it may ask a person first.
const PASSWORD_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of a topic root: far more than anybody needs, and every topic fits below it.
const TOPIC_ROOT_MAX: usize = 200;

/// Who the clients are, one by one.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Clients")]
pub struct ClientsArgs {
    /// ClientID of each client: %i is its number, %u its User Name, %% a percent sign; any characters [default: generated from the
    /// prefix]
    #[arg(long, value_name = "TEMPLATE")]
    pub client_id: Option<String>,
    /// One client a row, as CSV with a header or JSON Lines, of the columns client_id, username, password, certificate, key and
    /// topic (its topic root); what is empty is as the flags say
    #[arg(long, value_name = "FILE")]
    pub clients_file: Option<PathBuf>,
    /// Let several clients share a row when the file has too few; their ClientIDs get a number
    #[arg(long)]
    pub reuse_clients: bool,
    /// Command whose first line of output is the password, run once, without a shell
    #[arg(long, value_name = "COMMAND")]
    pub pw_cmd: Option<String>,
    /// Topic of each pair of bystanders: %i is the pair's number, %c and %u the publisher's ClientID and User Name [default:
    /// bystander/%i below the topic root]
    #[arg(long, value_name = "TOPIC")]
    pub bystander_topic: Option<String>,
}

impl ClientsArgs {
    /// The settings; `tls` is that of the run. Mistakes are added to the list.
    pub(crate) fn settings(
        &self,
        credentials: Credentials,
        topic_root: &str,
        tls: Option<&Tls>,
        mistakes: &mut Vec<Mistake>,
    ) -> ClientsSettings {
        if self.reuse_clients && self.clients_file.is_none() {
            mistakes.push(Mistake::new(
                "--reuse-clients",
                "has an effect only with --clients-file; leave it out",
            ));
        }
        let file = self.clients_file.as_ref().and_then(|path| {
            let read = ClientsFile::read(path, tls, self.reuse_clients);
            let wrong = |what| mistakes.extend(what_is_wrong(what));
            read.map_err(wrong).ok().map(Arc::new)
        });
        if let Some(wrong) = wrong_root(topic_root).or(too_long(topic_root)) {
            mistakes.push(Mistake::new(
                "--topic-root",
                format!("{topic_root:?} {wrong}; give a topic such as test/ungraceful"),
            ));
        }
        if let Some(topic) = &self.bystander_topic {
            if let Some(wrong) = wrong_root(topic).or(too_long(topic)) {
                let what = format!("{topic:?} {wrong}; give a topic such as test/bystander/%i");
                mistakes.push(Mistake::new("--bystander-topic", what));
            } else if filled_in(topic, "1", "1", "") == filled_in(topic, "2", "2", "") {
                let what = format!("{topic:?} is the same for all pairs; add %i, the pair's number");
                mistakes.push(Mistake::new("--bystander-topic", what));
            }
        }
        let settings = ClientsSettings {
            credentials,
            client_id: self.client_id.clone(),
            file,
            topic_root: topic_root.to_owned(),
            bystander_topic: self.bystander_topic.clone(),
        };
        settings.check(mistakes);
        settings
    }

    /// The password that the command prints; absent without a command, or when it fails, which is added to the mistakes.
    pub(crate) fn password(&self, mistakes: &mut Vec<Mistake>) -> Option<Vec<u8>> {
        let command = self.pw_cmd.as_ref()?;
        first_line(command).map_err(|what| mistakes.push(Mistake::new("--pw-cmd", what))).ok()
    }
}

fn what_is_wrong(lines: Vec<String>) -> impl Iterator<Item = Mistake> {
    lines.into_iter().map(|what| Mistake::new("--clients-file", what))
}

fn too_long(topic: &str) -> Option<&'static str> {
    (topic.len() > TOPIC_ROOT_MAX).then_some("must have at most 200 bytes")
}

fn first_line(command: &str) -> Result<Vec<u8>, String> {
    ExternalCommand::parse(&Secret::new(command), &[], PASSWORD_WITHIN)?.secret()
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn the_first_line_of_a_command_is_the_password() {
        assert_eq!(first_line("printf 'hunter2\\nmore\\n'"), Ok(b"hunter2".to_vec()));
        assert_eq!(first_line("printf 'hunter2\\r\\n'"), Ok(b"hunter2".to_vec()));
    }

    #[test]
    fn a_command_that_fails_or_prints_nothing_shows_no_secret() {
        for (command, why) in [
            ("true hunter2", "true printed nothing in its first line"),
            ("sh -c 'echo hunter2; exit 3' hunter2", "sh ended with exit status: 3"),
            ("'hunter2", "has an unclosed quotation mark"),
        ] {
            let said = first_line(command).unwrap_err();
            assert!(said.starts_with(why) && !said.contains("hunter2"), "{said}");
        }
    }
}
