//! `edgeseal account …`

use clap::Subcommand;

use super::{Connection, EDGESEAL, Failure, output, output::say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an account with its first access key
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the accounts with their access keys
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { name, connection } => {
                let reply = connection
                    .call(EDGESEAL, "CreateAccount", &[("AccountName", name.as_str())])
                    .await?;
                output::reply(&connection, &reply, || {
                    say!(
                        "AccountId        {}",
                        output::text(&reply.body["AccountId"])
                    )?;
                    output::new_access_key(&reply.body["AccessKey"])
                })?;
                Ok(())
            }
            Self::List { connection } => {
                let reply = connection.call(EDGESEAL, "ListAccounts", &[]).await?;
                output::reply(&connection, &reply, || list(&reply.body["Accounts"]))?;
                Ok(())
            }
        }
    }
}

fn list(accounts: &serde_json::Value) -> Result<(), Failure> {
    let rows = accounts.as_array().into_iter().flatten().map(|account| {
        let keys = account["AccessKeys"].as_array().into_iter().flatten();
        let keys: Vec<String> = keys
            .map(|key| {
                format!(
                    "{} ({})",
                    output::text(&key["AccessKeyId"]),
                    output::text(&key["Status"])
                )
            })
            .collect();
        [
            output::text(&account["AccountId"]),
            output::text(&account["AccountName"]),
            keys.join("\n"),
        ]
    });
    output::table(["ACCOUNT", "NAME", "ACCESS KEYS"], rows)
}
