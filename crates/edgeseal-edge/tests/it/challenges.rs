//! Challenges of ACME: any edge answers them, whatever the state of the domain, and nothing else
//! does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use edgeseal_core::{
    DomainName, Timestamp,
    challenge::KeyAuthorization,
    delivery::{DeliveryConfig, Redirect},
    domain::{DomainState, Environment},
};
use edgeseal_edge::{Edge, Listeners, LoadedEdge, Options};
use edgeseal_store::{
    Catalog, Fault, Revision, SharedStore, catalog::ChallengeConfirmation, key::CHALLENGES,
    record::ChallengeRecord,
};
use edgeseal_testing::{
    observed_store::{Observe, ObservedStore, Operation},
    openssl::s_client,
    origin::{origin, saying},
    pki::TestCertificate,
    raw::{RawResponse, exchange, get, get_over_tls, send_raw},
    tls::{HandshakeFailure, chain_of, client_config, connect_to_validate, connect_with},
    wait::eventually,
};
use futures_util::future::join_all;
use http::Response;
use http_body_util::Full;
use rustls::{
    AlertDescription, DEFAULT_VERSIONS, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain, now, served};

pub(crate) const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
const ACME: &str = "acme-tls/1";

fn path(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

pub(crate) fn authorization(token: &str) -> KeyAuthorization {
    let thumbprint = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    KeyAuthorization::parse(&format!("{token}.{thumbprint}")).unwrap()
}

/// Both challenges of a host, with the same token.
fn challenges_of(host: &str, token: &str, expires: Timestamp) -> [ChallengeRecord; 2] {
    let host = DomainName::parse(host).unwrap();
    [
        ChallengeRecord::http_01(host.clone(), authorization(token), expires),
        ChallengeRecord::tls_alpn_01(host, &authorization(token), expires),
    ]
}

pub(crate) fn pending(host: &str, token: &str) -> [ChallengeRecord; 2] {
    challenges_of(host, token, now().plus_ms(60_000))
}

pub(crate) trait Challenging {
    fn catalog(&self) -> Catalog;
    /// Publishes, and waits until all edges have confirmed.
    async fn publish(&self, challenges: &[ChallengeRecord]) -> ChallengeConfirmation;
    async fn confirmation(&self, published: Revision) -> ChallengeConfirmation;
}

impl Challenging for Harness {
    fn catalog(&self) -> Catalog {
        Catalog::new(Arc::clone(&self.store), self.keyring.clone())
    }

    async fn publish(&self, challenges: &[ChallengeRecord]) -> ChallengeConfirmation {
        let published = self.catalog().publish_challenges(challenges).await.unwrap();
        eventually("the confirmation of all edges", || async {
            let confirmation = self.confirmation(published).await;
            confirmation.is_complete().then_some(confirmation)
        })
        .await
    }

    async fn confirmation(&self, published: Revision) -> ChallengeConfirmation {
        let (catalog, published) = (self.catalog(), (published, now()));
        let asked = catalog.challenge_confirmation(Environment::Production, published, now());
        asked.await.unwrap()
    }
}

/// The leaf that a validation by tls-alpn-01 shows; the connection must then end.
async fn validate(
    edge: SocketAddr,
    host: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Vec<u8>, HandshakeFailure> {
    let mut stream = connect_to_validate(edge, host, versions).await?;
    let (_, session) = stream.get_ref();
    assert_eq!(session.alpn_protocol(), Some(ACME.as_bytes()));
    let mut chain = chain_of(&stream);
    assert_eq!(chain.len(), 1);
    let mut rest = Vec::new();
    let ended = timeout(TIMEOUT, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(
        ended.unwrap(),
        0,
        "nothing is sent, and the end is a graceful one"
    );
    Ok(chain.swap_remove(0))
}

/// The critical extension `acmeIdentifier` with the digest (RFC 8737 §3).
fn acme_identifier(token: &str) -> Vec<u8> {
    let oid = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];
    let critical = [0x01, 0x01, 0xff];
    let value = [0x04, 0x22, 0x04, 0x20];
    let digest = authorization(token).digest().0;
    [&oid[..], &critical, &value, &digest].concat()
}

/// A SubjectAltName of exactly this name.
fn only_name(host: &str) -> Vec<u8> {
    let length = u8::try_from(host.len()).unwrap();
    let names = [&[0x30, length + 2, 0x82, length], host.as_bytes()].concat();
    [&[0x55, 0x1d, 0x11, 0x04, length + 4], &names[..]].concat()
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

fn assert_page(response: &RawResponse, token: &str) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.body, authorization(token).as_str());
    assert_eq!(
        response.header("content-type"),
        Some("application/octet-stream")
    );
}

/// Whether it answers both challenges of `a.com` with [`TOKEN`].
async fn assert_answers(edge: &Edge) {
    let page = get(edge.http_addr().unwrap(), "a.com", &path(TOKEN)).await;
    assert_page(&page, TOKEN);
    let leaf = validate(edge.https_addr(), "a.com", DEFAULT_VERSIONS).await;
    assert!(contains(&leaf.unwrap(), &acme_identifier(TOKEN)));
}

#[tokio::test]
async fn http_01_comes_before_redirects_and_origins_in_any_state_of_the_domain() {
    let world = Harness::new();
    let port = saying("the origin").await;
    let certificate = TestCertificate::self_signed("on.com");
    let redirecting = DeliveryConfig {
        redirect: Some(Redirect::ToHttps),
        ..DeliveryConfig::default()
    };
    let on = domain("on.com").bound(&certificate).delivered(redirecting);
    world.put_all(&on.with_origin(port), &certificate).await;
    let others = [
        domain("new.com").with_origin(port),
        domain("*.wild.com").with_origin(port),
        domain("stopped.com").in_state(DomainState::Offline),
        domain("bücher.com").with_origin(port),
    ];
    for other in &others {
        world.put(other).await;
    }
    let edge = world.edge().await;
    let http = edge.http_addr().unwrap();
    let hosts = [
        "on.com",
        "new.com",
        "x.wild.com",
        "stopped.com",
        "xn--bcher-kva.com",
    ];
    let tokens: Vec<String> = (0..hosts.len()).map(|n| format!("{TOKEN}{n}")).collect();
    let all: Vec<ChallengeRecord> = hosts
        .iter()
        .zip(&tokens)
        .flat_map(|(host, token)| pending(host, token))
        .collect();
    let confirmation = world.publish(&all).await;
    assert_eq!((confirmation.confirmed, confirmation.missing.len()), (1, 0));
    for (host, token) in hosts.iter().zip(&tokens) {
        assert_page(&get(http, host, &path(token)).await, token);
        let spelled = format!("{}:80", host.to_uppercase());
        assert_page(&get(http, &spelled, &path(token)).await, token);
    }
    // Authorities follow redirects.
    assert_page(
        &get_over_tls(edge.https_addr(), "on.com", &path(&tokens[0])).await,
        &tokens[0],
    );
    let head = "HEAD {} HTTP/1.1\r\nHost: new.com\r\nConnection: close\r\n\r\n";
    let head = head.replace("{}", &path(&tokens[1]));
    let head = send_raw(http, head.as_bytes()).await;
    let length = authorization(&tokens[1]).as_str().len().to_string();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(length.as_str()));

    // Another host, another method and another path are as before.
    let as_before = [
        ("new.com", path(&tokens[0])),
        ("new.com", path("unknown")),
        ("new.com", path("")),
        ("new.com", format!("{}/x", path(&tokens[1]))),
        ("new.com", "/".to_owned()),
    ];
    for (host, path) in as_before {
        assert_eq!(get(http, host, &path).await.body, "the origin", "{path}");
    }
    let post = format!(
        "POST {} HTTP/1.1\r\nHost: new.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        path(&tokens[1])
    );
    assert!(exchange(http, post).await.ends_with("the origin"));
    assert_eq!(get(http, "stopped.com", &path("unknown")).await.status, 403);
    assert_eq!(get(http, "on.com", "/").await.status, 301);

    world.catalog().withdraw_challenges(&all).await.unwrap();
    eventually("the withdrawal", || async {
        let body = get(http, "new.com", &path(&tokens[1])).await.body;
        (body == "the origin").then_some(())
    })
    .await;
}

