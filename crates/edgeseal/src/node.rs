//! The composition root: starts, hands over and shuts down store, edge, API and admin endpoints.
//! `docs/internals/control-plane.md` draws what a node owns, and for how long.

use std::{sync::Arc, time::Duration};

use edgeseal_api::http::ShutdownTimeouts;
use edgeseal_edge::Edge;
use edgeseal_store::{SharedStore, Source as _};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    config::Config,
    data_lock::DataLock,
    handover::{HandoverError, HandoverListener, Successor},
    revocable_store::{HANDED_OVER, RevocableStore, UnavailableStore},
    sockets::{SocketRole, Sockets},
};

mod addresses;
pub(crate) mod context;
mod control_plane;
mod keeper;
mod open_store;
mod orders;
mod reporter;
mod role;
mod start_error;
mod startup;
mod twin;

pub(crate) use addresses::Addresses;
pub(crate) use reporter::{Nodes, TwinWarning};
pub(crate) use role::Role;
pub(crate) use start_error::StartError;
pub(crate) use twin::describe as describe_twin;

use context::NodeContext;
use control_plane::ControlPlane;

/// What [`StartError::Listen`] calls the API in TLS.
pub(crate) const API_TLS_ROLE: &str = SocketRole::ApiTls.description();
/// How long calls in flight may take before a hand-over. New calls wait for as long.
const HANDOVER_DRAIN: ShutdownTimeouts = ShutdownTimeouts {
    unused: Duration::from_secs(1),
    drain: Duration::from_secs(5),
};

/// A running process: owns everything below from startup to shutdown.
pub(crate) struct Node {
    context: NodeContext,
    addresses: Addresses,
    sockets: Sockets,
    /// `None` in the role without one.
    edge: Option<Edge>,
    /// `None` while the store belongs to another process.
    control_plane: Option<ControlPlane>,
    store: Arc<RevocableStore>,
    data_lock: DataLock,
    /// Whether shutdown has begun.
    draining: watch::Sender<bool>,
    /// The admin server, and what stops it. It stops last, so that health is reported until then.
    admin: (watch::Sender<bool>, JoinHandle<()>),
    handover_listener: Option<HandoverListener>,
}

impl Node {
    /// Starts everything; returns once all sockets listen. With `hand_over`, this process replaces
    /// the one that serves the data directory; if the start fails, that one keeps serving.
    ///
    /// # Errors
    /// [`StartError`] says what prevents the start.
    pub(crate) async fn start(
        config: &Config,
        role: Role,
        hand_over: bool,
    ) -> Result<Self, StartError> {
        startup::start(config, role, hand_over).await
    }

    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Reloads the certificate and key of the API over TLS. If they cannot be used, this is logged
    /// and the previous ones stay in use.
    pub(crate) fn reload(&self) {
        let Some((_, api_tls)) = &self.context.api_tls else {
            tracing::info!("nothing to reload: the API over TLS is off");
            return;
        };
        match api_tls.reload() {
            Ok(()) => tracing::info!("certificate and key of the API over TLS reloaded"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "reload failed: the API over TLS keeps its certificate"
            ),
        }
    }

    /// Waits until an unavailable store may be available again. Cancel safe.
    pub(crate) async fn store_may_be_available(&self) {
        if self.store.unavailable_reason().is_none() {
            std::future::pending::<()>().await;
        }
        self.context.store_may_be_available().await;
    }

    /// Waits until the store has lost its file, and returns the cause. Cancel safe.
    pub(crate) async fn store_lost(&self) -> UnavailableStore {
        UnavailableStore::because(&self.store.lost().await)
    }

    /// Continues without a store that has lost its file: the edge keeps serving, calls are refused,
    /// and the node polls for the store.
    pub(crate) async fn detach_store(&mut self, reason: UnavailableStore) {
        // First, so that calls in flight do not wait for it.
        self.store.replace(Err(reason)).await;
        self.stop_control_plane().await;
        self.restart_control_plane().await;
        self.store.log_unavailable(None);
    }

    /// Reattaches the store, if it can be used. The edge keeps serving meanwhile; calls wait.
    pub(crate) async fn attach_store(&mut self) {
        let logged = self.store.unavailable_reason();
        let opened = self.context.open_store().await;
        match opened.unwrap_or_else(|error| Err(UnavailableStore::because(&error))) {
            Ok(store) => {
                self.stop_control_plane().await;
                self.store.replace(Ok(store)).await;
                self.restart_control_plane().await;
                if self.store.unavailable_reason().is_none() {
                    tracing::info!("the store is available again");
                }
            }
            Err(reason) => self.store.replace(Err(reason)).await,
        }
        self.store.log_unavailable(logged.as_ref());
    }

