//! `edgeseal policy …`

use clap::{Args, Subcommand};
use edgeseal_core::{AccountId, DomainPattern, policy::renewal_policy};

use super::{CliError, Connection, STS_VERSION, output, output::say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print the smallest policy that certificate tools need
    Minimal(Minimal),
}

#[derive(Args)]
pub(super) struct Minimal {
    /// A domain whose certificate may be set; repeatable
    #[arg(long = "domain", value_name = "DOMAIN", required = true)]
    domains: Vec<String>,
    /// Number of the account that owns the domains [default: the caller's, from the server]
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Minimal(minimal) => minimal.run().await,
        }
    }
}

impl Minimal {
    async fn run(self) -> Result<(), CliError> {
        let domains = self.domains.iter().map(|given| {
            DomainPattern::parse(given).map_err(|why| CliError::Usage(format!("{given}: {why}")))
        });
        let domains: Vec<DomainPattern> = domains.collect::<Result<_, _>>()?;
        let account = match self.account {
            Some(given) => given,
            None => {
                let caller = self
                    .connection
                    .call(STS_VERSION, "GetCallerIdentity", &[])
                    .await?;
                output::json_text(&caller.body["AccountId"])
            }
        };
        let account = AccountId::parse(&account).map_err(|why| CliError::Usage(why.to_string()))?;
        let document =
            renewal_policy(&account, &domains).map_err(|why| CliError::Usage(why.to_string()))?;
        let pretty = serde_json::to_string_pretty(&document)
            .map_err(|why| CliError::Usage(why.to_string()))?;
        say!("{pretty}")?;
        Ok(())
    }
}
