//! A burst of changes under load: no handshake and no request may fail, and no handshake after the
//! return of a call may show the old certificate.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use edgeseal_testing::{
    pki::{Authority, TestCertificate},
    random::SplitMix,
};
use rustls::pki_types::ServerName;
use tokio::task::LocalSet;

use crate::{
    BenchResult,
    accounts::{self, Account},
    call,
    call::Connection,
    cert_directory::CertDirectory,
    origin,
    peer::{Kind, Peer, PeerConfig},
    report::{Report, percentile_ms},
    requests::{HttpConnection, RequestOutcome},
    server::{Server, ServerConfig},
    tls::{Client, HandshakeProfile, KeyExchange},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Changes in a round
    #[arg(long, default_value_t = 10_000)]
    changes: usize,
    /// Domains whose certificates are changed, in turn
    #[arg(long, default_value_t = 400)]
    domains: usize,
    /// Concurrent API clients
    #[arg(long, default_value_t = 8)]
    callers: usize,
    /// New handshakes per second meanwhile, over all domains
    #[arg(long, default_value_t = 200)]
    handshakes: u32,
    /// Connections with sequential requests meanwhile, half h1, half h2
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests per second on each of them
    #[arg(long, default_value_t = 50)]
    requests: u32,
}

/// One unchanged domain per this many changed ones.
const UNCHANGED: usize = 10;

/// What the clients observed.
#[derive(Default)]
struct LoadStats {
    handshakes: Vec<Duration>,
    handshakes_failed: usize,
    requests: Vec<Duration>,
    requests_failed: usize,
    /// Connections that the server had closed gracefully, so that the request used a new one.
    reconnects: usize,
    first_failure: Option<String>,
}

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("burst", &place.program);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let origin = origin::start()?;
    let server = Server::start_with(
        place,
        "[rate_limits]\nSetCdnDomainSSLCertificate = 100000\nCreateAccount = 10000\nAddCdnDomain = 10000\n",
    )?;
    let authority = Authority::new();
    let all = options.domains + options.domains / UNCHANGED + 1;
    let accounts = runtime.block_on(accounts::create(&server, all, origin))?;
    let first = runtime.block_on(set_all(&server, &authority, &accounts))?;
    let changed = accounts.get(..options.domains).ok_or("no domains")?;
    report.setup(format!(
        "{} changes of {} domains by {} callers, rate limits out of the way; meanwhile {} handshakes a second with these and {} others, and {} connections with {} requests a second each, half h1, half h2",
        options.changes,
        options.domains,
        options.callers,
        options.handshakes,
        all - options.domains,
        options.connections,
        options.requests,
    ));
    let domains: Arc<[String]> = accounts.iter().map(|one| one.domain.clone()).collect();
    for round in 0..rounds {
        println!("round {}", round + 1);
        let calls = sign(&authority, changed, options.changes);
        runtime.block_on(burst(&server, calls, &domains, options, &mut report))?;
    }
    drop(server);
    let certified: Vec<_> = domains.iter().map(String::as_str).zip(&first).collect();
    let folder = CertDirectory::create(&certified)?;
    let setup = PeerConfig::new(&folder, origin)?;
    for round in 0..rounds {
        println!("round {}, a reload of nginx", round + 1);
        runtime.block_on(reload(&setup, &domains, options, &mut report))?;
    }
    report.finish()
}

/// Load without changes, then all changes under the same load.
async fn burst(
    server: &Server,
    calls: Vec<Change>,
    domains: &Arc<[String]>,
    options: &Options,
    report: &mut Report,
) -> BenchResult<()> {
    let https = server.addresses.https;
    let quiet = Load::start(https, domains, options);
    tokio::time::sleep(Duration::from_secs(3)).await;
    quiet.stop()?.report(report, "no change");
    let load = Load::start(https, domains, options);
    let began = Instant::now();
    let stale = change(server, options.callers, calls).await;
    let took = began.elapsed();
    let seen = load.stop()?;
    let rate = options.changes as f64 / took.as_secs_f64();
    report.add("changes, burst", "calls/s", rate);
    let name = "handshakes after return that showed the old certificate, burst";
    report.add(name, "handshakes", stale? as f64);
    report.target(name, 0.0);
    seen.report(report, "burst");
    for what in ["failed handshakes", "failed requests"] {
        report.target(&format!("{what}, burst"), 0.0);
    }
    Ok(())
}

