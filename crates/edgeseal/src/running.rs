//! The composition root: store, edge, API and admin pages, put together, handed over and taken
//! apart.

use std::{sync::Arc, time::Duration};

use edgeseal_api::http::Ending;
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
    control::{Control, Prepared},
    data_lock::DataLock,
    handover::{Desk, HandoverError, Successor},
    lease::{HANDED_OVER, Lease},
    opening::{Opening, with_causes},
    parts::Parts,
    sockets::{Role, Sockets},
};

mod addresses;
mod start_error;
mod starting;

pub(crate) use addresses::Addresses;
pub(crate) use start_error::StartError;

/// What [`StartError::Listen`] calls the API in TLS.
pub(crate) const API_IN_TLS: &str = Role::ApiTls.words();
/// For calls when another process takes over: new ones wait for as long.
const CALLS: Ending = Ending {
    fresh: Duration::from_secs(1),
    patience: Duration::from_secs(5),
};

/// A running Edgeseal.
pub(crate) struct Running {
    parts: Parts,
    addresses: Addresses,
    sockets: Sockets,
    edge: Edge,
    /// `None` while the store belongs to another process.
    control: Option<Control>,
    lease: Arc<Lease>,
    lock: DataLock,
    /// Why the store is away, if it is.
    away: Option<String>,
    /// Whether it is about to end.
    ending: watch::Sender<bool>,
    /// Health is told to the last.
    admin: (watch::Sender<bool>, JoinHandle<()>),
    desk: Option<Desk>,
}

