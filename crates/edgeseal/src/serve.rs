//! `edgeseal serve`: start, say so, wait for the signal, stop.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::Config,
    node::{Addresses, Node, StartError},
    resources,
};

/// SIGTERM and SIGINT, caught from the moment that this is made: before, they end the process as
/// they end any other.
pub(crate) struct ShutdownSignals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP: files are to be read again.
struct ReloadSignal(Signal);

impl ShutdownSignals {
    /// Catches them from now on.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves until SIGTERM or SIGINT, or until another process takes over; a second signal ends at once.
/// With `take_over` this one takes over from another. `tell` is called once everything
/// listens, after the line `ready`.
///
/// # Errors
/// [`StartError`] says what is in the way.
pub(crate) async fn serve(
    config: &Config,
    take_over: bool,
    on_ready: impl FnOnce(&Addresses),
) -> Result<ExitCode, StartError> {
    resources::enable_background_purge();
    // From the first moment on: who asks for a reload does not mean an end.
    let mut reloads = ReloadSignal(signal(SignalKind::hangup())?);
    let mut running = Node::start(config, take_over).await?;
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
    let mut signals = ShutdownSignals::install()?;
    // Nobody may be there to read it.
    let _ = writeln!(io::stdout(), "ready");
    on_ready(addresses);
    notify_service_manager(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
    if serve_until_shutdown(&mut running, &mut signals, &mut reloads).await {
        tokio::select! {
            () = running.wait_until_drained() => return Ok(ExitCode::SUCCESS),
            () = signals.recv() => {}
        }
    } else {
        notify_service_manager(&[NotifyState::Stopping]);
    }
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        () = running.shut_down() => Ok(ExitCode::SUCCESS),
        () = signals.recv() => Ok(ExitCode::FAILURE),
    }
}

/// Serves until the end: whether because another process has taken over.
async fn serve_until_shutdown(
    running: &mut Node,
    signals: &mut ShutdownSignals,
    reloads: &mut ReloadSignal,
) -> bool {
    loop {
        let successor = tokio::select! {
            successor = running.handover_requested() => successor,
            why = running.store_lost() => {
                running.detach_store(why).await;
                continue;
            }
            () = running.store_may_be_available() => {
                running.attach_store().await;
                continue;
            }
            _ = reloads.0.recv() => {
                running.reload();
                continue;
            }
            () = signals.recv() => return false,
        };
        let handed_over = tokio::select! {
            handed_over = running.hand_over(successor) => handed_over,
            () = signals.recv() => return false,
        };
        match handed_over {
            Ok(()) => return true,
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "another process has not taken over: this one goes on"
            ),
        }
    }
}

/// Says so to a service manager that asked for it (`sd_notify(3)`).
fn notify_service_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the service manager cannot be told"
        );
    }
}
