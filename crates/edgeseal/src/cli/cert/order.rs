//! `edgeseal cert order`: has the certificate of a domain ordered and renewed.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::{CDN_VERSION, CliError, Connection, output, output::say};

/// How often the state of the order is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(in crate::cli) struct Order {
    /// The domain
    domain: String,
    /// Wait until the certificate is issued and bound, for at most this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    #[command(flatten)]
    connection: Connection,
}

impl Order {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let params = [
            ("DomainName", self.domain.as_str()),
            ("SSLProtocol", "on"),
            ("CertType", "free"),
        ];
        let set = "SetCdnDomainSSLCertificate";
        self.connection.call(CDN_VERSION, set, &params).await?;
        let deadline = Instant::now() + Duration::from_secs(self.wait);
        loop {
            let describe = "DescribeDomainCertificateInfo";
            let name = [("DomainName", self.domain.as_str())];
            let reply = self.connection.call(CDN_VERSION, describe, &name).await?;
            let info = &reply.body["CertInfos"]["CertInfo"][0];
            match info["Status"].as_str() {
                Some("success") => {
                    return output::print_reply(&self.connection, &reply, || {
                        let issuer = output::json_text(&info["CertOrg"]);
                        say!(
                            "{} has a certificate of {issuer}, which is renewed in time",
                            self.domain
                        )
                    });
                }
                Some("failed") => {
                    return Err(self.incomplete(info, "has failed and is tried again"));
                }
                _ if Instant::now() >= deadline => {
                    return Err(self.incomplete(info, "is in progress"));
                }
                _ => sleep(LOOK_EVERY).await,
            }
        }
    }

    fn incomplete(&self, info: &Value, state: &str) -> CliError {
        let reason = info["OrderFailure"].as_str();
        let reason = reason.map(|reason| format!(": {reason}"));
        CliError::Incomplete(format!(
            "the order for {} {state}{}",
            self.domain,
            reason.unwrap_or_default()
        ))
    }
}
