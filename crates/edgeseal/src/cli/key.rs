//! `edgeseal key …`

use clap::{Args, Subcommand};

use super::{CliError, Connection, EDGESEAL_API_VERSION, output, output::say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an access key
    Create {
        /// Number of its account [default: the caller's]
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Disable an access key
    Disable(KeyArgs),
    /// Enable an access key
    Enable(KeyArgs),
    /// Delete an access key
    Delete(KeyArgs),
}

/// An access key.
#[derive(Args)]
pub(super) struct KeyArgs {
    /// The access key's id
    key: String,
    /// Number of its account [default: the caller's]
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create {
                account,
                connection,
            } => {
                let params: Vec<_> = account
                    .iter()
                    .map(|account| ("AccountId", account.as_str()))
                    .collect();
                let reply = connection
                    .call(EDGESEAL_API_VERSION, "CreateAccessKey", &params)
                    .await?;
                output::print_reply(&connection, &reply, || {
                    output::print_new_access_key(&reply.body["AccessKey"])
                })?;
                Ok(())
            }
            Self::Disable(named) => {
                named
                    .run("UpdateAccessKey", Some("Inactive"), "disabled")
                    .await
            }
            Self::Enable(named) => {
                named
                    .run("UpdateAccessKey", Some("Active"), "enabled")
                    .await
            }
            Self::Delete(named) => named.run("DeleteAccessKey", None, "deleted").await,
        }
    }
}

impl KeyArgs {
    async fn run(self, action: &str, status: Option<&str>, done: &str) -> Result<(), CliError> {
        let mut params = vec![("UserAccessKeyId", self.key.as_str())];
        params.extend(
            self.account
                .iter()
                .map(|account| ("AccountId", account.as_str())),
        );
        params.extend(status.map(|status| ("Status", status)));
        let reply = self
            .connection
            .call(EDGESEAL_API_VERSION, action, &params)
            .await?;
        output::print_reply(&self.connection, &reply, || say!("{} is {done}", self.key))?;
        Ok(())
    }
}
