//! Measures Edgeseal and its peers in one run, as ratios. See README.md.

mod accounts;
mod authorize;
mod bulk_store;
mod burst;
mod call;
mod cert_directory;
mod database;
mod handshake;
mod handshake_load;
mod idle;
mod listing;
mod million;
mod origin;
mod peer;
mod proxied;
mod report;
mod requests;
mod server;
mod set_calls;
mod tls;
mod visible;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// An error as a sentence.
type BenchError = Box<dyn std::error::Error + Send + Sync>;
type BenchResult<T> = Result<T, BenchError>;

#[derive(Parser)]
#[command(about = "Figures of Edgeseal, against peers where there are any")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// The program that is measured
    #[arg(long, global = true, default_value = "target/release/edgeseal")]
    program: PathBuf,
    /// Parent of data directories: a real disk, not memory
    #[arg(long, global = true, default_value = "target")]
    disk: PathBuf,
    /// Rounds; the median and the best are reported
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
}

#[derive(Subcommand)]
enum Bench {
    /// Durable SetCdnDomainSSLCertificate calls per second, and their latency
    SetCalls(set_calls::Options),
    /// Time from a call's return to the first handshake that shows the new certificate
    Visible(visible::Options),
    /// Pages of 500 out of a large account, against pages of 500 out of a small one
    Listing(listing::Options),
    /// CPU of authentication and authorization of a user with very many statements, against an
    /// account
    Authorize(authorize::Options),
    /// Memory, cold start, change and handshake of an edge with very many domains
    Million(million::Options),
    /// CPU of handshakes, full and resumed, against nginx and HAProxy
    Handshake(handshake::Options),
    /// CPU of a small proxied request on warm connections, against nginx and HAProxy
    Proxied(proxied::Options),
    /// Memory of idle connections, against nginx and HAProxy
    Idle(idle::Options),
    /// Very many changes in a burst, under load; and a reload of nginx under the same
    Burst(burst::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let place = server::ServerConfig {
        program: arguments.program,
        disk: arguments.disk,
    };
    let rounds = arguments.rounds.max(1);
    let done = match &arguments.bench {
        Bench::SetCalls(options) => set_calls::run(&place, rounds, options),
        Bench::Visible(options) => visible::run(&place, rounds, options),
        Bench::Listing(options) => listing::run(&place, rounds, options),
        Bench::Authorize(options) => authorize::run(&place, rounds, options),
        Bench::Million(options) => million::run(&place, rounds, options),
        Bench::Handshake(options) => handshake::run(&place, rounds, options),
        Bench::Proxied(options) => proxied::run(&place, rounds, options),
        Bench::Idle(options) => idle::run(&place, rounds, options),
        Bench::Burst(options) => burst::run(&place, rounds, options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