    async fn stop_control_plane(&mut self) {
        if let Some(control) = self.control_plane.take() {
            control.shut_down(HANDOVER_DRAIN).await;
        }
    }

    /// Starts everything that needs the store, and accepts calls.
    async fn start_control_plane(&mut self) -> Result<(), StartError> {
        let started = ControlPlane::start(
            &self.context,
            &self.store,
            self.edge.as_ref(),
            &self.sockets,
        );
        let mut control = started.await?;
        control.accept(&self.context, &self.sockets)?;
        self.control_plane = Some(control);
        Ok(())
    }

    /// As [`start_control_plane`](Self::start_control_plane); on failure the node polls for the
    /// store.
    async fn restart_control_plane(&mut self) {
        if let Err(error) = self.start_control_plane().await {
            let reason = UnavailableStore::because(&error);
            self.store.replace(Err(reason)).await;
        }
    }

    /// Waits until another process asks for a hand-over.
    pub(crate) async fn handover_requested(&self) -> Successor {
        match &self.handover_listener {
            Some(listener) => listener.accept().await,
            None => std::future::pending().await,
        }
    }

    /// Hands over to another process. If the hand-over fails, this process resumes.
    ///
    /// # Errors
    /// [`HandoverError`]; this process keeps serving.
    pub(crate) async fn hand_over(&mut self, mut to: Successor) -> Result<(), HandoverError> {
        tracing::info!("hand-over to another process started");
        to.send_sockets(&self.sockets).await?;
        let began = Instant::now();
        let took_over = self.release_store_to(&mut to).await;
        if let Err(error) = took_over {
            drop(to);
            self.resume_after_failed_handover().await;
            return Err(error);
        }
        if let Some(edge) = &mut self.edge {
            edge.stop_accepting();
        }
        self.admin.0.send_replace(true);
        self.sockets.close();
        // The successor serves by now: it is its own failure.
        let _ = to.announce_stop().await;
        self.handover_listener = None;
        tracing::info!(
            calls_waited_ms = began.elapsed().as_millis(),
            "another process has taken over; open connections continue here"
        );
        Ok(())
    }

    async fn release_store_to(&mut self, to: &mut Successor) -> Result<(), HandoverError> {
        self.stop_control_plane().await;
        self.release_store().await;
        to.announce_release().await
    }

    async fn release_store(&mut self) {
        if let Some(edge) = &mut self.edge {
            edge.stop_replication().await;
        }
        self.store.revoke(HANDED_OVER).await;
        self.data_lock.release();
    }

    /// Reacquires lock and store after a failed hand-over. Retries until it succeeds, because the
    /// other process may be about to exit. The edge keeps serving meanwhile.
    async fn resume_after_failed_handover(&mut self) {
        const PAUSE: Duration = Duration::from_millis(100);
        while let Err(error) = self.try_resume().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the store cannot be reopened; retrying"
            );
            self.release_store().await;
            sleep(PAUSE).await;
        }
    }

    async fn try_resume(&mut self) -> Result<(), StartError> {
        self.data_lock.reacquire()?;
        self.data_lock.write_pid();
        let store = self.context.open_store().await?;
        self.store.replace(store).await;
        if let Some(edge) = &mut self.edge {
            let store = Arc::clone(&self.store) as SharedStore;
            edge.resume_replication(store).await?;
        }
        self.start_control_plane().await?;
        self.store.log_unavailable(None);
        Ok(())
    }

    /// Waits until all connections are closed, after another process has taken over.
    pub(crate) async fn wait_until_drained(&mut self) {
        let timeout = self.context.config.handover_drain_timeout_ms.0;
        if let Some(edge) = &mut self.edge {
            edge.wait_until_drained(timeout).await;
        }
    }

    /// Shuts down gracefully: refuses new calls, answers the calls in flight, drains connections,
    /// writes the last audit records, closes the store.
    pub(crate) async fn shut_down(mut self) {
        self.draining.send_replace(true);
        self.sockets.close();
        if let Some(listener) = self.handover_listener.take() {
            listener.remove();
        }
        let ending = ShutdownTimeouts {
            unused: Duration::ZERO,
            drain: self.context.config.drain_timeout_ms.0,
        };
        let control = self.control_plane.take();
        let calls = async {
            if let Some(control) = control {
                control.shut_down(ending).await;
            }
        };
        let edge = async {
            if let Some(edge) = self.edge {
                edge.drain().await;
            }
        };
        tokio::join!(calls, edge);
        let (close_admin, admin) = self.admin;
        close_admin.send_replace(true);
        // An open connection of a monitoring client must not delay the exit.
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
        self.store.revoke("this process ends").await;
    }
}
