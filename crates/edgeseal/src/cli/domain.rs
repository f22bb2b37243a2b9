//! `edgeseal domain …`

use clap::{Subcommand, ValueEnum};
use edgeseal_core::Timestamp;
use serde_json::{Value, json};

use super::{
    CDN_VERSION, CliError, Connection, EDGESEAL_API_VERSION, expiry, output, output::say, pages,
};
use crate::clock;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Add a domain
    Add {
        /// example.com, or *.example.com
        domain: String,
        /// Its origin: host, host:port or an IP address; repeatable
        #[arg(long = "origin", value_name = "HOST[:PORT]", required = true)]
        origins: Vec<String>,
        /// The kind of its content: web, download or video
        #[arg(long = "type", value_name = "TYPE", default_value = "web")]
        service: String,
        /// Succeed without a change if the account has the domain already
        #[arg(long)]
        if_missing: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the account's domains
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a domain
    Show {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Start a stopped domain
    Start {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Stop serving a domain; its configuration and certificates stay
    Stop {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a domain
    Delete {
        /// The domain
        domain: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Hold the certificate of a domain, or release it (root account only)
    Mode {
        /// The domain
        domain: String,
        /// normal, safe or protected
        mode: Mode,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Mode {
    Normal,
    Safe,
    Protected,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Add {
                domain,
                origins,
                service,
                if_missing,
                connection,
            } => {
                let sources = sources(&origins);
                let params = [
                    ("DomainName", domain.as_str()),
                    ("CdnType", &service),
                    ("Sources", &sources),
                ];
                let reply = match connection.call(CDN_VERSION, "AddCdnDomain", &params).await {
                    Err(refused) if if_missing && refused.has_code("DomainAlreadyExist") => {
                        return report_existing(&domain, &connection).await;
                    }
                    called => called?,
                };
                output::print_reply(&connection, &reply, || say!("{domain} is online"))?;
                Ok(())
            }
            Self::List { connection } => list(&connection).await,
            Self::Show { domain, connection } => show(&domain, &connection).await,
            Self::Start { domain, connection } => {
                call_on_domain("StartCdnDomain", &domain, &connection, "started").await
            }
            Self::Stop { domain, connection } => {
                call_on_domain("StopCdnDomain", &domain, &connection, "stopped").await
            }
            Self::Delete { domain, connection } => {
                call_on_domain("DeleteCdnDomain", &domain, &connection, "deleted").await
            }
            Self::Mode {
                domain,
                mode,
                connection,
            } => {
                let mode = match mode {
                    Mode::Normal => "normal",
                    Mode::Safe => "safe",
                    Mode::Protected => "protected",
                };
                let params = [("DomainName", domain.as_str()), ("Mode", mode)];
                let reply = connection
                    .call(EDGESEAL_API_VERSION, "SetDomainMode", &params)
                    .await?;
                output::print_reply(&connection, &reply, || say!("{domain} is in {mode} mode"))?;
                Ok(())
            }
        }
    }
}

/// Succeeds if the domain belongs to the caller's account.
async fn report_existing(domain: &str, connection: &Connection) -> Result<(), CliError> {
    let params = [("DomainName", domain)];
    let called = connection.call(CDN_VERSION, "DescribeCdnDomainDetail", &params);
    let reply = called.await?;
    output::print_reply(connection, &reply, || {
        say!("{domain} is there already and stays as it is")
    })
}

async fn call_on_domain(
    action: &str,
    domain: &str,
    connection: &Connection,
    done: &str,
) -> Result<(), CliError> {
    let reply = connection
        .call(CDN_VERSION, action, &[("DomainName", domain)])
        .await?;
    output::print_reply(connection, &reply, || say!("{domain} is {done}"))?;
    Ok(())
}

async fn show(domain: &str, connection: &Connection) -> Result<(), CliError> {
    let reply = connection
        .call(
            CDN_VERSION,
            "DescribeCdnDomainDetail",
            &[("DomainName", domain)],
        )
        .await?;
    output::print_reply(connection, &reply, || {
        let Value::Object(detail) = &reply.body["GetDomainDetailModel"] else {
            return Ok(());
        };
        let shown = detail
            .iter()
            .map(|(name, value)| [name.clone(), output::json_text(value)]);
        output::print_table(["", domain], shown.collect::<Vec<_>>())
    })?;
    Ok(())
}

/// The domains, each with `ChainExpireTime`, the earliest end of what it serves, if it serves a
/// certificate.
async fn list(connection: &Connection) -> Result<(), CliError> {
    let mut rows = pages::domains(connection).await?;
    let ends = pages::domain_expiries(connection).await?;
    for row in &mut rows {
        if let Some(end) = ends.get(&output::json_text(&row["DomainName"])) {
            row["ChainExpireTime"] = end.as_str().into();
        }
    }
    if connection.json {
        say!("{}", Value::from(rows))?;
        return Ok(());
    }
    let now = clock::now();
    let table = rows.iter().map(|row| {
        let text = |name: &str| output::json_text(&row[name]);
        let end = Timestamp::parse_iso(&text("ChainExpireTime"));
        [
            text("DomainName"),
            text("DomainStatus"),
            text("SslProtocol"),
            text("CdnType"),
            text("GmtModified"),
            end.map(|end| expiry::describe(end, now))
                .unwrap_or_default(),
        ]
    });
    output::print_table(
        ["DOMAIN", "STATE", "HTTPS", "TYPE", "CHANGED", "EXPIRES"],
        table,
    )
}

/// Origins as the parameter `Sources`.
pub(super) fn sources(origins: &[String]) -> String {
    Value::from_iter(origins.iter().map(|origin| source(origin))).to_string()
}

/// An origin as a member of `Sources`.
fn source(origin: &str) -> Value {
    let (host, port) = match origin.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') =>
        {
            (host, port)
        }
        _ => (origin, "80"),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let kind = if host.parse::<std::net::IpAddr>().is_ok() {
        "ipaddr"
    } else {
        "domain"
    };
    json!({ "content": host, "type": kind, "port": port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (given, host, kind, port) in [
            ("127.0.0.1", "127.0.0.1", "ipaddr", "80"),
            ("127.0.0.1:3000", "127.0.0.1", "ipaddr", "3000"),
            ("[::1]:3000", "::1", "ipaddr", "3000"),
            ("origin.example.com", "origin.example.com", "domain", "80"),
            ("origin:8080", "origin", "domain", "8080"),
        ] {
            assert_eq!(
                source(given),
                json!({ "content": host, "type": kind, "port": port }),
                "{given}"
            );
        }
    }
}
