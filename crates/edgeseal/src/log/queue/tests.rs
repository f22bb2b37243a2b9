use std::{
    io::{PipeReader, PipeWriter, Read as _, pipe},
    time::Instant,
};

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// Waits for a condition.
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LONG, "{what}");
        thread::yield_now();
    }
}

fn piped() -> (LogQueue, PipeReader) {
    let (reader, writer): (PipeReader, PipeWriter) = pipe().unwrap();
    (LogQueue::start(writer).unwrap(), reader)
}

fn line(number: usize) -> String {
    format!("{number:0>199}\n")
}

#[test]
fn lines_come_in_order_and_a_flush_waits_for_them() {
    let (queue, mut reader) = piped();
    for number in 0..100 {
        queue.push(line(number).as_bytes());
    }
    queue.flush(LONG);
    assert_eq!(queue.state.queued.load(Ordering::Acquire), 0);
    drop(queue);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, (0..100).map(line).collect::<String>());
}

#[test]
fn a_stalled_reader_blocks_no_thread_and_lost_lines_are_counted() {
    let (queue, mut reader) = piped();
    let written = 10_000; // 2 MB: twice the queue and more than a pipe holds
    for number in 0..written {
        queue.push(line(number).as_bytes());
    }
    queue.flush(Duration::ZERO);
    let lost = queue.state.lost.load(Ordering::Relaxed);
    assert!(lost > 0);
    assert!(queue.state.queued.load(Ordering::Acquire) <= QUEUE_MAX);
    let drained = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    until("the log tells of what it lost", || {
        queue.state.lost.load(Ordering::Relaxed) == 0
    });
    queue.flush(LONG);
    drop(queue);
    let lines = drained.join().unwrap();
    assert_eq!(lines.lines().count() as u64, written as u64 - lost);
    assert!(lines.starts_with(&line(0)), "the oldest lines are kept");
}

/// Writes a few bytes, then fails, then writes.
struct Failing {
    to: PipeWriter,
    writes: usize,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        match self.writes {
            1 => self.to.write(&bytes[..10]),
            2 => Err(io::ErrorKind::StorageFull.into()),
            _ => self.to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[test]
fn after_a_failed_write_the_next_line_begins_on_a_new_line() {
    let (mut reader, writer) = pipe().unwrap();
    let failing = Failing {
        to: writer,
        writes: 0,
    };
    let queue = LogQueue::start(failing).unwrap();
    queue.push(line(1).as_bytes());
    queue.flush(LONG);
    assert_eq!(queue.state.lost.load(Ordering::Relaxed), 1);
    queue.push(line(2).as_bytes());
    queue.flush(LONG);
    assert_eq!(queue.state.lost.load(Ordering::Relaxed), 0);
    drop(queue);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("{}\n{}", &line(1)[..10], line(2)));
}
