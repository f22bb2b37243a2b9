//! `edgeseal serve`: start, say so, wait for the signal, stop.

use std::{io, process::ExitCode};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::Config,
    running::{Addresses, Running, StartError},
};

/// SIGTERM and SIGINT, caught from the moment that this is made: before, they end the process as
/// they end any other.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves until SIGTERM or SIGINT; a second one ends at once. `tell` is called once everything
/// listens, after the line `ready`.
///
/// # Errors
/// [`StartError`] says what is in the way.
pub(crate) async fn serve(
    config: &Config,
    tell: impl FnOnce(&Addresses),
) -> Result<ExitCode, StartError> {
    let running = Running::start(config).await?;
    let addresses = running.addresses();
    tracing::info!(
        api = %addresses.api,
        api_tls = addresses.api_tls.map(tracing::field::display),
        https = %addresses.https,
        http = %addresses.http,
        admin = %addresses.admin,
        data = %config.data.display(),
        "listening"
    );
    // Whoever reads `ready` may send the signal at once.
    let mut signals = Signals::catch()?;
    println!("ready");
    tell(addresses);
    signals.next().await;
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        () = running.stop() => Ok(ExitCode::SUCCESS),
        () = signals.next() => Ok(ExitCode::FAILURE),
    }
}
