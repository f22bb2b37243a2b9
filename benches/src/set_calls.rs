//! Durable `SetCdnDomainSSLCertificate` calls: rate, latency and CPU.
//!
//! Every call uploads a new certificate, to one of many accounts in turn, so that the documented
//! rate limit of 30 per second and account can stay on. A response means: stored with an fsync, and
//! served by the edge in the same process.

use std::{
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use edgeseal_testing::{pki::Authority, process};
use tokio::task::LocalSet;

use crate::{
    BenchResult,
    accounts::{self, Account},
    call,
    call::Connection,
    report::{Report, percentile_ms},
    server::{Server, ServerConfig},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Concurrent clients, one figure each
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    clients: Vec<usize>,
    /// Calls in a round
    #[arg(long, default_value_t = 8000)]
    calls: usize,
    /// Accounts to spread the calls over
    #[arg(long, default_value_t = 240)]
    accounts: usize,
}

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("set-calls", &place.program);
    let server = Server::start(place)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let authority = Authority::new();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let accounts = runtime.block_on(accounts::create(&server, options.accounts, nowhere))?;
    report.setup(format!(
        "{} accounts, rate limits on; {} ({} threads) on {}; one new P-256 leaf and its intermediate a call; the log goes to a file",
        accounts.len(),
        place.program.display(),
        process::threads(server.pid())?,
        server.filesystem()?,
    ));
    for round in 0..rounds {
        for &clients in &options.clients {
            // One client is slow; a tenth of the calls suffices.
            let calls = if clients == 1 {
                options.calls / 4
            } else {
                options.calls
            };
            println!("round {}, {clients} clients, {calls} calls", round + 1);
            let requests = sign(&authority, &accounts, calls);
            let measured = runtime.block_on(measure(&server, clients, requests))?;
            measured.report(&mut report, clients);
        }
    }
    report.target("rate, 64 clients", 2000.0);
    report.finish()
}

/// Signs calls in turn for all accounts.
fn sign(authority: &Authority, accounts: &[Account], calls: usize) -> Vec<Vec<u8>> {
    let turns = accounts.iter().cycle().take(calls);
    turns
        .map(|account| {
            let certified = authority.issue(&[&account.domain]);
            call::upload(account, &certified)
        })
        .collect()
}

struct Measured {
    took: Duration,
    latencies: Vec<Duration>,
    cpu: Duration,
}

impl Measured {
    fn report(&self, report: &mut Report, clients: usize) {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let named = |what: &str| format!("{what}, {clients} clients");
        let calls = sorted.len() as f64;
        report
            .add(&named("rate"), "calls/s", calls / self.took.as_secs_f64())
            .add(&named("p50"), "ms", percentile_ms(&sorted, 0.50))
            .add(&named("p99"), "ms", percentile_ms(&sorted, 0.99))
            .add(
                &named("server CPU"),
                "µs/call",
                self.cpu.as_secs_f64() * 1e6 / calls,
            );
    }
}

async fn measure(server: &Server, clients: usize, requests: Vec<Vec<u8>>) -> BenchResult<Measured> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(Connection::open(server.addresses.api).await?);
    }
    let requests = Rc::new(requests);
    let next = Rc::new(std::cell::Cell::new(0));
    let tasks = LocalSet::new();
    let cpu = process::cpu(server.pid())?;
    let start = Instant::now();
    let latencies = tasks
        .run_until(async {
            let clients: Vec<_> = connections
                .into_iter()
                .map(|connection| {
                    let (requests, next) = (Rc::clone(&requests), Rc::clone(&next));
                    tokio::task::spawn_local(
                        async move { client(connection, &requests, &next).await },
                    )
                })
                .collect();
            let mut latencies = Vec::with_capacity(requests.len());
            for client in clients {
                latencies.extend(client.await??);
            }
            BenchResult::Ok(latencies)
        })
        .await?;
    Ok(Measured {
        took: start.elapsed(),
        latencies,
        cpu: process::cpu(server.pid())? - cpu,
    })
}

/// Sends the calls one after the other, until none is left.
async fn client(
    mut connection: Connection,
    requests: &[Vec<u8>],
    next: &std::cell::Cell<usize>,
) -> BenchResult<Vec<Duration>> {
    let mut latencies = Vec::new();
    while let Some(request) = requests.get(next.replace(next.get() + 1)) {
        let start = Instant::now();
        connection.call(request).await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}
