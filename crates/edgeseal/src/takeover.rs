//! `edgeseal takeover`: the API under the cloud's own host names, for tools that know no other.
//!
//! Such a tool is led here by name resolution and made to trust a certificate authority of this
//! machine. Both are left to the operator: this makes the files, serves, and prints what to do.
//! Nothing is written outside of the data directory.

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
    node::{API_TLS_ROLE, Addresses, StartError},
    serve,
};

use authority::{Authority, AuthorityError};
use instructions::Instructions;

/// The flags of `takeover`.
#[derive(Args)]
#[group(skip)] // clap names groups after types, and the flattened one is a `Flags` as well
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) serve: config::Flags,
    /// Where the API listens under the cloud's names; a loopback address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:443")]
    listen: SocketAddr,
    /// Make the files, print what to do, and serve nothing
    #[arg(long)]
    print: bool,
}

/// Why there is no take-over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeoverError {
    /// Other machines could be led here as well, and their calls taken.
    #[error(
        "--listen {address} is not a loopback address; a take-over is for tools on this machine only"
    )]
    NotLoopback {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The configuration has a certificate of its own for the API.
    #[error(
        "api_tls is configured; a take-over brings its own certificate, so leave the keys api_tls… out"
    )]
    ApiTlsConfigured,
    /// Ports below 1024 are not for everybody.
    #[error(
        "no permission to listen on {address}; allow it with one of\n{}\n\
         or use another port, see edgeseal takeover --print",
        instructions::low_port_commands(address.port())
    )]
    NoPermission {
        /// Where.
        address: SocketAddr,
    },
    /// The certificate authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Edgeseal does not start.
    #[error(transparent)]
    Start(StartError),
}

/// Makes the files, then serves and prints the recipe, or only prints it.
///
/// # Errors
/// [`TakeoverError`] says what is in the way.
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
    config.api_tls_cert_file = Some(authority.cert_file());
    config.api_tls_key_file = Some(authority.key_file());
    let tell = |addresses: &Addresses| {
        let bound = addresses.api_tls.unwrap_or(address);
        print(&recipe(&authority, bound, true));
    };
    serve::serve(&config, flags.serve.take_over, tell)
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

/// A reader that has seen enough and is gone is no failure.
fn print(recipe: &Instructions<'_>) {
    let _ = write!(io::stdout(), "{recipe}");
}

/// The error that a newcomer meets first says what helps.
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