/// One reload of nginx with the same names, under the same load.
async fn reload(
    setup: &PeerConfig<'_>,
    domains: &Arc<[String]>,
    options: &Options,
    report: &mut Report,
) -> BenchResult<()> {
    let nginx = Peer::start_or_fail(Kind::Nginx, setup).await?;
    let domain = domains.first().ok_or("no domain")?;
    let to = Authority::new().issue(&[domain]);
    let load = Load::start(nginx.https, domains, options);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let took = nginx.change_and_wait(domain, &to, setup).await?;
    let took = took.map_err(|limit| format!("nginx: {limit}"))?;
    // Old workers live as long as their connections.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = load.stop()?;
    let when = "one reload of nginx";
    report.add(&format!("change, {when}"), "ms", took.as_secs_f64() * 1e3);
    seen.report(report, when);
    Ok(())
}

/// Sets a first certificate for each domain.
async fn set_all(
    server: &Server,
    authority: &Authority,
    accounts: &[Account],
) -> BenchResult<Vec<TestCertificate>> {
    let mut connection = Connection::open(server.addresses.api).await?;
    let mut all = Vec::with_capacity(accounts.len());
    for account in accounts {
        let certified = authority.issue(&[&account.domain]);
        let request = call::upload(account, &certified);
        connection.call(&request).await?;
        all.push(certified);
    }
    Ok(all)
}

/// A call, and the certificate that handshakes must show after its return.
struct Change {
    request: Vec<u8>,
    domain: String,
    to: TestCertificate,
}

fn sign(authority: &Authority, accounts: &[Account], changes: usize) -> Vec<Change> {
    let turns = accounts.iter().cycle().take(changes);
    turns
        .map(|account| {
            let to = authority.issue(&[&account.domain]);
            Change {
                request: call::upload(account, &to),
                domain: account.domain.clone(),
                to,
            }
        })
        .collect()
}

/// Makes all changes; returns how many handshakes after a return showed another certificate. Each
/// domain has one caller, so nothing else changes it meanwhile.
async fn change(server: &Server, callers: usize, changes: Vec<Change>) -> BenchResult<usize> {
    let mut shares: Vec<Vec<Change>> = (0..callers).map(|_| Vec::new()).collect();
    let mut owner = std::collections::HashMap::new();
    for change in changes {
        let next = owner.len() % callers;
        let owner = *owner.entry(change.domain.clone()).or_insert(next);
        shares[owner].push(change);
    }
    let (api, https) = (server.addresses.api, server.addresses.https);
    LocalSet::new()
        .run_until(async {
            let callers = shares
                .into_iter()
                .map(|share| tokio::task::spawn_local(caller(api, https, share)));
            let mut stale = 0;
            for caller in callers.collect::<Vec<_>>() {
                stale += caller.await??;
            }
            Ok(stale)
        })
        .await
}

async fn caller(api: SocketAddr, https: SocketAddr, changes: Vec<Change>) -> BenchResult<usize> {
    let mut connection = Connection::open(api).await?;
    let client = Client::new(KeyExchange::X25519)?;
    let mut stale = 0;
    for change in changes {
        connection.call(&change.request).await?;
        let name = ServerName::try_from(change.domain)?;
        let shown = client.handshake(https, &name).await?;
        stale += usize::from(shown.leaf() != Some(&*change.to.leaf));
        shown.close().await?;
    }
    Ok(stale)
}

/// Clients in the background, on a thread of their own.
struct Load {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BenchResult<LoadStats>>,
}

impl Load {
    fn start(address: SocketAddr, domains: &Arc<[String]>, options: &Options) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = Clients {
            address,
            domains: Arc::clone(domains),
            stop: Arc::clone(&stop),
        };
        let (handshakes, connections) = (options.handshakes, options.connections);
        let requests = options.requests;
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let all = LocalSet::new();
            all.block_on(&runtime, async {
                let clients = Arc::new(clients);
                let mut tasks = Vec::new();
                // Four, so that one slow handshake does not hold up the others.
                for number in 0..4 {
                    let clients = Arc::clone(&clients);
                    tasks.push(tokio::task::spawn_local(async move {
                        clients.run_handshakes(number, handshakes / 4).await
                    }));
                }
                for number in 0..connections {
                    let clients = Arc::clone(&clients);
                    tasks.push(tokio::task::spawn_local(async move {
                        clients.request(number, requests).await
                    }));
                }
                let mut seen = LoadStats::default();
                for task in tasks {
                    seen.add(task.await??);
                }
                Ok(seen)
            })
        });
        Self { stop, thread }
    }

    fn stop(self) -> BenchResult<LoadStats> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the load broke down")?
    }
}

