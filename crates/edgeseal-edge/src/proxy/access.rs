//! The access log: one JSON object per line and request.
//!
//! Records go through a queue, bounded in records and in bytes, to a thread that formats lines. A
//! request never waits for the log: what does not fit into the queue, or cannot be written, is lost
//! and counted. Neither the query nor request headers are written: both may contain passwords and
//! session ids.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time::timeout};

use crate::telemetry;

mod record;

pub(crate) use record::AccessRecord;
pub(super) use record::UpstreamTiming;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// A file, which is appended to, and created if it does not exist.
    File(PathBuf),
}

/// Accepts records.
#[derive(Clone, Debug)]
pub(crate) struct AccessLogger {
    queue: SyncSender<Message>,
    /// Memory used by the queued records.
    queued_bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Message {
    Record(Box<AccessRecord>),
    Flush(oneshot::Sender<()>),
}

/// Maximum number of queued records.
const QUEUE: usize = 8192;
/// Maximum memory of queued records: 1 KiB each, of which usual ones need half.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Interval at which a rotated file is noticed, while lines are written.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Approximate number of bytes per write.
const BATCH: usize = 64 * 1024;

impl AccessLogger {
    /// Opens the log and starts its thread, which ends with the last clone.
    ///
    /// # Errors
    /// The error of opening the file.
    pub(crate) fn open(to: &AccessLog) -> io::Result<Self> {
        let sink: Box<dyn Sink> = match to {
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::File(path) => Box::new(LogFile::open(path.clone())?),
        };
        let (log, lines) = Self::queue();
        let queued_bytes = Arc::clone(&log.queued_bytes);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || run(&lines, &queued_bytes, sink))?;
        Ok(log)
    }

    fn queue() -> (Self, Receiver<Message>) {
        let (queue, lines) = sync_channel(QUEUE);
        let queued_bytes = Arc::default();
        let log = Self {
            queue,
            queued_bytes,
        };
        (log, lines)
    }

    /// Queues a record, or counts it as lost.
    fn enqueue(&self, record: Box<AccessRecord>) {
        let cost = record.cost();
        let before = self.queued_bytes.fetch_add(cost, Relaxed);
        let taken = before.saturating_add(cost) <= QUEUE_BYTES
            && self.queue.try_send(Message::Record(record)).is_ok();
        if !taken {
            self.queued_bytes.fetch_sub(cost, Relaxed);
            telemetry::access_log_lost("queue_full", 1);
        }
    }

    /// Waits, for a limited time, until everything queued so far is written.
    pub(crate) async fn flush(&self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        let (done, written) = oneshot::channel();
        let queue = self.queue.clone();
        let asked = tokio::task::spawn_blocking(move || queue.send(Message::Flush(done)));
        let _ = timeout(PATIENCE, async {
            let _ = asked.await;
            let _ = written.await;
        })
        .await;
    }
}

/// Destination of the lines.
trait Sink: Write + Send {
    /// Continues in a new file if the old one was moved away.
    fn reopen_if_rotated(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for io::Stdout {}

struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = append(&path)?;
        Ok(Self { path, file })
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    // Appending makes truncation by others safe. The mode protects clients' addresses.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for LogFile {
    fn reopen_if_rotated(&mut self) -> io::Result<()> {
        let mine = self.file.metadata()?;
        let there = self.path.metadata();
        let same = there.is_ok_and(|it| it.dev() == mine.dev() && it.ino() == mine.ino());
        if !same {
            self.file = append(&self.path)?;
        }
        Ok(())
    }
}

fn run(lines: &Receiver<Message>, queued_bytes: &AtomicUsize, sink: Box<dyn Sink>) {
    let mut writer = Writer::new(sink);
    loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(message) => writer.take(message, queued_bytes),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while writer.batch.len() < BATCH
            && let Ok(message) = lines.try_recv()
        {
            writer.take(message, queued_bytes);
        }
        writer.write();
    }
}

struct Writer {
    sink: Box<dyn Sink>,
    batch: Vec<u8>,
    lines: u64,
    flushes: Vec<oneshot::Sender<()>>,
    looked: Instant,
    /// A line was written partially: the next one begins on a new line.
    torn: bool,
    failing: bool,
}

impl Writer {
    fn new(sink: Box<dyn Sink>) -> Self {
        Self {
            sink,
            batch: Vec::with_capacity(2 * BATCH),
            lines: 0,
            flushes: Vec::new(),
            looked: Instant::now(),
            torn: false,
            failing: false,
        }
    }

    fn take(&mut self, message: Message, queued_bytes: &AtomicUsize) {
        match message {
            Message::Record(record) => {
                queued_bytes.fetch_sub(record.cost(), Relaxed);
                record.append_to(&mut self.batch);
                self.lines += 1;
            }
            Message::Flush(done) => self.flushes.push(done),
        }
    }

    fn write(&mut self) {
        let (lost, error) = self.try_write();
        match error {
            Some(error) => {
                telemetry::access_log_lost("write_failed", lost);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the access log cannot be written: its lines are lost until it can"
                    );
                }
            }
            None => {
                if std::mem::take(&mut self.failing) {
                    tracing::warn!("the access log can be written again");
                }
            }
        }
        self.batch.clear();
        self.lines = 0;
        for done in self.flushes.drain(..) {
            let _ = done.send(());
        }
    }

    /// The number of lines lost, and why.
    fn try_write(&mut self) -> (u64, Option<io::Error>) {
        if self.failing || self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            if let Err(error) = self.sink.reopen_if_rotated() {
                return (self.lines, Some(error));
            }
        }
        if self.torn && !self.batch.is_empty() {
            self.batch.insert(0, b'\n');
        }
        let mut left: &[u8] = &self.batch;
        while !left.is_empty() {
            match self.sink.write(left) {
                Ok(written @ 1..) => {
                    left = &left[written..];
                    self.torn = self.batch[..self.batch.len() - left.len()].last() != Some(&b'\n');
                }
                Ok(_) => return (count(left), Some(io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (count(left), Some(error)),
            }
        }
        (0, self.sink.flush().err())
    }
}

/// The number of lines that end in here.
fn count(left: &[u8]) -> u64 {
    left.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests;
