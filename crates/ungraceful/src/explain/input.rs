//! Where a log comes from: plain or compressed, in UTF-8 or UTF-16, a line or an object over several lines for each event.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use encoding_rs_io::DecodeReaderBytesBuilder;
use ungraceful_log_causes::timestamp::LogTime;
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::clock::RunClock;

/// Bytes at the begin that tell how a log is kept.
const BEGIN_BYTES: usize = 4_096;
/// Bytes of an object over several lines; a longer one is passed on as it is.
const OBJECT_BYTES_MAX: usize = 256 * 1024;

/// An opened log.
pub(super) struct Input {
    pub(super) reader: Box<dyn Read>,
    /// A moment after its last line.
    pub(super) latest: LogTime,
}

/// Opens the log at `path`.
pub(super) fn open(path: &Path) -> Result<Input, RunError> {
    let cannot = |error: io::Error| RunError::Environment(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(RunError::Environment(format!(
            "{} is a folder; give the log files in it",
            path.display()
        )));
    }
    let latest = metadata.modified().map_or_else(|_| now(), in_log_time);
    Ok(Input { reader: unpacked(Box::new(file)).map_err(cannot)?, latest })
}

/// Standard input.
pub(super) fn standard() -> Result<Input, RunError> {
    let cannot = |error: io::Error| RunError::Environment(format!("cannot read standard input: {error}"));
    Ok(Input { reader: unpacked(Box::new(io::stdin())).map_err(cannot)?, latest: now() })
}

/// The time now.
pub(super) fn now() -> LogTime {
    LogTime(RunClock::start().started().as_millisecond())
}

fn in_log_time(time: SystemTime) -> LogTime {
    jiff::Timestamp::try_from(time).map_or_else(|_| now(), |time| LogTime(time.as_millisecond()))
}

/// The text of a log, one event a line.
fn unpacked(reader: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let (begin, reader) = begun(reader)?;
    let reader: Box<dyn Read> = if begin.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(reader))
    } else if begin.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(Frames { source: BufReader::new(reader), decoder: None })
    } else if begin.starts_with(b"\xfd7zXZ\0") {
        Box::new(lzma_rust2::XzReader::new(reader, true))
    } else {
        reader
    };
    let (begin, reader) = begun(reader)?;
    let reader: Box<dyn Read> = if begin.starts_with(&[0xff, 0xfe]) || begin.starts_with(&[0xfe, 0xff]) {
        Box::new(DecodeReaderBytesBuilder::new().bom_override(true).build(reader))
    } else {
        reader
    };
    let (begin, reader) = begun(reader)?;
    let text = begin.trim_ascii_start();
    let is_over_lines = matches!(text.first(), Some(b'{' | b'['))
        && text.iter().skip(1).find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'{' | b'['))
            == Some(&b'\n');
    Ok(if is_over_lines { Box::new(Objects::new(reader)) } else { reader })
}

/// The first bytes, and a reader of everything.
fn begun(mut reader: Box<dyn Read>) -> io::Result<(Vec<u8>, Box<dyn Read>)> {
    let mut begin = Vec::new();
    reader.by_ref().take(BEGIN_BYTES as u64).read_to_end(&mut begin)?;
    Ok((begin.clone(), Box::new(Cursor::new(begin).chain(reader))))
}

/// Zstandard: a log that grew by appending has several frames.
struct Frames<R: Read> {
    source: BufReader<R>,
    decoder: Option<Box<ruzstd::decoding::FrameDecoder>>,
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        loop {
            let Some(decoder) = &mut self.decoder else {
                if self.source.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                let mut decoder = ruzstd::decoding::FrameDecoder::new();
                decoder.reset(&mut self.source).map_err(wrong)?;
                self.decoder = Some(Box::new(decoder));
                continue;
            };
            while decoder.can_collect() == 0 && !decoder.is_finished() {
                let some = ruzstd::decoding::BlockDecodingStrategy::UptoBytes(buffer.len().max(1));
                decoder.decode_blocks(&mut self.source, some).map_err(wrong)?;
            }
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.decoder = None;
        }
    }
}

