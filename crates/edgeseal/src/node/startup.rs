//! Startup, from the configuration to a node that listens: alone, or taking over from a running
//! process.

use std::sync::Arc;

use edgeseal_edge::{LoadedEdge, Options};
use edgeseal_store::{Catalog, SharedStore, open::StoreUrl};
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

/// The parts of a node once this process owns the data directory.
struct Owner {
    context: NodeContext,
    sockets: Sockets,
    lock: DataLock,
    /// The edge that was loaded while the predecessor still served.
    loaded_edge: Option<LoadedEdge>,
}

/// See [`Node::start`].
pub(super) async fn start(config: &Config, take_over: bool) -> Result<Node, StartError> {
    let mut settings = config.settings()?;
    let mut options = edge_options(config);
    let descriptors = allocate_descriptors(config)?;
    options.limits.connections = descriptors.connections;
    settings.connection_limits.total = descriptors.api_connections;
    let mut sockets = Sockets::from_service_manager()?;
    options.own_listeners = sockets.own_addresses();
    let predecessor = connect_predecessor(config, take_over, &mut sockets).await?;
    private_files::create_private_dir(&config.data)?;
    // In a take-over the predecessor holds it until this process has loaded everything.
    let mut lock = None;
    if predecessor.is_none() {
        lock = Some(DataLock::acquire(&config.data)?);
    }
    let has_served = has_served(config);
    let (keyring, sources) = bootstrap::load_keyring(config, has_served).await?;
    bootstrap::check_keys_present(config, &keyring, &sources).await?;
    private_files::create_private_dir(&edge_directory(config))?;
    let context = NodeContext {
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
            context,
            sockets,
            lock,
            loaded_edge: None,
        };
        return owner.start(options, None).await;
    };
    let loading = LoadedEdge::load_snapshot(options.clone(), context.keyring.clone(), clock::now);
    let loaded = Some(loading.await?);
    context.bind_all(&mut sockets)?;
    let predecessor = predecessor.announce_loaded().await?;
    context.reload_keyring().await?;
    let lock = DataLock::acquire(&config.data)?;
    let owner = Owner {
        context,
        sockets,
        lock,
        loaded_edge: loaded,
    };
    owner.start(options, predecessor).await
}

/// The process to take over from, with its sockets. `None` if it ends meanwhile.
async fn connect_predecessor(
    config: &Config,
    take_over: bool,
    sockets: &mut Sockets,
) -> Result<Option<Predecessor>, StartError> {
    if !take_over {
        return Ok(None);
    }
    if config.store_url() == StoreUrl::Memory {
        return Err(HandoverError::InMemory.into());
    }
    Ok(Predecessor::connect(&config.data, sockets).await?)
}

impl Owner {
    /// From here on no other process writes into the data directory.
    async fn start(
        self,
        options: Options,
        predecessor: Option<Predecessor>,
    ) -> Result<Node, StartError> {
        let Self {
            mut context,
            mut sockets,
            lock,
            loaded_edge: loaded,
        } = self;
        lock.write_pid();
        let state = context.open_store().await?;
        let revocable = RevocableStore::new(state);
        let store = Arc::clone(&revocable) as SharedStore;
        context.bind_api_listeners(&mut sockets)?;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => LoadedEdge::load(options, context.keyring.clone(), clock::now).await?,
        };
        let listeners = || context.bind_edge_listeners(&mut sockets);
        let mut edge = loaded.serve(Arc::clone(&store), listeners).await?;
        let (unavailable_reason, prepared) =
            prepare_control_plane(&context, &revocable, &edge).await?;
        let (draining, draining_rx) = watch::channel(false);
        let health = AdminState {
            catalog: Catalog::new(store, context.keyring.clone()),
            store: Arc::clone(&revocable),
            edge: edge.handle(),
            draining: draining_rx,
            allowed_hosts: context.config.admin_hosts.clone().into(),
        };
        let admin = serve_admin(&sockets, health)?;
        if let Some(predecessor) = predecessor {
            predecessor.announce_serving().await?;
        }
        sockets.close_unused();
        edge.start_prover()?;
        let control = prepared.accept(&context, &sockets)?;
        let addresses = Addresses::from_sockets(&context, &sockets)?;
        addresses.write(&context.config);
        let listener = open_handover_listener(&context.config);
        context.has_served = true;
        Ok(Node {
            context,
            addresses,
            sockets,
            edge,
            control_plane: Some(control),
            store: revocable,
            data_lock: lock,
            unavailable_reason,
            draining,
            admin,
            handover_listener: listener,
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

/// Listens for the next process. A failure is only logged: the node serves without it.
fn open_handover_listener(config: &Config) -> Option<HandoverListener> {
    if config.store_url() == StoreUrl::Memory {
        return None;
    }
    match HandoverListener::open(&config.data) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the hand-over socket cannot be opened: no process will be able to take over"
            );
            None
        }
    }
}
