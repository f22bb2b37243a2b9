//! A bounded queue of log lines, and the thread that writes them.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

/// Most bytes of the lines in the queue.
const QUEUE_MAX: usize = 1 << 20;
/// Approximate bytes of a line besides its text.
const LINE_OVERHEAD: usize = 64;
/// Approximate bytes of one write.
const BATCH: usize = 64 << 10;

/// Accepts lines without blocking. Lines that do not fit into the queue or cannot be written are
/// lost and counted; once the queue is empty, a log line reports how many are missing.
#[derive(Clone)]
pub(super) struct LogQueue {
    lines: Sender<Message>,
    state: Arc<State>,
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct State {
    /// Bytes of the lines that are not written yet, including [`LINE_OVERHEAD`].
    queued: AtomicUsize,
    /// Lost lines that the log has not reported yet.
    lost: AtomicU64,
}

impl State {
    fn record_lost(&self, reason: &'static str, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
        metrics::counter!("edgeseal_log_lines_lost_total", "reason" => reason).increment(lines);
    }
}

impl LogQueue {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// If the thread cannot be spawned.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, queued) = channel();
        let state = Arc::new(State::default());
        let writer = Writer {
            sink: to,
            state: Arc::clone(&state),
            batch: Vec::with_capacity(2 * BATCH),
            lines: 0,
            batch_cost: 0,
            partial_line: false,
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run(&queued))?;
        Ok(Self { lines, state })
    }

    /// Queues a line, or counts it as lost.
    pub(super) fn push(&self, line: &[u8]) {
        let size = line.len() + LINE_OVERHEAD;
        let queued = self.state.queued.fetch_add(size, Ordering::AcqRel);
        if queued + size > QUEUE_MAX || self.lines.send(Message::Line(line.to_vec())).is_err() {
            self.state.queued.fetch_sub(size, Ordering::AcqRel);
            self.state.record_lost("queue_full", 1);
        }
    }

    /// Waits until everything queued so far is written, at most until the timeout.
    pub(super) fn flush(&self, timeout: Duration) {
        let (done, written) = sync_channel(1);
        if self.lines.send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(timeout);
        }
    }
}

/// Each write is one line, as `tracing-subscriber` writes.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writer<W> {
    sink: W,
    state: Arc<State>,
    batch: Vec<u8>,
    /// Lines in the batch, and their bytes in the queue.
    lines: u64,
    batch_cost: usize,
    /// A line was written partly: the next one must begin with a line feed.
    partial_line: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self, queued: &Receiver<Message>) {
        let mut flushes = Vec::new();
        while let Ok(first) = queued.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => self.add(&line),
                    Message::Flush(done) => flushes.push(done),
                }
                let has_room = self.batch.len() < BATCH;
                next = has_room.then(|| queued.try_recv().ok()).flatten();
            }
            self.write();
            for done in flushes.drain(..) {
                let _ = done.send(());
            }
        }
    }

    fn add(&mut self, line: &[u8]) {
        if std::mem::take(&mut self.partial_line) {
            self.batch.push(b'\n');
        }
        self.batch.extend_from_slice(line);
        self.lines += 1;
        self.batch_cost += line.len() + LINE_OVERHEAD;
    }

    fn write(&mut self) {
        let mut left: &[u8] = &self.batch;
        while !left.is_empty() {
            match self.sink.write(left) {
                Ok(written @ 1..) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        let written = self.batch.len() - left.len();
        if written > 0 {
            self.partial_line = self.batch[written - 1] != b'\n';
        } else if self.batch.first() == Some(&b'\n') {
            // The line feed that ends a partial line was not written.
            self.partial_line = true;
        }
        if !left.is_empty() {
            // Approximate: a line normally contains one line feed, at its end.
            let missing = left.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.state
                .record_lost("write_failed", missing.min(self.lines));
        }
        let all_written = left.is_empty() && self.lines > 0;
        self.batch.clear();
        self.lines = 0;
        let taken = std::mem::take(&mut self.batch_cost);
        let before = self.state.queued.fetch_sub(taken, Ordering::AcqRel);
        if all_written && before == taken {
            let lines = self.state.lost.swap(0, Ordering::Relaxed);
            if lines > 0 {
                tracing::warn!(
                    lines,
                    "standard error was read more slowly than the log was written: lines are missing"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
