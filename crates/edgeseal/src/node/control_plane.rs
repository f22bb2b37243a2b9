//! The API and the background tasks on one store.

use std::{sync::Arc, time::Duration};

use edgeseal_api::{
    Context,
    alarms::AlarmChannels,
    http::{self, Protocol, ShutdownTimeouts},
    key_encryption::KeyEncryption,
    settle::RequestProof,
};
use edgeseal_edge::Edge;
use edgeseal_store::{
    Catalog, SharedStore, audit_linker::AuditLinker, lease::LeaseName, nodes::NodeRecord,
};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Addresses, StartError, context::NodeContext, keeper::Keeper, orders, reporter::Reporter,
};
use crate::{
    alarms::{self, AuditLinking, Sources},
    bootstrap::BootstrapError,
    clock,
    config::Config,
    error_chain::error_chain,
    kek::{Fleet, KekRotator},
    outside::OutsideCheck,
    retention,
    revocable_store::RevocableStore,
    sockets::{SocketRole, Sockets},
};

/// How often expired keys are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The API's tasks and the background tasks, from [`start`](Self::start) to
/// [`shut_down`](Self::shut_down).
pub(crate) struct ControlPlane {
    context: Arc<Context>,
    shutdown: watch::Sender<Option<ShutdownTimeouts>>,
    tasks: Vec<JoinHandle<()>>,
    /// Tells the other processes on the store of this one.
    reporter: Option<(Reporter, Arc<KekRotator>)>,
    /// Runs until the last audit record is written and linked.
    audit_linker: (watch::Sender<bool>, JoinHandle<()>),
    /// Whether this process is the keeper of the store; given up last.
    keeper: Keeper,
}

impl ControlPlane {
    /// Starts everything that needs the store, without accepting calls. A store that fails here is
    /// revoked if the directory has served before.
    pub(crate) async fn start(
        node: &NodeContext,
        store: &Arc<RevocableStore>,
        edge: Option<&Edge>,
        sockets: &Sockets,
    ) -> Result<Self, StartError> {
        if store.unavailable_reason().is_none() {
            match Self::start_tasks(node, store, edge, sockets).await {
                Err(StartError::Bootstrap(BootstrapError::Store(fault))) if node.has_served => {
                    store.revoke(&error_chain(&fault)).await;
                }
                started => return started,
            }
        }
        Self::start_tasks(node, store, edge, sockets).await
    }

    /// Starts everything except the API. If the store is unavailable, the KEK rotator, the audit
    /// linker and the orders of certificates do not run.
    async fn start_tasks(
        node: &NodeContext,
        store: &Arc<RevocableStore>,
        edge: Option<&Edge>,
        sockets: &Sockets,
    ) -> Result<Self, StartError> {
        let config = &node.config;
        let store_available = store.unavailable_reason().is_none();
        let shared = Arc::clone(store) as SharedStore;
        let catalog = Catalog::new(Arc::clone(&shared), node.keyring.clone());
        let keeper = Keeper::start(node, &shared);
        let mut reporter = reporter(node, (store, &keeper), edge, sockets)?;
        let rotator = kek_rotator(node, &shared, edge, (&reporter, &keeper));
        if store_available {
            rotator.mark_pending().await.map_err(BootstrapError::from)?;
        }
        let (shutdown, shutdown_rx) = watch::channel(None);
        let key_encryption = Arc::clone(&rotator) as Arc<dyn KeyEncryption>;
        let (mut context, auditor) =
            api_context(node, edge, sockets, &catalog, Arc::clone(&key_encryption));
        let (stop_linker, linker_stopped) = watch::channel(false);
        let while_keeper = (keeper.is_keeper(), linker_stopped);
        let (audit, linker) =
            spawn_audit_linker(store_available.then_some(&catalog), config, while_keeper).await?;
        context.nodes = Some(reporter.nodes());
        let sources = alarm_sources(config, (&catalog, store), key_encryption, audit);
        let stop = shutdown_signal(shutdown_rx.clone());
        let lease = alarms::start_lease(Arc::clone(&shared), &node.node_id);
        reporter.follow_lease(LeaseName::Alarms, lease.is_held());
        let alarms = Arc::clone(&node.alarms).run(sources, lease, stop);
        let expiry = retention::expire_audit_records(
            catalog.clone(),
            config.audit_retention_days,
            keeper.is_keeper(),
            shutdown_signal(shutdown_rx.clone()),
        );
        let mut tasks = vec![
            tokio::spawn(auditor),
            tokio::spawn(expiry),
            tokio::spawn(alarms),
            tokio::spawn(sweep_expired(catalog.clone(), shutdown_rx.clone())),
        ];
        if store_available {
            let stop = shutdown_signal(shutdown_rx.clone());
            if let Some(orders) = orders::spawn_orders(node, &catalog, stop).await? {
                context.reissue_planner = Some(orders.planner);
                reporter.follow_lease(LeaseName::Orders, orders.has_lease);
                tasks.push(orders.task);
            }
            let check = OutsideCheck::new(config, node.settings.ownership_verifier.clone())?;
            let stop = shutdown_signal(shutdown_rx.clone());
            tasks.extend(check.map(|check| tokio::spawn(check.run(catalog, stop))));
            let (rotator, stop) = (Arc::clone(&rotator), shutdown_signal(shutdown_rx));
            tasks.push(tokio::spawn(async move { rotator.run(stop).await }));
        }
        Ok(Self {
            context: Arc::new(context),
            shutdown,
            tasks,
            reporter: Some((reporter, rotator)),
            audit_linker: (stop_linker, linker),
            keeper,
        })
    }

