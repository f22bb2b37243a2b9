//! What edges report as served, and what they do not report.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use edgeseal_core::{DomainPattern, Timestamp, domain::Environment};
use edgeseal_edge::{Edge, Options, STAGING};
use edgeseal_store::{
    Catalog, Revision,
    record::EdgeRecord,
    rollout::{EdgeState, RolloutStatus, SILENT_AFTER_MS},
};
use edgeseal_testing::{pki::TestCertificate, tls::server_config, wait::eventually};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

use crate::harness::{
    CertificateRecords as _, DomainBuilder as _, Harness, domain, now, pattern, put, served,
};

/// A store, and the reports of its edges.
struct Watch {
    catalog: Catalog,
}

impl Watch {
    fn new(world: &Harness) -> Self {
        let store = Arc::clone(&world.store);
        Self {
            catalog: Catalog::new(store, world.keyring.clone()),
        }
    }

    /// `proven/live` of a change, at some time later.
    async fn proven(
        &self,
        name: &str,
        revision: Revision,
        environment: Environment,
        later_ms: i64,
    ) -> (usize, usize) {
        let at = now().plus_ms(later_ms);
        let names = [pattern(name)];
        let proven = self.catalog.count_proven(&names, revision, environment, at);
        proven.await.unwrap()
    }

    async fn until_proven(&self, name: &str, revision: Revision, count: (usize, usize)) {
        let production = Environment::Production;
        eventually("the state of the proof", async || {
            let found = self.proven(name, revision, production, 0).await;
            (found == count).then_some(())
        })
        .await;
    }

    async fn edges(&self) -> Vec<EdgeRecord> {
        self.catalog.edges().await.unwrap()
    }

