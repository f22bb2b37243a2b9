//! `edgeseal alarm …`

use clap::Subcommand;
use serde_json::Value;

use super::{
    CliError, Connection, EDGESEAL_API_VERSION, output,
    output::{pluralize, say},
    time::duration_ms,
};
use crate::clock;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the alarms that are raised, the most urgent first
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Send a test through every channel, and show what each one answers (root account only)
    Test {
        #[command(flatten)]
        connection: Connection,
    },
    /// Notify of no alarm of a domain
    Silence {
        /// The domain
        domain: String,
        /// For how long, as 30d or 12h [default: for ever]
        #[arg(long = "for", value_name = "DURATION")]
        duration: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Notify of alarms of a domain again
    Unsilence {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::List { connection } => {
                let reply = connection.call(EDGESEAL_API_VERSION, "DescribeAlarms", &[]);
                let reply = reply.await?;
                output::print_reply(&connection, &reply, || list(&reply.body))
            }
            Self::Test { connection } => {
                let reply = connection.call(EDGESEAL_API_VERSION, "TestAlarm", &[]);
                let reply = reply.await?;
                output::print_reply(&connection, &reply, || tested(&reply.body))?;
                let channels = rows(&reply.body, "Channels");
                match channels.filter(|row| row["Accepted"] != true).count() {
                    0 => Ok(()),
                    failed => {
                        let failed = pluralize(failed, "channel");
                        Err(CliError::Incomplete(format!(
                            "{failed} did not accept the test"
                        )))
                    }
                }
            }
            Self::Silence {
                domain,
                duration,
                connection,
            } => {
                let until = duration.as_deref().map(end_of).transpose()?;
                let mut params = vec![("DomainName", domain.as_str())];
                params.extend(until.as_deref().map(|until| ("EndTime", until)));
                let reply = connection.call(EDGESEAL_API_VERSION, "SilenceAlarm", &params);
                let reply = reply.await?;
                output::print_reply(&connection, &reply, || match &until {
                    Some(until) => say!("{domain}: no notifications until {until}"),
                    None => say!("{domain}: no notifications"),
                })
            }
            Self::Unsilence { domain, connection } => {
                let params = [("DomainName", domain.as_str())];
                let reply = connection.call(EDGESEAL_API_VERSION, "UnsilenceAlarm", &params);
                let reply = reply.await?;
                output::print_reply(&connection, &reply, || say!("{domain}: notifications"))
            }
        }
    }
}

/// When a silence of this duration ends.
fn end_of(duration: &str) -> Result<String, CliError> {
    let ms = duration_ms(duration).filter(|ms| *ms > 0);
    let ms =
        ms.ok_or_else(|| CliError::Usage(format!("{duration:?} is no duration such as 30d")))?;
    Ok(clock::now().plus_ms(ms).to_string())
}

fn rows<'a>(body: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    body[list].as_array().into_iter().flatten()
}

fn list(body: &Value) -> Result<(), CliError> {
    let alarms: Vec<&Value> = rows(body, "Alarms").collect();
    if alarms.is_empty() {
        say!("no alarms")?;
    } else {
        let shown = alarms.iter().map(|row| {
            let text = |name: &str| output::json_text(&row[name]);
            let severity = if row["Silenced"] == true {
                format!("{} (silenced)", text("Severity"))
            } else {
                text("Severity")
            };
            [severity, text("Code"), text("Since"), text("Text")]
        });
        output::print_table(["SEVERITY", "CODE", "SINCE", "WHAT"], shown)?;
        let total = body["TotalCount"].as_u64().unwrap_or_default();
        let more = total.saturating_sub(alarms.len() as u64);
        if more > 0 {
            say!("and {more} more")?;
        }
    }
    let mut listed = 0;
    for silence in rows(body, "Silences") {
        listed += 1;
        let domain = output::json_text(&silence["DomainName"]);
        match silence["Until"].as_str() {
            Some(until) => say!("{domain} is silenced until {until}"),
            None => say!("{domain} is silenced"),
        }?;
    }
    match body["SilenceCount"].as_u64().unwrap_or_default() {
        count if count > listed => say!("and {} more are silenced", count - listed),
        _ => Ok(()),
    }
}

fn tested(body: &Value) -> Result<(), CliError> {
    let mut channels = rows(body, "Channels").peekable();
    if channels.peek().is_none() {
        return say!(
            "no channel is configured: see [[alarm]] in the reference of the configuration"
        );
    }
    let shown = channels.map(|row| {
        let result = match row["Accepted"] == true {
            true => "accepted".to_owned(),
            false => output::json_text(&row["Why"]),
        };
        [
            output::json_text(&row["Name"]),
            output::json_text(&row["Type"]),
            result,
        ]
    });
    output::print_table(["CHANNEL", "TYPE", "RESULT"], shown)
}
