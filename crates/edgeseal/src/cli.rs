//! The command line: one file per command. The commands use the public API.

mod account;
mod alarm;
mod audit;
mod backup;
mod call;
mod cert;
mod connection;
#[cfg(test)]
mod docs;
mod doctor;
mod domain;
mod expiry;
mod explain;
mod import;
mod kek;
mod key;
mod nodes;
mod output;
mod pages;
mod policy;
mod restore;
mod rollout;
mod shell;
mod store;
mod store_args;
pub(crate) mod time;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};
use edgeseal_api::client::CallError;

use crate::{
    admin,
    certificate_files::UnreadableFile,
    config::{self, ApiFlags, Config, ConfigError, Flags},
    core_dumps, demo,
    doctor::DoctorError,
    log,
    node::{Role, StartError},
    serve, takeover,
};

use connection::Connection;
use output::say;

/// The API version of CDN.
const CDN_VERSION: &str = "2018-05-10";
/// The API version of STS.
const STS_VERSION: &str = "2015-04-01";
/// The API version of Edgeseal's own actions.
const EDGESEAL_API_VERSION: &str = "2026-12-01";

/// TLS certificates onto a CDN edge of your own.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run API, edge and store in this process
    Serve(Flags),
    /// Run the API without an edge, on a PostgreSQL database that several processes share
    Api(ApiFlags),
    /// Run everything with a demo site live over HTTPS
    Demo(Flags),
    /// Run everything, with the API under the cloud's host names, for tools with fixed host names
    Takeover(takeover::Flags),
    /// Add, list, show, start, stop and delete domains; hold their certificates
    #[command(subcommand)]
    Domain(domain::Command),
    /// Check, list, set, show and switch off certificates
    #[command(subcommand)]
    Cert(cert::Command),
    /// Import all certificates of certbot, acme.sh, lego, Caddy or a directory
    Import(import::Command),
    /// Create and list accounts (root account only)
    #[command(subcommand)]
    Account(account::Command),
    /// Create, disable, enable and delete access keys (root account only)
    #[command(subcommand)]
    Key(key::Command),
    /// Show which edges serve a domain and which have proven it by a handshake; or the state of all
    /// edges
    Rollout(rollout::Command),
    /// Show the processes on the store: role, address, lag, clock, keys (root account only)
    Nodes(nodes::Command),
    /// Show whether a caller may do something, and which policy statement decides
    Explain(explain::Command),
    /// Print policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// Show, rotate and retire key-encryption keys (root account only)
    #[command(subcommand)]
    Kek(kek::Command),
    /// List, test and silence alarms
    #[command(subcommand)]
    Alarm(alarm::Command),
    /// Check everything that is stored, and what is served if the server runs
    Doctor(doctor::Command),
    /// Copy the store to a file, also while the server runs, and verify the copy
    Backup(backup::Command),
    /// Replace the store by a backup, while no server uses it
    Restore(restore::Command),
    /// Move the store to another engine or place while the servers run
    #[command(subcommand)]
    Store(store::Command),
    /// List, export and verify audit records
    #[command(subcommand)]
    Audit(audit::Command),
    /// Call any action: edgeseal call DescribeUserDomains --PageSize 50
    Call(call::Command),
    /// Print a shell's completion script
    Completion(shell::Completion),
    /// Print the manual page, or write the pages of all commands
    Man(shell::Man),
    /// Print the version
    Version,
}

/// Why a command fails, and with which exit code (BSD's sysexits).
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Something that the user can fix: a file, an argument.
    #[error("{0}")]
    Usage(String),
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store exists and cannot be opened or read.
    #[error("{0}")]
    Data(String),
    /// A store cannot be reached, or fails.
    #[error("{0}")]
    StoreFailed(String),
    /// A file cannot be written: its disk is full or fails.
    #[error("{0}")]
    WriteFailed(String),
    /// Interrupted (Ctrl-C); finished steps stay.
    #[error("{0}")]
    Interrupted(String),
    /// The demo failed.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// The takeover failed.
    #[error(transparent)]
    Takeover(#[from] takeover::TakeoverError),
    /// The doctor cannot check anything.
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    /// The server has not finished in time.
    #[error("{0}")]
    Incomplete(String),
    /// Standard output cannot be written: for example, the disk is full.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// An operation of the operating system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Parses the arguments and runs the command.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not failures.
            let code = if error.use_stderr() { EX_USAGE } else { EX_OK };
            return exit(output::print_clap_error(&error).map(|()| ExitCode::from(code)));
        }
    };
    let result = run(cli.command);
    // Before the error is printed, which comes last.
    log::flush();
    exit(result)
}

