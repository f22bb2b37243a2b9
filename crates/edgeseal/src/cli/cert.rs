//! `edgeseal cert …`

mod check;
mod files;
mod history;
mod list;
mod order;
mod reissue;
mod revoke;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{CDN_VERSION, CliError, Connection, output, output::say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Check certificates before they are set: what the server and browsers would say to them
    Check(check::Check),
    /// List the account's certificates by expiry, and which domains use them
    List(list::List),
    /// Bind a certificate to a domain: from files (PEM, DER, PFX), or one that is stored
    Set(Set),
    /// Have the certificate of a domain ordered from an issuer of the server, and renewed in time
    Order(order::Order),
    /// Show the certificates of a domain
    Show {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show what became of a domain: changes of its certificate, and orders that failed
    History(history::History),
    /// Replace many ordered certificates before their time (root account only)
    Reissue(Box<reissue::Command>),
    /// Have the issuer revoke the certificates of a domain that were ordered
    Revoke(revoke::Command),
    /// Show the revocations of a domain's certificates
    Revocations {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Switch off HTTPS of a domain
    Off {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Args)]
pub(super) struct Set {
    /// The domain
    domain: String,
    /// Certificate and chain, in PEM, DER or PKCS#12 (PFX); - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "cert_id")]
    cert: Option<PathBuf>,
    /// Private key, in PEM or DER [default: the one in the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// File whose first line is the password of an encrypted key or a PFX file
    #[arg(long, value_name = "FILE", requires = "cert")]
    password_file: Option<PathBuf>,
    /// Number of a stored certificate
    #[arg(long, value_name = "ID", conflicts_with = "cert")]
    cert_id: Option<String>,
    /// Name of the certificate [default: chosen by the server]
    #[arg(long)]
    name: Option<String>,
    /// Add it as second certificate to the bound one, whose key is of the other kind (RSA or ECDSA)
    #[arg(long)]
    companion: bool,
    /// staging or production
    #[arg(long)]
    env: Option<String>,
    /// Wait until every live edge serves it, for at most this many seconds
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u8>,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        match self {
            Self::Check(check) => return check.run().await,
            Self::List(list) => list.run().await?,
            Self::Order(order) => order.run().await?,
            Self::Set(set) => set.run().await?,
            Self::History(history) => history.run().await?,
            Self::Show { domain, connection } => show(&domain, &connection).await?,
            Self::Reissue(command) => command.run().await?,
            Self::Revoke(command) => command.run().await?,
            Self::Revocations { domain, connection } => revoke::show(&domain, &connection).await?,
            Self::Off { domain, connection } => {
                let params = [("DomainName", domain.as_str()), ("SSLProtocol", "off")];
                let reply = connection
                    .call(CDN_VERSION, "SetCdnDomainSSLCertificate", &params)
                    .await?;
                output::print_reply(&connection, &reply, || say!("HTTPS of {domain} is off"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    async fn run(self) -> Result<(), CliError> {
        let password = self.password_file.as_deref();
        let material = match &self.cert {
            Some(cert) => Some(files::read(cert, self.key.as_deref(), password)?),
            None => None,
        };
        let chain = material.as_ref().map(|material| &material.chain);
        let key = material.as_ref().map(|material| &*material.key);
        let mut params = vec![("DomainName", self.domain.as_str()), ("SSLProtocol", "on")];
        let optional = [
            ("SSLPub", chain),
            ("SSLPri", key),
            ("CertId", self.cert_id.as_ref()),
            ("CertName", self.name.as_ref()),
            ("Env", self.env.as_ref()),
        ];
        if self.companion {
            params.push(("Companion", "true"));
        }
        params.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?.as_str()))),
        );
        let wait = self.wait.map(|seconds| format!("wait={seconds}"));
        let headers: Vec<_> = wait.iter().map(|wait| ("prefer", wait.as_str())).collect();
        let reply = self
            .connection
            .call_with(CDN_VERSION, "SetCdnDomainSSLCertificate", &params, &headers)
            .await?;
        output::print_reply(&self.connection, &reply, || {
            let proven = reply
                .headers
                .get("x-edgeseal-proven")
                .and_then(|proven| proven.to_str().ok());
            let proven = proven
                .map(|proven| format!(", proven at {proven} live edges"))
                .unwrap_or_default();
            say!("the certificate is bound to {}{proven}", self.domain)
        })?;
        Ok(())
    }
}

async fn show(domain: &str, connection: &Connection) -> Result<(), CliError> {
    let reply = connection
        .call(
            CDN_VERSION,
            "DescribeDomainCertificateInfo",
            &[("DomainName", domain)],
        )
        .await?;
    output::print_reply(connection, &reply, || {
        let infos = reply.body["CertInfos"]["CertInfo"].as_array();
        for info in infos.into_iter().flatten() {
            show_one(domain, info)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn show_one(domain: &str, info: &Value) -> Result<(), CliError> {
    let shown = [
        "ServerCertificateStatus",
        "Companion",
        "CertName",
        "CertId",
        "CertDomainName",
        "CertOrg",
        "CertStartTime",
        "CertExpireTime",
        "CertUpdateTime",
        "Status",
        "OrderFailure",
        "OutsideStatus",
        "OutsideDetail",
        "OutsideTime",
    ];
    let is_ordered = info["CertType"] == "free" || info["Status"] != "success";
    let shown = shown.into_iter().filter(|name| match *name {
        "Companion" | "OrderFailure" | "OutsideStatus" | "OutsideDetail" | "OutsideTime" => {
            info.get(name).is_some()
        }
        "Status" => is_ordered && info.get(name).is_some(),
        _ => true,
    });
    output::print_table(
        ["", domain],
        shown.map(|name| [name.to_owned(), output::json_text(&info[name])]),
    )
}
