//! `edgeseal cert revoke` and `edgeseal cert revocations`.

use clap::Args;
use serde_json::Value;

use crate::cli::{CliError, Connection, EDGESEAL_API_VERSION, output};

#[derive(Args)]
pub(crate) struct Command {
    /// The domain
    domain: String,
    /// Only this certificate, which may be one that the domain had before
    #[arg(long, value_name = "ID")]
    cert_id: Option<String>,
    /// keyCompromise (waits for a replacement with another key), superseded, cessationOfOperation
    /// or unspecified
    #[arg(long, default_value = "unspecified")]
    reason: String,
    /// Do not wait until the certificate is replaced
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let mut params = vec![
            ("DomainName", self.domain.as_str()),
            ("Reason", self.reason.as_str()),
        ];
        params.extend(self.cert_id.as_deref().map(|id| ("CertId", id)));
        if self.now {
            params.push(("Immediately", "true"));
        }
        let call = self
            .connection
            .call(EDGESEAL_API_VERSION, "RevokeCertificate", &params);
        let reply = call.await?;
        output::print_reply(&self.connection, &reply, || table(&reply.body))
    }
}

pub(crate) async fn show(domain: &str, connection: &Connection) -> Result<(), CliError> {
    let params = [("DomainName", domain)];
    let call = connection.call(EDGESEAL_API_VERSION, "DescribeRevocations", &params);
    let reply = call.await?;
    output::print_reply(connection, &reply, || table(&reply.body))
}

fn table(body: &Value) -> Result<(), CliError> {
    let rows = body["Revocations"].as_array().into_iter().flatten();
    let rows = rows.map(|row| {
        let text = |member: &str| output::json_text(&row[member]);
        let served_by = row["ServedBy"].as_array().into_iter().flatten();
        let served_by: Vec<_> = served_by.filter_map(Value::as_str).collect();
        [
            text("CertId"),
            text("Reason"),
            text("State"),
            served_by.join(", "),
            detail(row).to_owned(),
        ]
    });
    let head = ["CERTIFICATE", "REASON", "STATE", "SERVED BY", "DETAIL"];
    output::print_table(head, rows)
}

fn detail(row: &Value) -> &str {
    match (row["Failure"].as_str(), row["State"].as_str()) {
        (Some(failure), _) => failure,
        (None, Some("Pending")) if row["AfterReplacement"] == true => {
            "revoked when no edge serves it any more"
        }
        _ => "",
    }
}
