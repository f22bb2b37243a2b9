//! `edgeseal rollout`

use clap::Args;
use serde_json::Value;

use super::{CliError, Connection, EDGESEAL_API_VERSION, output, output::say};

#[derive(Args)]
pub(super) struct Command {
    /// The domain; without it, all edges are shown (root account only)
    domain: Option<String>,
    /// Show what staging edges serve
    #[arg(long)]
    staging: bool,
    /// Compare with this commit instead of the latest: `x-edgeseal-revision` of a change
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Wait at most this many seconds until every live edge has proven it, else fail
    #[arg(long, value_name = "SECONDS", requires = "domain", value_parser = clap::value_parser!(u8).range(1..=30))]
    wait: Option<u8>,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let optional = [
            ("DomainName", self.domain.as_deref()),
            ("Env", self.staging.then_some("staging")),
            ("Revision", self.revision.as_deref()),
        ];
        let params: Vec<_> = optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let wait = self.wait.map(|seconds| format!("wait={seconds}"));
        let headers: Vec<_> = wait.iter().map(|wait| ("prefer", wait.as_str())).collect();
        let reply = self
            .connection
            .call_with(EDGESEAL_API_VERSION, "DescribeRollout", &params, &headers)
            .await?;
        let body = &reply.body;
        output::print_reply(&self.connection, &reply, || match &self.domain {
            Some(_) => domain(body),
            None => fleet(body),
        })?;
        let all_proven = body["ProvenEdges"] == body["LiveEdges"] && body["LiveEdges"] != 0;
        if self.wait.is_some() && !all_proven {
            let count = |name: &str| output::json_text(&body[name]);
            return Err(CliError::Incomplete(format!(
                "proven at {} of {} live edges",
                count("ProvenEdges"),
                count("LiveEdges")
            )));
        }
        Ok(())
    }
}

fn domain(body: &Value) -> Result<(), CliError> {
    let text = |name: &str| output::json_text(&body[name]);
    say!(
        "{}: proven at {} of {} live edges, served by {}",
        text("DomainName"),
        text("ProvenEdges"),
        text("LiveEdges"),
        text("ServedEdges"),
    )?;
    say!(
        "  revision {}, changed {}",
        text("Revision"),
        text("ChangedAt")
    )?;
    match text("Fingerprint").as_str() {
        "" => say!("  a handshake must be refused"),
        leaf => say!("  leaf {leaf}"),
    }?;
    if body["TookMs"].is_number() {
        say!("  proven everywhere after {} ms", text("TookMs"))?;
    }
    let columns = ["EdgeId", "Group", "State", "ProvenAt", "TookMs", "Why"];
    output::print_table(
        ["EDGE", "GROUP", "STATE", "PROVEN", "MS", "WHY"],
        rows(body, "Edges", columns),
    )
}

fn fleet(body: &Value) -> Result<(), CliError> {
    let text = |name: &str| output::json_text(&body[name]);
    say!(
        "{} live edges, {} silent; domains in quarantine: {}, not proven: {}",
        text("LiveEdges"),
        text("SilentEdges"),
        text("Quarantined"),
        text("Unproven"),
    )?;
    let columns = [
        "EdgeId",
        "Group",
        "State",
        "Revision",
        "ReportAgeMs",
        "Domains",
        "Quarantined",
        "Unproven",
    ];
    output::print_table(
        [
            "EDGE",
            "GROUP",
            "STATE",
            "REVISION",
            "MS AGO",
            "DOMAINS",
            "QUARANTINED",
            "UNPROVEN",
        ],
        rows(body, "Edges", columns),
    )?;
    for list in ["QuarantinedDomains", "UnprovenDomains"] {
        if body[list].as_array().is_some_and(|rows| !rows.is_empty()) {
            let columns = ["EdgeId", "DomainName", "Why"];
            output::print_table(["EDGE", "DOMAIN", "WHY"], rows(body, list, columns))?;
        }
    }
    Ok(())
}

fn rows<const COLUMNS: usize>(
    body: &Value,
    list: &str,
    columns: [&str; COLUMNS],
) -> Vec<[String; COLUMNS]> {
    let rows = body[list].as_array().into_iter().flatten();
    rows.map(|row| columns.map(|name| output::json_text(&row[name])))
        .collect()
}