#[tokio::test]
async fn tls_alpn_01_gets_a_certificate_of_its_own_and_nothing_else_does() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("on.com");
    world.serve("on.com", &certificate, 1).await;
    for other in ["new.com", "*.wild.com", "bücher.com"] {
        world.put(&domain(other)).await;
    }
    world
        .put(&domain("stopped.com").in_state(DomainState::Offline))
        .await;
    let edge = world.edge().await;
    let edge = edge.https_addr();
    let refused = HandshakeFailure::Alert(AlertDescription::NoApplicationProtocol);
    assert_eq!(
        validate(edge, "on.com", DEFAULT_VERSIONS).await,
        Err(refused.clone())
    );
    let no_certificate = Err(HandshakeFailure::UNRECOGNIZED_NAME);
    assert_eq!(
        validate(edge, "new.com", DEFAULT_VERSIONS).await,
        no_certificate
    );

    let hosts = [
        "on.com",
        "new.com",
        "x.wild.com",
        "stopped.com",
        "xn--bcher-kva.com",
    ];
    let all: Vec<ChallengeRecord> = hosts
        .iter()
        .flat_map(|host| pending(host, host_token(host)))
        .collect();
    world.publish(&all).await;
    for host in hosts {
        for versions in [&[&TLS12][..], &[&TLS13]] {
            let leaf = validate(edge, host, versions).await.unwrap();
            assert!(
                contains(&leaf, &acme_identifier(host_token(host))),
                "{host}"
            );
            assert!(contains(&leaf, &only_name(host)), "{host}");
        }
    }
    // A browser that offers the protocol beside others gets the domain's certificate.
    for alpn in [&["http/1.1", ACME][..], &[ACME, "http/1.1"], &["http/1.1"]] {
        let stream = connect_with(edge, "on.com", client_config(DEFAULT_VERSIONS, alpn)).await;
        assert_eq!(
            chain_of(&stream.unwrap()),
            std::slice::from_ref(&certificate.leaf)
        );
    }
    assert_eq!(
        validate(edge, "y.wild.com", DEFAULT_VERSIONS).await,
        no_certificate
    );

    // The next order of a host replaces the challenge.
    world.publish(&pending("on.com", "next")).await;
    let leaf = validate(edge, "on.com", DEFAULT_VERSIONS).await.unwrap();
    assert!(contains(&leaf, &acme_identifier("next")));
}

