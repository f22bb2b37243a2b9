use std::sync::Mutex;

use super::*;

/// A disk that accepts this many bytes, and then no more.
#[derive(Clone)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Disk {
    fn of(room: usize) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), room))))
    }

    fn grow(&self) {
        self.0.lock().unwrap().1 = usize::MAX;
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let count = bytes.len().min(disk.1);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.1 = disk.1.saturating_sub(count);
        disk.0.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {}

fn write(writer: &mut Writer, line: &str) {
    writer.batch.extend_from_slice(line.as_bytes());
    writer.lines += 1;
    writer.write();
}

#[test]
fn lines_after_a_full_disk_are_complete() {
    let disk = Disk::of(12);
    let mut writer = Writer::new(Box::new(disk.clone()));
    write(&mut writer, "{\"line\":1}\n");
    write(&mut writer, "{\"line\":2}\n");
    assert!(writer.failing, "the second does not fit");
    write(&mut writer, "{\"line\":3}\n");
    disk.grow();
    write(&mut writer, "{\"line\":4}\n");
    assert!(!writer.failing);
    assert_eq!(disk.text(), "{\"line\":1}\n{\n{\"line\":4}\n");
}

#[test]
fn a_rotated_or_truncated_file_is_continued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let moved = directory.path().join("access.log.1");
    let mut file = LogFile::open(path.clone()).unwrap();
    file.write_all(b"one\n").unwrap();
    std::fs::rename(&path, &moved).unwrap();
    file.reopen_if_rotated().unwrap();
    file.write_all(b"two\n").unwrap();
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    // As `copytruncate` does it.
    std::fs::write(&path, "").unwrap();
    file.reopen_if_rotated().unwrap();
    file.write_all(b"three\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
}

#[test]
fn the_queue_is_bounded_in_records_and_in_bytes() {
    for (path, all) in [
        ("/an/ordinary/path/of/a/page", true),
        (&*"x".repeat(60_000), false),
    ] {
        let (log, lines) = AccessLogger::queue();
        let log = Arc::new(log);
        for _ in 0..2 * QUEUE {
            AccessRecord::of_path(&log, path).write();
        }
        let queued = log.queued_bytes.load(Relaxed);
        assert!(queued <= QUEUE_BYTES, "{queued}");
        let mut writer = Writer::new(Box::new(Disk::of(usize::MAX)));
        let mut count = 0;
        while let Ok(message) = lines.try_recv() {
            writer.take(message, &log.queued_bytes);
            count += 1;
        }
        assert_eq!(log.queued_bytes.load(Relaxed), 0, "all is given back");
        if all {
            assert_eq!(count, QUEUE);
        } else {
            assert!((QUEUE_BYTES / 4096..QUEUE).contains(&count), "{count}");
        }
    }
}
