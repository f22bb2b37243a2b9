//! The peers with the same number of certificates: start, memory, a change, handshakes.

use std::{net::SocketAddr, time::Duration};

use edgeseal_testing::{pki::Authority, process};

use super::{Options, figure_namer, megabytes};
use crate::{
    BenchResult,
    cert_directory::CertDirectory,
    handshake_load::{AfterHandshake, HandshakeLoad, ServerNames},
    peer::{Kind, Limit, Peer, PeerConfig},
    report::Report,
    tls::HandshakeProfile,
};

const KINDS: [Kind; 4] = [
    Kind::Nginx,
    Kind::NginxByVariable,
    Kind::Haproxy,
    Kind::Caddy,
];

/// Changes of one certificate each, in a round.
const CHANGES: usize = 3;

/// Measures them one after the other; one that reaches its limits is reported without a figure.
pub(super) async fn run(
    origin: SocketAddr,
    rounds: usize,
    options: &Options,
    report: &mut Report,
) -> BenchResult<()> {
    let folder = CertDirectory::prepare(options.domains)?;
    let mut setup = PeerConfig::new(&folder, origin)?;
    setup.timeout = Duration::from_secs(options.peer_seconds);
    setup.memory_kib_max = options.peer_mb * 1_000_000 / 1024;
    for kind in KINDS {
        for round in 0..rounds {
            println!("round {}, {}", round + 1, kind.name());
            if let Err(limit) = measure_peer(kind, &setup, options, report).await? {
                report.setup(format!(
                    "{}, {} domains: {limit}",
                    kind.name(),
                    options.domains
                ));
                break;
            }
        }
    }
    ratios(options, report);
    Ok(())
}

async fn measure_peer(
    kind: Kind,
    setup: &PeerConfig<'_>,
    options: &Options,
    report: &mut Report,
) -> BenchResult<Result<(), Limit>> {
    let of = figure_namer(options);
    let named = |what: &str| of(&format!("{}: {what}", kind.name()));
    let peer = match Peer::start(kind, setup).await? {
        Ok(peer) => peer,
        Err(limit) => return Ok(Err(limit)),
    };
    report.add(&named("start"), "s", peer.start_took.as_secs_f64());
    report.add(
        &named("memory after a start"),
        "MB",
        megabytes(peer.memory_kib()?),
    );
    let shakes = HandshakeLoad {
        names: ServerNames::Random(options.domains),
        profile: HandshakeProfile::FULL,
        then: AfterHandshake::Close,
        clients: 8,
    };
    let handshakes = options.handshakes / 2;
    let pids = peer.pids()?;
    let before = process::cpu_of_all(&pids)?;
    shakes.run(peer.https, handshakes).await?;
    let cpu = process::cpu_of_all(&pids)? - before;
    let each = cpu.as_secs_f64() * 1e6 / handshakes as f64;
    report.add(&named("handshake, random names, its CPU"), "µs", each);
    let authority = Authority::new();
    let names = setup.folder.names();
    for number in 0..CHANGES {
        let name = &names[names.len() * number / CHANGES];
        let to = authority.issue(&[name]);
        match peer.change_and_wait(name, &to, setup).await? {
            Ok(took) => report.add(&named("one change"), "ms", took.as_secs_f64() * 1e3),
            Err(limit) => return Ok(Err(limit)),
        };
    }
    report.add(
        &named("memory after changes"),
        "MB",
        megabytes(peer.memory_kib()?),
    );
    Ok(Ok(()))
}

/// Ratios of a peer's figures to Edgeseal's, where both exist.
fn ratios(options: &Options, report: &mut Report) {
    let named = figure_namer(options);
    for kind in KINDS {
        for (theirs, ours) in [
            ("start", "start with the store"),
            ("memory after a start", "memory after a cold start"),
            ("one change", "p50 from start"),
            ("handshake, random names, its CPU", super::RANDOM_NAMES),
        ] {
            let of = if theirs == "one change" {
                format!("{ours}, {}", super::at_size_label(options))
            } else {
                named(ours)
            };
            let peer = named(&format!("{}: {theirs}", kind.name()));
            if report.median(&peer).is_finite() {
                let name = named(&format!("{} / edgeseal: {theirs}", kind.name()));
                report.ratio(&name, &peer, &of);
            }
        }
    }
}
