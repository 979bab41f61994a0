//! Parses arguments into flags with their sources: the command line overrides the environment, which overrides the file.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use ungraceful_flags::{Mistake, collecting};
use ungraceful_record::run::{Setting, SettingSource, WITHHELD};
use ungraceful_rig::run::input_file;

use crate::cli::help;

/// Settings that are or contain secrets: their values are not recorded.
const SECRET: [&str; 9] =
    ["pw", "pw-cmd", "url", "admin-pw", "kick-cmd", "token-cmd", "restart-cmd", "ws-header", "ws-path"];
/// Maximum size of a configuration file in bytes.
const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Flags that a configuration file can't set.
const NOT_IN_A_FILE: [&str; 5] = ["config", "help", "help-all", "version", "print-plan"];

/// Parsed arguments, and the source of each setting.
#[derive(Debug)]
pub struct Parsed {
    /// For clap's derived readers.
    pub matches: ArgMatches,
    /// Values that can't be read.
    pub mistakes: Vec<Mistake>,
    /// All settings by long flag; of secret ones only the source.
    pub settings: BTreeMap<String, Setting>,
    /// The arguments that are no flags.
    pub arguments: Vec<String>,
    /// Everything that may name a file which the call reads.
    pub inputs: Vec<PathBuf>,
}

impl Parsed {
    /// One group of the command's flags.
    pub(crate) fn read<T: FromArgMatches>(&self) -> T {
        T::from_arg_matches(&self.matches).expect("the flags are those of the command")
    }
}

/// Why arguments could not be parsed.
#[derive(Debug)]
pub enum NotParsed {
    /// clap prints help, the version, or a mistake in the flags themselves.
    Clap(clap::Error),
    /// The configuration file can't be used.
    Config(Vec<Mistake>),
}

/// Parses `arguments` for `command`, with the file given by --config.
///
/// # Errors
/// [`NotParsed`].
pub fn parse(command: &Command, arguments: &[OsString]) -> Result<Parsed, NotParsed> {
    let command = &help::for_call(command.clone(), arguments);
    let (first, mistakes) = collecting(|| command.clone().try_get_matches_from(arguments));
    let first = first.map_err(NotParsed::Clap)?;
    let Some(path) = first.get_one::<PathBuf>("config").cloned() else {
        return Ok(Parsed {
            settings: settings(command, &first, &BTreeSet::new()),
            arguments: positionals(command, &first),
            inputs: inputs(command, &first),
            matches: first,
            mistakes,
        });
    };
    let from_file = read_config(command, &path).map_err(NotParsed::Config)?;
    let names: BTreeSet<String> = from_file.keys().cloned().collect();
    let mut with_file = with_defaults_of(&from_file, command);
    let (mut matches, mistakes) = collecting(|| with_file.clone().try_get_matches_from(arguments));
    let is_read =
        |name: &String| !mistakes.iter().any(|mistake| mistake.flag.strip_prefix("--") == Some(name));
    if !names.iter().all(is_read) {
        // The flag's own default replaces a value that can't be read, as on the command line.
        let readable = from_file.into_iter().filter(|(name, _)| is_read(name)).collect();
        with_file = with_defaults_of(&readable, command);
        (matches, _) = collecting(|| with_file.clone().try_get_matches_from(arguments));
    }
    let matches = matches.map_err(NotParsed::Clap)?;
    let arguments = positionals(command, &matches);
    let inputs = inputs(command, &matches);
    Ok(Parsed { settings: settings(&with_file, &matches, &names), arguments, inputs, matches, mistakes })
}

/// The command with the values of the file as defaults, which all other sources override.
fn with_defaults_of(file: &BTreeMap<String, Vec<String>>, command: &Command) -> Command {
    file.iter().fold(command.clone(), |command, (name, values)| {
        let id = id_of(&command, name);
        command.mut_arg(id, |arg| match arg.get_action() {
            ArgAction::SetTrue => arg.default_value("true"),
            _ => arg.default_values(values.clone()),
        })
    })
}

