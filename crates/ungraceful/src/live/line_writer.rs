//! Writes lines on a thread of its own, so that a slow disk or reader never holds up the run. The queue is bounded.

use std::io::{BufWriter, ErrorKind, Result, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Lines that may wait for their writer: more than an hour's, at one a second.
const WAITING_MAX: usize = 4_096;

/// The queue of lines, and the thread that writes them.
pub(super) struct LineWriter {
    lines: SyncSender<String>,
    thread: JoinHandle<Result<()>>,
}

impl LineWriter {
    /// Starts the thread.
    pub(super) fn start(to: impl Write + Send + 'static) -> Result<Self> {
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let thread =
            std::thread::Builder::new().name("events".to_owned()).spawn(move || write(&waiting, to))?;
        Ok(Self { lines, thread })
    }

    /// Writes a line if there is room for it. Returns false when there was none. A line for a reader that is gone counts as written.
    #[must_use]
    pub(super) fn offer(&self, line: String) -> bool {
        !matches!(self.lines.try_send(line), Err(std::sync::mpsc::TrySendError::Full(_)))
    }

    /// Writes a line as soon as there is room for it.
    pub(super) fn give(&self, line: String) {
        let _gone_is_no_error_here = self.lines.send(line);
    }

    /// Waits until all lines are written.
    ///
    /// # Errors
    /// The first error of writing, after which nothing was written. A reader that went away is none.
    pub(super) fn close(self) -> Result<()> {
        drop(self.lines);
        match self.thread.join() {
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Ok(written) => written,
            Err(_panic) => Err(std::io::Error::other("the thread that writes panicked")),
        }
    }
}

/// Writes what comes until the queue is closed. Whoever reads along sees a line as soon as no other waits.
fn write(waiting: &Receiver<String>, to: impl Write) -> Result<()> {
    let mut to = BufWriter::new(to);
    while let Ok(line) = waiting.recv() {
        to.write_all(line.as_bytes())?;
        while let Ok(line) = waiting.try_recv() {
            to.write_all(line.as_bytes())?;
        }
        to.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Result, Write};
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};

    use ungraceful_record::testing::until;

    use super::{LineWriter, WAITING_MAX};

    /// Keeps what is written, after a permission that comes before the first byte.
    struct Gate(Option<Receiver<()>>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            if let Some(gate) = self.0.take() {
                gate.recv().unwrap();
            }
            self.1.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// Fails with this error.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> Result<usize> {
            Err(Error::from(self.0))
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_loses_offered_lines_and_no_given_one() {
        let (open, gate) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = LineWriter::start(Gate(Some(gate), Arc::clone(&written))).unwrap();
        let offered = 3 * WAITING_MAX;
        let taken = (0..offered).filter(|_| writer.offer("a\n".to_owned())).count();
        assert!(taken < offered, "the queue has no bound");
        open.send(()).unwrap();
        writer.give("b\n".to_owned());
        writer.close().unwrap();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!((text.lines().count(), text.lines().last()), (taken + 1, Some("b")));
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
        for (kind, is_error) in [(ErrorKind::BrokenPipe, false), (ErrorKind::StorageFull, true)] {
            let writer = LineWriter::start(Failing(kind)).unwrap();
            for _ in 0..=WAITING_MAX {
                writer.give("a\n".to_owned());
            }
            // The queue is full until the thread has seen the error.
            until("whoever writes goes on", || writer.offer("b\n".to_owned()));
            assert_eq!(writer.close().is_err(), is_error, "{kind:?}");
        }
    }
}