/// A token that belongs to a host.
fn host_token(host: &str) -> &str {
    host.split('.').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_the_certificate_of_a_challenge() {
    let world = Harness::new();
    world.put(&domain("a.com")).await;
    let edge = world.edge().await;
    world.publish(&pending("a.com", TOKEN)).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = ["-servername", "a.com", "-alpn", ACME, version];
        let seen = s_client(edge.https_addr(), &arguments).await;
        assert!(seen.contains("ALPN protocol: acme-tls/1"), "{seen}");
        assert!(!seen.contains("TLS session ticket:"), "{seen}");
        let leaf = edgeseal_testing::pem::decode_all(&seen).swap_remove(0);
        assert!(contains(&leaf, &acme_identifier(TOKEN)));
    }
}

#[tokio::test]
async fn each_edge_of_the_environment_confirms_and_answers() {
    let world = Harness::new();
    world.put(&domain("a.com")).await;
    let first = world.edge().await;
    let home = tempfile::tempdir().unwrap();
    let mut options = Options::new("e2", "default", "127.0.0.1:0".parse().unwrap(), home.path());
    options.http = Some("127.0.0.1:0".parse().unwrap());
    let second = world.start(options, Arc::clone(&world.store)).await;
    for id in ["e1", "e2"] {
        eventually("the report of an edge", || async {
            let edges = world.catalog().edges().await.unwrap();
            edges.iter().any(|edge| edge.id == id).then_some(())
        })
        .await;
    }
    let confirmation = world.publish(&pending("a.com", TOKEN)).await;
    assert_eq!(confirmation.confirmed, 2);
    for edge in [&first, &second] {
        assert_answers(edge).await;
    }
    // One that is drained is not waited for.
    second.drain().await;
    assert_eq!(world.publish(&pending("a.com", "next")).await.confirmed, 1);
}

#[tokio::test]
async fn an_expired_challenge_is_not_answered() {
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(saying("the origin").await))
        .await;
    let edge = world.edge().await;
    world
        .publish(&challenges_of("a.com", TOKEN, now().plus_ms(-1)))
        .await;
    let body = get(edge.http_addr().unwrap(), "a.com", &path(TOKEN))
        .await
        .body;
    assert_eq!(body, "the origin");
    let seen = validate(edge.https_addr(), "a.com", DEFAULT_VERSIONS).await;
    assert_eq!(seen, Err(HandshakeFailure::UNRECOGNIZED_NAME));
}

