//! Why Edgeseal does not start.

use std::net::SocketAddr;

use edgeseal_store::{open::OpenError, seal::MissingKey};

use crate::{
    api_tls::ApiTlsError, bootstrap::BootstrapError, config::ConfigError, data_lock::DataLockError,
    handover::HandoverError,
};

/// Why Edgeseal does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Directory, keys, first account.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Another process owns the store.
    #[error("{0}; to take over from it, start with --take-over")]
    StoreInUse(#[source] OpenError),
    /// The process that serves does not hand over.
    #[error(transparent)]
    Handover(HandoverError),
    /// The keys have changed while this process loaded.
    #[error("the key-encryption keys changed meanwhile: {0}")]
    KeyringChanged(#[from] MissingKey),
    /// Another process owns the data directory.
    #[error(transparent)]
    DataInUse(#[from] DataLockError),
    /// A socket that a service manager passed on.
    #[error("the socket {name:?} that was passed on cannot be used: {cause}")]
    SocketActivation {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// Certificate or key of the API in TLS.
    #[error(transparent)]
    ApiTls(#[from] ApiTlsError),
    /// The edge.
    #[error(transparent)]
    Edge(#[from] edgeseal_edge::StartError),
    /// The system's signals.
    #[error("the system refuses: {0}")]
    Io(#[from] std::io::Error),
    /// A socket.
    #[error("cannot listen on {address} for {role}: {cause}")]
    Listen {
        /// For what.
        role: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}
