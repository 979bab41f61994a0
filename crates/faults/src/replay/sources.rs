//! Files of the user, and what kind each is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ungraceful_flags::Mistake;
use ungraceful_rig::run::input_file;
use ungraceful_scenario::capture::{self, CapturedConnection};
use ungraceful_scenario::of_bytes::Exchange;
use ungraceful_scenario::{Scenario, hex_lines, parse};

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 256 << 20;
/// The most files of a folder.
const FILES_MAX: usize = 10_000;
/// The flag that names files.
const FILE: &str = "FILE";

/// How files are read.
pub(super) struct Reading<'a> {
    /// The connections of a capture: a ClientID or a port.
    pub(super) connection: Option<&'a str>,
    /// How fast a capture goes, and pauses in hexadecimal text; 0 for as fast as it goes.
    pub(super) speed: f64,
}

impl Reading<'_> {
    /// The scenarios of these files, in order.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub(super) fn all(&self, files: &[PathBuf]) -> Result<Vec<Scenario>, Vec<Mistake>> {
        let (mut scenarios, mut mistakes) = (Vec::new(), Vec::new());
        let mut of_id: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in files {
            match within(file) {
                Ok(files) => {
                    for file in files {
                        match self.one(&file) {
                            Ok(found) => {
                                for scenario in &found {
                                    let other = of_id.insert(scenario.id.clone(), file.clone());
                                    mistakes.extend(other.map(|other| same_id(&scenario.id, &other, &file)));
                                }
                                scenarios.extend(found);
                            }
                            Err(found) => mistakes.extend(found),
                        }
                    }
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(scenarios) } else { Err(mistakes) }
    }

    fn one(&self, file: &Path) -> Result<Vec<Scenario>, Vec<Mistake>> {
        let mistake = |what: String| vec![Mistake::new(FILE, what)];
        let bytes = input_file::whole(file, FILE_BYTES_MAX).map_err(mistake)?;
        let (name, ending) = (file.display(), file.extension().and_then(|ending| ending.to_str()));
        let is_capture = ending.is_some_and(|ending| {
            ["pcap", "pcapng", "cap"].iter().any(|known| ending.eq_ignore_ascii_case(known))
        }) || begins_as_capture(&bytes);
        if is_capture {
            return self.connections(file, &bytes).map_err(|what| mistake(format!("{name}: {what}")));
        }
        let Ok(text) = String::from_utf8(bytes) else {
            let what = format!("{name} is neither text nor a packet capture (pcap or pcapng)");
            return Err(mistake(what));
        };
        // Editors on Windows begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if ending.is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
            || text.lines().any(is_of_scenario)
        {
            let scenario = parse(text).map_err(|found| {
                found
                    .into_iter()
                    .map(|found| Mistake::new(FILE, format!("{name}, {found}")))
                    .collect::<Vec<_>>()
            })?;
            return Ok(vec![scenario]);
        }
        let lines = hex_lines::read(text).map_err(|found| {
            found.into_iter().map(|found| Mistake::new(FILE, format!("{name}, {found}"))).collect::<Vec<_>>()
        })?;
        if lines.iter().all(|line| line.bytes.is_empty()) {
            return Err(mistake(format!("{name} has no bytes: write packets in hexadecimal, one a line")));
        }
        if !lines.iter().any(|line| line.from == hex_lines::Side::Client && !line.bytes.is_empty()) {
            return Err(mistake(format!(
                "{name} has no bytes of the client: mark its lines with > or leave the mark out"
            )));
        }
        let mut exchange = Exchange::of_hex(&lines);
        for part in &mut exchange.parts {
            part.pause = self.scaled(part.pause);
        }
        Ok(vec![exchange.scenario(id_of(file), format!("The packets in {name}"))])
    }

    /// A scenario for each connection of a capture.
    fn connections(&self, file: &Path, bytes: &[u8]) -> Result<Vec<Scenario>, String> {
        let capture = capture::read(bytes).map_err(|error| error.to_string())?;
        let all = &capture.connections;
        let is_chosen = |connection: &&CapturedConnection| match self.connection {
            Some(wanted) => {
                connection.client_id().as_deref() == Some(wanted)
                    || connection.client.port().to_string() == wanted
            }
            None => connection.is_mqtt(),
        };
        let chosen: Vec<&CapturedConnection> = all.iter().filter(is_chosen).collect();
        if chosen.is_empty() {
            return Err(format!("{}; the capture has {}", self.nothing_chosen(all), described(all)));
        }
        if let Some(gap) = chosen.iter().find(|connection| connection.gaps > 0) {
            return Err(format!(
                "the capture lacks {} parts of the connection from {}, so it can't be replayed: {}",
                gap.gaps,
                gap.client,
                capture.warnings.join("; ")
            ));
        }
        let id = id_of(file);
        let scenario = |(index, connection): (usize, &&CapturedConnection)| {
            let id = if chosen.len() == 1 { id.clone() } else { format!("{id}-{}", index + 1) };
            let who = connection.client_id().filter(|client_id| !client_id.is_empty());
            let who = who
                .map_or_else(|| connection.client.to_string(), |client_id| format!("ClientID {client_id}"));
            let about = format!("The connection of {who} in {}", file.display());
            let mut scenario = Exchange::of_connection(connection, self.speed).scenario(id, about);
            if !capture.warnings.is_empty() {
                scenario.notes = format!("Of the capture: {}.", capture.warnings.join("; "));
            }
            scenario
        };
        Ok(chosen.iter().enumerate().map(scenario).collect())
    }

    fn nothing_chosen(&self, all: &[CapturedConnection]) -> String {
        match self.connection {
            Some(wanted) => {
                format!("no connection has the ClientID or the client port {wanted:?} (--connection)")
            }
            None if all.iter().any(CapturedConnection::is_tls) => {
                "its connections are encrypted; capture at a port without TLS".to_owned()
            }
            None => "no connection begins with CONNECT; choose one with --connection PORT".to_owned(),
        }
    }

    fn scaled(&self, pause: Duration) -> Duration {
        match self.speed {
            0.0 => Duration::ZERO,
            speed => Duration::try_from_secs_f64(pause.as_secs_f64() / speed).unwrap_or(Duration::MAX),
        }
    }
}