    /// Accepts calls.
    pub(crate) fn accept(
        &mut self,
        node: &NodeContext,
        sockets: &Sockets,
    ) -> Result<(), StartError> {
        if let Some((reporter, rotator)) = self.reporter.take() {
            let stop = || shutdown_signal(self.shutdown.subscribe());
            let follower = Arc::clone(&rotator);
            let follow = {
                let stop = stop();
                async move { follower.follow_fleet(stop).await }
            };
            let reports = reporter.run(Arc::clone(&self.context), rotator, stop());
            self.tasks
                .extend([tokio::spawn(follow), tokio::spawn(reports)]);
        }
        let tls = node.api_tls.as_ref();
        let tls = tls.map(|(_, server)| (SocketRole::ApiTls, Protocol::Https(server.config())));
        for (role, protocol) in std::iter::once((SocketRole::Api, Protocol::Http)).chain(tls) {
            let listener = sockets.tokio_listener(role)?;
            let shutdown = wait_for_shutdown(self.shutdown.subscribe());
            let serve = http::serve(listener, protocol, Arc::clone(&self.context), shutdown);
            self.tasks.push(tokio::spawn(serve));
        }
        Ok(())
    }

    /// Accepts no more calls, answers those in flight within `timeouts`, and writes and links the
    /// last audit records.
    pub(crate) async fn shut_down(self, timeouts: ShutdownTimeouts) {
        self.shutdown.send_replace(Some(timeouts));
        // The auditor ends with the last holder of the context.
        drop(self.context);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a task of the control plane failed"
                );
            }
        }
        let (stop_linker, linker) = self.audit_linker;
        stop_linker.send_replace(true);
        if let Err(error) = linker.await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the audit linker failed");
        }
        self.keeper.release().await;
    }
}

/// What the API works with, and the task that writes its audit records of refusals.
fn api_context(
    node: &NodeContext,
    edge: Option<&Edge>,
    sockets: &Sockets,
    catalog: &Catalog,
    key_encryption: Arc<dyn KeyEncryption>,
) -> (Context, impl Future<Output = ()> + Send + 'static) {
    if node.settings.return_private_keys {
        tracing::warn!(
            "return_private_keys: the CAS returns private keys to callers that may read them"
        );
    }
    let (mut context, auditor) = Context::new(
        catalog.clone(),
        clock::now,
        node.settings.clone(),
        edge.map(|edge| edge.handle().applied_revision()),
    );
    context.request_proof = edge.map(proof_requester);
    context.local_edge_environment = edge.map(|_| node.config.environment());
    context.key_encryption = Some(key_encryption);
    context.alarm_channels = Some(Arc::clone(&node.alarms) as Arc<dyn AlarmChannels>);
    let own = sockets.own_addresses();
    context.listeners = Some(Box::new(move || own.addresses()));
    (context, auditor)
}

