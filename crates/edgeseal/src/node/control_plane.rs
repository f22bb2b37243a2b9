//! What needs the store: the API, and what is done in the background.

use std::{sync::Arc, time::Duration};

use edgeseal_api::{
    Context,
    http::{self, Protocol, ShutdownTimeouts},
    key_encryption::KeyEncryption,
    settle::RequestProof,
};
use edgeseal_edge::Edge;
use edgeseal_store::{Catalog, SharedStore, audit_linker::AuditLinker};
use tokio::{sync::watch, task::JoinHandle};

use super::{StartError, context::NodeContext};
use crate::{
    bootstrap::BootstrapError,
    clock,
    config::Config,
    kek::KekRotator,
    retention,
    sockets::{SocketRole, Sockets},
};

/// Expired keys are forgotten this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(crate) struct ControlPlane {
    shutdown: watch::Sender<Option<ShutdownTimeouts>>,
    tasks: Vec<JoinHandle<()>>,
    /// Audits are linked until the last record is written.
    chainer: (watch::Sender<bool>, JoinHandle<()>),
}

/// As [`ControlPlane`], before the first call.
pub(crate) struct Prepared {
    control: ControlPlane,
    context: Context,
}

impl ControlPlane {
    /// Starts all but the API. If the store is not there, nothing is done in the background.
    pub(crate) async fn start(
        parts: &NodeContext,
        store: &SharedStore,
        is_there: bool,
        edge: &Edge,
    ) -> Result<Prepared, StartError> {
        let config = &parts.config;
        let catalog = Catalog::new(Arc::clone(store), parts.keyring.clone());
        let keeper = kek_rotator(parts, store, edge);
        if is_there {
            keeper.mark_pending().await.map_err(BootstrapError::from)?;
        }
        if parts.settings.return_private_keys {
            tracing::warn!(
                "return_private_keys: the certificate centre gives private keys back to who may read them"
            );
        }
        let (end, ends) = watch::channel(None);
        let (mut context, auditor) = Context::new(
            catalog.clone(),
            clock::now,
            parts.settings.clone(),
            Some(edge.applied_revision()),
        );
        context.request_proof = Some(proof_requester(edge));
        context.local_edge_environment = Some(config.environment());
        context.key_encryption = Some(Arc::clone(&keeper) as Arc<dyn KeyEncryption>);
        let (end_chainer, ending) = watch::channel(false);
        let chainer = spawn_audit_chainer(is_there.then_some(&catalog), config, ending).await?;
        let expiry = retention::expire_audit_records(
            catalog.clone(),
            config.audit_retention_days,
            shutdown_signal(ends.clone()),
        );
        let mut tasks = vec![
            tokio::spawn(auditor),
            tokio::spawn(expiry),
            tokio::spawn(sweep_expired(catalog, ends.clone())),
        ];
        if is_there {
            tasks.push(tokio::spawn(async move {
                keeper.run(shutdown_signal(ends)).await
            }));
        }
        Ok(Prepared {
            control: Self {
                shutdown: end,
                tasks,
                chainer: (end_chainer, chainer),
            },
            context,
        })
    }

    /// Accepts no more calls, answers those under way as long as `ending` says, and writes what is to
    /// be written.
    pub(crate) async fn shut_down(self, ending: ShutdownTimeouts) {
        self.stop_accepting(ending).await.flush_audit().await;
    }

    /// The first half of [`stop`](Self::stop).
    pub(crate) async fn stop_accepting(mut self, ending: ShutdownTimeouts) -> Self {
        self.shutdown.send_replace(Some(ending));
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a task ended badly"
                );
            }
        }
        self
    }

    /// The second half of [`stop`](Self::stop).
    pub(crate) async fn flush_audit(self) {
        let (end_chainer, chainer) = self.chainer;
        end_chainer.send_replace(true);
        if let Err(error) = chainer.await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the linking of audits ended badly");
        }
    }
}

impl Prepared {
    /// Accepts calls.
    pub(crate) fn accept(
        self,
        parts: &NodeContext,
        sockets: &Sockets,
    ) -> Result<ControlPlane, StartError> {
        let Self {
            mut control,
            mut context,
        } = self;
        let own = sockets.own_addresses();
        context.listeners = Some(Box::new(move || own.addresses()));
        let context = Arc::new(context);
        let tls = parts.api_tls.as_ref();
        let tls = tls.map(|(_, server)| (SocketRole::ApiTls, Protocol::Https(server.config())));
        for (role, speaks) in std::iter::once((SocketRole::Api, Protocol::Http)).chain(tls) {
            let listener = sockets.tokio_listener(role)?;
            let (context, ends) = (
                Arc::clone(&context),
                wait_for_shutdown(control.shutdown.subscribe()),
            );
            let serve = http::serve(listener, speaks, context, ends);
            control.tasks.push(tokio::spawn(serve));
        }
        Ok(control)
    }
}

fn proof_requester(edge: &Edge) -> RequestProof {
    let proofs = edge.proof_requests();
    Box::new(move |domains, revision| proofs.request(domains, revision))
}

fn kek_rotator(parts: &NodeContext, store: &SharedStore, edge: &Edge) -> Arc<KekRotator> {
    let keys = (parts.keyring.clone(), parts.kek_sources.clone());
    let per_second = parts.config.reseal_per_second;
    let store = Arc::clone(store);
    Arc::new(KekRotator::new(
        keys,
        store,
        edge.reseal(),
        per_second,
        clock::now,
    ))
}

/// Waits until this is said.
pub(crate) async fn wait_for_stop(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone: stopped as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Waits for the end; how long calls may take then.
async fn wait_for_shutdown(
    mut ends: watch::Receiver<Option<ShutdownTimeouts>>,
) -> ShutdownTimeouts {
    let end = ends.wait_for(Option::is_some).await;
    // If the sender is gone there is no time left.
    end.ok().and_then(|end| *end).unwrap_or(ShutdownTimeouts {
        unused: Duration::ZERO,
        drain: Duration::ZERO,
    })
}

async fn shutdown_signal(ends: watch::Receiver<Option<ShutdownTimeouts>>) {
    wait_for_shutdown(ends).await;
}

/// Links the audits of a store that is there. If the secret of their chains was given up for lost
/// with a key, the chains end where they are.
async fn spawn_audit_chainer(
    catalog: Option<&Catalog>,
    config: &Config,
    ending: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let Some(catalog) = catalog else {
        return Ok(tokio::spawn(async {}));
    };
    match AuditLinker::start(catalog.clone(), clock::now).await {
        Ok(chainer) => Ok(tokio::spawn(chainer.run(wait_for_stop(ending)))),
        Err(fault) if config.accepts_lost_keys()? => {
            tracing::error!(
                error = &fault as &dyn std::error::Error,
                "audit records are not chained any more"
            );
            Ok(tokio::spawn(async {}))
        }
        Err(fault) => Err(BootstrapError::from(fault).into()),
    }
}

async fn sweep_expired(catalog: Catalog, ends: watch::Receiver<Option<ShutdownTimeouts>>) {
    let mut stop = std::pin::pin!(shutdown_signal(ends));
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        loop {
            match catalog.sweep(clock::now()).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(fault) => {
                    tracing::error!(error = &fault as &dyn std::error::Error, "sweep failed");
                    break;
                }
            }
        }
    }
}
