//! `edgeseal serve`: start, say so, wait for the signal, stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::Config,
    running::{Running, StartError},
};

/// Serves until SIGTERM or SIGINT; a second one ends at once.
///
/// # Errors
/// [`StartError`] says what is in the way.
pub(crate) async fn serve(config: &Config) -> Result<ExitCode, StartError> {
    let running = Running::start(config).await?;
    let addresses = running.addresses();
    tracing::info!(
        api = %addresses.api,
        https = %addresses.https,
        http = %addresses.http,
        admin = %addresses.admin,
        data = %config.data.display(),
        "listening"
    );
    println!("ready");
    until_signalled().await;
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        () = running.stop() => Ok(ExitCode::SUCCESS),
        () = until_signalled() => Ok(ExitCode::FAILURE),
    }
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn until_signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without signals only a kill ends it.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
