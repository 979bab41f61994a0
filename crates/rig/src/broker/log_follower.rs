//! Follows a log file that another program writes, line by line, through truncation and rotation, in bounded memory
//! and without waiting for the writer. A file that was truncated and grew past its old length between two reads is
//! recognised by the bytes before the read position: they no longer match.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes kept of a line by default.
pub const LINE_BYTES_MAX: usize = 1_024;
/// Reads during which a rotated file is still followed: its writer may not have opened the new one yet.
const LOOKS_AT_PREVIOUS: u32 = 50;
/// Bytes kept from before the read position, to recognise the file.
const LAST_BYTES_MAX: usize = 64;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Without its end; invalid UTF-8 is replaced, control characters stay.
    pub text: String,
    /// Whether it was longer than what is kept.
    pub is_cut: bool,
}

/// A log file being followed.
#[derive(Debug)]
pub struct LogFollower {
    path: PathBuf,
    current: Followed,
    previous: Option<(Followed, u32)>,
    begun_anew: u64,
}

impl LogFollower {
    /// Opens the file at its end.
    ///
    /// # Errors
    /// Why it can't be followed: it is missing, unreadable or no regular file.
    pub fn at_end(path: &Path) -> io::Result<Self> {
        let mut current = Followed::open(path, LINE_BYTES_MAX)?;
        current.go_to_end()?;
        Ok(Self { path: path.to_owned(), current, previous: None, begun_anew: 0 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often the file was truncated or replaced.
    pub fn begun_anew(&self) -> u64 {
        self.begun_anew
    }

    /// Opens the file at its beginning, and keeps `line_bytes_max` bytes of a line.
    ///
    /// # Errors
    /// As [`Self::at_end`].
    pub fn at_begin(path: &Path, line_bytes_max: usize) -> io::Result<Self> {
        let current = Followed::open(path, line_bytes_max)?;
        Ok(Self { path: path.to_owned(), current, previous: None, begun_anew: 0 })
    }

    /// Takes the lines completed since the last look, reading at most `bytes_max`.
    ///
    /// # Errors
    /// The file can't be read any more.
    pub fn look(&mut self, bytes_max: u64, take: &mut dyn FnMut(LogLine)) -> io::Result<()> {
        let mut bytes_left = bytes_max;
        if let Some((previous, looks_left)) = &mut self.previous {
            previous.read(&mut bytes_left, take)?;
            *looks_left = looks_left.saturating_sub(1);
            if *looks_left == 0 {
                previous.line.end(take);
                self.previous = None;
            }
        }
        let before = self.current.before_offset()?;
        if before != Before::AsRead {
            self.begun_anew += 1;
            self.current.line.end(take);
        }
        match before {
            Before::AsRead => {}
            Before::Other => self.current.go_to_begin()?,
            Before::Hole => self.current.last.fill(0),
        }
        self.current.read(&mut bytes_left, take)?;
        if bytes_left == 0 {
            return Ok(());
        }
        // During a rotation the file may be missing, or something else may have its name: both can wait.
        let is_other =
            std::fs::metadata(&self.path).is_ok_and(|found| identity(&found) != self.current.identity);
        let line_bytes_max = self.current.line.bytes_max;
        if let (true, Ok(next)) = (is_other, Followed::open(&self.path, line_bytes_max)) {
            self.begun_anew += 1;
            if let Some((mut oldest, _)) = self.previous.take() {
                oldest.line.end(take);
            }
            self.previous = Some((std::mem::replace(&mut self.current, next), LOOKS_AT_PREVIOUS));
            self.current.read(&mut bytes_left, take)?;
        }
        Ok(())
    }

    /// The last look, reading at most `bytes_max`; also takes an unfinished line. Returns the bytes left unread.
    ///
    /// # Errors
    /// The file can't be read any more.
    pub fn finish(mut self, bytes_max: u64, take: &mut dyn FnMut(LogLine)) -> io::Result<u64> {
        self.look(bytes_max, take)?;
        let mut unread = 0;
        let previous = self.previous.take().map(|(previous, _)| previous);
        for mut followed in previous.into_iter().chain([self.current]) {
            followed.line.end(take);
            unread += followed.file.metadata()?.len().saturating_sub(followed.offset);
        }
        Ok(unread)
    }
}

/// Device and inode: which file it is, whatever its name.
fn identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

#[derive(Debug)]
struct Followed {
    file: File,
    identity: (u64, u64),
    /// The read position.
    offset: u64,
    /// The last bytes read before it, at most [`LAST_BYTES_MAX`].
    last: Vec<u8>,
    line: HalfLine,
}

/// What is now before the read position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The bytes that were read.
    AsRead,
    /// Other bytes, or none: the file was truncated.
    Other,
    /// Zeros: the file was truncated, and its writer continues at its old position.
    Hole,
}

impl Followed {
    fn open(path: &Path, line_bytes_max: usize) -> io::Result<Self> {
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let file = File::open(path)?;
        let identity = identity(&file.metadata()?);
        Ok(Self { file, identity, offset: 0, last: Vec::new(), line: HalfLine::new(line_bytes_max) })
    }

    fn go_to_begin(&mut self) -> io::Result<()> {
        self.offset = self.file.seek(SeekFrom::Start(0))?;
        self.last.clear();
        Ok(())
    }

    fn go_to_end(&mut self) -> io::Result<()> {
        self.offset = self.file.seek(SeekFrom::End(0))?;
        let known = usize::try_from(self.offset).unwrap_or(usize::MAX).min(LAST_BYTES_MAX);
        match self.bytes_before_offset(known)? {
            Some(last) => self.last = last,
            // Truncated at this very moment.
            None => self.go_to_begin()?,
        }
        Ok(())
    }

    /// The `count` bytes before the offset as they are now; absent when the file is shorter.
    fn bytes_before_offset(&self, count: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; count];
        match self.file.read_exact_at(&mut bytes, self.offset.saturating_sub(count as u64)) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn before_offset(&self) -> io::Result<Before> {
        let found = self.bytes_before_offset(self.last.len())?;
        Ok(match found {
            Some(found) if found == self.last => Before::AsRead,
            Some(found) if found.iter().all(|byte| *byte == 0) => Before::Hole,
            Some(_) | None => Before::Other,
        })
    }

    fn remember(&mut self, read: &[u8]) {
        self.last.extend_from_slice(&read[read.len().saturating_sub(LAST_BYTES_MAX)..]);
        let surplus = self.last.len().saturating_sub(LAST_BYTES_MAX);
        self.last.drain(..surplus);
    }

    fn read(&mut self, bytes_left: &mut u64, take: &mut dyn FnMut(LogLine)) -> io::Result<()> {
        let mut buffer = [0; 16 * 1_024];
        while *bytes_left > 0 {
            let room = usize::try_from(*bytes_left).unwrap_or(usize::MAX).min(buffer.len());
            let read = match self.file.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.offset += read as u64;
            *bytes_left -= read as u64;
            self.remember(&buffer[..read]);
            self.line.go_on(&buffer[..read], take);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct HalfLine {
    bytes_max: usize,
    bytes: Vec<u8>,
    is_cut: bool,
}

impl HalfLine {
    const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: Vec::new(), is_cut: false }
    }

    fn go_on(&mut self, bytes: &[u8], take: &mut dyn FnMut(LogLine)) {
        let mut parts = bytes.split(|byte| *byte == b'\n');
        self.extend(parts.next().unwrap_or_default());
        for part in parts {
            self.end(take);
            self.extend(part);
        }
    }

    fn extend(&mut self, part: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&part[..part.len().min(room)]);
        self.is_cut |= part.len() > room;
    }

    /// Ends the line; an empty one is dropped.
    fn end(&mut self, take: &mut dyn FnMut(LogLine)) {
        let (bytes, is_cut) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.is_cut));
        let mut text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(&bytes)).into_owned();
        // A replacement takes more room than the byte it replaces.
        let is_cut = is_cut || text.len() > self.bytes_max;
        text.truncate(text.floor_char_boundary(self.bytes_max));
        if !text.is_empty() {
            take(LogLine { text, is_cut });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::{LINE_BYTES_MAX, LogFollower, LogLine};

    const PLENTY: u64 = 1 << 30;

    fn log(content: &str) -> (TempDir, PathBuf, LogFollower) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.log");
        std::fs::write(&path, content).unwrap();
        let follower = LogFollower::at_end(&path).unwrap();
        (folder, path, follower)
    }

