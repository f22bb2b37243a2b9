//! `edgeseal account …`

use clap::{Args, Subcommand};

use super::{CliError, Connection, EDGESEAL_API_VERSION, output, output::say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an account with its first access key
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        quotas: Quotas,
        #[command(flatten)]
        connection: Connection,
    },
    /// Change the quotas and rights of an account
    Update {
        /// Its number
        account: String,
        /// Whether its origins may have private addresses: allowed, refused or default
        #[arg(long, value_name = "WORD")]
        private_origins: Option<String>,
        #[command(flatten)]
        quotas: Quotas,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the accounts with their access keys
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

/// Quotas of an account: a number, `unlimited`, or `default` for the server's default.
#[derive(Args)]
pub(super) struct Quotas {
    /// Quota of domains: a number, unlimited or default
    #[arg(long, value_name = "QUOTA")]
    quota_domains: Option<String>,
    /// Quota of certificates
    #[arg(long, value_name = "QUOTA")]
    quota_certificates: Option<String>,
    /// Quota of stored keys of signing requests
    #[arg(long, value_name = "QUOTA")]
    quota_csr_keys: Option<String>,
}

impl Quotas {
    fn params(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("QuotaDomains", &self.quota_domains),
            ("QuotaCertificates", &self.quota_certificates),
            ("QuotaCsrKeys", &self.quota_csr_keys),
        ];
        all.into_iter()
            .filter_map(|(name, given)| Some((name, given.as_deref()?)))
    }
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create {
                name,
                quotas,
                connection,
            } => {
                let mut params = vec![("AccountName", name.as_str())];
                params.extend(quotas.params());
                let reply = connection
                    .call(EDGESEAL_API_VERSION, "CreateAccount", &params)
                    .await?;
                output::print_reply(&connection, &reply, || {
                    say!(
                        "AccountId        {}",
                        output::json_text(&reply.body["AccountId"])
                    )?;
                    output::print_new_access_key(&reply.body["AccessKey"])
                })?;
                Ok(())
            }
            Self::Update {
                account,
                private_origins,
                quotas,
                connection,
            } => {
                let mut params = vec![("AccountId", account.as_str())];
                params.extend(
                    private_origins
                        .iter()
                        .map(|to| ("PrivateOrigins", to.as_str())),
                );
                params.extend(quotas.params());
                let reply = connection
                    .call(EDGESEAL_API_VERSION, "UpdateAccount", &params)
                    .await?;
                output::print_reply(&connection, &reply, || say!("{account}: updated"))?;
                Ok(())
            }
            Self::List { connection } => {
                let reply = connection
                    .call(EDGESEAL_API_VERSION, "ListAccounts", &[])
                    .await?;
                output::print_reply(&connection, &reply, || list(&reply.body["Accounts"]))?;
                Ok(())
            }
        }
    }
}

fn list(accounts: &serde_json::Value) -> Result<(), CliError> {
    let rows = accounts.as_array().into_iter().flatten().map(|account| {
        let keys = account["AccessKeys"].as_array().into_iter().flatten();
        let keys: Vec<String> = keys
            .map(|key| {
                format!(
                    "{} ({})",
                    output::json_text(&key["AccessKeyId"]),
                    output::json_text(&key["Status"])
                )
            })
            .collect();
        [
            output::json_text(&account["AccountId"]),
            output::json_text(&account["AccountName"]),
            keys.join("\n"),
        ]
    });
    output::print_table(["ACCOUNT", "NAME", "ACCESS KEYS"], rows)
}
