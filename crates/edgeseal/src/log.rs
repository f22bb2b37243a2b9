//! Structured logs on standard error.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::LogFormat;

/// Starts logging. What is logged is chosen by `EDGESEAL_LOG`, in the syntax of `RUST_LOG`, or else
/// is `unless_chosen`. Colours are for terminals alone, and not if `NO_COLOR` says so.
pub(crate) fn init(format: LogFormat, unless_chosen: &str) {
    let filter =
        EnvFilter::try_from_env("EDGESEAL_LOG").unwrap_or_else(|_| EnvFilter::new(unless_chosen));
    let registry = tracing_subscriber::registry().with(filter);
    let as_text = match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let ansi = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    // Fails only if logging was started before, as a test in the same process may have done.
    let _ = if as_text {
        registry
            .with(fmt::layer().with_ansi(ansi).with_writer(io::stderr))
            .try_init()
    } else {
        registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(io::stderr),
            )
            .try_init()
    };
}