impl Running {
    /// Starts everything; returns once everything listens. With `take_over`, in the place of the
    /// process that serves this data directory: until the last moment that one goes on if anything
    /// is in the way here.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub(crate) async fn start(config: &Config, take_over: bool) -> Result<Self, StartError> {
        starting::start(config, take_over).await
    }

    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Reads again what can be replaced while it is in use: certificate and key of the API in TLS.
    /// What cannot be used is told, and what was there before stays.
    pub(crate) fn reload(&self) {
        let Some((_, api_tls)) = &self.parts.api_tls else {
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
    pub(crate) async fn store_may_be_back(&self) {
        if self.away.is_none() {
            std::future::pending::<()>().await;
        }
        self.parts.store_may_be_back().await;
    }

    /// Waits until the store has lost its file, and says how. Can be dropped at any time.
    pub(crate) async fn store_lost(&self) -> String {
        with_causes(&self.lease.lost().await)
    }

    /// Goes on without a store that has lost its file: visitors are served, calls are refused, and the
    /// store is looked for.
    pub(crate) async fn go_on_without_store(&mut self, why: String) {
        self.lease.revoke(&why).await;
        if let Some(control) = self.control.take() {
            control.stop(CALLS).await;
        }
        match self.begin_calls().await {
            Ok(()) => {}
            Err(error) => self.tell_away(with_causes(&error)),
        }
    }

    /// Takes the store up again, if it can be used. Visitors are served meanwhile, calls wait.
    pub(crate) async fn take_store_up(&mut self) {
        match self.parts.open_store().await {
            Ok(Opening::Open(store)) => {
                if let Some(control) = self.control.take() {
                    control.stop(CALLS).await;
                }
                self.lease.grant(store);
                match self.begin_calls().await {
                    Ok(()) if self.away.is_none() => tracing::info!("the store is back"),
                    Ok(()) => {}
                    Err(error) => {
                        let why = with_causes(&error);
                        self.lease.revoke(&why).await;
                        self.tell_away(why);
                    }
                }
            }
            Ok(Opening::Away(why)) => self.tell_away(why),
            Err(error) => self.tell_away(with_causes(&error)),
        }
    }

    /// Says once why the store is away.
    fn tell_away(&mut self, why: String) {
        if self.away.as_ref() != Some(&why) {
            tracing::error!(why, "the store is still away");
            self.lease.explain(&why);
        }
        self.away = Some(why);
    }

    /// Starts what needs the store, and takes calls.
    async fn begin_calls(&mut self) -> Result<(), StartError> {
        let (away, prepared) = control(&self.parts, &self.lease, &self.edge).await?;
        self.away = away;
        self.control = Some(prepared.accept(&self.parts, &self.sockets)?);
        Ok(())
    }

    /// Waits until another process is to take over.
    pub(crate) async fn asked(&self) -> Successor {
        match &self.desk {
            Some(desk) => desk.asked().await,
            None => std::future::pending().await,
        }
    }

    /// Hands over to another process. If that does not come to its end, all is as before.
    ///
    /// # Errors
    /// [`HandoverError`] says what went wrong; this process goes on.
    pub(crate) async fn hand_over(&mut self, mut to: Successor) -> Result<(), HandoverError> {
        tracing::info!("another process is about to take over");
        to.give(&self.sockets).await?;
        let began = Instant::now();
        let took_over = self.release_to(&mut to).await;
        if let Err(error) = took_over {
            drop(to);
            self.go_on().await;
            return Err(error);
        }
        self.edge.leave();
        self.admin.0.send_replace(true);
        self.sockets.close();
        // Its failure is the other process's: it serves by now.
        let _ = to.left().await;
        self.desk = None;
        tracing::info!(
            calls_waited_ms = began.elapsed().as_millis(),
            "another process has taken over; what is open here goes on"
        );
        Ok(())
    }

    async fn release_to(&mut self, to: &mut Successor) -> Result<(), HandoverError> {
        if let Some(control) = self.control.take() {
            control.stop(CALLS).await;
        }
        self.edge.release().await;
        self.lease.revoke(HANDED_OVER).await;
        self.lock.release();
        to.released().await
    }

    /// Takes up again what was let go of. Tries until it succeeds: the other process may be about to
    /// end. Visitors are served meanwhile.
    async fn go_on(&mut self) {
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match self.try_to_go_on().await {
                Ok(()) => return,
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the store cannot be opened again; trying again"
                ),
            }
            self.edge.release().await;
            self.lease.revoke(HANDED_OVER).await;
            self.lock.release();
            sleep(PAUSE).await;
        }
    }

    async fn try_to_go_on(&mut self) -> Result<(), StartError> {
        self.lock.lock()?;
        self.lock.name();
        match self.parts.open_store().await? {
            Opening::Open(store) => self.lease.grant(store),
            Opening::Away(why) => self.lease.explain(&why),
        }
        let store = Arc::clone(&self.lease) as SharedStore;
        self.edge.resume(store).await?;
        self.begin_calls().await
    }

    /// Waits until nothing is open any more, after another process has taken over.
    pub(crate) async fn empty(&mut self) {
        let patience = Duration::from_millis(self.parts.config.handover_drain_timeout_ms);
        self.edge.empty(patience).await;
    }

    /// Ends everything in order: no new calls, calls under way answered, connections drained, the
    /// last refusal written, the store closed.
    pub(crate) async fn stop(mut self) {
        self.ending.send_replace(true);
        self.sockets.close();
        if let Some(desk) = self.desk.take() {
            desk.close();
        }
        let ending = Ending {
            fresh: Duration::ZERO,
            patience: Duration::from_millis(self.parts.config.drain_timeout_ms),
        };
        let control = self.control.take();
        let calls = async {
            match control {
                Some(control) => Some(control.stop_calls(ending).await),
                None => None,
            }
        };
        let (control, ()) = tokio::join!(calls, self.edge.drain());
        if let Some(control) = control {
            control.stop_writing().await;
        }
        let (close_admin, admin) = self.admin;
        close_admin.send_replace(true);
        // A watcher that keeps its connection does not keep the process.
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
        self.lease.revoke("this process ends").await;
    }
}

/// Starts what needs the store, before the first call; and why the store is away, if it is. One that
/// fails while this begins, in a directory that has served, is let go of.
async fn control(
    parts: &Parts,
    lease: &Arc<Lease>,
    edge: &Edge,
) -> Result<(Option<String>, Prepared), StartError> {
    let store = Arc::clone(lease) as SharedStore;
    if lease.is_granted() {
        match Control::start(parts, &store, true, edge).await {
            Err(StartError::Bootstrap(BootstrapError::Store(fault))) if parts.has_served => {
                lease.revoke(&with_causes(&fault)).await;
            }
            started => return Ok((None, started?)),
        }
    }
    let why = lease.why_away();
    tracing::error!(
        why,
        "the store is away: the edge serves its last good state, the API refuses every call; the store is looked \
         for until it is back"
    );
    let prepared = Control::start(parts, &store, false, edge).await?;
    Ok((Some(why), prepared))
}
