//! `edgeseal kek …`

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;
use edgeseal_api::client::Reply;
use edgeseal_store::Keyring;
use serde_json::Value;

use super::{
    CliError, Connection, EDGESEAL_API_VERSION, output,
    output::{say, warn_line},
};
use crate::private_files;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the key-encryption keys, and how many records are sealed under each
    Status {
        #[command(flatten)]
        connection: Connection,
    },
    /// Activate a new key, and reseal everything under it in the background
    Rotate {
        /// Do not wait until everything is resealed
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Make a new key in a file, which must not exist yet; for several servers on one database
    Generate {
        /// The file
        file: PathBuf,
    },
    /// Remove a key that nothing is sealed under
    Retire {
        /// The key's id
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// How often the progress is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Status { connection } => {
                let reply = describe(&connection, true).await?;
                output::print_reply(&connection, &reply, || status(&reply.body))?;
                Ok(())
            }
            Self::Generate { file } => {
                let key = Keyring::generate();
                private_files::create_private_file(&file, key.as_bytes())
                    .map_err(|error| CliError::Usage(error.to_string()))?;
                say!("a new key is in {}; every server needs it", file.display())?;
                Ok(())
            }
            Self::Rotate {
                no_wait,
                connection,
            } => rotate(&connection, !no_wait).await,
            Self::Retire { id, connection } => {
                let params = [("KeyId", id.as_str())];
                let reply = connection
                    .call(EDGESEAL_API_VERSION, "RetireKeyEncryptionKey", &params)
                    .await?;
                output::print_reply(&connection, &reply, || retired(&id, &reply.body["StillIn"]))?;
                Ok(())
            }
        }
    }
}

async fn rotate(connection: &Connection, wait: bool) -> Result<(), CliError> {
    let reply = connection
        .call(EDGESEAL_API_VERSION, "RotateKeyEncryptionKey", &[])
        .await?;
    let key = output::json_text(&reply.body["KeyId"]);
    output::print_reply(connection, &reply, || {
        if reply.body["Pending"] == true {
            return say!("sealing with key {key} once every node has it");
        }
        say!("sealing with key {key} from now on")
    })?;
    if wait {
        wait_until_resealed(connection, &key).await?;
    }
    Ok(())
}

/// Waits until everything is resealed; prints progress on standard error.
async fn wait_until_resealed(connection: &Connection, key: &str) -> Result<(), CliError> {
    let mut told = String::new();
    loop {
        let reply = describe(connection, false).await?;
        let resealing = &reply.body["Resealing"];
        let count = |name: &str| output::json_text(&resealing[name]);
        let (resealed, opened) = (count("Resealed"), count("Opened"));
        match resealing["State"].as_str().unwrap_or_default() {
            "Running" => {
                let trouble = count("Trouble");
                let mut now = format!("{resealed} records resealed");
                if !trouble.is_empty() {
                    now = format!("{now} ({trouble})");
                }
                if now != told {
                    warn_line!("{now}");
                    told = now;
                }
            }
            "Stuck" => {
                return Err(CliError::Incomplete(format!(
                    "{resealed} records were resealed, {} cannot be opened and are unchanged: {}; edgeseal doctor \
                     shows all of them",
                    count("Unopened"),
                    count("Trouble")
                )));
            }
            _ => {
                if !connection.json {
                    say!("{resealed} records were resealed; all {opened} are under key {key}")?;
                }
                return Ok(());
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn describe(connection: &Connection, count: bool) -> Result<Reply, CliError> {
    let count = if count { "true" } else { "false" };
    let params = [("Count", count)];
    connection
        .call(EDGESEAL_API_VERSION, "DescribeKeyEncryption", &params)
        .await
}

fn status(body: &Value) -> Result<(), CliError> {
    for source in body["Sources"].as_array().into_iter().flatten() {
        say!("keys come from {}", output::json_text(source))?;
    }
    let rows = body["Keys"].as_array().into_iter().flatten().map(|key| {
        let records = key["Records"].as_array().into_iter().flatten();
        let records: Vec<String> = records
            .filter(|kind| kind["Count"] != 0)
            .map(|kind| {
                format!(
                    "{} {}",
                    output::json_text(&kind["Count"]),
                    output::json_text(&kind["Kind"])
                )
            })
            .collect();
        let standing = match (key["Active"] == true, key["Present"] == true) {
            (true, _) => "seals",
            (false, true) => "opens",
            (false, false) => "missing",
        };
        let records = if records.is_empty() {
            "nothing".to_owned()
        } else {
            records.join(", ")
        };
        [
            output::json_text(&key["KeyId"]),
            standing.to_owned(),
            records,
        ]
    });
    output::print_table(["KEY", "", "SEALED UNDER IT"], rows)?;
    if body["Unreadable"] != 0 {
        say!(
            "{} sealed records cannot be decoded; see edgeseal doctor",
            output::json_text(&body["Unreadable"])
        )?;
    }
    let resealing = &body["Resealing"];
    match resealing["State"].as_str().unwrap_or_default() {
        "Running" => say!(
            "resealing: {} records so far {}",
            output::json_text(&resealing["Resealed"]),
            output::json_text(&resealing["Trouble"])
        ),
        "Stuck" => say!(
            "{} records do not open: {}",
            output::json_text(&resealing["Unopened"]),
            output::json_text(&resealing["Trouble"])
        ),
        _ => Ok(()),
    }
}

fn retired(id: &str, still_in: &Value) -> Result<(), CliError> {
    say!("key {id} is retired: nothing needs it")?;
    for source in still_in.as_array().into_iter().flatten() {
        say!("take it out of {} now", output::json_text(source))?;
    }
    Ok(())
}
