//! The composition root: store, edge, API and admin pages, put together, handed over and taken
//! apart.

use std::{sync::Arc, time::Duration};

use edgeseal_api::http::ShutdownTimeouts;
use edgeseal_edge::Edge;
use edgeseal_store::{SharedStore, Store as _};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    bootstrap::BootstrapError,
    config::Config,
    data_lock::DataLock,
    handover::{HandoverError, HandoverListener, Successor},
    revocable_store::{HANDED_OVER, RevocableStore},
    sockets::{SocketRole, Sockets},
};

mod addresses;
pub(crate) mod context;
mod control_plane;
pub(crate) mod open_store;
mod start_error;
mod startup;

pub(crate) use addresses::Addresses;
pub(crate) use start_error::StartError;

use context::NodeContext;
use control_plane::{ControlPlane, Prepared};
use open_store::{StoreState, error_chain};

/// What [`StartError::Listen`] calls the API in TLS.
pub(crate) const API_TLS_ROLE: &str = SocketRole::ApiTls.description();
/// For calls when another process takes over: new ones wait for as long.
const HANDOVER_DRAIN: ShutdownTimeouts = ShutdownTimeouts {
    unused: Duration::from_secs(1),
    drain: Duration::from_secs(5),
};

/// A running Edgeseal.
pub(crate) struct Node {
    context: NodeContext,
    addresses: Addresses,
    sockets: Sockets,
    edge: Edge,
    /// `None` while the store belongs to another process.
    control_plane: Option<ControlPlane>,
    store: Arc<RevocableStore>,
    data_lock: DataLock,
    /// Why the store is away, if it is.
    away: Option<String>,
    /// Whether it is about to end.
    draining: watch::Sender<bool>,
    /// Health is told to the last.
    admin: (watch::Sender<bool>, JoinHandle<()>),
    handover_listener: Option<HandoverListener>,
}