/// Two files have scenarios of one id, by which a record tells them apart.
fn same_id(id: &str, one: &Path, other: &Path) -> Mistake {
    let what = format!(
        "{} and {} both have a scenario of the id {id}: rename a file of bytes, or change an id",
        one.display(),
        other.display()
    );
    Mistake::new(FILE, what)
}

/// The connections of a capture in words, the first ones.
fn described(all: &[CapturedConnection]) -> String {
    const SHOWN: usize = 8;
    if all.is_empty() {
        return "no TCP connection".to_owned();
    }
    let one = |connection: &CapturedConnection| {
        let client_id =
            connection.client_id().map_or_else(String::new, |client_id| format!(" (ClientID {client_id:?})"));
        format!("{} to {}{client_id}", connection.client, connection.server)
    };
    let mut shown: Vec<String> = all.iter().take(SHOWN).map(one).collect();
    if all.len() > SHOWN {
        shown.push(format!("{} more", all.len() - SHOWN));
    }
    shown.join(", ")
}

/// Whether the bytes begin as pcap, pcapng, or one of them compressed.
fn begins_as_capture(bytes: &[u8]) -> bool {
    const MAGIC: [&[u8]; 6] = [
        b"\xA1\xB2\xC3\xD4",
        b"\xD4\xC3\xB2\xA1",
        b"\xA1\xB2\x3C\x4D",
        b"\x4D\x3C\xB2\xA1",
        b"\x0A\x0D\x0D\x0A",
        b"\x1F\x8B",
    ];
    MAGIC.iter().any(|magic| bytes.starts_with(magic))
}

/// Whether a line belongs to a scenario and can't be hexadecimal.
fn is_of_scenario(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("[[step]]") || line.starts_with("id =") || line.starts_with("id=")
}

/// The id of a scenario from a file of this name.
fn id_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let words: Vec<&str> =
        stem.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "replay".to_owned() } else { words.join("-") }
}

/// A file, or the files in a folder and its folders, by name.
fn within(file: &Path) -> Result<Vec<PathBuf>, Mistake> {
    if !file.is_dir() {
        return Ok(vec![file.to_owned()]);
    }
    let mut files = Vec::new();
    collect(file, &mut files).map_err(|error| Mistake::new(FILE, format!("{}: {error}", file.display())))?;
    files.sort();
    match files.len() {
        0 => Err(Mistake::new(
            FILE,
            format!("{} has no file that ends in .toml, .hex, .pcap or .pcapng", file.display()),
        )),
        FILES_MAX.. => Err(Mistake::new(FILE, format!("{} has more than {FILES_MAX} files", file.display()))),
        _ => Ok(files),
    }
}

/// Collects the files to carry out. A gate that leaves out a file without a word would pass for the wrong reason, so any other file
/// but hidden ones and notes is a mistake.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_left_out = is_hidden || ending == "md";
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if !is_left_out && !matches!(&*ending, "toml" | "hex" | "pcap" | "pcapng" | "cap") {
            let what = format!(
                "{} is none of .toml, .hex, .pcap and .pcapng: move it elsewhere, or name it as a file of its own",
                path.display()
            );
            return Err(std::io::Error::other(what));
        } else if !is_left_out && files.len() < FILES_MAX {
            files.push(path);
        }
    }
    Ok(())
}
