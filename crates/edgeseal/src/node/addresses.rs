//! The addresses that a node listens on, for the command line on this machine.

use std::{fs, net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};

use super::{StartError, context::NodeContext};
use crate::{
    config::Config,
    private_files,
    sockets::{SocketRole, Sockets},
};

const FILE: &str = "addresses.json";

/// The content of `addresses.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The API.
    pub(crate) api: SocketAddr,
    /// The API over TLS, if enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_tls: Option<SocketAddr>,
    /// The edge's HTTPS, if there is an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) https: Option<SocketAddr>,
    /// The edge's plain HTTP, if there is an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Health and metrics.
    pub(crate) admin: SocketAddr,
}

impl Addresses {
    /// The addresses of `sockets`, all of which must be bound.
    pub(super) fn from_sockets(node: &NodeContext, sockets: &Sockets) -> Result<Self, StartError> {
        let at = |role| Ok::<_, StartError>(sockets.try_clone(role)?.local_addr()?);
        let api_tls = node.api_tls.as_ref().map(|_| at(SocketRole::ApiTls));
        let of_edge = |role| node.role.has_edge().then(|| at(role)).transpose();
        Ok(Self {
            api: at(SocketRole::Api)?,
            api_tls: api_tls.transpose()?,
            https: of_edge(SocketRole::Https)?,
            http: of_edge(SocketRole::Http)?,
            admin: at(SocketRole::Admin)?,
        })
    }

    /// Reads `addresses.json` of the server on this data directory; `None` if it is missing or
    /// malformed.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(data.join(FILE)).ok()?).ok()
    }

    /// Writes `addresses.json`. A failure is only logged: a full disk must not prevent serving.
    pub(super) fn write(&self, config: &Config) {
        let json = serde_json::to_vec(self).unwrap_or_default();
        if let Err(error) = private_files::replace_private_file(&config.data.join(FILE), &json) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "addresses.json cannot be written: commands need --endpoint"
            );
        }
    }
}