    /// The status of the only edge for the newest state of a domain.
    async fn standing<T>(
        &self,
        name: &str,
        look: impl FnOnce(&EdgeRecord, RolloutStatus<'_>) -> T,
    ) -> T {
        let edges = self.edges().await;
        let production = Environment::Production;
        let target = self
            .catalog
            .rollout_target(&pattern(name), None, production)
            .await;
        let target = target.unwrap().unwrap();
        look(&edges[0], edges[0].status(&target, now()))
    }
}

fn options(world: &Harness, group: &str, id: &str) -> Options {
    let directory = world.directory.path().join(format!("{group}-{id}"));
    std::fs::create_dir(&directory).unwrap();
    let mut options = world.options();
    options.id = id.to_owned();
    options.group = group.to_owned();
    options.directory = directory;
    options
}

async fn edge(world: &Harness, group: &str, id: &str) -> Edge {
    let options = options(world, group, id);
    world.start(options, Arc::clone(&world.store)).await
}

/// An edge that can die with its runtime, without withdrawing its report.
struct KillableEdge {
    runtime: Runtime,
    edge: Edge,
}

impl KillableEdge {
    async fn start(world: &Harness, group: &str, id: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (options, store) = (options(world, group, id), Arc::clone(&world.store));
        let start = Edge::start(options, store, world.keyring.clone(), now);
        let edge = runtime.spawn(start).await.unwrap().unwrap();
        Self { runtime, edge }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
        drop(self.edge);
    }
}

#[tokio::test]
async fn every_live_edge_of_the_environment_counts_and_no_other() {
    let world = Harness::new();
    let watch = Watch::new(&world);
    let first = KillableEdge::start(&world, "default", "e1").await;
    let second = edge(&world, "default", "e2").await;
    let _third = edge(&world, "elsewhere", "e1").await;
    let staging = edge(&world, STAGING, "e1").await;
    let revision = world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    watch.until_proven("a.com", revision, (3, 3)).await;
    eventually("the state of the proof", async || {
        let found = watch.proven("a.com", revision, Environment::Staging, 0);
        (found.await == (1, 1)).then_some(())
    })
    .await;

    // One is drained and leaves; one dies: its report stays, and proves nothing of later changes.
    second.drain().await;
    first.kill();
    let revision = world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    watch.until_proven("a.com", revision, (1, 2)).await;
    let much_later = async |ms| {
        let found = watch.proven("a.com", revision, Environment::Production, ms);
        found.await
    };
    assert_eq!(much_later(SILENT_AFTER_MS).await, (1, 2));
    // All clocks stand still here, so live edges are as silent as dead ones.
    assert_eq!(much_later(SILENT_AFTER_MS + 1).await, (0, 0));
    // Set for staging only: no production edge is waited for or counts.
    let staged = TestCertificate::self_signed("a.com");
    let mut changed = domain("a.com").bound(&TestCertificate::self_signed("a.com"));
    changed = changed.staged(&staged);
    let revision = world.put_all(&changed, &staged).await;
    served(&staging, revision).await;
    eventually("the state of the proof", async || {
        let found = watch.proven("a.com", revision, Environment::Staging, 0);
        (found.await == (1, 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dead_edge_is_distinguished_from_a_live_one() {
    let world = Harness::new();
    let watch = Watch::new(&world);
    let dying = KillableEdge::start(&world, "default", "dying").await;
    let revision = world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    watch.until_proven("a.com", revision, (1, 1)).await;
    dying.kill();
    let target = watch
        .catalog
        .rollout_target(&pattern("a.com"), None, Environment::Production)
        .await;
    let target = target.unwrap().unwrap();
    let later: Timestamp = now().plus_ms(SILENT_AFTER_MS + 1);
    let edges = watch.edges().await;
    let standing = edges[0].status(&target, later);
    assert_eq!(standing.state, EdgeState::Silent);
    assert!(standing.proof.is_none() && !standing.settled);
    // Reports expire.
    let day = edgeseal_store::rollout::REPORT_TTL_MS;
    world.store.sweep(now().plus_ms(day - 1)).await.unwrap();
    assert_eq!(watch.edges().await.len(), 1);
    world.store.sweep(now().plus_ms(day + 1)).await.unwrap();
    assert_eq!(watch.edges().await, []);
}

#[tokio::test]
async fn of_two_changes_the_second_is_proven_and_each_proof_says_which_it_saw() {
    let world = Harness::new();
    let watch = Watch::new(&world);
    let _edge = world.edge().await;
    world.report("default", |_| true).await;
    let certificates = [
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("a.com"),
    ];
    for _ in 0..3 {
        let mut revisions = Vec::new();
        for certificate in &certificates {
            let mut changed = domain("a.com").bound(certificate);
            changed.modified = now().plus_ms(-40);
            revisions.push(world.put_all(&changed, certificate).await);
        }
        let proof = eventually("the state of the proof", async || {
            // Probed after the first change it may show the second, which has no time yet.
            let proof = watch.standing("a.com", |_, standing| standing.proof.cloned());
            proof.await.filter(|proof| proof.changed_at.is_some())
        })
        .await;
        assert_eq!(proof.revision, revisions[1].0);
        assert_eq!(proof.sha256, Some(certificates[1].sha256()));
        assert_eq!(proof.propagation_ms(), Some(40));
        watch.until_proven("a.com", revisions[0], (1, 1)).await;
    }
}

#[tokio::test]
async fn in_bulk_only_probed_domains_are_reported_and_requested_ones_first() {
    let world = Harness::new();
    let watch = Watch::new(&world);
    let edge = world.edge().await;
    world.report("default", |_| true).await;
    let certificate = TestCertificate::self_signed("a.com");
    world.write(certificate.writes(&world.keyring)).await;
    let name = |n: usize| format!("d{n}.example.com");
    let bulk = (0..1000).map(|n| put(&domain(&name(n)).bound(&certificate)));
    let revision = world.write(bulk.collect()).await;
    eventually("the state of the proof", async || {
        let edges = watch.edges().await;
        (edges[0].revision >= revision.0).then_some(())
    })
    .await;
    let proofs = watch.edges().await[0].proofs.len();
    assert!((1..1000).contains(&proofs), "{proofs}");
    let unread = watch
        .standing(&name(0), |_, standing| {
            (standing.state, standing.proof.is_some(), standing.settled)
        })
        .await;
    assert_eq!(unread, (EdgeState::Serving, false, false));
    watch.until_proven(&name(0), revision, (0, 1)).await;

    // While more changes arrive, and for a commit that the edge has not seen yet.
    let bulk = (0..1000).map(|n| put(&domain(&name(n)).bound(&certificate)));
    edge.handle()
        .request_proofs(&[pattern(&name(3))], Revision(revision.0 + 1));
    let revision = world.write(bulk.collect()).await;
    watch.until_proven(&name(3), revision, (1, 1)).await;
    // Later, when nothing changes any more.
    edge.handle().request_proofs(&[pattern(&name(0))], revision);
    watch.until_proven(&name(0), revision, (1, 1)).await;
    let found = watch
        .standing(&name(0), |_, standing| {
            standing.proof.unwrap().propagation_ms()
        })
        .await;
    assert_eq!(found, None, "nobody measured it");
}

#[tokio::test]
async fn exact_domains_below_a_wildcard_do_not_hide_it() {
    let world = Harness::new();
    let watch = Watch::new(&world);
    let _edge = world.edge().await;
    let certificate = TestCertificate::self_signed("*.b.com");
    for taken in ["edgeseal-proof.b.com", "p.b.com"] {
        world.serve(taken, &certificate, 1).await;
    }
    let revision = world.serve("*.b.com", &certificate, 1).await;
    watch.until_proven(".b.com", revision, (1, 1)).await;
}

/// A proxy in front of an edge: forwards connections, or serves them itself.
struct Interceptor {
    address: SocketAddr,
    intercepts: Arc<AtomicBool>,
}

impl Interceptor {
    async fn start(
        certificate: &TestCertificate,
    ) -> (Self, tokio::sync::oneshot::Sender<SocketAddr>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, &[])));
        let intercepts = Arc::new(AtomicBool::new(true));
        let (edge, told) = tokio::sync::oneshot::channel();
        let does = Arc::clone(&intercepts);
        tokio::spawn(async move {
            let edge: SocketAddr = told.await.unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (acceptor, does) = (acceptor.clone(), does.load(Ordering::SeqCst));
                tokio::spawn(async move {
                    if does {
                        let _ = acceptor.accept(stream).await;
                    } else {
                        let mut edge = TcpStream::connect(edge).await.unwrap();
                        let _ = copy_bidirectional(&mut stream, &mut edge).await;
                    }
                });
            }
        });
        let interceptor = Self {
            address,
            intercepts,
        };
        (interceptor, edge)
    }
}

#[tokio::test]
async fn what_another_server_serves_is_reported_and_recovers() {
    let world = Harness::new();
    let watch = Watch::new(&world);
    let (certificate, other) = (
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("a.com"),
    );
    let (interceptor, tell) = Interceptor::start(&other).await;
    let edge = world
        .edge_with(|options| options.probe_address = Some(interceptor.address))
        .await;
    tell.send(edge.https_addr()).unwrap();
    let revision = world.serve("a.com", &certificate, 1).await;
    let record = eventually("the state of the proof", async || {
        let edges = watch.edges().await;
        let edge = edges.into_iter().next()?;
        (edge.unproven_total > 0).then_some(edge)
    })
    .await;
    assert_eq!(record.unproven[0].domain, pattern("a.com"));
    assert_eq!(record.unproven[0].revision, revision.0);
    let why = format!("the listener served another leaf, {}", other.sha256());
    assert_eq!(record.unproven[0].reason, why);
    assert!(record.proofs.is_empty(), "{:?}", record.proofs);
    assert!(
        record.revision >= revision.0,
        "the others are not held back for ever"
    );
    assert_eq!(edge.handle().status().unproven, 1);
    let state = watch.standing("a.com", |_, standing| standing.state).await;
    assert_eq!(state, EdgeState::Unproven);
    watch.until_proven("a.com", revision, (0, 1)).await;

    interceptor.intercepts.store(false, Ordering::SeqCst);
    // By itself, after ten seconds.
    watch.until_proven("a.com", revision, (1, 1)).await;
    assert!(edge.handle().status().is_healthy());
    let edges = watch.edges().await;
    assert_eq!((edges[0].unproven_total, edges[0].unproven.len()), (0, 0));
}

/// A quarantined domain is reported with its reason, and proven once it has recovered.
#[tokio::test]
async fn a_quarantined_domain_is_reported_and_recovers() {
    let world = Harness::new();
    let watch = Watch::new(&world);
    let edge = world
        .edge_with(|options| options.retry_interval = std::time::Duration::from_millis(200))
        .await;
    let (good, missing) = (
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("a.com"),
    );
    let first = world.serve("a.com", &good, 1).await;
    watch.until_proven("a.com", first, (1, 1)).await;
    let second = world.put(&domain("a.com").bound(&missing)).await;
    let why = eventually("the state of the proof", async || {
        let edges = watch.edges().await;
        let held = edges[0].quarantined.first()?;
        Some(held.reason.clone())
    })
    .await;
    assert!(why.contains("is not in the store"), "{why}");
    assert_eq!(edge.handle().status().quarantined, 1);
    let state = watch.standing("a.com", |_, standing| standing.state).await;
    assert_eq!(state, EdgeState::Quarantined);
    watch.until_proven("a.com", second, (0, 1)).await;

    world.write(missing.writes(&world.keyring)).await;
    watch.until_proven("a.com", second, (1, 1)).await;
    assert!(edge.handle().status().is_healthy());
    let names: Vec<DomainPattern> = watch.edges().await[0]
        .proofs
        .iter()
        .map(|proof| proof.domain.clone())
        .collect();
    assert_eq!(names, [pattern("a.com")]);
}
