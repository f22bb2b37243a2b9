//! The connection to the API: endpoint, credentials and retries.

mod profile;
mod roots;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use clap::Args;
use edgeseal_api::client::{CallError, Client, ErrorResponse, Reply};
use edgeseal_core::Secret;
use rustls::pki_types::TrustAnchor;

use super::{CliError, output};
use crate::{bootstrap, clock, node::Addresses};

/// Longest total wait of a command for a server that throttles it.
const THROTTLE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Flags of every command that calls the API.
#[derive(Args)]
pub(super) struct Connection {
    /// The API's address [default: that of the Edgeseal in the data directory, else
    /// http://127.0.0.1:7080]
    #[arg(long, env = "EDGESEAL_ENDPOINT", value_name = "URL")]
    endpoint: Option<String>,
    /// Trusted CAs of an https:// endpoint, in PEM [default: the system's, or those of
    /// SSL_CERT_FILE]
    #[arg(long, env = "EDGESEAL_CACERT", value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Access key to sign with [default: that of the profile, else of DATA/credentials.json]
    #[arg(long, env = "ALIBABA_CLOUD_ACCESS_KEY_ID", value_name = "ID")]
    access_key_id: Option<String>,
    /// Secret of the access key
    #[arg(
        long,
        env = "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    access_key_secret: Option<String>,
    /// Token of a temporary access key
    #[arg(
        long,
        env = "ALIBABA_CLOUD_SECURITY_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    security_token: Option<String>,
    /// Profile of ~/.aliyun/config.json whose access key signs, unless one is given
    #[arg(long, env = "ALIBABA_CLOUD_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// Data directory of the server on this machine
    #[arg(
        long,
        env = "EDGESEAL_DATA",
        value_name = "DIR",
        default_value = "edgeseal-data"
    )]
    data: PathBuf,
    /// Print the response as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Created by the first call, shared by all.
    #[arg(skip)]
    client: OnceLock<Client>,
}

/// An access key.
struct AccessKey {
    id: String,
    secret: Secret,
    /// The security token of a temporary access key.
    token: Option<String>,
}

/// The roots in a file of PEM, as trust anchors.
///
/// # Errors
/// [`CliError::Usage`] if it holds none.
pub(super) fn trust_anchors(file: &Path) -> Result<Vec<TrustAnchor<'static>>, CliError> {
    Ok(roots::roots(Some(file))?.roots)
}

impl Connection {
    /// Calls an action.
    pub(super) async fn call(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Reply, CliError> {
        self.call_with(version, action, params, &[]).await
    }

    /// Calls an action with further headers, without retries.
    pub(super) async fn call_once(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Reply, CliError> {
        let called = self.client()?.call_with(version, action, params, headers);
        Ok(called.await?)
    }

    /// Calls an action with further headers. While the server throttles the call, it waits as long
    /// as the server says and retries, for at most a minute in total.
    pub(super) async fn call_with(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Reply, CliError> {
        let client = self.client()?;
        let mut waited = Duration::ZERO;
        loop {
            let called = client.call_with(version, action, params, headers).await;
            let wait = match &called {
                Err(CallError::Api(refusal)) => retry_after(refusal),
                _ => None,
            };
            match wait {
                Some(wait) if waited + wait <= THROTTLE_WAIT_MAX => {
                    tokio::time::sleep(wait).await;
                    waited += wait;
                }
                _ => {
                    let reply = called?;
                    output::print_warnings(&reply);
                    return Ok(reply);
                }
            }
        }
    }

    fn client(&self) -> Result<&Client, CliError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let key = self.access_key()?;
        let mut client = Client::new(&self.endpoint(), key.id, key.secret, clock::now)?;
        if client.is_https() {
            client = client.with_roots(roots::roots(self.cacert.as_deref())?)?;
        }
        if let Some(token) = key.token {
            client = client.with_token(token);
        }
        Ok(self.client.get_or_init(|| client))
    }

    fn endpoint(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| {
            Addresses::read(&self.data).map_or_else(
                || "http://127.0.0.1:7080".to_owned(),
                |addresses| format!("http://{}", addresses.api),
            )
        })
    }

    fn access_key(&self) -> Result<AccessKey, CliError> {
        match (&self.access_key_id, &self.access_key_secret, &self.profile) {
            (Some(id), Some(secret), _) => {
                return Ok(AccessKey {
                    id: id.clone(),
                    secret: Secret::from(secret.clone()),
                    token: self.security_token.clone(),
                });
            }
            (None, None, Some(name)) => return profile::read(name),
            (None, None, None) => {}
            _ => {
                return Err(CliError::Usage(
                    "give both the access key's id and its secret, or neither".to_owned(),
                ));
            }
        }
        let path = self.data.join("credentials.json");
        let found = bootstrap::read_credentials(&path)
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let found = found.ok_or_else(|| {
            CliError::Usage(format!(
                "no credentials: {} does not exist; use --data, --profile, or ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                path.display()
            ))
        })?;
        Ok(AccessKey {
            id: found.access_key_id,
            secret: Secret::new(found.access_key_secret.as_bytes().to_vec()),
            token: self.security_token.clone(),
        })
    }
}

/// How long to wait before a retry; `None` if the call was not throttled.
pub(super) fn retry_after(refusal: &ErrorResponse) -> Option<Duration> {
    // The response names no time, for example because a proxy drops headers.
    const UNKNOWN_MS: u64 = 1000;
    let is_throttled = refusal.code == "Throttling" || refusal.code.starts_with("Throttling.");
    let ms = refusal.retry_after_ms.unwrap_or(UNKNOWN_MS).max(1);
    is_throttled.then(|| Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_for_the_rate_are_tried_again() {
        for (code, told, wait) in [
            ("Throttling.User", Some(34), Some(34)),
            ("Throttling", None, Some(1000)),
            ("Throttling.Api", Some(0), Some(1)),
            ("ThrottlingX", Some(34), None),
            ("NoPermission", Some(34), None),
        ] {
            let refusal = ErrorResponse {
                code: code.to_owned(),
                retry_after_ms: told,
                ..ErrorResponse::default()
            };
            assert_eq!(
                retry_after(&refusal),
                wait.map(Duration::from_millis),
                "{code}"
            );
        }
    }
}
