//! The start, from the configuration to a process that listens: beside nobody, or in the place of
//! another process.

use std::sync::Arc;

use edgeseal_edge::{Loaded, Options};
use edgeseal_store::{Catalog, SharedStore};
use tokio::{sync::watch, task::JoinHandle};

use super::{Addresses, Running, StartError, control};
use crate::{
    admin::{self, Health},
    bootstrap, clock,
    config::Config,
    control::stopped,
    data_lock::DataLock,
    handover::{Desk, HandoverError, Predecessor},
    lease::Lease,
    parts::{Parts, api_tls, edge_directory, edge_options, has_served, share_descriptors},
    sockets::{Role, Sockets},
};

/// What there is once this process owns the data directory.
struct Owner {
    parts: Parts,
    sockets: Sockets,
    lock: DataLock,
    /// What was loaded beside the process before.
    loaded: Option<Loaded>,
}

/// See [`Running::start`].
pub(super) async fn start(config: &Config, take_over: bool) -> Result<Running, StartError> {
    let mut settings = config.settings()?;
    let mut options = edge_options(config)?;
    let shared = share_descriptors(config)?;
    options.limits.connections = shared.connections;
    settings.connections.in_all = shared.api_connections;
    let mut sockets = Sockets::passed_on()?;
    options.listeners = sockets.own();
    let predecessor = predecessor(config, take_over, &mut sockets).await?;
    bootstrap::make_directory(&config.data)?;
    // A process that runs has it until the sockets are passed on and all is loaded.
    let mut lock = None;
    if predecessor.is_none() {
        lock = Some(DataLock::take(&config.data)?);
    }
    let has_served = has_served(config);
    let (keyring, sources) = bootstrap::keyring(config, has_served).await?;
    bootstrap::prove_keys_are_there(config, &keyring, &sources).await?;
    bootstrap::make_directory(&edge_directory(config))?;
    let parts = Parts {
        config: config.clone(),
        settings,
        keyring,
        sources,
        api_tls: api_tls(config)?,
        has_served,
    };
    let Some(predecessor) = predecessor else {
        let lock = lock.map_or_else(|| DataLock::take(&config.data), Ok)?;
        let owner = Owner {
            parts,
            sockets,
            lock,
            loaded: None,
        };
        return owner.start(options, None).await;
    };
    let beside = Loaded::load_beside(options.clone(), parts.keyring.clone(), clock::now);
    let loaded = Some(beside.await?);
    parts.open_all(&mut sockets)?;
    let predecessor = predecessor.loaded().await?;
    parts.reread_keys().await?;
    let lock = DataLock::take(&config.data)?;
    let owner = Owner {
        parts,
        sockets,
        lock,
        loaded,
    };
    owner.start(options, predecessor).await
}

/// The process that is to be taken over from, with its sockets. None if it ends meanwhile.
async fn predecessor(
    config: &Config,
    take_over: bool,
    sockets: &mut Sockets,
) -> Result<Option<Predecessor>, StartError> {
    if !take_over {
        return Ok(None);
    }
    if config.store_url().starts_with("memory:") {
        return Err(HandoverError::InMemory.into());
    }
    Ok(Predecessor::ask(&config.data, sockets).await?)
}

impl Owner {
    /// From here on nobody else writes into the data directory.
    async fn start(
        self,
        options: Options,
        predecessor: Option<Predecessor>,
    ) -> Result<Running, StartError> {
        let Self {
            mut parts,
            mut sockets,
            lock,
            loaded,
        } = self;
        lock.name();
        let opening = parts.open_store().await?;
        let lease = Lease::new(opening);
        let store = Arc::clone(&lease) as SharedStore;
        parts.open_calls(&mut sockets)?;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => Loaded::load(options, parts.keyring.clone(), clock::now).await?,
        };
        let listeners = || parts.open_visits(&mut sockets);
        let mut edge = loaded.serve(Arc::clone(&store), listeners).await?;
        let (away, prepared) = control(&parts, &lease, &edge).await?;
        let (ending, ends) = watch::channel(false);
        let health = Health {
            catalog: Catalog::new(store, parts.keyring.clone()),
            lease: Arc::clone(&lease),
            edge: edge.health(),
            stopping: ends,
            hosts: parts.config.admin_hosts.clone().into(),
        };
        let admin = serve_admin(&sockets, health)?;
        if let Some(predecessor) = predecessor {
            predecessor.serving().await?;
        }
        sockets.close_unused();
        edge.prove()?;
        let control = prepared.accept(&parts, &sockets)?;
        let addresses = Addresses::of(&parts, &sockets)?;
        addresses.write(&parts.config);
        let desk = desk(&parts.config);
        parts.has_served = true;
        Ok(Running {
            parts,
            addresses,
            sockets,
            edge,
            control: Some(control),
            lease,
            lock,
            away,
            ending,
            admin,
            desk,
        })
    }
}

fn serve_admin(
    sockets: &Sockets,
    health: Health,
) -> Result<(watch::Sender<bool>, JoinHandle<()>), StartError> {
    let (close, closing) = watch::channel(false);
    let listener = sockets.listener(Role::Admin)?;
    let closed = async move {
        let _ = stopped(closing).await;
    };
    Ok((close, tokio::spawn(admin::serve(listener, health, closed))))
}

/// Where the next process asks. Without it this one serves all the same.
fn desk(config: &Config) -> Option<Desk> {
    if config.store_url().starts_with("memory:") {
        return None;
    }
    match Desk::open(&config.data) {
        Ok(desk) => Some(desk),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "another process will not be able to take over"
            );
            None
        }
    }
}
