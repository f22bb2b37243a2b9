//! `edgeseal import`: imports the certificates of another server or ACME client on this machine.

mod plan;
mod report;
mod scan;
mod send;

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Connection};
use crate::{certificate_files::Password, clock};

#[derive(Args)]
pub(super) struct Command {
    /// Files and directories, such as /etc/letsencrypt/live, ~/.acme.sh, ~/.lego or Caddy's data
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Origin of domains that are added: host, host:port or an IP address; repeatable
    #[arg(long = "origin", value_name = "HOST[:PORT]", required = true)]
    origins: Vec<String>,
    /// Show what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
    /// File whose first line is the password of encrypted keys and PFX files
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Concurrent calls to the server
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=200))]
    parallel: u16,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let password = self.password_file.as_deref().map(Password::read);
        let password = password.transpose()?;
        let found = scan::scan(&self.paths, password.as_ref())?;
        let plan = plan::plan(found, clock::now());
        let order = send::ImportOptions {
            connection: &self.connection,
            origins: &self.origins,
            dry_run: self.dry_run,
            parallel: usize::from(self.parallel),
        };
        let results = send::send(&order, &plan.certificates).await?;
        report::print(&order, &plan, &results)
    }
}
