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
    database::StoreKind,
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
    /// Stores, one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    store: Vec<StoreKind>,
    /// Servers that share a PostgreSQL store, one figure each
    #[arg(long, value_delimiter = ',', default_value = "1")]
    nodes: Vec<usize>,
    /// Accounts to spread the calls over
    #[arg(long, default_value_t = 240)]
    accounts: usize,
}

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("set-calls", &place.program);
    for &store in &options.store {
        run_on(store, place, rounds, options, &mut report)?;
    }
    report.target("rate, 64 clients", 2000.0);
    report.finish()
}

fn run_on(
    store: StoreKind,
    place: &ServerConfig,
    rounds: usize,
    options: &Options,
    report: &mut Report,
) -> BenchResult<()> {
    let database = store.start(&place.program)?;
    let config = database.as_ref().map_or("", |it| it.config.as_str());
    // Nobody can share a store in a file.
    let nodes: &[usize] = database.as_ref().map_or(&[1], |_| &options.nodes);
    let count = nodes.iter().copied().max().unwrap_or(1);
    let servers = (0..count).map(|_| Server::start_with(place, config));
    let servers = servers.collect::<BenchResult<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let authority = Authority::new();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let accounts = accounts::create(&servers[0], options.accounts, nowhere);
    let accounts = runtime.block_on(accounts)?;
    report.setup(format!(
        "{}: {} accounts, rate limits on; {} ({} threads) on {}; one new P-256 leaf and its intermediate a call; the log goes to a file",
        store.label().unwrap_or("SQLite"),
        accounts.len(),
        place.program.display(),
        process::threads(servers[0].pid())?,
        servers[0].filesystem()?,
    ));
    for round in 0..rounds {
        for (&nodes, &clients) in nodes
            .iter()
            .flat_map(|nodes| options.clients.iter().map(move |clients| (nodes, clients)))
        {
            // One client is slow; a tenth of the calls suffices.
            let calls = if clients == 1 {
                options.calls / 4
            } else {
                options.calls
            };
            let label = store
                .label()
                .map_or_else(String::new, |store| format!("{store}, {nodes} nodes, "));
            println!(
                "round {}, {label}{clients} clients, {calls} calls",
                round + 1
            );
            let requests = sign(&authority, &accounts, calls);
            let measured = runtime.block_on(measure(&servers[..nodes], clients, requests))?;
            measured.report(report, &label, clients);
        }
    }
    Ok(())
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
    fn report(&self, report: &mut Report, label: &str, clients: usize) {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let named = |what: &str| format!("{label}{what}, {clients} clients");
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

async fn measure(
    servers: &[Server],
    clients: usize,
    requests: Vec<Vec<u8>>,
) -> BenchResult<Measured> {
    let mut connections = Vec::with_capacity(clients);
    for server in servers.iter().cycle().take(clients) {
        connections.push(Connection::open(server.addresses.api).await?);
    }
    let requests = Rc::new(requests);
    let next = Rc::new(std::cell::Cell::new(0));
    let tasks = LocalSet::new();
    let pids: Vec<u32> = servers.iter().map(Server::pid).collect();
    let cpu = process::cpu_of_all(&pids)?;
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
        cpu: process::cpu_of_all(&pids)? - cpu,
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