/// The exit code.
fn exit(result: Result<ExitCode, CliError>) -> ExitCode {
    match result {
        Ok(code) => code,
        // The reader of a pipe has closed it.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            output::print_error(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(flags) => run_node(Role::Serve, &flags).await,
            Command::Api(flags) => run_node(Role::Api, &flags.0).await,
            Command::Takeover(flags) => {
                let config = load(&flags.serve)?;
                log::init(config.log_format.0, "info")?;
                config::warn_of_unknown_variables(&config);
                admin::install_recorder();
                Ok(takeover::run(config, &flags).await?)
            }
            Command::Demo(flags) => {
                let config = load(&flags)?;
                // The demo shows its page, not the log.
                log::init(config.log_format.0, "warn")?;
                config::warn_of_unknown_variables(&config);
                admin::install_recorder();
                demo::run(config).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Domain(command) => success(command.run().await),
            Command::Cert(command) => command.run().await,
            Command::Import(command) => success(command.run().await),
            Command::Account(command) => success(command.run().await),
            Command::Key(command) => success(command.run().await),
            Command::Rollout(command) => success(command.run().await),
            Command::Nodes(command) => success(command.run().await),
            Command::Explain(command) => command.run().await,
            Command::Policy(command) => success(command.run().await),
            Command::Alarm(command) => success(command.run().await),
            Command::Doctor(command) => command.run().await,
            Command::Backup(command) => command.run().await,
            Command::Restore(command) => command.run().await,
            Command::Store(command) => command.run().await,
            Command::Kek(command) => success(command.run().await),
            Command::Audit(command) => command.run().await,
            Command::Call(command) => success(command.run().await),
            Command::Completion(command) => success(command.run()),
            Command::Man(command) => success(command.run()),
            Command::Version => success(say!("edgeseal {}", env!("CARGO_PKG_VERSION"))),
        }
    })
}

async fn run_node(role: Role, flags: &Flags) -> Result<ExitCode, CliError> {
    let config = load(flags)?;
    if !role.has_edge() && !config.is_store_shared() {
        let why = "edgeseal api needs a database that edges can share: --store postgres://USER@HOST/DATABASE";
        return Err(CliError::Usage(why.to_owned()));
    }
    log::init(config.log_format.0, "info")?;
    config::warn_of_unknown_variables(&config);
    admin::install_recorder();
    Ok(serve::serve(&config, role, flags.hand_over, |_| {}).await?)
}

/// Loads the configuration of a process that will hold private keys, and disables core dumps.
fn load(flags: &Flags) -> Result<Config, CliError> {
    let config = Config::load(flags)?;
    if !config.core_dumps {
        core_dumps::disable()?;
    }
    Ok(config)
}

fn success(result: Result<(), CliError>) -> Result<ExitCode, CliError> {
    result.map(|()| ExitCode::SUCCESS)
}

macro_rules! exit_codes {
    ($($name:ident = $code:literal: $meaning:literal;)*) => {
        $(const $name: u8 = $code;)*
        /// The exit codes, BSD's sysexits where they fit, with what they mean.
        #[cfg(test)]
        const EXIT_CODES: &[(u8, &str)] = &[$(($name, $meaning)),*];
    };
}

#[rustfmt::skip]
exit_codes! {
    EX_OK = 0: "success; also if the reader of a pipe has closed it";
    EX_DENIED = 1: "`explain`: it is denied; `cert check`: it would be refused; `serve`: stopped by a second signal";
    EX_USAGE = 64: "usage: a flag, a file, the configuration, the start of the server";
    EX_DATA = 65: "stored data is damaged (`doctor`, `audit verify`, `backup`, `restore`, `store copy`), or the doctor found another problem";
    EX_UNAVAILABLE = 69: "the server does not respond, or something else does; the database of the store does not";
    EX_SOFTWARE = 70: "the server did not finish in time what the command waited for; an error of the system or the demo";
    EX_IOERR = 74: "standard output, or the file of `backup` or `restore`, cannot be written, for example because the disk is full";
    EX_NOPERM = 77: "the API refused";
    EX_INTERRUPTED = 130: "`import` or `store copy` was interrupted (Ctrl-C)";
}

impl From<UnreadableFile> for CliError {
    fn from(error: UnreadableFile) -> Self {
        Self::Usage(error.to_string())
    }
}

impl CliError {
    /// Whether it is a refusal with this code.
    fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Call(CallError::Api(refusal)) if refusal.code == code)
    }

    const fn exit_code(&self) -> u8 {
        match self {
            Self::Call(CallError::Api(_)) => EX_NOPERM,
            Self::Call(CallError::Unreachable { .. } | CallError::NotEdgeseal { .. })
            | Self::StoreFailed(_) => EX_UNAVAILABLE,
            Self::Call(CallError::Endpoint { .. })
            | Self::Usage(_)
            | Self::Config(_)
            | Self::Doctor(_)
            | Self::Start(_)
            | Self::Takeover(_) => EX_USAGE,
            Self::Demo(_) | Self::Incomplete(_) | Self::Io(_) => EX_SOFTWARE,
            Self::Output(_) | Self::WriteFailed(_) => EX_IOERR,
            Self::Interrupted(_) => EX_INTERRUPTED,
            Self::Data(_) => EX_DATA,
        }
    }
}
