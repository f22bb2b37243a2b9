//! Startup, from the configuration to a node that listens: alone, or taking over from a running
//! process.

use std::sync::Arc;

use edgeseal_edge::{Edge, LoadedEdge, Options};
use edgeseal_store::{Catalog, SharedStore, open::StoreUrl};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Addresses, Node, Role, StartError,
    context::{NodeContext, allocate_descriptors, edge_options},
    control_plane::{ControlPlane, wait_for_stop},
};
use crate::{
    admin::{self, AdminState},
    clock,
    config::Config,
    data_lock::DataLock,
    handover::{HandoverError, HandoverListener, Predecessor},
    private_files,
    revocable_store::RevocableStore,
    sockets::{SocketRole, Sockets},
};

/// See [`Node::start`].
pub(super) async fn start(
    config: &Config,
    role: Role,
    hand_over: bool,
) -> Result<Node, StartError> {
    let mut settings = config.settings()?;
    let mut options = edge_options(config);
    let descriptors = allocate_descriptors(config)?;
    options.limits.connections = descriptors.connections;
    settings.connection_limits.total = descriptors.api_connections;
    let mut sockets = Sockets::from_service_manager()?;
    options.own_listeners = sockets.own_addresses();
    let predecessor = connect_predecessor(config, hand_over, &mut sockets).await?;
    private_files::create_private_dir(&config.data)?;
    let Some(predecessor) = predecessor else {
        let lock = DataLock::acquire(&config.data)?;
        let context = NodeContext::load(config, role, settings).await?;
        options.id = context.edge_id();
        return start_as_owner(context, sockets, lock, options, None, None).await;
    };
    // The predecessor owns the data directory until this process has loaded everything.
    let context = NodeContext::load(config, role, settings).await?;
    options.id = context.edge_id();
    let keyring = context.keyring.clone();
    let loaded = if role.has_edge() {
        Some(LoadedEdge::load_snapshot(options.clone(), keyring, clock::now).await?)
    } else {
        None
    };
    context.bind_all(&mut sockets)?;
    let predecessor = predecessor.announce_loaded().await?;
    context.reload_keyring().await?;
    let lock = DataLock::acquire(&config.data)?;
    start_as_owner(context, sockets, lock, options, loaded, predecessor).await
}

/// The process to take over from, with its sockets. `None` if it ends meanwhile.
async fn connect_predecessor(
    config: &Config,
    hand_over: bool,
    sockets: &mut Sockets,
) -> Result<Option<Predecessor>, StartError> {
    if !hand_over {
        return Ok(None);
    }
    if config.store_url() == StoreUrl::Memory {
        return Err(HandoverError::InMemory.into());
    }
    Ok(Predecessor::connect(&config.data, sockets).await?)
}

/// Starts the node once this process owns the data directory: no other process writes there. In a
/// hand-over the edge was loaded while the predecessor still served.
async fn start_as_owner(
    mut context: NodeContext,
    mut sockets: Sockets,
    lock: DataLock,
    options: Options,
    loaded: Option<LoadedEdge>,
    predecessor: Option<Predecessor>,
) -> Result<Node, StartError> {
    lock.write_pid();
    let revocable = RevocableStore::new(context.open_store().await?);
    let store = Arc::clone(&revocable) as SharedStore;
    context.bind_api_listeners(&mut sockets)?;
    let mut edge = if context.role.has_edge() {
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => LoadedEdge::load(options, context.keyring.clone(), clock::now).await?,
        };
        let listeners = || context.bind_edge_listeners(&mut sockets);
        Some(loaded.serve(Arc::clone(&store), listeners).await?)
    } else {
        None
    };
    let mut control = ControlPlane::start(&context, &revocable, edge.as_ref(), &sockets).await?;
    revocable.log_unavailable(None);
    let (draining, draining_rx) = watch::channel(false);
    let health = AdminState {
        catalog: Catalog::new(store, context.keyring.clone()),
        store: Arc::clone(&revocable),
        edge: edge.as_ref().map(Edge::handle),
        alarms: Arc::clone(&context.alarms),
        twin: context.twin_warning.subscribe(),
        draining: draining_rx,
        allowed_hosts: context.config.admin_hosts.clone().into(),
    };
    let admin = serve_admin(&sockets, health)?;
    if let Some(predecessor) = predecessor {
        predecessor.announce_serving().await?;
    }
    sockets.close_unused();
    if let Some(edge) = &mut edge {
        edge.start_prover()?;
    }
    control.accept(&context, &sockets)?;
    let addresses = Addresses::from_sockets(&context, &sockets)?;
    addresses.write(&context.config);
    let handover_listener = open_handover_listener(&context.config);
    context.has_served = true;
    Ok(Node {
        context,
        addresses,
        sockets,
        edge,
        control_plane: Some(control),
        store: revocable,
        data_lock: lock,
        draining,
        admin,
        handover_listener,
    })
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
