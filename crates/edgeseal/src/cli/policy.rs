//! `edgeseal policy …`

use clap::{Args, Subcommand};
use edgeseal_core::{AccountId, Pattern, policy::minimal};

use super::{Connection, Failure, STS, output, output::say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print the smallest policy with which certificate tools work
    Minimal(Minimal),
}

#[derive(Args)]
pub(super) struct Minimal {
    /// A domain whose certificate may be set; can be given several times
    #[arg(long = "domain", value_name = "DOMAIN", required = true)]
    domains: Vec<String>,
    /// Number of the account whose domains they are [default: ask the server for the caller's]
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Minimal(minimal) => minimal.run().await,
        }
    }
}

impl Minimal {
    async fn run(self) -> Result<(), Failure> {
        let domains = self.domains.iter().map(|given| {
            Pattern::parse(given).map_err(|why| Failure::Usage(format!("{given}: {why}")))
        });
        let domains: Vec<Pattern> = domains.collect::<Result<_, _>>()?;
        let account = match self.account {
            Some(given) => given,
            None => {
                let caller = self.connection.call(STS, "GetCallerIdentity", &[]).await?;
                output::text(&caller.body["AccountId"])
            }
        };
        let account = AccountId::parse(&account).map_err(|why| Failure::Usage(why.to_string()))?;
        let document =
            minimal(&account, &domains).map_err(|why| Failure::Usage(why.to_string()))?;
        let pretty = serde_json::to_string_pretty(&document)
            .map_err(|why| Failure::Usage(why.to_string()))?;
        say!("{pretty}")?;
        Ok(())
    }
}
