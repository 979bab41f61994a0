//! `--junit FILE`: the result as JUnit XML in a file, besides the normal output.
//!
//! The file is opened before the run, so that a run is not made in vain, and an older result never stands for a run that failed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use ungraceful_flags::Mistake;
use ungraceful_record::exit::Exit;
use ungraceful_report::render_junit_without_run;
use ungraceful_rig::error::RunError;

use crate::cli::common::OutputArgs;
use crate::cli::passwords;
use crate::launch::print_error;

const FLAG: &str = "--junit";

/// The opened file; none without the flag.
pub(crate) struct JunitFile {
    opened: Option<(PathBuf, File)>,
}

impl JunitFile {
    /// Reports a file that can't be written, with the other mistakes of the call. Changes nothing in it.
    pub(crate) fn check(output: &OutputArgs, mistakes: &mut Vec<Mistake>) {
        let Some(path) = output.junit.as_ref().filter(|_| !output.only_prints()) else { return };
        check_writable(FLAG, path, mistakes);
    }

    /// Reports a file that is an input of the call: the result would replace it.
    pub(crate) fn overwritten_input(output: &OutputArgs, inputs: &[PathBuf]) -> Option<Mistake> {
        let path = output.junit.as_ref().filter(|_| !output.only_prints())?;
        let whole = path.canonicalize().ok()?;
        let is_it = |input: &&PathBuf| input.canonicalize().is_ok_and(|input| input == whole);
        inputs.iter().find(is_it)?;
        let what = format!(
            "{} is read by this call, and the result would replace it; name another file",
            path.display()
        );
        Some(Mistake::new(FLAG, what))
    }

    /// Opens and empties the file.
    ///
    /// # Errors
    /// A usage error if it can't be written.
    pub(crate) fn open(output: &OutputArgs) -> Result<Self, RunError> {
        let Some(path) = &output.junit else { return Ok(Self { opened: None }) };
        let file =
            File::create(path).map_err(|error| RunError::Usage(vec![cannot_write(FLAG, path, &error)]))?;
        Ok(Self { opened: Some((path.clone(), file)) })
    }

    /// Passes the result of a run on. If there is none, the file gets the reason, as an error of `tool`.
    pub(crate) fn or_reason<T>(&mut self, tool: &str, run: Result<T, RunError>) -> Result<T, RunError> {
        if let Err(error) = &run {
            let why = passwords::redacted(&error.to_string());
            let _reported = self.write(|| render_junit_without_run(tool, &why));
        }
        run
    }

    /// Writes the document. A failure is printed, and an error of the environment.
    pub(crate) fn write(&mut self, document: impl FnOnce() -> String) -> Exit {
        let Some((path, mut file)) = self.opened.take() else { return Exit::Holds };
        match file.write_all(document().as_bytes()) {
            Ok(()) => Exit::Holds,
            Err(error) => {
                print_error(&format!(
                    "--junit: cannot write {}: {error}; the file is not complete",
                    path.display()
                ));
                Exit::Environment
            }
        }
    }
}

/// Reports a file of `flag` that can't be written. Changes nothing in it.
pub(crate) fn check_writable(flag: &str, path: &Path, mistakes: &mut Vec<Mistake>) {
    let existed = path.exists();
    // A pipe would wait for its reader.
    if existed && !path.is_file() && !path.is_dir() {
        return;
    }
    match File::options().append(true).create(true).open(path) {
        Ok(_) if existed => {}
        Ok(_) => {
            let _gone = std::fs::remove_file(path);
        }
        Err(error) => mistakes.push(cannot_write(flag, path, &error)),
    }
}

/// The mistake for a file of `flag` that can't be written.
pub(crate) fn cannot_write(flag: &str, path: &Path, error: &std::io::Error) -> Mistake {
    let what = format!("cannot write {}: {error}; name a file in a folder that exists", path.display());
    Mistake::new(flag, what)
}