/// A store whose feed stops, and which counts the reads of challenges.
#[derive(Default)]
struct Stopping {
    stopped: AtomicBool,
    reads: AtomicUsize,
}

impl Observe for Stopping {
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
        match operation {
            Operation::Changes | Operation::List(_) if self.stopped.load(Ordering::SeqCst) => {
                Err(Fault::new("stopped by the test"))
            }
            Operation::Get(key) if key.as_str().starts_with(CHALLENGES) => {
                self.reads.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn an_edge_that_is_behind_asks_the_store_and_strangers_make_it_ask_little() {
    let world = Harness::new();
    let origin = origin(|_| async { Response::new(Full::from("the origin")) }).await;
    world.put(&domain("a.com").with_origin(origin)).await;
    let store = ObservedStore::over(Arc::clone(&world.store), Stopping::default());
    let edge = world
        .start(world.options(), Arc::clone(&store) as SharedStore)
        .await;
    let (https, http) = (edge.https_addr(), edge.http_addr().unwrap());
    store.stopped.store(true, Ordering::SeqCst);
    // It may already wait for the next commit, which it still applies.
    world.put(&domain("b.com")).await;
    let published = pending("a.com", TOKEN);
    world
        .catalog()
        .publish_challenges(&published)
        .await
        .unwrap();
    assert_page(&get(http, "a.com", &path(TOKEN)).await, TOKEN);
    let leaf = validate(https, "a.com", DEFAULT_VERSIONS).await.unwrap();
    assert!(contains(&leaf, &acme_identifier(TOKEN)));

    let before = store.reads.load(Ordering::SeqCst);
    let flood = (0..200).map(|n| async move {
        let body = get(http, "a.com", &path(&format!("stranger{n}")))
            .await
            .body;
        assert_eq!(
            body, "the origin",
            "an ACME client at the origin goes on working"
        );
    });
    let flood = join_all(flood);
    timeout(TIMEOUT, flood).await.unwrap();
    let stranger = path("stranger");
    let unknown = (0..50).map(|_| get(http, "other.com", &stranger));
    for response in join_all(unknown).await {
        assert_eq!(response.status, 404, "a name that is not served here");
    }
    let reads = store.reads.load(Ordering::SeqCst) - before;
    // Ten a second for one domain; the flood takes a few seconds at most.
    assert!((1..=60).contains(&reads), "{reads}");
}

#[tokio::test]
async fn challenges_are_answered_without_the_store_and_through_a_hand_over() {
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(saying("the origin").await))
        .await;
    let mut edge = world.edge().await;
    world.publish(&pending("a.com", TOKEN)).await;
    let loaded = LoadedEdge::load_snapshot(world.options(), world.keyring.clone(), now);
    let loaded = timeout(TIMEOUT, loaded).await.unwrap().unwrap();
    edge.stop_replication().await;
    let http = edge.http_addr().unwrap();
    assert_page(&get(http, "a.com", &path(TOKEN)).await, TOKEN);
    let body = get(http, "a.com", &path("unknown")).await.body;
    assert_eq!(body, "the origin");

    let any = "127.0.0.1:0".parse().unwrap();
    let serve = loaded.serve(Arc::clone(&world.store), || Listeners::bind(any, Some(any)));
    let mut next = timeout(TIMEOUT, serve).await.unwrap().unwrap();
    next.start_prover().unwrap();
    for edge in [&edge, &next] {
        assert_answers(edge).await;
    }
    let confirmation = world.publish(&pending("a.com", "next")).await;
    assert_eq!(confirmation.confirmed, 1);
    // The predecessor keeps what it has.
    assert_page(&get(http, "a.com", &path(TOKEN)).await, TOKEN);
}

#[tokio::test]
async fn resumed_replication_learns_what_was_withdrawn() {
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(saying("the origin").await))
        .await;
    let mut edge = world.edge().await;
    let published = pending("a.com", TOKEN);
    world.publish(&published).await;
    edge.stop_replication().await;
    world
        .catalog()
        .withdraw_challenges(&published)
        .await
        .unwrap();
    edge.resume_replication(Arc::clone(&world.store))
        .await
        .unwrap();
    world.publish(&pending("a.com", "next")).await;
    let http = edge.http_addr().unwrap();
    assert_eq!(get(http, "a.com", &path(TOKEN)).await.body, "the origin");
    served(&edge, world.put(&domain("b.com")).await).await;
    timeout(TIMEOUT, edge.drain()).await.unwrap();
}
