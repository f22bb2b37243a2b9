//! `edgeseal cert reissue …`

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    cli::{
        CliError, Connection, EDGESEAL_API_VERSION, output,
        output::{pluralize, say},
        time::duration_ms,
    },
    clock,
};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    last: Option<Last>,
    #[command(flatten)]
    start: Start,
}

/// What is done with the one that was started last.
#[derive(Subcommand)]
enum Last {
    /// Show how far it is
    Status {
        #[command(flatten)]
        connection: Connection,
    },
    /// Start no more orders; those in progress end
    Stop {
        #[command(flatten)]
        connection: Connection,
    },
    /// Go on after a stop
    Resume {
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Args)]
struct Start {
    #[command(flatten)]
    scope: Scope,
    /// Order no replacement from this issuer
    #[arg(long, value_name = "NAME")]
    not_from: Option<String>,
    /// How soon all are to be replaced
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    within: String,
    /// Only show how long it would take
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// Replace the certificates of this issuer: its name in the configuration
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Replace those whose issuer asks for a renewal at once, as before a revocation
    #[arg(long)]
    revoked: bool,
    /// Replace all that were ordered
    #[arg(long)]
    all: bool,
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        match self.last {
            None => self.start.run().await,
            Some(last) => last.run().await,
        }
    }
}

impl Last {
    async fn run(self) -> Result<(), CliError> {
        let (action, connection) = match self {
            Self::Status { connection } => ("DescribeReissue", connection),
            Self::Stop { connection } => ("StopReissue", connection),
            Self::Resume { connection } => ("ResumeReissue", connection),
        };
        let reply = connection.call(EDGESEAL_API_VERSION, action, &[]).await?;
        output::print_reply(&connection, &reply, || match action {
            "StopReissue" => say!("stopped: orders in progress end, no other starts"),
            "ResumeReissue" => say!("resumed"),
            _ => show(&reply.body),
        })
    }
}

impl Start {
    async fn run(self) -> Result<(), CliError> {
        let within = duration_ms(&self.within).filter(|ms| *ms > 0);
        let within = within.ok_or_else(|| {
            CliError::Usage(format!("{:?} is no duration such as 24h", self.within))
        })?;
        let end = clock::now().plus_ms(within).to_string();
        let mut params = vec![("EndTime", end.as_str())];
        match &self.scope.issuer {
            Some(issuer) => params.extend([("Scope", "Issuer"), ("Issuer", issuer.as_str())]),
            None => params.push(("Scope", if self.scope.revoked { "Revoked" } else { "All" })),
        }
        params.extend(self.not_from.as_deref().map(|name| ("NotFrom", name)));
        if self.dry_run {
            params.push(("DryRun", "true"));
        }
        let reply = self
            .connection
            .call(EDGESEAL_API_VERSION, "ReissueCertificates", &params);
        let reply = reply.await?;
        output::print_reply(&self.connection, &reply, || show(&reply.body))
    }
}

fn show(body: &Value) -> Result<(), CliError> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let certificates = |value: &Value| {
        let count = usize::try_from(number(value)).unwrap_or(usize::MAX);
        pluralize(count, "certificate")
    };
    let text = output::json_text;
    let issuer = body["Issuer"].as_str().map(|name| format!(" {name}"));
    let without = body["NotFrom"]
        .as_str()
        .map(|name| format!(", none from {name}"));
    if number(&body["Total"]) == 0 {
        return say!(
            "{}{}: there is no such certificate",
            text(&body["Scope"]),
            issuer.unwrap_or_default(),
        );
    }
    say!(
        "{}: {}{}{}, {} of {} replaced ({} %), {} failing",
        text(&body["State"]),
        text(&body["Scope"]),
        issuer.unwrap_or_default(),
        without.unwrap_or_default(),
        number(&body["Replaced"]),
        certificates(&body["Total"]),
        number(&body["Percent"]),
        number(&body["Failing"]),
    )?;
    if number(&body["Left"]) == 0 {
        return Ok(());
    }
    let forecast = &body["Forecast"];
    let shares = forecast["Issuers"].as_array().into_iter().flatten();
    let rows: Vec<_> = shares
        .map(|share| ["Issuer", "Certificates", "Finished"].map(|member| text(&share[member])))
        .collect();
    if !rows.is_empty() {
        output::print_table(["ISSUER", "CERTIFICATES", "DONE BY"], rows)?;
    }
    say!(
        "under these limits done at {}; to be done at {}",
        text(&forecast["Finished"]),
        text(&body["Deadline"]),
    )?;
    if let Some(at) = body["FinishAtThisPace"].as_str() {
        say!("at the pace so far done at {at}")?;
    }
    for (member, what) in [
        ("Late", "would come too late"),
        ("Never", "would be taken by no issuer"),
    ] {
        if number(&forecast[member]) > 0 {
            say!("{} {what}", certificates(&forecast[member]))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        command: Command,
    }

    #[test]
    fn one_scope_or_a_command() {
        let rows = [
            ("--all", true),
            ("--revoked --within 12h --dry-run", true),
            ("--issuer a --not-from a", true),
            ("status", true),
            ("stop", true),
            ("resume", true),
            ("", false),
            ("--all --revoked", false),
            ("--all --issuer a", false),
            ("--dry-run", false),
            ("--all status", false),
        ];
        for (line, good) in rows {
            let words = std::iter::once("reissue").chain(line.split_whitespace());
            assert_eq!(Line::try_parse_from(words).is_ok(), good, "{line}");
        }
    }
}