struct Clients {
    address: SocketAddr,
    domains: Arc<[String]>,
    stop: Arc<AtomicBool>,
}

impl Clients {
    fn is_running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// New handshakes with any of the domains.
    async fn run_handshakes(&self, number: usize, per_second: u32) -> BenchResult<LoadStats> {
        let client = Client::new(KeyExchange::X25519)?;
        let mut seen = LoadStats::default();
        let mut numbers = SplitMix(1);
        for _ in 0..number {
            numbers.below(2); // each task has other names
        }
        let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.is_running() {
            pace.tick().await;
            let domain = &self.domains[numbers.below(self.domains.len())];
            let began = Instant::now();
            match client.connect_expecting(self.address, domain).await {
                Ok(shown) => {
                    seen.handshakes.push(began.elapsed());
                    // The handshake has succeeded, whether or not close_notify arrives.
                    let _ = shown.close().await;
                }
                Err(why) => {
                    seen.handshakes_failed += 1;
                    seen.record_failure(domain, &*why);
                }
            }
        }
        Ok(seen)
    }

    /// Sequential requests on one connection, as long as the server keeps it open.
    async fn request(&self, number: usize, per_second: u32) -> BenchResult<LoadStats> {
        let h2 = number % 2 == 1;
        let client = Client::with(HandshakeProfile {
            h2,
            ..HandshakeProfile::FULL
        })?;
        // Spread over changed and unchanged domains.
        let at = number * self.domains.len() / 8 % self.domains.len();
        let domain = &self.domains[at];
        let mut seen = LoadStats::default();
        let mut kept = HttpConnection::open(&client, self.address, domain, h2).await?;
        let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.is_running() {
            pace.tick().await;
            let began = Instant::now();
            match kept.get(domain).await {
                Ok(RequestOutcome::Answered) => {
                    seen.requests.push(began.elapsed());
                    continue;
                }
                Ok(RequestOutcome::NotSent) => seen.reconnects += 1,
                Err(why) => {
                    seen.requests_failed += 1;
                    seen.record_failure(domain, &*why);
                }
            }
            match HttpConnection::open(&client, self.address, domain, h2).await {
                Ok(opened) => kept = opened,
                Err(why) => {
                    seen.handshakes_failed += 1;
                    seen.record_failure(domain, &*why);
                }
            }
        }
        Ok(seen)
    }
}

impl LoadStats {
    /// Records the first failure.
    fn record_failure(&mut self, domain: &str, why: &dyn std::error::Error) {
        self.first_failure
            .get_or_insert_with(|| format!("{domain}: {why}"));
    }

    fn add(&mut self, other: Self) {
        self.handshakes.extend(other.handshakes);
        self.requests.extend(other.requests);
        self.handshakes_failed += other.handshakes_failed;
        self.requests_failed += other.requests_failed;
        self.reconnects += other.reconnects;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn report(mut self, report: &mut Report, when: &str) {
        if let Some(why) = &self.first_failure {
            println!("  first failure, {when}: {why}");
        }
        let named = |what: &str| format!("{what}, {when}");
        for (what, times, failed) in [
            ("handshakes", &mut self.handshakes, self.handshakes_failed),
            ("requests", &mut self.requests, self.requests_failed),
        ] {
            times.sort_unstable();
            report.add(&named(what), what_unit(what), times.len() as f64);
            report.add(
                &named(&format!("failed {what}")),
                what_unit(what),
                failed as f64,
            );
            report.add(
                &named(&format!("{what}, p50")),
                "ms",
                percentile_ms(times, 0.5),
            );
            report.add(
                &named(&format!("{what}, p99")),
                "ms",
                percentile_ms(times, 0.99),
            );
        }
        let again = self.reconnects as f64;
        report.add(
            &named("connections that the server had ended"),
            "connections",
            again,
        );
    }
}

fn what_unit(what: &str) -> &'static str {
    match what {
        "handshakes" => "handshakes",
        _ => "requests",
    }
}
