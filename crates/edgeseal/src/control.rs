//! What needs the store: the API, and what is done in the background.

use std::{sync::Arc, time::Duration};

use edgeseal_api::{
    Context,
    http::{self, Ending, Speaks},
    key_encryption::KeyEncryption,
    settled::AskForProof,
};
use edgeseal_edge::Edge;
use edgeseal_store::{Catalog, SharedStore, chainer::Chainer};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    bootstrap::BootstrapError,
    clock,
    config::Config,
    kek::Keeper,
    parts::Parts,
    retention,
    running::StartError,
    sockets::{Role, Sockets},
};

/// Expired keys are forgotten this often.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(crate) struct Control {
    end: watch::Sender<Option<Ending>>,
    tasks: Vec<JoinHandle<()>>,
    /// Audits are linked until the last record is written.
    chainer: (watch::Sender<bool>, JoinHandle<()>),
}

/// As [`Control`], before the first call.
pub(crate) struct Prepared {
    control: Control,
    context: Context,
}

impl Control {
    /// Starts all but the API. If the store is not there, nothing is done in the background.
    pub(crate) async fn start(
        parts: &Parts,
        store: &SharedStore,
        is_there: bool,
        edge: &Edge,
    ) -> Result<Prepared, StartError> {
        let config = &parts.config;
        let catalog = Catalog::new(Arc::clone(store), parts.keyring.clone());
        let keeper = keeper(parts, store, edge);
        if is_there {
            keeper.begin().await.map_err(BootstrapError::from)?;
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
            Some(edge.served()),
        );
        context.ask_for_proof = Some(ask_for_proof(edge));
        context.own_edge = Some(config.environment());
        context.key_encryption = Some(Arc::clone(&keeper) as Arc<dyn KeyEncryption>);
        let (end_chainer, ending) = watch::channel(false);
        let chainer = chain_audits(is_there.then_some(&catalog), config, ending).await?;
        let expiry = retention::run(catalog.clone(), config.audit_days, ended(ends.clone()));
        let mut tasks = vec![
            tokio::spawn(auditor),
            tokio::spawn(expiry),
            tokio::spawn(sweep(catalog, ends.clone())),
        ];
        if is_there {
            tasks.push(tokio::spawn(async move { keeper.run(ended(ends)).await }));
        }
        Ok(Prepared {
            control: Self {
                end,
                tasks,
                chainer: (end_chainer, chainer),
            },
            context,
        })
    }

    /// Accepts no more calls, answers those under way as long as `ending` says, and writes what is to
    /// be written.
    pub(crate) async fn stop(self, ending: Ending) {
        self.stop_calls(ending).await.stop_writing().await;
    }

    /// The first half of [`stop`](Self::stop).
    pub(crate) async fn stop_calls(mut self, ending: Ending) -> Self {
        self.end.send_replace(Some(ending));
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
    pub(crate) async fn stop_writing(self) {
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
    pub(crate) fn accept(self, parts: &Parts, sockets: &Sockets) -> Result<Control, StartError> {
        let Self {
            mut control,
            mut context,
        } = self;
        let own = sockets.own();
        context.listeners = Some(Box::new(move || own.addresses()));
        let context = Arc::new(context);
        let tls = parts.api_tls.as_ref();
        let tls = tls.map(|(_, server)| (Role::ApiTls, Speaks::Https(server.config())));
        for (role, speaks) in std::iter::once((Role::Api, Speaks::Http)).chain(tls) {
            let listener = sockets.listener(role)?;
            let (context, ends) = (Arc::clone(&context), ended_with(control.end.subscribe()));
            let serve = http::serve(listener, speaks, context, ends);
            control.tasks.push(tokio::spawn(serve));
        }
        Ok(control)
    }
}

fn ask_for_proof(edge: &Edge) -> AskForProof {
    let proofs = edge.proofs();
    Box::new(move |domains, revision| proofs.ask(domains, revision))
}

fn keeper(parts: &Parts, store: &SharedStore, edge: &Edge) -> Arc<Keeper> {
    let keys = (parts.keyring.clone(), parts.sources.clone());
    let per_second = parts.config.reseal_per_second;
    let store = Arc::clone(store);
    Arc::new(Keeper::new(
        keys,
        store,
        edge.reseal(),
        per_second,
        clock::now,
    ))
}

/// Waits until this is said.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone: stopped as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Waits for the end; how long calls may take then.
async fn ended_with(mut ends: watch::Receiver<Option<Ending>>) -> Ending {
    let end = ends.wait_for(Option::is_some).await;
    // If the sender is gone there is no time left.
    end.ok().and_then(|end| *end).unwrap_or(Ending {
        fresh: Duration::ZERO,
        patience: Duration::ZERO,
    })
}

async fn ended(ends: watch::Receiver<Option<Ending>>) {
    ended_with(ends).await;
}

/// Links the audits of a store that is there. If the secret of their chains was given up for lost
/// with a key, the chains end where they are.
async fn chain_audits(
    catalog: Option<&Catalog>,
    config: &Config,
    ending: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let Some(catalog) = catalog else {
        return Ok(tokio::spawn(async {}));
    };
    match Chainer::start(catalog.clone(), clock::now).await {
        Ok(chainer) => Ok(tokio::spawn(chainer.run(stopped(ending)))),
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

async fn sweep(catalog: Catalog, ends: watch::Receiver<Option<Ending>>) {
    let mut stop = std::pin::pin!(ended(ends));
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
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