impl Node {
    /// Starts everything; returns once everything listens. With `take_over`, in the place of the
    /// process that serves this data directory: until the last moment that one goes on if anything
    /// is in the way here.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub(crate) async fn start(config: &Config, take_over: bool) -> Result<Self, StartError> {
        startup::start(config, take_over).await
    }

    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Reads again what can be replaced while it is in use: certificate and key of the API in TLS.
    /// What cannot be used is told, and what was there before stays.
    pub(crate) fn reload(&self) {
        let Some((_, api_tls)) = &self.context.api_tls else {
            tracing::info!("there are no files to be read again");
            return;
        };
        match api_tls.reload() {
            Ok(()) => tracing::info!("certificate and key of the API in TLS were read again"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the API in TLS keeps the certificate that it has"
            ),
        }
    }

    /// Waits until the store, if it is away, may be back. Can be dropped at any time.
    pub(crate) async fn store_may_be_available(&self) {
        if self.away.is_none() {
            std::future::pending::<()>().await;
        }
        self.context.store_may_be_available().await;
    }

    /// Waits until the store has lost its file, and says how. Can be dropped at any time.
    pub(crate) async fn store_lost(&self) -> String {
        error_chain(&self.store.lost().await)
    }

    /// Goes on without a store that has lost its file: visitors are served, calls are refused, and the
    /// store is looked for.
    pub(crate) async fn detach_store(&mut self, why: String) {
        self.store.revoke(&why).await;
        if let Some(control) = self.control_plane.take() {
            control.shut_down(HANDOVER_DRAIN).await;
        }
        match self.start_control_plane().await {
            Ok(()) => {}
            Err(error) => self.log_store_unavailable(error_chain(&error)),
        }
    }

    /// Takes the store up again, if it can be used. Visitors are served meanwhile, calls wait.
    pub(crate) async fn attach_store(&mut self) {
        match self.context.open_store().await {
            Ok(StoreState::Available(store)) => {
                if let Some(control) = self.control_plane.take() {
                    control.shut_down(HANDOVER_DRAIN).await;
                }
                self.store.restore(store);
                match self.start_control_plane().await {
                    Ok(()) if self.away.is_none() => tracing::info!("the store is back"),
                    Ok(()) => {}
                    Err(error) => {
                        let why = error_chain(&error);
                        self.store.revoke(&why).await;
                        self.log_store_unavailable(why);
                    }
                }
            }
            Ok(StoreState::Unavailable(why)) => self.log_store_unavailable(why),
            Err(error) => self.log_store_unavailable(error_chain(&error)),
        }
    }

    /// Says once why the store is away.
    fn log_store_unavailable(&mut self, why: String) {
        if self.away.as_ref() != Some(&why) {
            tracing::error!(why, "the store is still away");
            self.store.set_unavailable_reason(&why);
        }
        self.away = Some(why);
    }

    /// Starts what needs the store, and takes calls.
    async fn start_control_plane(&mut self) -> Result<(), StartError> {
        let (away, prepared) =
            prepare_control_plane(&self.context, &self.store, &self.edge).await?;
        self.away = away;
        self.control_plane = Some(prepared.accept(&self.context, &self.sockets)?);
        Ok(())
    }

    /// Waits until another process is to take over.
    pub(crate) async fn handover_requested(&self) -> Successor {
        match &self.handover_listener {
            Some(desk) => desk.accept().await,
            None => std::future::pending().await,
        }
    }

    /// Hands over to another process. If that does not come to its end, all is as before.
    ///
    /// # Errors
    /// [`HandoverError`] says what went wrong; this process goes on.
    pub(crate) async fn hand_over(&mut self, mut to: Successor) -> Result<(), HandoverError> {
        tracing::info!("another process is about to take over");
        to.send_sockets(&self.sockets).await?;
        let began = Instant::now();
        let took_over = self.release_store_to(&mut to).await;
        if let Err(error) = took_over {
            drop(to);
            self.resume_after_failed_handover().await;
            return Err(error);
        }
        self.edge.stop_accepting();
        self.admin.0.send_replace(true);
        self.sockets.close();
        // Its failure is the other process's: it serves by now.
        let _ = to.announce_stop().await;
        self.handover_listener = None;
        tracing::info!(
            calls_waited_ms = began.elapsed().as_millis(),
            "another process has taken over; what is open here goes on"
        );
        Ok(())
    }

    async fn release_store_to(&mut self, to: &mut Successor) -> Result<(), HandoverError> {
        if let Some(control) = self.control_plane.take() {
            control.shut_down(HANDOVER_DRAIN).await;
        }
        self.edge.stop_replication().await;
        self.store.revoke(HANDED_OVER).await;
        self.data_lock.release();
        to.announce_release().await
    }

    /// Takes up again what was let go of. Tries until it succeeds: the other process may be about to
    /// end. Visitors are served meanwhile.
    async fn resume_after_failed_handover(&mut self) {
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match self.try_resume().await {
                Ok(()) => return,
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the store cannot be opened again; trying again"
                ),
            }
            self.edge.stop_replication().await;
            self.store.revoke(HANDED_OVER).await;
            self.data_lock.release();
            sleep(PAUSE).await;
        }
    }

    async fn try_resume(&mut self) -> Result<(), StartError> {
        self.data_lock.reacquire()?;
        self.data_lock.write_pid();
        match self.context.open_store().await? {
            StoreState::Available(store) => self.store.restore(store),
            StoreState::Unavailable(why) => self.store.set_unavailable_reason(&why),
        }
        let store = Arc::clone(&self.store) as SharedStore;
        self.edge.resume_replication(store).await?;
        self.start_control_plane().await
    }

    /// Waits until nothing is open any more, after another process has taken over.
    pub(crate) async fn wait_until_drained(&mut self) {
        let patience = Duration::from_millis(self.context.config.handover_drain_timeout_ms);
        self.edge.wait_until_drained(patience).await;
    }

    /// Ends everything in order: no new calls, calls under way answered, connections drained, the
    /// last refusal written, the store closed.
    pub(crate) async fn shut_down(mut self) {
        self.draining.send_replace(true);
        self.sockets.close();
        if let Some(desk) = self.handover_listener.take() {
            desk.remove();
        }
        let ending = ShutdownTimeouts {
            unused: Duration::ZERO,
            drain: Duration::from_millis(self.context.config.drain_timeout_ms),
        };
        let control = self.control_plane.take();
        let calls = async {
            match control {
                Some(control) => Some(control.stop_accepting(ending).await),
                None => None,
            }
        };
        let (control, ()) = tokio::join!(calls, self.edge.drain());
        if let Some(control) = control {
            control.flush_audit().await;
        }
        let (close_admin, admin) = self.admin;
        close_admin.send_replace(true);
        // A watcher that keeps its connection does not keep the process.
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
        self.store.revoke("this process ends").await;
    }
}

/// Starts what needs the store, before the first call; and why the store is away, if it is. One that
/// fails while this begins, in a directory that has served, is let go of.
async fn prepare_control_plane(
    parts: &NodeContext,
    lease: &Arc<RevocableStore>,
    edge: &Edge,
) -> Result<(Option<String>, Prepared), StartError> {
    let store = Arc::clone(lease) as SharedStore;
    if lease.is_available() {
        match ControlPlane::start(parts, &store, true, edge).await {
            Err(StartError::Bootstrap(BootstrapError::Store(fault))) if parts.has_served => {
                lease.revoke(&error_chain(&fault)).await;
            }
            started => return Ok((None, started?)),
        }
    }
    let why = lease.unavailable_reason();
    tracing::error!(
        why,
        "the store is away: the edge serves its last good state, the API refuses every call; the store is looked \
         for until it is back"
    );
    let prepared = ControlPlane::start(parts, &store, false, edge).await?;
    Ok((Some(why), prepared))
}
