//! An edge with very many domains, each with a certificate and key of its own: memory, cold start
//! without the store, a change, handshakes with random names.

use std::{fs, path::PathBuf, rc::Rc};

use edgeseal_testing::{pki::Authority, process};

use crate::{
    BenchResult,
    bulk_store::{self, BulkStore},
    cert_directory::CertDirectory,
    handshake_load::{AfterHandshake, HandshakeLoad, ServerNames},
    origin,
    peer::{Kind, Peer, PeerConfig},
    report::Report,
    server::{Server, ServerConfig},
    tls::{Client, HandshakeProfile, KeyExchange},
    visible,
};

mod peers;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Domains, each with a P-256 certificate of its own
    #[arg(long, default_value_t = 100_000)]
    domains: usize,
    /// Additional random bytes in each leaf
    #[arg(long, default_value_t = 0)]
    leaf_extra: usize,
    /// Certificates changed in a round
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Reuse the replica of an earlier run: the first fill of a million takes minutes
    #[arg(long)]
    keep_replica: bool,
    /// Handshakes of each kind in a round
    #[arg(long, default_value_t = 4000)]
    handshakes: usize,
    /// Also measure the peers with as many certificates
    #[arg(long)]
    peers: bool,
    /// Limit in seconds for a peer's start, and for a change of one certificate
    #[arg(long, default_value_t = 60)]
    peer_seconds: u64,
    /// Memory limit of a peer, in MB
    #[arg(long, default_value_t = 8000)]
    peer_mb: u64,
}

