//! The watchdog of a machine: resets it unless Patroni says in time that it lives.
//!
//! Instead of a device there is a named pipe, to which Patroni's driver for tests writes what it writes
//! to a device of Linux (any byte: it lives; `V`: the watchdog is off), and `Ctimeout=N` with a line
//! feed where a device has an ioctl.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, mknodat},
    io::retry_on_intr,
};

use super::give_to_postgres;

/// The device with what stands behind it; gone when dropped.
pub(super) struct Watchdog {
    pipe: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the device knows.
#[derive(Default)]
struct Timer {
    timeout: Duration,
    /// When the machine is reset. A watchdog is off until Patroni opens it.
    expires: Option<Instant>,
    /// A setting whose end has not arrived.
    setting: Option<String>,
}

const POLL_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

impl Watchdog {
    /// Makes the device, and resets the machine once it expires.
    pub(super) fn start(pipe: &Path, reset: impl FnOnce() + Send + 'static) -> Self {
        let _ = fs::remove_file(pipe);
        mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        give_to_postgres(pipe);
        // For writing as well, so that it has no end.
        let device = File::options().read(true).write(true).open(pipe).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            if watch(&device, &stopped) {
                reset();
            }
        });
        Self {
            pipe: pipe.to_owned(),
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pipe);
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns once it expires or is stopped: whether it expired.
fn watch(mut device: &File, stopped: &AtomicBool) -> bool {
    let mut timer = Timer::default();
    while !stopped.load(Ordering::SeqCst) {
        let mut readable = [PollFd::new(device, PollFlags::IN)];
        let ready = retry_on_intr(|| poll(&mut readable, Some(&POLL_INTERVAL)));
        if ready.unwrap() > 0 {
            let mut bytes = [0; 64];
            let count = device.read(&mut bytes).unwrap();
            timer.hear(&bytes[..count], Instant::now());
        } else if timer.has_expired(Instant::now()) {
            return true;
        }
    }
    false
}

impl Timer {
    fn hear(&mut self, bytes: &[u8], now: Instant) {
        for &byte in bytes {
            match (&mut self.setting, byte) {
                (None, b'V') => self.expires = None,
                (None, b'C') => self.setting = Some(String::new()),
                (None, _) => self.expires = Some(now + self.timeout),
                (Some(setting), b'\n') => {
                    let seconds = setting.strip_prefix("timeout=").unwrap();
                    self.timeout = Duration::from_secs(seconds.parse().unwrap());
                    self.expires = Some(now + self.timeout);
                    self.setting = None;
                }
                (Some(setting), _) => setting.push(char::from(byte)),
            }
        }
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

#[test]
fn it_expires_unless_it_hears_of_patroni_or_is_off() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut timer = Timer::default();
    assert!(!timer.has_expired(at(100)), "off");
    timer.hear(b"Ctime", start);
    timer.hear(b"out=7\n", start);
    assert!(!timer.has_expired(at(6)) && timer.has_expired(at(7)));
    timer.hear(b"1", at(5));
    assert!(!timer.has_expired(at(11)) && timer.has_expired(at(12)));
    timer.hear(b"1V", at(6));
    assert!(!timer.has_expired(at(100)), "off again");
}
