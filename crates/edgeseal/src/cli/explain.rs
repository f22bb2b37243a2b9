//! `edgeseal explain`

use std::process::ExitCode;

use clap::Args;

use super::{CliError, Connection, EDGESEAL_API_VERSION, EX_DENIED, output, output::say};

#[derive(Args)]
pub(super) struct Command {
    /// The permission, such as cdn:SetCdnDomainSSLCertificate; `cdn:` may be omitted
    #[arg(long, value_name = "PERMISSION")]
    action: String,
    /// A domain, or an ARN such as `acs:cdn:*:1234567890123456:domain/example.com`
    #[arg(long, value_name = "RESOURCE")]
    resource: String,
    /// The user's name, or role/NAME [default: the caller]
    #[arg(long = "as", value_name = "WHO")]
    principal: Option<String>,
    /// Source address of the call [default: the caller's]
    #[arg(long, value_name = "ADDRESS")]
    source_ip: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    /// Success if it is allowed, else [`EX_DENIED`].
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let permission = if self.action.contains(':') {
            self.action
        } else {
            format!("cdn:{}", self.action)
        };
        let mut params = vec![
            ("Permission", permission.as_str()),
            ("Resource", self.resource.as_str()),
        ];
        params.extend(self.principal.as_deref().map(|who| {
            let role = who.strip_prefix("role/").map(|role| ("RoleName", role));
            role.unwrap_or_else(|| ("UserName", who.strip_prefix("user/").unwrap_or(who)))
        }));
        params.extend(
            self.source_ip
                .as_deref()
                .map(|address| ("SourceIp", address)),
        );
        let reply = self
            .connection
            .call(EDGESEAL_API_VERSION, "ExplainDecision", &params)
            .await?;
        output::print_reply(&self.connection, &reply, || {
            let text = |name: &str| output::json_text(&reply.body[name]);
            say!("{}: {}", text("Decision"), text("Reason"))?;
            say!("  {} for {}", text("Permission"), text("Principal"))?;
            say!("  on {}", text("Resource"))?;
            if reply.body["Statement"].is_string() {
                say!("{}", text("Statement"))?;
            }
            Ok(())
        })?;
        Ok(match output::json_text(&reply.body["Decision"]).as_str() {
            "Allowed" => ExitCode::SUCCESS,
            _ => ExitCode::from(EX_DENIED),
        })
    }
}
