//! Edgeseal: TLS certificates onto a CDN edge of your own. See the README.

// What the command line prints goes through `cli/output.rs`, past which nothing steers a terminal.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod admin;
mod alarms;
mod api_tls;
mod bootstrap;
mod certificate_files;
mod cli;
mod clock;
mod config;
mod core_dumps;
mod data_lock;
mod demo;
mod doctor;
mod error_chain;
#[cfg(test)]
#[path = "../tests/it/docs/generated.rs"]
mod generated_docs;
mod handover;
mod http_client;
mod kek;
mod local_ca;
mod log;
mod node;
mod outside;
mod private_files;
mod process_group;
mod resources;
mod retention;
mod revocable_store;
mod serve;
mod sockets;
mod takeover;
mod terminal_escape;

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes whatever is freed. Keys and secrets pass through buffers that are not ours (of the HTTP
/// server, of parsers, of strings that grow); none of them is readable once it is given back.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

fn main() -> ExitCode {
    cli::main()
}
