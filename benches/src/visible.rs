//! Time from a call's return, and from its start, to the first handshake that shows the
//! certificate.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use edgeseal_testing::pki::Authority;
use rustls::pki_types::ServerName;

use crate::{
    BenchResult,
    accounts::{self, Account},
    call,
    call::Connection,
    report::{Report, percentile_ms},
    server::{Server, ServerConfig},
    tls::{Client, KeyExchange},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Swaps in a round
    #[arg(long, default_value_t = 500)]
    swaps: usize,
    /// Accounts; they also bound the rate of the background calls
    #[arg(long, default_value_t = 60)]
    accounts: usize,
    /// Background calls per second in the second part; 0: none
    #[arg(long, default_value_t = 300)]
    beside: usize,
}

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("visible", &place.program);
    let server = Server::start(place)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let authority = Arc::new(Authority::new());
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut accounts = runtime.block_on(accounts::create(&server, options.accounts, nowhere))?;
    let others = Arc::new(accounts.split_off(accounts.len() / 2));
    report.setup(format!(
        "{} swaps a round; times end when the handshake is done; TLS 1.3, X25519; {} on {}",
        options.swaps,
        place.program.display(),
        server.filesystem()?
    ));
    for round in 0..rounds {
        println!("round {}", round + 1);
        let alone = runtime.block_on(swap(&server, &authority, &accounts, options.swaps))?;
        alone.report(&mut report, "alone");
        if options.beside > 0 {
            let load = Load::start(
                server.addresses.api,
                Arc::clone(&authority),
                Arc::clone(&others),
                options.beside,
            );
            let loaded = runtime.block_on(swap(&server, &authority, &accounts, options.swaps));
            let calls_per_second = load.stop()?;
            loaded?.report(&mut report, "under load");
            report.add("calls beside", "calls/s", calls_per_second);
        }
    }
    report.target("p99 from return, alone", 10.0);
    report.target("p99 from return, under load", 10.0);
    report.finish()
}

#[derive(Default)]
pub(crate) struct Swaps {
    from_start: Vec<Duration>,
    from_return: Vec<Duration>,
    /// Handshakes after the return that showed another certificate.
    stale: usize,
}

impl Swaps {
    pub(crate) fn report(mut self, report: &mut Report, when: &str) {
        self.from_start.sort_unstable();
        self.from_return.sort_unstable();
        let named = |what: &str| format!("{what}, {when}");
        for (times, since) in [(&self.from_return, "return"), (&self.from_start, "start")] {
            for (share, of) in [(0.50, "p50"), (0.99, "p99"), (1.0, "max")] {
                let name = named(&format!("{of} from {since}"));
                report.add(&name, "ms", percentile_ms(times, share));
            }
        }
        let name = named("stale handshakes after return");
        report.add(&name, "handshakes", self.stale as f64);
    }
}

/// Changes one certificate after the other, and waits for each until a handshake shows it.
pub(crate) async fn swap(
    server: &Server,
    authority: &Authority,
    accounts: &[Account],
    swaps: usize,
) -> BenchResult<Swaps> {
    let client = Client::new(KeyExchange::X25519)?;
    let mut connection = Connection::open(server.addresses.api).await?;
    let mut measured = Swaps::default();
    for account in accounts.iter().cycle().take(swaps) {
        let certified = authority.issue(&[&account.domain]);
        let request = call::upload(account, &certified);
        let name = ServerName::try_from(account.domain.clone())?;
        let start = Instant::now();
        connection.call(&request).await?;
        let returned = Instant::now();
        loop {
            let shown = client.handshake(server.addresses.https, &name).await?;
            let seen = Instant::now();
            let is_new = shown.leaf() == Some(&*certified.leaf);
            if is_new {
                measured.from_start.push(seen - start);
                measured.from_return.push(seen - returned);
            } else {
                measured.stale += 1;
            }
            shown.close().await?;
            if is_new {
                break;
            }
            if returned.elapsed() > Duration::from_secs(10) {
                return Err("the new certificate did not show within 10 s".into());
            }
        }
    }
    Ok(measured)
}

/// Background uploads at a steady rate, from a thread of their own.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    since: Instant,
    thread: std::thread::JoinHandle<BenchResult<()>>,
}

impl Load {
    fn start(
        api: SocketAddr,
        authority: Arc<Authority>,
        accounts: Arc<Vec<Account>>,
        per_second: usize,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicUsize::new(0));
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let per_second = per_second.min(accounts.len() * 25);
            runtime.block_on(async {
                let mut connection = Connection::open(api).await?;
                let mut pace =
                    tokio::time::interval(Duration::from_secs(1) / u32::try_from(per_second)?);
                for account in accounts.iter().cycle() {
                    if told.load(Ordering::Relaxed) {
                        break;
                    }
                    let certified = authority.issue(&[&account.domain]);
                    let request = call::upload(account, &certified);
                    pace.tick().await;
                    connection.call(&request).await?;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        Self {
            stop,
            calls,
            since: Instant::now(),
            thread,
        }
    }

    /// Stops it; returns the calls per second.
    fn stop(self) -> BenchResult<f64> {
        let rate = self.calls.load(Ordering::Relaxed) as f64 / self.since.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the load broke down")??;
        Ok(rate)
    }
}
