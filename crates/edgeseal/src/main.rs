//! Edgeseal: TLS certificates onto a CDN edge of your own. See the README.

mod admin;
mod api_tls;
mod bootstrap;
mod cli;
mod clock;
mod config;
mod core_dumps;
mod demo;
mod doctor;
mod gone;
mod kek;
mod log;
mod running;
mod serve;
mod takeover;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
