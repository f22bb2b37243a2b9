//! CPU of a small proxied request on warm connections: Edgeseal, nginx and HAProxy in turns, one
//! origin, one client (`h2load`).

use std::{net::SocketAddr, process::Command};

use edgeseal_testing::process;

use crate::{
    BenchResult,
    cert_directory::CertDirectory,
    handshake::one_domain,
    origin,
    peer::{Kind, Peer, PeerConfig, program},
    report::Report,
    server::{Server, ServerConfig},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Requests of one server before the next has its turn
    #[arg(long, default_value_t = 20_000)]
    requests: usize,
    /// Concurrent connections
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Concurrent requests on one HTTP/2 connection
    #[arg(long, default_value_t = 4)]
    streams: usize,
}

/// A server that takes its turn.
struct Contender {
    name: &'static str,
    address: SocketAddr,
    pids: Vec<u32>,
}

/// Target ratio to the better peer's CPU.
const AIM: f64 = 1.3;

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("proxied", &place.program);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let origin = origin::start()?;
    let server = Server::start(place)?;
    let (domain, certified) = runtime.block_on(one_domain(&server, origin))?;
    let folder = CertDirectory::create(&[(&domain, &certified)])?;
    let setup = PeerConfig::new(&folder, origin)?;
    let nginx = runtime.block_on(Peer::start_or_fail(Kind::Nginx, &setup))?;
    let haproxy = runtime.block_on(Peer::start_or_fail(Kind::Haproxy, &setup))?;
    let mut contenders = vec![Contender {
        name: "edgeseal",
        address: server.addresses.https,
        pids: vec![server.pid()],
    }];
    for peer in [&nginx, &haproxy] {
        contenders.push(Contender {
            name: peer.name(),
            address: peer.https,
            pids: peer.pids()?,
        });
    }
    report.setup(format!(
        "h2load, {} requests a turn, in turns, on {} connections, {} streams of each with h2; {} workers of each peer, {} threads of {}",
        options.requests,
        options.clients,
        options.streams,
        setup.workers,
        process::threads(server.pid())?,
        place.program.display(),
    ));
    for protocol in ["h2", "h1"] {
        for one in &contenders {
            load(
                one.address,
                &domain,
                protocol,
                options,
                options.requests / 4,
            )?;
        }
        for round in 0..rounds {
            println!("round {}, {protocol}", round + 1);
            for one in &contenders {
                let before = process::cpu_of_all(&one.pids)?;
                load(one.address, &domain, protocol, options, options.requests)?;
                let cpu = process::cpu_of_all(&one.pids)? - before;
                let each = cpu.as_secs_f64() * 1e6 / options.requests as f64;
                report.add(&named(protocol, one.name), "µs", each);
            }
        }
        ratios(&mut report, protocol);
    }
    report.finish()
}

fn named(protocol: &str, who: &str) -> String {
    format!("proxied request, {protocol}: {who}")
}

fn ratios(report: &mut Report, protocol: &str) {
    let ours = named(protocol, "edgeseal");
    let mut better = "nginx";
    for peer in ["nginx", "haproxy"] {
        let name = named(protocol, &format!("edgeseal / {peer}"));
        report.ratio(&name, &ours, &named(protocol, peer));
        if report.median(&named(protocol, peer)) < report.median(&named(protocol, better)) {
            better = peer;
        }
    }
    let name = named(protocol, "edgeseal / the better");
    report.ratio(&name, &ours, &named(protocol, better));
    report.target(&name, AIM);
}

/// Makes this many requests, all of which must succeed.
fn load(
    address: SocketAddr,
    domain: &str,
    protocol: &str,
    options: &Options,
    requests: usize,
) -> BenchResult<()> {
    let mut command = Command::new(program("h2load"));
    command
        .arg(format!("--requests={requests}"))
        .arg(format!("--clients={}", options.clients))
        .arg(format!("--connect-to={address}"));
    if protocol == "h1" {
        command.arg("--h1");
    } else {
        command.arg(format!("--max-concurrent-streams={}", options.streams));
    }
    let said = command
        .arg(format!("https://{domain}/"))
        .output()
        .map_err(|why| format!("h2load: {why}; run benches/peers.sh"))?;
    let said = String::from_utf8_lossy(&said.stdout);
    let (all, wanted) = (
        format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout"),
        if protocol == "h1" { "http/1.1" } else { "h2" },
    );
    let is_right = said.contains(&all)
        && said.contains(&format!("status codes: {requests} 2xx"))
        && said.contains(&format!("Application protocol: {wanted}\n"));
    if is_right {
        return Ok(());
    }
    Err(format!("not all requests went well\n{said}").into())
}
