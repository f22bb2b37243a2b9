//! `edgeseal cert history`

use clap::Args;
use serde_json::Value;

use super::super::{
    CliError, Connection, EDGESEAL_API_VERSION,
    output::{self, json_text},
};

/// Entries that are shown: the most of one response.
const SHOWN_MAX: &str = "500";
/// Shown of a SHA-256.
const FINGERPRINT_SHOWN: usize = 16;

#[derive(Args)]
pub(in crate::cli) struct History {
    /// The domain
    domain: String,
    #[command(flatten)]
    connection: Connection,
}

impl History {
    /// Shows the newest entries.
    pub(super) async fn run(self) -> Result<(), CliError> {
        let params = [
            ("DomainName", self.domain.as_str()),
            ("MaxResults", SHOWN_MAX),
        ];
        let action = "DescribeDomainHistory";
        let call = self.connection.call(EDGESEAL_API_VERSION, action, &params);
        let reply = call.await?;
        output::print_reply(&self.connection, &reply, || {
            let entries = reply.body["Entries"].as_array();
            let header = ["TIME", "ENV", "ACTION", "CERT ID", "WHAT"];
            output::print_table(header, entries.into_iter().flatten().map(cells))
        })?;
        Ok(())
    }
}

fn cells(entry: &Value) -> [String; 5] {
    let text = |name: &str| json_text(&entry[name]);
    [
        text("EventTime"),
        text("Env"),
        text("Action"),
        text("CertId"),
        what(entry),
    ]
}

fn what(entry: &Value) -> String {
    let text = |name: &str| json_text(&entry[name]);
    if entry.get("OrderFailure").is_some() {
        let (issuer, failure) = (text("Issuer"), text("OrderFailure"));
        let at = if issuer.is_empty() {
            issuer
        } else {
            format!("{issuer}: ")
        };
        return match entry["Times"].as_u64() {
            Some(times) if times > 1 => {
                format!(
                    "failed {times} times until {}: {at}{failure}",
                    text("LastTime")
                )
            }
            _ => format!("failed: {at}{failure}"),
        };
    }
    let (before, after) = (text("BeforeSha256"), text("AfterSha256"));
    let short = |sha256: &str| sha256.chars().take(FINGERPRINT_SHOWN).collect::<String>();
    match (before.as_str(), after.as_str()) {
        (before, after) if before == after => String::new(),
        (_, "") => "no certificate any more".to_owned(),
        (_, after) => format!("serves {}", short(after)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_told() {
        let failed = json!({"OrderFailure": "refused", "Issuer": "ca", "Times": 1});
        assert_eq!(what(&failed), "failed: ca: refused");
        let often =
            json!({"OrderFailure": "no address", "Issuer": "", "Times": 7, "LastTime": "T"});
        assert_eq!(what(&often), "failed 7 times until T: no address");
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let bound = json!({"BeforeSha256": a, "AfterSha256": b});
        assert_eq!(what(&bound), format!("serves {}", &b[..16]));
        assert_eq!(what(&json!({"BeforeSha256": a, "AfterSha256": a})), "");
        let off = json!({"BeforeSha256": a, "AfterSha256": ""});
        assert_eq!(what(&off), "no certificate any more");
    }
}
