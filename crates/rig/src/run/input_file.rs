//! Files that the user names on the command line, read in bounded memory and time. A password may come from a pipe
//! (`--pw-file <(pass show broker)`), and a mistyped path may be an endless device.
//!
//! Logs may be of any size and are read elsewhere ([`crate::broker::log_follower`]).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use ungraceful_record::scale::{counted, span};
use ungraceful_wire::clock::now;

/// The longest first line, in bytes: what an MQTT field can carry (MQTT 5.0 section 1.5.6).
pub const LINE_BYTES_MAX: usize = 65_535;
/// How long reading a file may take; the writer of a pipe may ask a person first.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first line of a file, without its end. The rest is not read, so the file needs no end.
///
/// # Errors
/// A text with the path: the file can't be read, nothing writes into it, or the line is longer than
/// [`LINE_BYTES_MAX`].
pub fn first_line(path: &Path) -> Result<Vec<u8>, String> {
    first_line_within(path, PATIENCE)
}

/// A whole file, of at most `bytes_max`.
///
/// # Errors
/// A text with the path: the file can't be read, nothing writes into it, or it is longer than that.
pub fn whole(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    read(path, PATIENCE, &mut |chunk| {
        bytes.extend_from_slice(chunk);
        bytes.len() <= bytes_max
    })?;
    if bytes.len() > bytes_max {
        return Err(format!(
            "{} is longer than the {} that are read; is it the right file?",
            path.display(),
            counted(bytes_max as u64, "byte")
        ));
    }
    Ok(bytes)
}

fn first_line_within(path: &Path, patience: Duration) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let mut is_whole = false;
    read(path, patience, &mut |chunk| {
        let end = chunk.iter().position(|byte| *byte == b'\n');
        is_whole = end.is_some();
        line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
        !is_whole && line.len() <= LINE_BYTES_MAX
    })?;
    if line.len() > LINE_BYTES_MAX {
        return Err(format!(
            "the first line of {} is longer than the {} that MQTT can carry; is it the right file?",
            path.display(),
            counted(LINE_BYTES_MAX as u64, "byte")
        ));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// Reads until the end, or until `take` has had enough.
fn read(path: &Path, patience: Duration, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    // Opening a pipe would wait for a writer.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    let deadline = now() + patience;
    let mut buffer = [0; 16 * 1_024];
    loop {
        // Before each read: a pipe without a writer looks like the end of a file.
        if !is_readable(&file, deadline).map_err(|error| cannot(error.into()))? {
            return Err(format!(
                "cannot read {}: no data, or no end, within {}; does anything write into it?",
                path.display(),
                span(patience)
            ));
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if take(&buffer[..count]) => {}
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(cannot(error)),
        }
    }
}

/// Waits for data or an end. Returns whether there is one before `deadline`.
fn is_readable(file: &File, deadline: Instant) -> rustix::io::Result<bool> {
    let left = deadline.saturating_duration_since(now());
    let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    let timeout = Timespec { tv_sec, tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::{LINE_BYTES_MAX, first_line, first_line_within, whole};

    fn file(content: &[u8]) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn pipe() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        (folder, path)
    }

    #[test]
    fn only_the_first_line_is_read_without_its_end() {
        for (content, line) in
            [(&b"hunter2\nmore"[..], &b"hunter2"[..]), (b"a\r\n", b"a"), (b"", b""), (b"x", b"x")]
        {
            let (_folder, path) = file(content);
            assert_eq!(first_line(&path).unwrap(), line);
        }
    }

    #[test]
    fn endless_files_are_read_to_the_limit_and_rejected() {
        for path in ["/dev/zero", "/dev/urandom"] {
            let why = whole(Path::new(path), 1_000_000).unwrap_err();
            assert!(why.contains(path) && why.contains("longer than"), "{why}");
        }
        let why = first_line(Path::new("/dev/zero")).unwrap_err();
        assert!(why.contains("/dev/zero") && why.contains("longer than the 65,535 bytes"), "{why}");
    }

    #[test]
    fn the_longest_line_and_the_longest_file_are_read() {
        let (_folder, path) = file(&[b'x'; LINE_BYTES_MAX]);
        assert_eq!(first_line(&path).unwrap().len(), LINE_BYTES_MAX);
        assert_eq!(whole(&path, LINE_BYTES_MAX).unwrap().len(), LINE_BYTES_MAX);
        assert!(whole(&path, LINE_BYTES_MAX - 1).is_err());
    }

    #[test]
    fn a_pipe_is_read_only_with_a_writer() {
        let (_folder, path) = pipe();
        let why = first_line_within(&path, Duration::from_millis(20)).unwrap_err();
        assert!(why.contains("does anything write into it?"), "{why}");
        let writer = std::thread::spawn({
            let path = path.clone();
            // Opening waits for the reader. What holds the pipe open after its first line is not waited for.
            move || {
                let mut pipe = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                pipe.write_all(b"hunter2\n").unwrap();
                pipe
            }
        });
        assert_eq!(first_line(&path).unwrap(), b"hunter2");
        drop(writer.join().unwrap());
    }

    #[test]
    fn a_file_that_is_not_there_and_a_folder_are_named() {
        for path in ["/no/such/file", "/tmp"] {
            assert!(first_line(Path::new(path)).unwrap_err().contains(path));
        }
    }
}