fn id_of(command: &Command, long: &str) -> clap::Id {
    let found = command.get_arguments().find(|arg| arg.get_long() == Some(long));
    found.map(Arg::get_id).cloned().expect("names were checked against the command")
}

/// Reads the configuration file: a table of long flags and their values.
fn read_config(command: &Command, path: &Path) -> Result<BTreeMap<String, Vec<String>>, Vec<Mistake>> {
    let mistake = |what: String| Mistake::new("--config", what);
    let bytes = input_file::whole(path, CONFIG_BYTES_MAX).map_err(|what| vec![mistake(what)])?;
    let text = String::from_utf8(bytes)
        .map_err(|_not_utf8| vec![mistake(format!("{} is not UTF-8 text", path.display()))])?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        vec![mistake(format!("{} is not TOML: {}", path.display(), error.message()))]
    })?;
    let known: BTreeMap<&str, &Arg> = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?, arg)))
        .filter(|(long, _)| !NOT_IN_A_FILE.contains(long))
        .collect();
    let (mut values, mut mistakes) = (BTreeMap::new(), Vec::new());
    for (name, value) in table {
        let name = name.replace('_', "-");
        let Some(arg) = known.get(name.as_str()) else {
            let names = known.keys().copied().collect::<Vec<_>>().join(", ");
            mistakes
                .push(mistake(format!("{}: unknown flag {name:?}; the flags are {names}", path.display())));
            continue;
        };
        match texts(&value, arg.get_action()) {
            // `quiet = false` means the same as no `quiet`.
            Ok(texts) if texts != ["false"] => {
                values.insert(name, texts);
            }
            Ok(_) => {}
            Err(wanted) => {
                mistakes.push(mistake(format!("{}: {name} must be {wanted}", path.display())));
            }
        }
    }
    if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
}

/// The values as a flag with this action has them on the command line.
///
/// # Errors
/// A description of the values that the flag accepts.
fn texts(value: &toml::Value, action: &ArgAction) -> Result<Vec<String>, &'static str> {
    match (action, value) {
        (ArgAction::SetTrue, toml::Value::Boolean(flag)) => Ok(vec![flag.to_string()]),
        (ArgAction::SetTrue, _) => Err("true or false, without quotes"),
        (ArgAction::Append, toml::Value::Array(items)) if !items.is_empty() => {
            items.iter().map(|item| text(item).ok_or("a list of texts and numbers")).collect()
        }
        (ArgAction::Append, _) => {
            text(value).map(|text| vec![text]).ok_or("text, a number, or a non-empty list of them")
        }
        _ => text(value).map(|text| vec![text]).ok_or("a single text or number, not a list"),
    }
}

fn text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// The arguments that are no flags, in order.
fn positionals(command: &Command, matches: &ArgMatches) -> Vec<String> {
    let ids = command.get_positionals().map(|arg| arg.get_id().as_str());
    let values = ids.filter_map(|id| matches.get_raw(id)).flatten();
    values.map(|value| value.to_string_lossy().into_owned()).collect()
}

/// The arguments that are no flags, and the values of flags that take a path and are no output.
fn inputs(command: &Command, matches: &ArgMatches) -> Vec<PathBuf> {
    const OUTPUTS: [&str; 3] = ["output", "junit", "events"];
    let is_path = |arg: &Arg| arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    let flags = command.get_arguments().filter(|arg| arg.is_positional() || is_path(arg));
    let inputs = flags.filter(|arg| arg.get_long().is_none_or(|long| !OUTPUTS.contains(&long)));
    inputs.filter_map(|arg| matches.get_raw(arg.get_id().as_str())).flatten().map(PathBuf::from).collect()
}