/// Objects over several lines, each as one line. Blank lines take the place of its others, so that line numbers stay true.
struct Objects<R> {
    source: BufReader<R>,
    /// What is ready to be read, from `at` on.
    ready: Vec<u8>,
    at: usize,
}

impl<R: Read> Objects<R> {
    fn new(reader: R) -> Self {
        Self { source: BufReader::new(reader), ready: Vec::new(), at: 0 }
    }

    /// Reads the next object, or the next line outside of one.
    fn fill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.at = 0;
        let (mut depth, mut is_text, mut is_escaped, mut lines) = (0_u32, false, false, 0);
        loop {
            let begun = self.ready.len();
            if (&mut self.source).take(OBJECT_BYTES_MAX as u64).read_until(b'\n', &mut self.ready)? == 0 {
                break;
            }
            for byte in &self.ready[begun..] {
                match byte {
                    _ if is_escaped => is_escaped = false,
                    b'\\' if is_text => is_escaped = true,
                    b'"' => is_text = !is_text,
                    b'{' if !is_text => depth += 1,
                    b'}' if !is_text => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            if self.ready.last() == Some(&b'\n') {
                lines += 1;
            }
            if depth == 0 || self.ready.len() >= OBJECT_BYTES_MAX {
                break;
            }
        }
        if lines > 1 && self.ready.len() < OBJECT_BYTES_MAX {
            self.ready.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
            let end = self.ready.trim_ascii_end().len();
            self.ready.truncate(end);
            // What stands between objects of a list.
            let begin = self.ready.iter().position(|byte| *byte == b'{').unwrap_or(0);
            self.ready.drain(..begin);
            self.ready.extend(std::iter::repeat_n(b'\n', lines));
        }
        Ok(())
    }
}

impl<R: Read> Read for Objects<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            self.fill()?;
        }
        let length = buffer.len().min(self.ready.len() - self.at);
        buffer[..length].copy_from_slice(&self.ready[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Files that are parts of one log, such as `broker.log.2.gz`, `broker.log.1` and `broker.log`: those of one folder whose names differ
/// only in what rotation adds. The groups are in the order given; in each, the oldest part is first by its number or date.
pub(super) fn parts(paths: &[PathBuf]) -> Vec<Vec<PathBuf>> {
    let mut groups: Vec<(PathBuf, Vec<(Age, PathBuf)>)> = Vec::new();
    for path in paths {
        let (base, age) = base_of(path);
        match groups.iter_mut().find(|(known, _)| *known == base) {
            Some((_, parts)) => parts.push((age, path.clone())),
            None => groups.push((base, vec![(age, path.clone())])),
        }
    }
    let sorted = |(_, mut parts): (PathBuf, Vec<(Age, PathBuf)>)| {
        parts.sort_by(|(one, _), (other, _)| one.cmp(other));
        parts.into_iter().map(|(_, path)| path).collect()
    };
    groups.into_iter().map(sorted).collect()
}

/// A file that is named by two of the paths, or is the compressed form of another; absent when there is none.
pub(super) fn given_twice(paths: &[PathBuf]) -> Option<&PathBuf> {
    let mut known = std::collections::BTreeSet::new();
    let mut parts = std::collections::BTreeSet::new();
    paths.iter().find(|path| {
        std::fs::canonicalize(path).is_ok_and(|same| !known.insert(same)) || !parts.insert(base_of(path))
    })
}

/// How old a part is, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// A date, as digits.
    Dated(String),
    /// A number, higher for older parts.
    Numbered(std::cmp::Reverse<u64>),
    /// The part that is being written.
    Current,
}

/// The path without what rotation and compression add, and the age.
fn base_of(path: &Path) -> (PathBuf, Age) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = [".gz", ".zst", ".xz"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name)
        .to_owned();
    let cut = name
        .rfind(|character: char| !(character.is_ascii_digit() || character == '-'))
        .map_or(0, |at| at + 1);
    // Of `broker.log-2026-11-24` the date with its hyphen, of `broker.log.1` the number with its dot.
    let (head, tail) = name.split_at(cut);
    let digits: String = tail.chars().filter(char::is_ascii_digit).collect();
    let is_date = digits.len() == 8 || digits.len() == 10 || digits.len() == 14;
    let age = match head.strip_suffix('.') {
        _ if is_date && (head.ends_with('.') || tail.starts_with('-')) => Age::Dated(digits),
        Some(_) if !tail.is_empty() && tail == digits => match digits.parse() {
            Ok(number) => Age::Numbered(std::cmp::Reverse(number)),
            Err(_) => Age::Current,
        },
        _ => return (path.with_file_name(name), Age::Current),
    };
    let base = head.strip_suffix('.').unwrap_or(head).to_owned();
    (path.with_file_name(base), age)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> String {
        let mut text = String::new();
        unpacked(Box::new(Cursor::new(bytes.to_vec()))).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn plain_and_compressed_logs_are_read() {
        let text = "Client a closed its connection.\n".repeat(10_000);
        assert_eq!(read(text.as_bytes()), text);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(read(&gzip), text);
        assert_eq!(read(&[&gzip[..], &gzip[..]].concat()), text.repeat(2), "two members");
    }

    #[test]
    fn a_damaged_file_is_an_error_and_no_panic() {
        for begin in [&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"] {
            let bytes = [begin, &[0x55; 100]].concat();
            let is_error = match unpacked(Box::new(Cursor::new(bytes))) {
                Err(_) => true,
                Ok(mut reader) => reader.read_to_end(&mut Vec::new()).is_err(),
            };
            assert!(is_error, "{begin:?}");
        }
    }

    #[test]
    fn utf_16_is_read_in_both_byte_orders() {
        let text = "Client ä closed its connection.\r\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(&[&b"\xff\xfe"[..], &little].concat()), text);
        assert_eq!(read(&[&b"\xfe\xff"[..], &big].concat()), text);
    }

    #[test]
    fn an_object_over_several_lines_is_one_line() {
        let objects = "[\n{\n  \"a\": \"x}y\\\"\",\n  \"b\": {}\n},\n{\n  \"c\": 1\n}\n]\n";
        let expected = "[\n{   \"a\": \"x}y\\\"\",   \"b\": {} },\n\n\n\n{   \"c\": 1 }\n\n\n]\n";
        assert_eq!(read(objects.as_bytes()), expected);
        let endless = format!("{{\n{}", "x\n".repeat(OBJECT_BYTES_MAX));
        assert_eq!(read(endless.as_bytes()), endless);
        let of_one_line = "{\"a\":1}\n{\"a\":2}\n";
        assert_eq!(read(of_one_line.as_bytes()), of_one_line);
    }

    #[test]
    fn a_log_and_its_compressed_form_are_one() {
        let twice = |given: [&str; 2]| given_twice(&given.map(PathBuf::from)).is_some();
        assert!(twice(["b.log.1", "b.log.1.gz"]) && twice(["b.log", "b.log.zst"]) && twice(["x", "x"]));
        assert!(
            !twice(["b.log", "b.log.1"]) && !twice(["a/b.log", "c/b.log"]) && !twice(["b.log.1", "b.log.2"])
        );
    }

    #[test]
    fn parts_of_a_rotated_log_belong_together_oldest_first() {
        let given = [
            "a/b.log",
            "a/b.log.1",
            "a/b.log.10.gz",
            "a/b.log.2.gz",
            "c/b.log",
            "a/b.log-20261124",
            "b2.log",
            "x",
        ];
        let groups = parts(&given.map(PathBuf::from));
        let names: Vec<Vec<String>> = groups
            .iter()
            .map(|group| group.iter().map(|path| path.display().to_string()).collect())
            .collect();
        assert_eq!(
            names,
            [
                vec!["a/b.log-20261124", "a/b.log.10.gz", "a/b.log.2.gz", "a/b.log.1", "a/b.log"],
                vec!["c/b.log"],
                vec!["b2.log"],
                vec!["x"],
            ]
        );
    }
}
