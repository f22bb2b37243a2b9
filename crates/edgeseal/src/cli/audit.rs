//! `edgeseal audit …`

mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CliError, Connection, EDGESEAL_API_VERSION, output, output::say, time::resolve_time};
use crate::clock;

/// Most records per call.
const PAGE: usize = 500;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List audit records of the caller's account, newest first
    List {
        /// Most records to list
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        filter: AuditFilter,
    },
    /// Print all audit records of the caller's account as JSON, one per line, oldest first
    Export(AuditFilter),
    /// Check the audit records in the data directory for removed, changed or inserted ones
    Verify(verify::Command),
}

/// Filters of records; a trailing * matches any rest.
#[derive(Args)]
pub(super) struct AuditFilter {
    /// From this time on: 2026-01-02T03:04:05Z, or 7d for the last seven days (s, m, h, d, w)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time, in the same syntax
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The caller: root, user/NAME, assumed-role/ROLE/SESSION, or the whole acs:ram::…
    #[arg(long, value_name = "WHO")]
    principal: Option<String>,
    /// The action that was called
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// A domain, or another resource
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// OK, or the code of a refusal
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Source address of the caller
    #[arg(long, value_name = "ADDRESS")]
    source: Option<String>,
    /// Id of the request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        match self {
            Self::List {
                limit,
                filter: wanted,
            } => list(&wanted, limit).await?,
            Self::Export(wanted) => export(&wanted).await?,
            Self::Verify(command) => return command.run().await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(wanted: &AuditFilter, limit: usize) -> Result<(), CliError> {
    let mut records: Vec<Value> = Vec::new();
    let mut token = None;
    while records.len() < limit {
        let results = (limit - records.len()).min(PAGE);
        let page = wanted.page("BACKWARD", results, token.as_deref()).await?;
        records.extend(page.records);
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    if wanted.connection.json {
        say!("{}", json!({ "Records": records, "NextToken": token }))?;
        return Ok(());
    }
    let heading = [
        "TIME", "WHO", "ACTION", "RESOURCE", "CODE", "REASON", "FROM", "REQUEST",
    ];
    let rows = records.iter().map(|record| {
        let text = |name: &str| output::json_text(&record[name]);
        let who = text("Principal");
        let who = who.rsplit(':').next().unwrap_or_default();
        [
            text("EventTime"),
            who.to_owned(),
            text("Action"),
            text("Resource"),
            text("Code"),
            notes_text(&record["Notes"]),
            text("SourceIp"),
            text("RequestId"),
        ]
    });
    output::print_table(heading, rows)?;
    Ok(())
}

/// The detail of a refusal, or the warnings of an accepted call.
fn notes_text(notes: &Value) -> String {
    let notes = notes.as_array().into_iter().flatten();
    notes.map(output::json_text).collect::<Vec<_>>().join("; ")
}

async fn export(wanted: &AuditFilter) -> Result<(), CliError> {
    let mut token = None;
    loop {
        let page = wanted.page("FORWARD", PAGE, token.as_deref()).await?;
        for record in page.records {
            say!("{record}")?;
        }
        token = page.next_token;
        if token.is_none() {
            return Ok(());
        }
    }
}

struct Page {
    records: Vec<Value>,
    next_token: Option<String>,
}

impl AuditFilter {
    async fn page(
        &self,
        direction: &str,
        results: usize,
        token: Option<&str>,
    ) -> Result<Page, CliError> {
        let results = results.to_string();
        let time =
            |given: &Option<String>| given.as_deref().map(|it| resolve_time(it, clock::now()));
        let (since, until) = (time(&self.since), time(&self.until));
        let filters = [
            ("StartTime", since.as_deref()),
            ("EndTime", until.as_deref()),
            ("Principal", self.principal.as_deref()),
            ("ActionName", self.action.as_deref()),
            ("Resource", self.resource.as_deref()),
            ("Code", self.code.as_deref()),
            ("SourceIp", self.source.as_deref()),
            ("RequestId", self.request.as_deref()),
            ("NextToken", token),
        ];
        let given = filters.into_iter();
        let given = given.filter_map(|(name, value)| Some((name, value?)));
        let mut params: Vec<(&str, &str)> = given.collect();
        params.push(("Direction", direction));
        params.push(("MaxResults", &results));
        let called = self
            .connection
            .call(EDGESEAL_API_VERSION, "DescribeAuditRecords", &params);
        let mut reply = called.await?;
        let records = match reply.body["Records"].take() {
            Value::Array(records) => records,
            _ => Vec::new(),
        };
        let token = reply.body["NextToken"].as_str();
        Ok(Page {
            records,
            next_token: token.map(str::to_owned),
        })
    }
}
