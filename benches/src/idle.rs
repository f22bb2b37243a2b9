//! Memory of an idle connection: Edgeseal, nginx and HAProxy, restarted for each state.

use std::{net::SocketAddr, time::Duration};

use edgeseal_testing::process;

use crate::{
    BenchResult,
    cert_directory::CertDirectory,
    handshake::one_domain,
    origin,
    peer::{Kind, Peer, PeerConfig},
    report::Report,
    requests::{HttpConnection, RequestOutcome},
    server::{Server, ServerConfig},
    tls::{Client, HandshakeProfile},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Concurrent connections
    #[arg(long, default_value_t = 5000)]
    connections: usize,
}

/// The state of an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Http1,
    Http2,
}

/// An idle connection, kept open.
type Held = Box<dyn std::any::Any>;

impl State {
    const fn what(self) -> &'static str {
        match self {
            Self::Handshake => "idle after the handshake",
            Self::Http1 => "idle after a request, h1",
            Self::Http2 => "idle after a request, h2",
        }
    }
}

/// Target ratio to nginx's memory.
const AIM: f64 = 0.5;
/// Connections that are opened first and not counted: they fill caches and pools.
const WARM: usize = 64;

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("idle", &place.program);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    report.setup(format!(
        "{} connections, TLS 1.3; Pss of all processes before and after, divided; each server afresh for each figure",
        options.connections
    ));
    let origin = origin::start()?;
    for round in 0..rounds {
        for state in [State::Handshake, State::Http1, State::Http2] {
            println!("round {}, {state:?}", round + 1);
            runtime.block_on(once(place, origin, state, options, &mut report))?;
        }
    }
    for state in [State::Handshake, State::Http1, State::Http2] {
        for peer in ["nginx", "haproxy"] {
            let named = |who: &str| format!("{}: {who}", state.what());
            let name = named(&format!("edgeseal / {peer}"));
            report.ratio(&name, &named("edgeseal"), &named(peer));
            if peer == "nginx" {
                report.target(&name, AIM);
            }
        }
    }
    report.finish()
}

async fn once(
    place: &ServerConfig,
    origin: SocketAddr,
    state: State,
    options: &Options,
    report: &mut Report,
) -> BenchResult<()> {
    let mut add = |who: &str, bytes: f64| {
        report.add(&format!("{}: {who}", state.what()), "KB", bytes / 1000.0);
    };
    let server = Server::start(place)?;
    let (domain, certified) = one_domain(&server, origin).await?;
    let memory = || Ok(process::proportional_kib(&[server.pid()])?);
    add(
        "edgeseal",
        each(server.addresses.https, &domain, state, options, &memory).await?,
    );
    drop(server);
    let folder = CertDirectory::create(&[(&domain, &certified)])?;
    let setup = PeerConfig::new(&folder, origin)?;
    for kind in [Kind::Nginx, Kind::Haproxy] {
        let peer = Peer::start_or_fail(kind, &setup).await?;
        let memory = || peer.memory_kib();
        add(
            peer.name(),
            each(peer.https, &domain, state, options, &memory).await?,
        );
    }
    Ok(())
}

/// Bytes per connection.
async fn each(
    address: SocketAddr,
    domain: &str,
    state: State,
    options: &Options,
    memory: &dyn Fn() -> BenchResult<u64>,
) -> BenchResult<f64> {
    let client = Client::with(HandshakeProfile {
        h2: state == State::Http2,
        ..HandshakeProfile::FULL
    })?;
    let mut held = Vec::with_capacity(options.connections + WARM);
    for _ in 0..WARM {
        held.push(open(&client, address, domain, state).await?);
    }
    quiesce().await;
    let before = memory()?;
    for _ in 0..options.connections {
        held.push(open(&client, address, domain, state).await?);
    }
    quiesce().await;
    let after = memory()?;
    // All of them were open when it was measured.
    drop(held);
    Ok(after.saturating_sub(before) as f64 * 1024.0 / options.connections as f64)
}

async fn open(
    client: &Client,
    address: SocketAddr,
    domain: &str,
    state: State,
) -> BenchResult<Held> {
    if state == State::Handshake {
        return Ok(Box::new(client.connect_expecting(address, domain).await?));
    }
    let mut kept = HttpConnection::open(client, address, domain, state == State::Http2).await?;
    match kept.get(domain).await? {
        RequestOutcome::Answered => Ok(Box::new(kept)),
        RequestOutcome::NotSent => Err("the connection was ended before a request".into()),
    }
}

/// Servers release buffers some time after a response, without a signal to wait for.
async fn quiesce() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}
