//! CPU of a handshake: Edgeseal, nginx and HAProxy in turns, one certificate, one client.

use std::{net::SocketAddr, rc::Rc};

use edgeseal_testing::{
    pki::{Authority, TestCertificate},
    process,
};
use rustls::ProtocolVersion;

use crate::{
    BenchResult, accounts, call,
    call::Connection,
    cert_directory::CertDirectory,
    handshake_load::{AfterHandshake, HandshakeLoad, ServerNames},
    origin,
    peer::{Kind, Peer, PeerConfig},
    report::Report,
    server::{Server, ServerConfig},
    tls::{HandshakeMode, HandshakeProfile, KeyExchange},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Handshakes of one server before the next has its turn
    #[arg(long, default_value_t = 4000)]
    handshakes: usize,
    /// Concurrent connections
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Workers of the peers; 0: one per core, as in Edgeseal
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

/// A server that takes its turn.
struct Contender {
    name: &'static str,
    address: SocketAddr,
    pids: Vec<u32>,
    offer: KeyExchange,
}

/// One part of the run: a figure for each contender.
struct Part {
    what: &'static str,
    profile: HandshakeProfile,
    then: AfterHandshake,
    /// Target ratio to nginx's CPU.
    aim: Option<f64>,
}

const PARTS: [Part; 5] = [
    Part {
        what: "full TLS 1.3 handshake",
        profile: HandshakeProfile::FULL,
        then: AfterHandshake::Close,
        aim: Some(0.9),
    },
    Part {
        what: "full TLS 1.3 handshake, one proxied request",
        profile: HandshakeProfile::FULL,
        then: AfterHandshake::Request,
        aim: None,
    },
    Part {
        what: "resumed TLS 1.3 handshake",
        profile: HandshakeProfile {
            mode: HandshakeMode::Resumed,
            ..HandshakeProfile::FULL
        },
        then: AfterHandshake::Close,
        aim: Some(1.0),
    },
    Part {
        what: "full TLS 1.2 handshake",
        profile: HandshakeProfile {
            version: ProtocolVersion::TLSv1_2,
            ..HandshakeProfile::FULL
        },
        then: AfterHandshake::Close,
        aim: None,
    },
    Part {
        what: "resumed TLS 1.2 handshake",
        profile: HandshakeProfile {
            version: ProtocolVersion::TLSv1_2,
            mode: HandshakeMode::Resumed,
            ..HandshakeProfile::FULL
        },
        then: AfterHandshake::Close,
        aim: Some(1.0),
    },
];

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("handshake", &place.program);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let origin = origin::start()?;
    let server = Server::start(place)?;
    let (domain, certified) = runtime.block_on(one_domain(&server, origin))?;
    let folder = CertDirectory::create(&[(&domain, &certified)])?;
    let mut setup = PeerConfig::new(&folder, origin)?;
    if options.workers > 0 {
        setup.workers = options.workers;
    }
    let nginx = runtime.block_on(Peer::start_or_fail(Kind::Nginx, &setup))?;
    let haproxy = runtime.block_on(Peer::start_or_fail(Kind::Haproxy, &setup))?;
    report.setup(format!(
        "P-256 leaf and one intermediate; {} connections at a time, {} a turn, in turns; {} workers of each peer, {} threads of {}",
        options.clients,
        options.handshakes,
        setup.workers,
        process::threads(server.pid())?,
        place.program.display(),
    ));
    let contenders = contenders(&server, &[&nginx, &haproxy])?;
    for part in &PARTS {
        for round in 0..=rounds {
            println!("round {round}, {}", part.what);
            let turns = Turns {
                part,
                domain: &domain,
                options,
                is_warm_up: round == 0,
            };
            runtime.block_on(turns.run_turn(&contenders, &mut report))?;
        }
        ratios(&mut report, part);
    }
    report.finish()
}

/// One turn of each contender.
struct Turns<'a> {
    part: &'a Part,
    domain: &'a str,
    options: &'a Options,
    /// A shorter turn that is not reported.
    is_warm_up: bool,
}

impl Turns<'_> {
    async fn run_turn(&self, contenders: &[Contender], report: &mut Report) -> BenchResult<()> {
        let Self { part, options, .. } = self;
        // The peers have no hybrid key exchange, so one part shows what it costs.
        let is_first = part.aim == Some(0.9);
        let all = contenders.iter();
        for one in all.filter(|one| one.offer == KeyExchange::X25519 || is_first) {
            let shakes = HandshakeLoad {
                names: ServerNames::One(Rc::from(self.domain)),
                profile: HandshakeProfile {
                    offer: one.offer,
                    ..part.profile
                },
                then: part.then,
                clients: options.clients,
            };
            if self.is_warm_up {
                shakes.run(one.address, options.handshakes / 4).await?;
                continue;
            }
            let before = process::cpu_of_all(&one.pids)?;
            shakes.run(one.address, options.handshakes).await?;
            let cpu = process::cpu_of_all(&one.pids)? - before;
            let each = cpu.as_secs_f64() * 1e6 / options.handshakes as f64;
            report.add(&named(part, one.name), "µs", each);
        }
        Ok(())
    }
}

fn contenders(server: &Server, peers: &[&Peer]) -> BenchResult<Vec<Contender>> {
    let edgeseal = |name, offer| Contender {
        name,
        address: server.addresses.https,
        pids: vec![server.pid()],
        offer,
    };
    let mut all = vec![edgeseal("edgeseal", KeyExchange::X25519)];
    for peer in peers {
        all.push(Contender {
            name: peer.name(),
            address: peer.https,
            pids: peer.pids()?,
            offer: KeyExchange::X25519,
        });
    }
    all.push(edgeseal("edgeseal, X25519MLKEM768", KeyExchange::Hybrid));
    Ok(all)
}

fn named(part: &Part, who: &str) -> String {
    format!("{}: {who}", part.what)
}

fn ratios(report: &mut Report, part: &Part) {
    for peer in ["nginx", "haproxy"] {
        let name = named(part, &format!("edgeseal / {peer}"));
        report.ratio(&name, &named(part, "edgeseal"), &named(part, peer));
        if let Some(aim) = part.aim.filter(|_| peer == "nginx") {
            report.target(&name, aim);
        }
    }
}

/// One domain with one certificate, whose origin is `origin`.
pub(crate) async fn one_domain(
    server: &Server,
    origin: SocketAddr,
) -> BenchResult<(String, TestCertificate)> {
    let accounts = accounts::create(server, 1, origin).await?;
    let account = accounts.first().ok_or("no account")?;
    let certified = Authority::new().issue(&[&account.domain]);
    let request = call::upload(account, &certified);
    let mut api = Connection::open(server.addresses.api).await?;
    api.call(&request).await?;
    Ok((account.domain.clone(), certified))
}
