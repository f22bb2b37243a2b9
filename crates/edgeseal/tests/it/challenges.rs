//! Challenges of ACME outlive the process: after a restart and a hand-over they are answered from
//! the first request on.

use edgeseal_core::{DomainName, challenge::KeyAuthorization};
use edgeseal_store::{
    Catalog, Keyring,
    open::{StoreUrl, open},
    record::ChallengeRecord,
};
use edgeseal_testing::tls::chain_of;
use rustls::DEFAULT_VERSIONS;

use crate::harness::{
    CDN_VERSION, Origin, Server, now, pki::AUTHORITY, raw, server::wait_for_exit, tls,
};

const NAME: &str = "www.validated.example";
const PATH: &str = "/.well-known/acme-challenge/token";

fn authorization() -> KeyAuthorization {
    KeyAuthorization::parse(&format!("token.{}", "t".repeat(43))).unwrap()
}

/// `Functions` of a redirect to HTTPS.
pub(crate) const FORCE: &str =
    r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;

/// Adds a domain that redirects to HTTPS, and of which Edgeseal has both challenges.
pub(crate) async fn begin(server: &mut Server) {
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.add(NAME, &origin).await;
    api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap();
    let params = [("DomainNames", NAME), ("Functions", FORCE)];
    api.ok(CDN_VERSION, "BatchSetCdnDomainConfig", &params)
        .await;
    server.terminate();
    publish(server).await;
    server.launch();
}

/// Publishes both challenges of [`NAME`] in the store of a stopped server.
async fn publish(server: &Server) {
    let url = StoreUrl::Sqlite(server.data().join("store.db"));
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let catalog = Catalog::new(open(&url, now).await.unwrap(), keyring);
    let expires = now().plus_ms(600_000);
    let host = DomainName::parse(NAME).unwrap();
    let challenges = [
        ChallengeRecord::http_01(host.clone(), authorization(), expires),
        ChallengeRecord::tls_alpn_01(host, &authorization(), expires),
    ];
    catalog.publish_challenges(&challenges).await.unwrap();
}

/// Asserts that both challenges are answered, and other requests redirected.
pub(crate) async fn assert_answers(server: &Server, when: &str) {
    let addresses = server.addresses();
    let page = raw::get(addresses.http, NAME, PATH).await;
    assert_eq!(
        (page.status, page.body.as_str()),
        (200, authorization().as_str()),
        "{when}"
    );
    let other = raw::get(addresses.http, NAME, "/").await;
    assert_eq!(other.status, 301, "{when}");
    let stream = tls::connect_to_validate(addresses.https, NAME, DEFAULT_VERSIONS)
        .await
        .unwrap();
    let digest = authorization().digest().0;
    let leaf = chain_of(&stream).swap_remove(0);
    assert!(
        leaf.windows(digest.len()).any(|part| part == digest),
        "{when}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_are_answered_after_a_restart_and_a_hand_over() {
    let mut server = Server::start();
    begin(&mut server).await;
    assert_answers(&server, "after a restart").await;
    let mut before = server.hand_over();
    assert_answers(&server, "after a hand-over").await;
    assert_eq!(
        wait_for_exit(&mut before).code(),
        Some(0),
        "{}",
        server.log()
    );
    assert_answers(&server, "after the predecessor has ended").await;
    server.kill();
    server.launch();
    assert_answers(&server, "after a crash").await;
    server.stop();
}
