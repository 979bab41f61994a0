//! Follows a log file that somebody else writes: what is appended, through truncation and rotation, line by line and
//! in bounded memory. Never waits for the writer.
//!
//! A file that is truncated and grows beyond its old length between two looks is told from one that was only appended
//! to by the bytes before the place where reading goes on: they are no longer those that were read.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes kept of a line where nobody says otherwise.
pub const LINE_BYTES_MAX: usize = 1_024;
/// Looks for which a file that was rotated away is still read: its writer goes on until it is told to open the new
/// one.
const LOOKS_AT_PREVIOUS: u32 = 50;
/// Bytes before the place where reading goes on, by which the file is known again.
const LAST_BYTES_MAX: usize = 64;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Without its line end. What is no UTF-8 is replaced; control characters stay.
    pub text: String,
    /// Whether it was longer than what is kept of a line.
    pub is_cut: bool,
}

/// A log file that is followed.
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
    /// Why it can't be followed: it is not there, may not be read, or is no regular file.
    pub fn at_end(path: &Path) -> io::Result<Self> {
        let mut current = Followed::open(path, LINE_BYTES_MAX)?;
        current.go_to_end()?;
        Ok(Self { path: path.to_owned(), current, previous: None, begun_anew: 0 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Times that the file was truncated, or that another took its place.
    pub fn begun_anew(&self) -> u64 {
        self.begun_anew
    }

    /// Opens the file at its begin, and keeps `line_bytes_max` bytes of a line.
    ///
    /// # Errors
    /// Why it can't be followed: it is not there, may not be read, or is no regular file.
    pub fn at_begin(path: &Path, line_bytes_max: usize) -> io::Result<Self> {
        let current = Followed::open(path, line_bytes_max)?;
        Ok(Self { path: path.to_owned(), current, previous: None, begun_anew: 0 })
    }

    /// Takes the lines that were completed since the last look, reading `bytes_max` at the most.
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
        match self.current.before_offset()? {
            Before::AsRead => {}
            Before::Other => {
                self.begun_anew += 1;
                self.current.line.end(take);
                self.current.go_to_begin()?;
            }
            Before::Hole => {
                self.begun_anew += 1;
                self.current.line.end(take);
                self.current.last.fill(0);
            }
        }
        self.current.read(&mut bytes_left, take)?;
        if bytes_left == 0 {
            return Ok(());
        }
        // In the gap of a rotation there is none, and somebody may put there what is no log: both can wait.
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

    /// The last look, reading `bytes_max` at the most; takes the line that has no end yet, too. Returns the bytes
    /// that were left unread.
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
    /// Where reading goes on.
    offset: u64,
    /// What stood there just before when it was read, at most [`LAST_BYTES_MAX`].
    last: Vec<u8>,
    line: HalfLine,
}

/// What stands before the place where reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// What was read there.
    AsRead,
    /// Something else, or nothing: the file was truncated.
    Other,
    /// Zeros: the file was truncated, and its writer goes on at its old place.
    Hole,
}

impl Followed {
    fn open(path: &Path, line_bytes_max: usize) -> io::Result<Self> {
        // Opening a pipe would wait for somebody to write into it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
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

/// The line that is under way.
#[derive(Debug)]
struct HalfLine {
    /// Bytes that are kept.
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

    /// The line ends here; an empty one is nobody's concern.
    fn end(&mut self, take: &mut dyn FnMut(LogLine)) {
        let (bytes, is_cut) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.is_cut));
        let mut text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(&bytes)).into_owned();
        // What replaces a byte takes more room than it.
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

    fn log(content: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.log");
        std::fs::write(&path, content).unwrap();
        (folder, path)
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
    fn what_was_there_before_is_not_read_and_what_is_appended_is() {
        let (_folder, path) = log("before\n");
        let mut follower = LogFollower::at_end(&path).unwrap();
        assert!(look(&mut follower).is_empty());
        append(&path, b"one\r\n\ntwo\n");
        assert_eq!(look(&mut follower), ["one", "two"]);
        assert!(look(&mut follower).is_empty());
        assert_eq!(follower.begun_anew(), 0);
    }

    #[test]
    fn half_a_line_waits_for_its_other_half_or_for_the_end() {
        let (_folder, path) = log("");
        let mut follower = LogFollower::at_end(&path).unwrap();
        append(&path, b"first ha");
        assert!(look(&mut follower).is_empty());
        append(&path, b"lf\nlast ha");
        assert_eq!(look(&mut follower), ["first half"]);
        assert_eq!(finish(follower), (vec!["last ha".to_owned()], 0));
    }

    #[test]
    fn a_file_that_is_truncated_is_read_from_its_begin_again() {
        let (_folder, path) = log("a long line from before\n");
        let mut follower = LogFollower::at_end(&path).unwrap();
        append(&path, b"cut off");
        assert!(look(&mut follower).is_empty());
        File::create(&path).unwrap().write_all(b"anew\n").unwrap();
        assert_eq!(look(&mut follower), ["cut off", "anew"]);
        assert_eq!(follower.begun_anew(), 1);
        append(&path, b"and on\n");
        assert_eq!(look(&mut follower), ["and on"]);
    }

    #[test]
    fn a_file_that_is_truncated_and_outgrows_its_old_length_before_the_next_look_is_read_from_its_begin() {
        for before in ["short\n", &"what was there before\n".repeat(1_000)] {
            let (_folder, path) = log(before);
            let mut follower = LogFollower::at_end(&path).unwrap();
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
    fn a_writer_that_goes_on_at_its_old_place_after_a_truncation_is_followed_there() {
        let (_folder, path) = log("");
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        let mut follower = LogFollower::at_end(&path).unwrap();
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
    fn a_rotated_file_is_read_on_for_as_long_as_its_writer_may_not_know_and_so_is_the_new_one() {
        let (folder, path) = log("");
        let mut follower = LogFollower::at_end(&path).unwrap();
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
        let (folder, path) = log("");
        let mut follower = LogFollower::at_end(&path).unwrap();
        append(&path, b"last\n");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(look(&mut follower), ["last"], "and what takes its name is no log");
        assert_eq!(finish(follower), (Vec::new(), 0));
        drop(folder);
    }

    #[test]
    fn binary_rubbish_is_replaced_and_control_characters_stay() {
        let (_folder, path) = log("");
        let mut follower = LogFollower::at_end(&path).unwrap();
        append(&path, b"a\xff\xfeb\x1b[2J\0\n");
        assert_eq!(look(&mut follower), ["a\u{fffd}\u{fffd}b\u{1b}[2J\0"]);
    }

    #[test]
    fn of_a_long_line_the_first_bytes_are_kept_and_it_says_so() {
        let (_folder, path) = log("");
        let mut follower = LogFollower::at_end(&path).unwrap();
        append(&path, "ä".repeat(100_000).as_bytes());
        append(&path, b"\n");
        append(&path, &[b'x'; LINE_BYTES_MAX]);
        append(&path, b"\nshort\n");
        append(&path, &[0xff; LINE_BYTES_MAX]);
        append(&path, b"\n");
        let mut lines = Vec::new();
        follower.look(PLENTY, &mut |line| lines.push(line)).unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.text.len(), line.is_cut)).collect();
        assert_eq!(told, [(1_024, true), (1_024, false), (5, false), (1_023, true)]);
    }

    #[test]
    fn no_more_is_read_at_once_than_was_asked_for_and_what_is_left_unread_is_told() {
        let (_folder, path) = log("");
        let mut follower = LogFollower::at_end(&path).unwrap();
        append(&path, &b"0123456\n".repeat(100));
        let mut lines = 0;
        follower.look(80, &mut |_| lines += 1).unwrap();
        assert_eq!(lines, 10);
        let unread = follower.finish(84, &mut |_| lines += 1).unwrap();
        assert_eq!((lines, unread), (21, 800 - 164), "ten whole ones, and the half one at the end");
    }

    #[test]
    fn what_is_no_file_is_refused_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        assert!(LogFollower::at_end(folder.path()).unwrap_err().to_string().contains("no regular file"));
        assert!(LogFollower::at_end(&folder.path().join("none")).is_err());
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(LogFollower::at_end(&pipe).unwrap_err().to_string().contains("no regular file"));
    }
}
