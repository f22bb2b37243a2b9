//! Errors of starting a node.

use std::net::SocketAddr;

use edgeseal_store::{open::OpenError, seal::MissingKey};

use crate::{
    alarms::ChannelError, api_tls::ApiTlsError, bootstrap::BootstrapError, config::ConfigError,
    data_lock::DataLockError, handover::HandoverError, outside::OutsideError,
    private_files::PrivateFileError,
};

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An issuer cannot be used as it is configured.
    #[error(transparent)]
    Issuer(#[from] edgeseal_acme::InvalidIssuer),
    /// Data directory, keys or first account.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// A file or directory of the data directory.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Another process has the store open.
    #[error("{0}; to take over from it, start with --hand-over")]
    StoreInUse(#[source] OpenError),
    /// The running process does not hand over.
    #[error(transparent)]
    Handover(HandoverError),
    /// The predecessor changed the keys while this process loaded.
    #[error("the key-encryption keys changed meanwhile: {0}")]
    KeyringChanged(#[from] MissingKey),
    /// Another process owns the data directory.
    #[error(transparent)]
    DataInUse(#[from] DataLockError),
    /// A socket of a service manager cannot be used.
    #[error("the inherited socket {name:?} cannot be used: {cause}")]
    SocketActivation {
        /// Its name (`FileDescriptorName=`).
        name: String,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// Certificate or key of the API over TLS.
    #[error(transparent)]
    ApiTls(#[from] ApiTlsError),
    /// A channel for alarms cannot be set up.
    #[error(transparent)]
    Alarms(#[from] ChannelError),
    /// Domains cannot be checked from outside.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// The edge cannot start.
    #[error(transparent)]
    Edge(#[from] edgeseal_edge::StartError),
    /// An operation of the operating system failed.
    #[error("system error: {0}")]
    Io(#[from] std::io::Error),
    /// An address cannot be bound.
    #[error("cannot listen on {address} for {role}: {cause}")]
    Listen {
        /// What listens there.
        role: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
}
