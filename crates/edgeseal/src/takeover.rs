//! `edgeseal takeover`: the API under the cloud's own host names, for tools that know no other.
//!
//! Such a tool reaches this machine by name resolution, and has to trust a CA of this machine. The
//! operator does both: this command creates the files, serves, and prints instructions. It writes
//! nothing outside the data directory.

mod authority;
mod hosts;
mod instructions;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
};

use clap::Args;

use crate::{
    clock, config,
    config::Config,
    local_ca::LocalCaError,
    node::{API_TLS_ROLE, Addresses, Role, StartError},
    serve,
};

use authority::Authority;
use instructions::Instructions;

/// The flags of `takeover`.
#[derive(Args)]
#[group(skip)] // clap names groups after types, and the flattened one is a `Flags` as well
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) serve: config::Flags,
    /// Address of the API under the cloud's names; must be loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:443")]
    listen: SocketAddr,
    /// Create the files and print the instructions, without serving
    #[arg(long)]
    print: bool,
}

/// Why a takeover is not possible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeoverError {
    /// Not a loopback address: calls of other machines could be captured, too.
    #[error(
        "--listen {address} is not a loopback address; a takeover is for tools on this machine only"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The configuration has another certificate for the API.
    #[error(
        "api_tls is configured; a takeover has its own certificate, so leave the keys api_tls… out"
    )]
    ApiTlsConfigured,
    /// The port needs a privilege.
    #[error(
        "no permission to listen on {address}; allow it with one of\n{}\n\
         or use another port, see edgeseal takeover --print",
        instructions::low_port_commands(address.port())
    )]
    NoPermission {
        /// The address.
        address: SocketAddr,
    },
    /// The CA failed.
    #[error(transparent)]
    Authority(#[from] LocalCaError),
    /// The node cannot start.
    #[error(transparent)]
    Start(StartError),
}

/// Creates the files, prints the instructions, and serves unless only they are wanted.
///
/// # Errors
/// [`TakeoverError`].
pub(crate) async fn run(mut config: Config, flags: &Flags) -> Result<ExitCode, TakeoverError> {
    let address = flags.listen;
    if !address.ip().is_loopback() {
        return Err(TakeoverError::NotLoopback { address });
    }
    if config.api_tls.is_some() {
        return Err(TakeoverError::ApiTlsConfigured);
    }
    let authority = Authority::ensure(&config.data, address.ip(), clock::now())?;
    if flags.print {
        print(&recipe(&authority, address, false));
        return Ok(ExitCode::SUCCESS);
    }
    config.api_tls = Some(address);
    let leaf = authority.leaf_files();
    config.api_tls_cert_file = Some(leaf.cert);
    config.api_tls_key_file = Some(leaf.key);
    let tell = |addresses: &Addresses| {
        let bound = addresses.api_tls.unwrap_or(address);
        print(&recipe(&authority, bound, true));
    };
    serve::serve(&config, Role::Serve, flags.serve.hand_over, tell)
        .await
        .map_err(explain_permission)
}

const fn recipe(authority: &Authority, address: SocketAddr, serving: bool) -> Instructions<'_> {
    Instructions {
        authority,
        address,
        serving,
    }
}

/// A closed pipe is not a failure.
fn print(recipe: &Instructions<'_>) {
    let _ = write!(io::stdout(), "{recipe}");
}

/// The most common first error: its message shows the remedies.
fn explain_permission(error: StartError) -> TakeoverError {
    match error {
        StartError::Listen {
            role: API_TLS_ROLE,
            address,
            cause,
        } if cause.kind() == io::ErrorKind::PermissionDenied => {
            TakeoverError::NoPermission { address }
        }
        other => TakeoverError::Start(other),
    }
}
