//! Where everything listens, for the commands of this machine.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{StartError, context::NodeContext};
use crate::{
    config::Config,
    private_files,
    sockets::{SocketRole, Sockets},
};

/// Where everything listens, as `addresses.json` holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The API.
    pub(crate) api: SocketAddr,
    /// The API in TLS, if it listens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_tls: Option<SocketAddr>,
    /// The edge's HTTPS.
    pub(crate) https: SocketAddr,
    /// The edge's plain HTTP.
    pub(crate) http: SocketAddr,
    /// Health and metrics.
    pub(crate) admin: SocketAddr,
}

impl Addresses {
    /// Of a process that listens everywhere.
    pub(super) fn from_sockets(parts: &NodeContext, sockets: &Sockets) -> Result<Self, StartError> {
        let at = |role| Ok::<_, StartError>(sockets.try_clone(role)?.local_addr()?);
        let api_tls = parts.api_tls.as_ref().map(|_| at(SocketRole::ApiTls));
        Ok(Self {
            api: at(SocketRole::Api)?,
            api_tls: api_tls.transpose()?,
            https: at(SocketRole::Https)?,
            http: at(SocketRole::Http)?,
            admin: at(SocketRole::Admin)?,
        })
    }

    /// Writes them into the data directory. A disk that takes nothing leaves commands without them,
    /// and is no reason not to serve.
    pub(super) fn write(&self, config: &Config) {
        let json = serde_json::to_vec(self).unwrap_or_default();
        if let Err(error) =
            private_files::replace_private_file(&config.data.join("addresses.json"), &json)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "commands on this machine will not find the API by themselves"
            );
        }
    }
}
