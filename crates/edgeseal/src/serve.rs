//! `edgeseal serve` and `edgeseal api`: start, report readiness, wait for a signal, shut down.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::Config,
    node::{Addresses, Node, Role, StartError},
    resources,
};

/// SIGTERM and SIGINT. They are caught from [`install`](Self::install) on; before, they terminate
/// the process.
pub(crate) struct ShutdownSignals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP: reload files.
struct ReloadSignal(Signal);

impl ShutdownSignals {
    /// Installs the handlers.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves until SIGTERM or SIGINT, or until another process takes over; a second signal exits at
/// once. With `hand_over` this process takes over from the running one. `on_ready` is called once
/// all sockets listen, after the line `ready`.
///
/// # Errors
/// [`StartError`] says what prevents the start.
pub(crate) async fn serve(
    config: &Config,
    role: Role,
    hand_over: bool,
    on_ready: impl FnOnce(&Addresses),
) -> Result<ExitCode, StartError> {
    resources::enable_background_purge();
    // Installed first: a SIGHUP during startup must not terminate the process.
    let mut reloads = ReloadSignal(signal(SignalKind::hangup())?);
    let mut node = Node::start(config, role, hand_over).await?;
    let addresses = node.addresses();
    tracing::info!(
        api = %addresses.api,
        api_tls = addresses.api_tls.map(tracing::field::display),
        https = addresses.https.map(tracing::field::display),
        http = addresses.http.map(tracing::field::display),
        admin = %addresses.admin,
        data = %config.data.display(),
        "listening"
    );
    // Before `ready`: its reader may send a signal at once.
    let mut signals = ShutdownSignals::install()?;
    // Standard output may be closed.
    let _ = writeln!(io::stdout(), "ready");
    on_ready(addresses);
    notify_service_manager(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
    if serve_until_shutdown(&mut node, &mut signals, &mut reloads).await {
        tokio::select! {
            () = node.wait_until_drained() => return Ok(ExitCode::SUCCESS),
            () = signals.recv() => {}
        }
    } else {
        notify_service_manager(&[NotifyState::Stopping]);
    }
    tracing::info!("draining; a second signal exits at once");
    tokio::select! {
        () = node.shut_down() => Ok(ExitCode::SUCCESS),
        () = signals.recv() => Ok(ExitCode::FAILURE),
    }
}

/// Serves until a signal or a hand-over; returns whether another process has taken over.
async fn serve_until_shutdown(
    node: &mut Node,
    signals: &mut ShutdownSignals,
    reloads: &mut ReloadSignal,
) -> bool {
    loop {
        let successor = tokio::select! {
            successor = node.handover_requested() => successor,
            reason = node.store_lost() => {
                node.detach_store(reason).await;
                continue;
            }
            () = node.store_may_be_available() => {
                node.attach_store().await;
                continue;
            }
            _ = reloads.0.recv() => {
                node.reload();
                continue;
            }
            () = signals.recv() => return false,
        };
        let handed_over = tokio::select! {
            handed_over = node.hand_over(successor) => handed_over,
            () = signals.recv() => return false,
        };
        match handed_over {
            Ok(()) => return true,
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "hand-over failed: this process keeps serving"
            ),
        }
    }
}

/// Notifies the service manager, if there is one (`sd_notify(3)`).
fn notify_service_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the service manager cannot be notified"
        );
    }
}
