//! Structured logs on standard error.
//!
//! Logging puts the line into a bounded queue and never blocks. If the reader of standard error
//! stalls (a log driver, a pager, a journal on a slow disk), lines are lost and counted.

mod queue;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env,
    io::{self, IsTerminal as _},
    panic::{self, PanicHookInfo},
    sync::OnceLock,
    thread,
    time::Duration,
};

use tracing::Level;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::LogFormat;
use queue::LogQueue;

static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Starts logging. The filter is `EDGESEAL_LOG`, in the syntax of `RUST_LOG`, else
/// `default_filter`. Terminals get colours, unless `NO_COLOR` is set. Panics are logged as errors.
///
/// # Errors
/// If the thread cannot be spawned.
pub(crate) fn init(format: LogFormat, default_filter: &str) -> io::Result<()> {
    let queue = LogQueue::start(io::stderr())?;
    let queue = QUEUE.get_or_init(|| queue);
    let filter =
        EnvFilter::try_from_env("EDGESEAL_LOG").unwrap_or_else(|_| EnvFilter::new(default_filter));
    let registry = tracing_subscriber::registry().with(filter);
    let as_text = match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let ansi = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let layer = fmt::layer().with_writer(move || queue);
    // Fails only if logging has been started before, as by a test in the same process.
    let _ = if as_text {
        registry.with(layer.with_ansi(ansi)).try_init()
    } else {
        registry.with(layer.json().flatten_event(true)).try_init()
    };
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Waits briefly until everything logged so far is written.
pub(crate) fn flush() {
    const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

/// The panic hook. The standard library's writes to standard error directly, and could block.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let payload = info.payload_as_str().unwrap_or("no message");
    let location = info.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| tracing::field::display(&backtrace));
    if tracing::enabled!(Level::ERROR) {
        tracing::error!(thread, location, payload, backtrace, "a thread panicked");
    } else if let Some(queue) = QUEUE.get() {
        queue.push(format!("{info}\n").as_bytes());
    }
    // The process may be about to exit.
    flush();
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};

    use super::*;

    #[test]
    fn a_panic_is_in_the_log_before_the_thread_ends() {
        let (mut reader, writer) = pipe().unwrap();
        QUEUE.get_or_init(|| LogQueue::start(writer).unwrap());
        let before = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let ended = thread::spawn(|| panic!("as planned")).join();
        panic::set_hook(before);
        assert!(ended.is_err());
        let mut said = [0; 1000];
        let length = reader.read(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..length]);
        assert!(said.contains("as planned"), "{said}");
        assert!(said.contains("log.rs"), "{said}");
    }
}