fn alarm_sources(
    config: &Config,
    (catalog, store): (&Catalog, &Arc<RevocableStore>),
    key_encryption: Arc<dyn KeyEncryption>,
    audit: AuditLinking,
) -> Sources {
    Sources {
        catalog: catalog.clone(),
        store: Arc::clone(store),
        key_encryption,
        audit,
        kek_max_age_days: config.kek_max_age_days,
        outside: config.outside_selection(),
    }
}

fn reporter(
    node: &NodeContext,
    (store, keeper): (&Arc<RevocableStore>, &Keeper),
    edge: Option<&Edge>,
    sockets: &Sockets,
) -> Result<Reporter, StartError> {
    let addresses = Addresses::from_sockets(node, sockets)?;
    let machine = rustix::system::uname();
    let own = NodeRecord {
        id: node.node_id.clone(),
        host: machine.nodename().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: node.role.as_str().to_owned(),
        api: addresses.api.to_string(),
        admin: addresses.admin.to_string(),
        https: addresses
            .https
            .map_or_else(String::new, |it| it.to_string()),
        started: node.started,
        ..NodeRecord::default()
    };
    let mut reporter = Reporter::new(
        own,
        Arc::clone(store),
        node.keyring.clone(),
        edge.map(Edge::handle),
        node.config.is_store_shared(),
        node.twin_warning.clone(),
    );
    reporter.follow_lease(LeaseName::Keeper, keeper.is_keeper());
    Ok(reporter)
}

fn proof_requester(edge: &Edge) -> RequestProof {
    let edge = edge.handle();
    Box::new(move |domains, revision| edge.request_proofs(domains, revision))
}

fn kek_rotator(
    node: &NodeContext,
    store: &SharedStore,
    edge: Option<&Edge>,
    (reporter, keeper): (&Reporter, &Keeper),
) -> Arc<KekRotator> {
    let fleet = node.config.is_store_shared().then(|| Fleet {
        nodes: reporter.nodes(),
        keeper: keeper.is_keeper(),
    });
    let keys = (node.keyring.clone(), node.kek_sources.clone());
    let per_second = node.config.reseal_per_second;
    let store = Arc::clone(store);
    Arc::new(KekRotator::new(
        keys,
        store,
        edge.map(Edge::handle),
        per_second,
        clock::now,
        fleet,
    ))
}

/// Waits until the sender asks to stop.
pub(crate) async fn wait_for_stop(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender was dropped: stop as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Waits for the shutdown; returns how long calls may take then.
async fn wait_for_shutdown(
    mut ends: watch::Receiver<Option<ShutdownTimeouts>>,
) -> ShutdownTimeouts {
    let end = ends.wait_for(Option::is_some).await;
    // If the sender was dropped, there is no time left.
    end.ok().and_then(|end| *end).unwrap_or(ShutdownTimeouts {
        unused: Duration::ZERO,
        drain: Duration::ZERO,
    })
}

async fn shutdown_signal(ends: watch::Receiver<Option<ShutdownTimeouts>>) {
    wait_for_shutdown(ends).await;
}

/// Links the audit records as the keeper, if the store is available. If the operator has accepted
/// the loss of the key that the chains' secret is sealed under, nothing more is linked.
async fn spawn_audit_linker(
    catalog: Option<&Catalog>,
    config: &Config,
    (keeper, ending): (watch::Receiver<bool>, watch::Receiver<bool>),
) -> Result<(AuditLinking, JoinHandle<()>), StartError> {
    let Some(catalog) = catalog else {
        return Ok((AuditLinking::Unknown, tokio::spawn(async {})));
    };
    match AuditLinker::start(catalog.clone(), clock::now).await {
        Ok(linker) => {
            let linking = AuditLinking::Runs(linker.unlinked());
            let linker = linker.run(keeper, wait_for_stop(ending));
            Ok((linking, tokio::spawn(linker)))
        }
        Err(fault) if config.accepts_lost_keys() => {
            tracing::error!(
                error = &fault as &dyn std::error::Error,
                "audit records are no longer linked"
            );
            let off = AuditLinking::Off("the key of their secret is lost");
            Ok((off, tokio::spawn(async {})))
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
