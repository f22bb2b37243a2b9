//! Whom to call, and as whom.

use std::{fs, path::PathBuf};

use clap::Args;
use edgeseal_api::client::{Client, Reply};
use edgeseal_core::Secret;

use super::Failure;
use crate::{bootstrap, clock, running::Addresses};

/// Flags of every command that calls.
#[derive(Args)]
pub(super) struct Connection {
    /// The API's address [default: that of the Edgeseal in the data directory, else http://127.0.0.1:7080]
    #[arg(long, env = "EDGESEAL_ENDPOINT", value_name = "URL")]
    endpoint: Option<String>,
    /// Access key to sign with [default: that of DATA/credentials.json]
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
    /// Data directory of an Edgeseal on this machine
    #[arg(
        long,
        env = "EDGESEAL_DATA",
        value_name = "DIR",
        default_value = "edgeseal-data"
    )]
    data: PathBuf,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Connection {
    /// Calls an action.
    pub(super) async fn call(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Reply, Failure> {
        self.call_with(version, action, params, &[]).await
    }

    /// Calls an action with further headers.
    pub(super) async fn call_with(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Reply, Failure> {
        Ok(self
            .client()?
            .call_with(version, action, params, headers)
            .await?)
    }

    fn client(&self) -> Result<Client, Failure> {
        let (id, secret) = self.credentials()?;
        let client = Client::new(&self.endpoint(), id, secret, clock::now)?;
        Ok(match &self.security_token {
            Some(token) => client.with_token(token.clone()),
            None => client,
        })
    }

    fn endpoint(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| {
            let written = fs::read(self.data.join("addresses.json")).ok();
            let addresses =
                written.and_then(|json| serde_json::from_slice::<Addresses>(&json).ok());
            addresses.map_or_else(
                || "http://127.0.0.1:7080".to_owned(),
                |addresses| format!("http://{}", addresses.api),
            )
        })
    }

    fn credentials(&self) -> Result<(String, Secret), Failure> {
        match (&self.access_key_id, &self.access_key_secret) {
            (Some(id), Some(secret)) => return Ok((id.clone(), Secret::from(secret.clone()))),
            (None, None) => {}
            _ => {
                return Err(Failure::Usage(
                    "give both the access key's id and its secret, or neither".to_owned(),
                ));
            }
        }
        let path = self.data.join("credentials.json");
        let found = bootstrap::read_credentials(&path)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let found = found.ok_or_else(|| {
            Failure::Usage(format!(
                "no credentials: {} does not exist; use --data, or ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                path.display()
            ))
        })?;
        Ok((
            found.access_key_id,
            Secret::new(found.access_key_secret.as_bytes().to_vec()),
        ))
    }
}
