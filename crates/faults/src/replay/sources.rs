//! Files of the user, and what kind each is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ungraceful_flags::{Mistake, Wanted};
use ungraceful_rig::run::input_file;
use ungraceful_scenario::{Scenario, parse};

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
    /// How fast a capture goes.
    pub(super) speed: f64,
    /// The versions of packets that name none.
    pub(super) versions: Wanted,
}

impl Reading<'_> {
    /// The scenarios of these files, in order.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub(super) fn all(&self, files: &[PathBuf]) -> Result<Vec<Scenario>, Vec<Mistake>> {
        let (mut scenarios, mut mistakes) = (Vec::new(), Vec::new());
        for file in files {
            match within(file) {
                Ok(files) => {
                    for file in files {
                        match self.one(&file) {
                            Ok(found) => scenarios.extend(found),
                            Err(found) => mistakes.extend(found),
                        }
                    }
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let mut ids = BTreeSet::new();
        for scenario in &scenarios {
            if !ids.insert(scenario.id.clone()) {
                let what = format!("two files have scenarios of the id {}: rename one", scenario.id);
                mistakes.push(Mistake::new(FILE, what));
            }
        }
        if mistakes.is_empty() { Ok(scenarios) } else { Err(mistakes) }
    }

    fn one(&self, file: &Path) -> Result<Vec<Scenario>, Vec<Mistake>> {
        let mistake = |what: String| vec![Mistake::new(FILE, what)];
        let bytes = input_file::whole(file, FILE_BYTES_MAX).map_err(mistake)?;
        let name = file.display();
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(mistake(format!("{name} is no scenario: it is no text")));
        };
        let scenario = parse(&text).map_err(|found| {
            found.into_iter().map(|found| Mistake::new(FILE, format!("{name}, {found}"))).collect::<Vec<_>>()
        })?;
        Ok(vec![scenario])
    }
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

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_ours = path
            .extension()
            .and_then(|ending| ending.to_str())
            .is_some_and(|ending| matches!(ending, "toml" | "hex" | "pcap" | "pcapng"));
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if is_ours && files.len() < FILES_MAX {
            files.push(path);
        }
    }
    Ok(())
}