fn settings(
    command: &Command,
    matches: &ArgMatches,
    from_file: &BTreeSet<String>,
) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long() else { continue };
        let id = arg.get_id().as_str();
        let Some(source) = matches.value_source(id) else { continue };
        let mut values: Vec<String> = match arg.get_action() {
            ArgAction::SetTrue => vec![matches.get_flag(id).to_string()],
            _ => matches
                .get_raw(id)
                .into_iter()
                .flatten()
                .map(|value| value.to_string_lossy().into())
                .collect(),
        };
        if arg.get_value_delimiter().is_some() {
            values = vec![values.join(",")];
        }
        let further = values.split_off(values.len().min(1));
        let value = values.pop().unwrap_or_default();
        let source = match source {
            ValueSource::CommandLine => SettingSource::Flag,
            ValueSource::EnvVariable => SettingSource::Environment,
            _ if from_file.contains(long) => SettingSource::File,
            _ => SettingSource::Default,
        };
        let is_secret = SECRET.contains(&long) && !is_harmless(long, &value);
        // The host and port of a URL are recorded.
        if (long == "url" && !is_secret) || (SECRET.contains(&long) && source == SettingSource::Default) {
            continue;
        }
        let (value, further) = if is_secret { (WITHHELD.to_owned(), Vec::new()) } else { (value, further) };
        settings.insert(long.to_owned(), Setting { value, source, further });
    }
    settings
}

/// The command line for the record: without the values of secret flags.
#[must_use]
pub fn without_secrets(arguments: &[OsString]) -> Vec<String> {
    let mut hide_next = false;
    arguments
        .iter()
        .map(|argument| {
            let argument = argument.to_string_lossy();
            if std::mem::take(&mut hide_next) {
                return WITHHELD.to_owned();
            }
            let (flag, value) = argument
                .split_once('=')
                .map_or((argument.as_ref(), None), |(flag, value)| (flag, Some(value)));
            if flag == "-P" || flag.strip_prefix("--").is_some_and(|name| SECRET.contains(&name)) {
                hide_next = value.is_none();
                if value.is_some() {
                    return format!("{flag}={WITHHELD}");
                }
            }
            // `-Psecret`: a short flag with its value in one word.
            if argument.starts_with("-P") && argument.len() > 2 {
                return format!("-P{WITHHELD}");
            }
            argument.into_owned()
        })
        .collect()
}

/// Whether `--flag=value` is a secret flag.
pub(crate) fn is_secret(word: &str) -> bool {
    let (flag, value) = word.split_once('=').unwrap_or((word, ""));
    flag.strip_prefix("--").is_some_and(|name| SECRET.contains(&name) && !is_harmless(name, value))
}

/// Whether this value of a flag that may hold a secret holds none: a URL without credentials, a path without a query.
fn is_harmless(long: &str, value: &str) -> bool {
    let authority = value.rsplit("://").next().and_then(|rest| rest.split('/').next()).unwrap_or_default();
    (long == "url" && !authority.contains('@')) || (long == "ws-path" && !value.contains('?'))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::without_secrets;

    #[test]
    fn the_recorded_command_line_never_has_a_password() {
        let calls = [
            vec!["tool", "-P", "hunter2", "-c", "5"],
            vec!["tool", "-Phunter2"],
            vec!["tool", "--pw", "hunter2"],
            vec!["tool", "--pw=hunter2"],
            vec!["tool", "--url", "mqtt://me:hunter2@host"],
            vec!["tool", "--url=mqtt://me:hunter2@host"],
            vec!["tool", "--admin-pw", "hunter2"],
            vec!["tool", "--kick-cmd", "mosquitto_ctrl -P hunter2 dynsec disableClient {username}"],
            vec!["tool", "--token-cmd=print-token --key=hunter2"],
            vec!["tool", "--restart-cmd", "curl -u me:hunter2 http://127.0.0.1/restart"],
        ];
        for call in calls {
            let arguments: Vec<OsString> = call.iter().map(OsString::from).collect();
            let shown = without_secrets(&arguments).join(" ");
            assert!(!shown.contains("hunter2") && shown.starts_with("tool"), "{shown}");
        }
        let plain: Vec<OsString> = ["tool", "-c", "5", "-p", "1883"].iter().map(OsString::from).collect();
        assert_eq!(without_secrets(&plain).join(" "), "tool -c 5 -p 1883");
    }
}