    fn append(path: &Path, bytes: &[u8]) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    fn look(follower: &mut LogFollower) -> Vec<String> {
        let mut lines = Vec::new();
        follower.look(PLENTY, &mut |line: LogLine| lines.push(line.text)).unwrap();
        lines
    }

    fn finish(follower: LogFollower) -> (Vec<String>, u64) {
        let mut lines = Vec::new();
        let unread = follower.finish(PLENTY, &mut |line: LogLine| lines.push(line.text)).unwrap();
        (lines, unread)
    }

    #[test]
    fn only_what_is_appended_is_read() {
        let (_folder, path, mut follower) = log("before\n");
        assert!(look(&mut follower).is_empty());
        append(&path, b"one\r\n\ntwo\n");
        assert_eq!(look(&mut follower), ["one", "two"]);
        assert!(look(&mut follower).is_empty());
        assert_eq!(follower.begun_anew(), 0);
    }

    #[test]
    fn half_a_line_waits_for_the_rest_or_for_the_end() {
        let (_folder, path, mut follower) = log("");
        append(&path, b"first ha");
        assert!(look(&mut follower).is_empty());
        append(&path, b"lf\nlast ha");
        assert_eq!(look(&mut follower), ["first half"]);
        assert_eq!(finish(follower), (vec!["last ha".to_owned()], 0));
    }

