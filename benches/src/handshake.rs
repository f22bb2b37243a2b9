//! CPU of a full TLS 1.3 handshake: Edgeseal and nginx in turn, one certificate, one client.

use std::{cell::Cell, net::SocketAddr, rc::Rc, sync::Arc};

use rustls::pki_types::ServerName;
use tokio::task::LocalSet;

use crate::{
    Outcome, call,
    call::Connection,
    fleet,
    nginx::Nginx,
    origin,
    pki::{Authority, Certified},
    process,
    report::Report,
    server::{Place, Server},
    tls::{Client, Offer},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Handshakes of one server before the other has its turn
    #[arg(long, default_value_t = 4000)]
    handshakes: usize,
    /// Connections at a time
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Workers of nginx; 0: one a core, as Edgeseal does
    #[arg(long, default_value_t = 0)]
    nginx_workers: usize,
}

/// What is done on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Close,
    Request,
}

/// A server to do handshakes with.
struct Peer {
    name: &'static str,
    address: SocketAddr,
    pids: Vec<u32>,
    offer: Offer,
}

pub(crate) fn run(place: &Place, rounds: usize, options: &Options) -> Outcome<()> {
    let mut report = Report::new("handshake", &place.program);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let cores = std::thread::available_parallelism()?.get();
    let workers = if options.nginx_workers == 0 {
        cores
    } else {
        options.nginx_workers
    };
    let origin = origin::start()?;
    let server = Server::start(place)?;
    let (domain, certified) = runtime.block_on(set_up(&server, origin))?;
    let nginx = Nginx::start(workers, &certified, origin)?;
    let edgeseal = |name, offer| Peer {
        name,
        address: server.addresses.https,
        pids: vec![server.pid()],
        offer,
    };
    let peers = [
        edgeseal("edgeseal", Offer::X25519),
        Peer {
            name: "nginx",
            address: nginx.https,
            pids: nginx.workers.clone(),
            offer: Offer::X25519,
        },
        edgeseal("edgeseal, X25519MLKEM768", Offer::Hybrid),
    ];
    report.setup(format!(
        "P-256 leaf and one intermediate; {} connections at a time, {} a turn, in turns; {workers} nginx workers, {} threads of {}",
        options.clients,
        options.handshakes,
        process::threads(server.pid())?,
        place.program.display(),
    ));
    let client = Work {
        domain: Arc::from(domain),
        leaf: certified,
        clients: options.clients,
    };
    for then in [Then::Close, Then::Request] {
        for peer in &peers {
            runtime.block_on(client.turn(peer, then, options.handshakes / 4))?;
        }
        for round in 0..rounds {
            println!("round {}, {then:?}", round + 1);
            for peer in &peers {
                let before = process::cpu_of_all(&peer.pids)?;
                runtime.block_on(client.turn(peer, then, options.handshakes))?;
                let cpu = process::cpu_of_all(&peer.pids)? - before;
                let each = cpu.as_secs_f64() * 1e6 / options.handshakes as f64;
                report.add(&named(peer.name, then), "µs", each);
            }
        }
        ratio(&mut report, then);
    }
    report.finish()
}

fn named(peer: &str, then: Then) -> String {
    match then {
        Then::Close => format!("handshake, close: {peer}"),
        Then::Request => format!("handshake, one proxied request, close: {peer}"),
    }
}

fn ratio(report: &mut Report, then: Then) {
    let ours = report.median(&named("edgeseal", then));
    let theirs = report.median(&named("nginx", then));
    let name = named("edgeseal / nginx", then);
    report.add(&name, "ratio", ours / theirs).aim(&name, 1.0);
}

/// One domain with one certificate.
async fn set_up(server: &Server, origin: SocketAddr) -> Outcome<(String, Certified)> {
    let accounts = fleet::create(server, 1, origin).await?;
    let account = accounts.first().ok_or("no account")?;
    let certified = Authority::new()?.issue(&account.domain)?;
    let request = call::upload(server.addresses.api, account, &certified)?;
    let mut api = Connection::open(server.addresses.api).await?;
    api.call(&request).await?;
    Ok((account.domain.clone(), certified))
}

struct Work {
    domain: Arc<str>,
    leaf: Certified,
    clients: usize,
}

impl Work {
    /// So many handshakes with one server, all of which succeed and show the certificate.
    async fn turn(&self, peer: &Peer, then: Then, handshakes: usize) -> Outcome<()> {
        let client = Client::new(peer.offer)?;
        let name = ServerName::try_from(self.domain.to_string())?;
        let left = Rc::new(Cell::new(handshakes));
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                let clients = (0..self.clients).map(|_| {
                    let (left, client, name) = (Rc::clone(&left), client.clone(), name.clone());
                    let (leaf, domain) = (self.leaf.leaf.clone(), Arc::clone(&self.domain));
                    let address = peer.address;
                    tokio::task::spawn_local(async move {
                        while let Some(less) = left.get().checked_sub(1) {
                            left.set(less);
                            let connection = client.handshake(address, &name).await?;
                            if connection.leaf() != Some(&leaf) {
                                return Err("another certificate was shown".into());
                            }
                            match then {
                                Then::Close => connection.close().await?,
                                Then::Request => connection.request(&domain).await?,
                            }
                        }
                        Outcome::Ok(())
                    })
                });
                for client in clients.collect::<Vec<_>>() {
                    client.await??;
                }
                Ok(())
            })
            .await
    }
}
