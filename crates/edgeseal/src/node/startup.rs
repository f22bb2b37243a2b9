//! The start, from the configuration to a process that listens: beside nobody, or in the place of
//! another process.

use std::sync::Arc;

use edgeseal_edge::{LoadedEdge, Options};
use edgeseal_store::{Catalog, SharedStore};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Addresses, Node, StartError,
    context::{
        NodeContext, allocate_descriptors, edge_directory, edge_options, has_served, load_api_tls,
    },
    control_plane::wait_for_stop,
    prepare_control_plane,
};
use crate::{
    admin::{self, AdminState},
    bootstrap, clock,
    config::Config,
    data_lock::DataLock,
    handover::{HandoverError, HandoverListener, Predecessor},
    private_files,
    revocable_store::RevocableStore,
    sockets::{SocketRole, Sockets},
};

/// What there is once this process owns the data directory.
struct Owner {
    parts: NodeContext,
    sockets: Sockets,
    lock: DataLock,
    /// What was loaded beside the process before.
    loaded_edge: Option<LoadedEdge>,
}

/// See [`Running::start`].
pub(super) async fn start(config: &Config, take_over: bool) -> Result<Node, StartError> {
    let mut settings = config.settings()?;
    let mut options = edge_options(config)?;
    let shared = allocate_descriptors(config)?;
    options.limits.connections = shared.connections;
    settings.connection_limits.total = shared.api_connections;
    let mut sockets = Sockets::from_service_manager()?;
    options.own_listeners = sockets.own_addresses();
    let predecessor = connect_predecessor(config, take_over, &mut sockets).await?;
    private_files::create_private_dir(&config.data)?;
    // A process that runs has it until the sockets are passed on and all is loaded.
    let mut lock = None;
    if predecessor.is_none() {
        lock = Some(DataLock::acquire(&config.data)?);
    }
    let has_served = has_served(config);
    let (keyring, sources) = bootstrap::load_keyring(config, has_served).await?;
    bootstrap::check_keys_present(config, &keyring, &sources).await?;
    private_files::create_private_dir(&edge_directory(config))?;
    let parts = NodeContext {
        config: config.clone(),
        settings,
        keyring,
        kek_sources: sources,
        api_tls: load_api_tls(config)?,
        has_served,
    };
    let Some(predecessor) = predecessor else {
        let lock = lock.map_or_else(|| DataLock::acquire(&config.data), Ok)?;
        let owner = Owner {
            parts,
            sockets,
            lock,
            loaded_edge: None,
        };
        return owner.start(options, None).await;
    };
    let beside = LoadedEdge::load_snapshot(options.clone(), parts.keyring.clone(), clock::now);
    let loaded = Some(beside.await?);
    parts.bind_all(&mut sockets)?;
    let predecessor = predecessor.announce_loaded().await?;
    parts.reload_keyring().await?;
    let lock = DataLock::acquire(&config.data)?;
    let owner = Owner {
        parts,
        sockets,
        lock,
        loaded_edge: loaded,
    };
    owner.start(options, predecessor).await
}

/// The process that is to be taken over from, with its sockets. None if it ends meanwhile.
async fn connect_predecessor(
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
    Ok(Predecessor::connect(&config.data, sockets).await?)
}

impl Owner {
    /// From here on nobody else writes into the data directory.
    async fn start(
        self,
        options: Options,
        predecessor: Option<Predecessor>,
    ) -> Result<Node, StartError> {
        let Self {
            mut parts,
            mut sockets,
            lock,
            loaded_edge: loaded,
        } = self;
        lock.write_pid();
        let opening = parts.open_store().await?;
        let lease = RevocableStore::new(opening);
        let store = Arc::clone(&lease) as SharedStore;
        parts.bind_api_listeners(&mut sockets)?;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => LoadedEdge::load(options, parts.keyring.clone(), clock::now).await?,
        };
        let listeners = || parts.bind_edge_listeners(&mut sockets);
        let mut edge = loaded.serve(Arc::clone(&store), listeners).await?;
        let (away, prepared) = prepare_control_plane(&parts, &lease, &edge).await?;
        let (ending, ends) = watch::channel(false);
        let health = AdminState {
            catalog: Catalog::new(store, parts.keyring.clone()),
            store: Arc::clone(&lease),
            edge: edge.health(),
            draining: ends,
            allowed_hosts: parts.config.admin_hosts.clone().into(),
        };
        let admin = serve_admin(&sockets, health)?;
        if let Some(predecessor) = predecessor {
            predecessor.announce_serving().await?;
        }
        sockets.close_unused();
        edge.start_prover()?;
        let control = prepared.accept(&parts, &sockets)?;
        let addresses = Addresses::from_sockets(&parts, &sockets)?;
        addresses.write(&parts.config);
        let desk = open_handover_listener(&parts.config);
        parts.has_served = true;
        Ok(Node {
            context: parts,
            addresses,
            sockets,
            edge,
            control_plane: Some(control),
            store: lease,
            data_lock: lock,
            away,
            draining: ending,
            admin,
            handover_listener: desk,
        })
    }
}

fn serve_admin(
    sockets: &Sockets,
    health: AdminState,
) -> Result<(watch::Sender<bool>, JoinHandle<()>), StartError> {
    let (close, closing) = watch::channel(false);
    let listener = sockets.tokio_listener(SocketRole::Admin)?;
    let closed = async move {
        let _ = wait_for_stop(closing).await;
    };
    Ok((close, tokio::spawn(admin::serve(listener, health, closed))))
}

/// Where the next process asks. Without it this one serves all the same.
fn open_handover_listener(config: &Config) -> Option<HandoverListener> {
    if config.store_url().starts_with("memory:") {
        return None;
    }
    match HandoverListener::open(&config.data) {
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