/// Domains that are checked after each start.
const SAMPLE: usize = 200;

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("million", &place.program);
    let mass = BulkStore::prepare(place, options.domains, options.leaf_extra)?;
    report.setup(format!(
        "{} domains; leaf {} bytes, sealed key {}, one intermediate; {} changes and {} handshakes a round",
        options.domains, mass.made.leaf, mass.made.sealed_key, options.changes, options.handshakes
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let origin = origin::start()?;
    let single = Authority::new().issue(&[&bulk_store::domain_name(0)]);
    let single = CertDirectory::create(&[(&bulk_store::domain_name(0), &single)])?;
    let nginx = runtime.block_on(Peer::start_or_fail(
        Kind::Nginx,
        &PeerConfig::new(&single, origin)?,
    ))?;
    for round in 0..rounds {
        println!("round {}", round + 1);
        if !(options.keep_replica && mass.replica().exists()) {
            let filled = first_fill(place, &mass, options, &mut report)?;
            runtime.block_on(check_sample(&filled, options.domains))?;
            filled.stop()?;
        }
        cold_start(place, &mass, options, &mut report, &runtime)?;
        let server = Server::start_in(place, &mass.home, "")?;
        let named = figure_namer(options);
        report.add(
            &named("start with the store"),
            "s",
            server.startup_time.as_secs_f64(),
        );
        runtime.block_on(changes(&server, &mass, options, &mut report))?;
        runtime.block_on(handshakes(&server, &nginx, options, &mut report))?;
        let (now, _) = process::resident_kib(server.pid())?;
        report.add(&named("memory at the end"), "MB", megabytes(now));
        server.stop()?;
    }
    aims(&mut report, options);
    ratios(&mut report, options);
    drop(nginx);
    if options.peers {
        runtime.block_on(peers::run(origin, rounds, options, &mut report))?;
    }
    report.finish()
}

/// Labels the figures with the size of the run, so that several runs can be compared.
fn figure_namer(options: &Options) -> impl Fn(&str) -> String {
    let of = size_label(options);
    move |what| format!("{what}, {of}")
}

fn size_label(options: &Options) -> String {
    let domains = options.domains;
    match options.leaf_extra {
        0 => format!("{domains} domains"),
        extra => format!("{domains} domains, longer leaves (+{extra})"),
    }
}

fn aims(report: &mut Report, options: &Options) {
    let named = figure_namer(options);
    let (memory, start) = match options.domains {
        100_000 => (150.0, 2.0),
        1_000_000 => (1000.0, 15.0),
        _ => return,
    };
    report.target(&named("memory after a cold start"), memory);
    report.target(&named("cold start without the store"), start);
    report.target(
        &format!("p99 from return, {}", at_size_label(options)),
        10.0,
    );
}

fn at_size_label(options: &Options) -> String {
    format!("at {}", size_label(options))
}

/// Fills an empty replica from the store.
fn first_fill(
    place: &ServerConfig,
    mass: &BulkStore,
    options: &Options,
    report: &mut Report,
) -> BenchResult<Server> {
    let named = figure_namer(options);
    let replica = mass.replica();
    if replica.exists() {
        fs::remove_dir_all(&replica)?;
    }
    let server = Server::start_in(place, &mass.home, "")?;
    let (now, peak) = process::resident_kib(server.pid())?;
    report.add(&named("first fill"), "s", server.startup_time.as_secs_f64());
    report.add(&named("memory after the first fill"), "MB", megabytes(now));
    report.add(&named("peak of the first fill"), "MB", megabytes(peak));
    Ok(server)
}

/// Starts without a usable store, so that everything served comes from the replica.
fn cold_start(
    place: &ServerConfig,
    mass: &BulkStore,
    options: &Options,
    report: &mut Report,
    runtime: &tokio::runtime::Runtime,
) -> BenchResult<()> {
    let named = figure_namer(options);
    let hidden = HiddenStore::hide(mass)?;
    let server = Server::start_in(place, &mass.home, "")?;
    let (now, peak) = process::resident_kib(server.pid())?;
    let cpu = process::cpu(server.pid())?;
    let took = server.startup_time.as_secs_f64();
    report.add(&named("cold start without the store"), "s", took);
    report.add(&named("CPU of a cold start"), "s", cpu.as_secs_f64());
    report.add(&named("memory after a cold start"), "MB", megabytes(now));
    report.add(&named("peak of a cold start"), "MB", megabytes(peak));
    runtime.block_on(check_sample(&server, options.domains))?;
    server.stop()?;
    drop(hidden);
    Ok(())
}

/// A store that was moved away; moved back on drop.
struct HiddenStore {
    store: PathBuf,
    away: PathBuf,
}

impl HiddenStore {
    fn hide(mass: &BulkStore) -> BenchResult<Self> {
        let store = mass.store();
        let away = store.with_extension("away");
        fs::rename(&store, &away)?;
        let hidden = Self { store, away };
        fs::write(&hidden.store, "no database any more")?;
        Ok(hidden)
    }
}

impl Drop for HiddenStore {
    fn drop(&mut self) {
        if let Err(why) = fs::rename(&self.away, &self.store) {
            eprintln!("{}: {why}", self.away.display());
        }
    }
}

/// Asserts that handshakes with domains of the whole range show their certificates.
async fn check_sample(server: &Server, domains: usize) -> BenchResult<()> {
    let client = Client::new(KeyExchange::X25519)?;
    for number in (0..domains).step_by((domains / SAMPLE).max(1)) {
        let name = bulk_store::domain_name(number);
        let shown = client
            .connect_expecting(server.addresses.https, &name)
            .await?;
        shown.close().await?;
    }
    Ok(())
}

async fn changes(
    server: &Server,
    mass: &BulkStore,
    options: &Options,
    report: &mut Report,
) -> BenchResult<()> {
    let authority = Authority::new();
    let swaps = visible::swap(server, &authority, &mass.made.accounts, options.changes).await?;
    swaps.report(report, &at_size_label(options));
    Ok(())
}

/// Handshakes in turns: with one name, whose key is cached; with random names; and with an nginx
/// that has one certificate.
async fn handshakes(
    server: &Server,
    nginx: &Peer,
    options: &Options,
    report: &mut Report,
) -> BenchResult<()> {
    let named = figure_namer(options);
    let edgeseal = (server.addresses.https, vec![server.pid()]);
    let peer = (nginx.https, nginx.pids()?);
    let one = || ServerNames::One(Rc::from(bulk_store::domain_name(0)));
    let turns = [
        (ONE_NAME, &edgeseal, one()),
        (NGINX, &peer, one()),
        (
            RANDOM_NAMES,
            &edgeseal,
            ServerNames::Random(options.domains),
        ),
    ];
    for _ in 0..TURNS {
        for (what, (address, pids), names) in &turns {
            let shakes = HandshakeLoad {
                names: names.clone(),
                profile: HandshakeProfile::FULL,
                then: AfterHandshake::Close,
                clients: 8,
            };
            let handshakes = options.handshakes / TURNS;
            let before = process::cpu_of_all(pids)?;
            shakes.run(*address, handshakes).await?;
            let cpu = process::cpu_of_all(pids)? - before;
            let each = cpu.as_secs_f64() * 1e6 / handshakes as f64;
            report.add(&named(what), "µs", each);
        }
    }
    Ok(())
}

/// Turns of each kind of handshakes in a round.
const TURNS: usize = 4;

const ONE_NAME: &str = "handshake, one name, server's CPU";
const RANDOM_NAMES: &str = "handshake, random names, server's CPU";
const NGINX: &str = "handshake, nginx with one certificate, its CPU";

fn ratios(report: &mut Report, options: &Options) {
    let named = figure_namer(options);
    for (what, ours, theirs, aim) in [
        (
            "handshake, one name, edgeseal / nginx with one certificate",
            ONE_NAME,
            NGINX,
            0.9,
        ),
        (
            "handshake, random names, edgeseal / nginx with one certificate",
            RANDOM_NAMES,
            NGINX,
            1.1,
        ),
    ] {
        report.ratio(&named(what), &named(ours), &named(theirs));
        report.target(&named(what), aim);
    }
}

/// Bytes as MB.
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