    #[test]
    fn a_truncated_file_is_read_from_its_beginning() {
        let (_folder, path, mut follower) = log("a long line from before\n");
        append(&path, b"cut off");
        assert!(look(&mut follower).is_empty());
        File::create(&path).unwrap().write_all(b"anew\n").unwrap();
        assert_eq!(look(&mut follower), ["cut off", "anew"]);
        assert_eq!(follower.begun_anew(), 1);
        append(&path, b"and on\n");
        assert_eq!(look(&mut follower), ["and on"]);
    }

    #[test]
    fn a_truncated_file_that_outgrew_its_length_is_recognised() {
        for before in ["short\n", &"what was there before\n".repeat(1_000)] {
            let (_folder, path, mut follower) = log(before);
            let mut anew = "anew\n".repeat(before.len());
            File::create(&path).unwrap().write_all(anew.as_bytes()).unwrap();
            assert_eq!(look(&mut follower).len(), before.len(), "since the follower came");
            anew = "and on\n".repeat(anew.len());
            File::create(&path).unwrap().write_all(anew.as_bytes()).unwrap();
            assert_eq!(look(&mut follower).len() * "and on\n".len(), anew.len(), "since the last look");
            assert_eq!(follower.begun_anew(), 2);
            append(&path, b"once\n");
            assert_eq!(look(&mut follower), ["once"]);
            assert_eq!(follower.begun_anew(), 2);
        }
    }

    #[test]
    fn a_writer_that_keeps_its_offset_is_followed() {
        let (_folder, path, mut follower) = log("");
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(look(&mut follower), ["one", "two"]);
        File::create(&path).unwrap();
        writer.write_all(b"three\n").unwrap();
        assert_eq!(look(&mut follower), ["three"]);
        writer.write_all(b"four\n").unwrap();
        assert_eq!(look(&mut follower), ["four"]);
        assert_eq!(follower.begun_anew(), 1);
    }

    #[test]
    fn after_a_rotation_both_files_are_read() {
        let (folder, path, mut follower) = log("");
        let rotated = folder.path().join("broker.log.1");
        append(&path, b"one\n");
        std::fs::rename(&path, &rotated).unwrap();
        append(&rotated, b"two\n");
        assert_eq!(look(&mut follower), ["one", "two"], "there is no new one yet");
        append(&path, b"four\n");
        append(&rotated, b"thr");
        assert_eq!(look(&mut follower), ["four"]);
        append(&rotated, b"ee\n");
        append(&path, b"five\n");
        assert_eq!(look(&mut follower), ["three", "five"]);
        assert_eq!(follower.begun_anew(), 1);
        append(&rotated, b"late");
        std::fs::rename(&path, folder.path().join("broker.log.2")).unwrap();
        append(&path, b"six\n");
        assert_eq!(finish(follower), (vec!["late".to_owned(), "six".to_owned()], 0));
    }

    #[test]
    fn a_file_that_is_removed_for_good_does_no_harm() {
        let (_folder, path, mut follower) = log("");
        append(&path, b"last\n");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(look(&mut follower), ["last"], "and what takes its name is no log");
        assert_eq!(finish(follower), (Vec::new(), 0));
    }

    #[test]
    fn binary_rubbish_is_replaced_and_control_characters_stay() {
        let (_folder, path, mut follower) = log("");
        append(&path, b"a\xff\xfeb\x1b[2J\0\n");
        assert_eq!(look(&mut follower), ["a\u{fffd}\u{fffd}b\u{1b}[2J\0"]);
    }

    #[test]
    fn long_lines_are_cut_and_marked() {
        let (_folder, path, mut follower) = log("");
        append(&path, "ä".repeat(100_000).as_bytes());
        append(&path, b"\n");
        append(&path, &[b'x'; LINE_BYTES_MAX]);
        append(&path, b"\nshort\n");
        append(&path, &[0xff; LINE_BYTES_MAX]);
        append(&path, b"\n");
        let mut lines = Vec::new();
        follower.look(PLENTY, &mut |line| lines.push(line)).unwrap();
        let seen: Vec<_> = lines.iter().map(|line| (line.text.len(), line.is_cut)).collect();
        assert_eq!(seen, [(1_024, true), (1_024, false), (5, false), (1_023, true)]);
    }

    #[test]
    fn reads_are_bounded_and_unread_bytes_reported() {
        let (_folder, path, mut follower) = log("");
        append(&path, &b"0123456\n".repeat(100));
        let mut lines = 0;
        follower.look(80, &mut |_| lines += 1).unwrap();
        assert_eq!(lines, 10);
        let unread = follower.finish(84, &mut |_| lines += 1).unwrap();
        assert_eq!((lines, unread), (21, 800 - 164), "ten whole ones, and the half one at the end");
    }

    #[test]
    fn only_regular_files_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        assert!(LogFollower::at_end(folder.path()).unwrap_err().to_string().contains("not a regular file"));
        assert!(LogFollower::at_end(&folder.path().join("none")).is_err());
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(LogFollower::at_end(&pipe).unwrap_err().to_string().contains("not a regular file"));
    }
}
