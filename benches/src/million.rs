//! An edge with very many domains, each with a certificate and key of its own: memory, cold start
//! without the store, a change, handshakes with random names.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;

use crate::{
    Outcome,
    mass::{self, Mass},
    pki::Authority,
    process,
    report::{Report, percentile_ms},
    server::{Place, Server},
    tls::{Client, Offer},
    visible,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Domains, each with a P-256 certificate of its own
    #[arg(long, default_value_t = 100_000)]
    domains: usize,
    /// Random octets in each leaf beyond the least that a leaf must have
    #[arg(long, default_value_t = 0)]
    leaf_extra: usize,
    /// Certificates changed in a round
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Begin with the replica of an earlier run: the first fill of a million takes minutes
    #[arg(long)]
    keep_replica: bool,
    /// Handshakes of each kind in a round
    #[arg(long, default_value_t = 4000)]
    handshakes: usize,
}

/// Domains that are looked at after each start.
const LOOKED_AT: usize = 200;

pub(crate) fn run(place: &Place, rounds: usize, options: &Options) -> Outcome<()> {
    let mut report = Report::new("million", &place.program);
    let mass = Mass::prepare(place, options.domains, options.leaf_extra)?;
    report.setup(format!(
        "{} domains; leaf {} octets, sealed key {}, one intermediate; {} changes and {} handshakes a round",
        options.domains, mass.made.leaf, mass.made.sealed_key, options.changes, options.handshakes
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for round in 0..rounds {
        println!("round {}", round + 1);
        if !(options.keep_replica && mass.replica().exists()) {
            let filled = first_fill(place, &mass, options, &mut report)?;
            runtime.block_on(look(&filled, options.domains))?;
            filled.stop()?;
        }
        cold_start(place, &mass, options, &mut report, &runtime)?;
        let server = Server::start_in(place, &mass.home, "")?;
        let named = naming(options);
        report.add(
            &named("start with the store"),
            "s",
            server.start_took.as_secs_f64(),
        );
        runtime.block_on(changes(&server, &mass, options, &mut report))?;
        runtime.block_on(handshakes(&server, options, &mut report))?;
        let (now, _) = process::resident_kib(server.pid())?;
        report.add(&named("memory at the end"), "MB", megabytes(now));
        server.stop()?;
    }
    aims(&mut report, options);
    report.finish()
}

/// Figures carry what the run was of, so that those of several runs stand side by side.
fn naming(options: &Options) -> impl Fn(&str) -> String {
    let of = of(options);
    move |what| format!("{what}, {of}")
}

fn of(options: &Options) -> String {
    let domains = options.domains;
    match options.leaf_extra {
        0 => format!("{domains} domains"),
        extra => format!("{domains} domains, longer leaves (+{extra})"),
    }
}

fn aims(report: &mut Report, options: &Options) {
    let named = naming(options);
    let (memory, start) = match options.domains {
        100_000 => (150.0, 2.0),
        1_000_000 => (1000.0, 15.0),
        _ => return,
    };
    report.aim(&named("memory after a cold start"), memory);
    report.aim(&named("cold start without the store"), start);
    report.aim(&format!("p99 from return, {}", at(options)), 10.0);
}

fn at(options: &Options) -> String {
    format!("at {}", of(options))
}

/// Everything out of the store, into an empty replica.
fn first_fill(
    place: &Place,
    mass: &Mass,
    options: &Options,
    report: &mut Report,
) -> Outcome<Server> {
    let named = naming(options);
    let replica = mass.replica();
    if replica.exists() {
        fs::remove_dir_all(&replica)?;
    }
    let server = Server::start_in(place, &mass.home, "")?;
    let (now, peak) = process::resident_kib(server.pid())?;
    report.add(&named("first fill"), "s", server.start_took.as_secs_f64());
    report.add(&named("memory after the first fill"), "MB", megabytes(now));
    report.add(&named("peak of the first fill"), "MB", megabytes(peak));
    Ok(server)
}

/// The store's file is no database any more: what is served comes from the replica alone.
fn cold_start(
    place: &Place,
    mass: &Mass,
    options: &Options,
    report: &mut Report,
    runtime: &tokio::runtime::Runtime,
) -> Outcome<()> {
    let named = naming(options);
    let hidden = Hidden::hide(mass)?;
    let server = Server::start_in(place, &mass.home, "")?;
    let (now, peak) = process::resident_kib(server.pid())?;
    let cpu = process::cpu(server.pid())?;
    let took = server.start_took.as_secs_f64();
    report.add(&named("cold start without the store"), "s", took);
    report.add(&named("CPU of a cold start"), "s", cpu.as_secs_f64());
    report.add(&named("memory after a cold start"), "MB", megabytes(now));
    report.add(&named("peak of a cold start"), "MB", megabytes(peak));
    runtime.block_on(look(&server, options.domains))?;
    server.stop()?;
    drop(hidden);
    Ok(())
}

/// A store put out of the way; put back when dropped.
struct Hidden {
    store: PathBuf,
    away: PathBuf,
}

impl Hidden {
    fn hide(mass: &Mass) -> Outcome<Self> {
        let store = mass.store();
        let away = store.with_extension("away");
        fs::rename(&store, &away)?;
        let hidden = Self { store, away };
        fs::write(&hidden.store, "no database any more")?;
        Ok(hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Err(why) = fs::rename(&self.away, &self.store) {
            eprintln!("{}: {why}", self.away.display());
        }
    }
}

/// Handshakes with domains from all over show the certificates of those domains.
async fn look(server: &Server, domains: usize) -> Outcome<()> {
    let client = Client::new(Offer::X25519)?;
    for number in (0..domains).step_by((domains / LOOKED_AT).max(1)) {
        shake(&client, server.addresses.https, number).await?;
    }
    Ok(())
}

async fn shake(client: &Client, address: SocketAddr, number: usize) -> Outcome<()> {
    let name = mass::name(number);
    let shown = client
        .handshake(address, &ServerName::try_from(name.clone())?)
        .await?;
    let leaf = shown.leaf().ok_or("no leaf")?;
    let is_its_own = leaf
        .windows(name.len())
        .any(|octets| octets == name.as_bytes());
    if !is_its_own {
        return Err(format!("{name} showed another certificate").into());
    }
    shown.close().await
}

async fn changes(
    server: &Server,
    mass: &Mass,
    options: &Options,
    report: &mut Report,
) -> Outcome<()> {
    let authority = Authority::new()?;
    let swaps = visible::swap(server, &authority, &mass.made.accounts, options.changes).await?;
    swaps.report(report, &at(options));
    Ok(())
}

/// Handshakes with one name, whose key is at hand, against handshakes with any of all.
async fn handshakes(server: &Server, options: &Options, report: &mut Report) -> Outcome<()> {
    let named = naming(options);
    let client = Client::new(Offer::X25519)?;
    let mut each = [0.0; 2];
    for (which, what) in ["one name", "random names"].into_iter().enumerate() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let before = process::cpu(server.pid())?;
        let mut times = Vec::with_capacity(options.handshakes);
        for _ in 0..options.handshakes {
            let number = if which == 0 {
                0
            } else {
                numbers.below(options.domains)
            };
            let began = Instant::now();
            shake(&client, server.addresses.https, number).await?;
            times.push(began.elapsed());
        }
        let cpu = process::cpu(server.pid())? - before;
        each[which] = micros(cpu) / options.handshakes as f64;
        times.sort_unstable();
        let name = named(&format!("handshake, {what}"));
        report.add(&format!("{name}, server's CPU"), "µs", each[which]);
        report.add(&format!("{name}, p50"), "ms", percentile_ms(&times, 0.5));
        report.add(&format!("{name}, p99"), "ms", percentile_ms(&times, 0.99));
    }
    let name = named("handshake, random to one");
    report.add(&name, "ratio", each[1] / each[0]);
    Ok(())
}

/// xorshift64*: the same names in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(random) * limit as u128) >> 64) as usize
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Millions of octets.
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
