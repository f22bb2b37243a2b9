//! A change is live when its call returns: the next handshake shows it.

use std::net::SocketAddr;

use edgeseal_api::client::Reply;

use crate::harness::{
    ApiClient, CDN_VERSION, HttpConnection, Origin, SET, Server, TestCertificate,
    api::upload_params,
    pki::AUTHORITY,
    raw,
    tls::{self, HandshakeFailure, served_to_openssl},
};

async fn leaf_to_openssl(edge: SocketAddr, name: &str) -> Vec<u8> {
    served_to_openssl(edge, name).await.unwrap()[0].clone()
}

fn revision(reply: &Reply) -> u64 {
    reply.headers["x-edgeseal-revision"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn set(
    api: &ApiClient,
    domain: &str,
    pem: &TestCertificate,
    further: &[(&str, &str)],
) -> Reply {
    let mut params = upload_params(domain, pem).to_vec();
    params.extend(further);
    let called = api.call(CDN_VERSION, SET, &params).await;
    called.unwrap_or_else(|error| panic!("{domain}: {error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_set_replaced_switched_off_and_on() {
    let server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let edge = server.addresses().https;
    let name = "www.example.com";
    assert_eq!(
        served_to_openssl(edge, name).await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    api.add(name, &origin).await;
    assert_eq!(
        served_to_openssl(edge, name).await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME),
        "without a certificate"
    );

    let (first, second) = (AUTHORITY.issue(&[name]), AUTHORITY.issue(&[name]));
    let set_first = set(&api, name, &first, &[]).await;
    let chain = served_to_openssl(edge, name).await.unwrap();
    let expected = vec![first.leaf.clone(), AUTHORITY.intermediate.der.clone()];
    assert_eq!(chain, expected, "leaf and intermediate, no root");

    let set_second = set(&api, name, &second, &[]).await;
    assert_eq!(leaf_to_openssl(edge, name).await, second.leaf, "replaced");
    assert!(revision(&set_first) < revision(&set_second));
    let members: Vec<&String> = set_second.body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["RequestId"], "nothing else is in the body");

    let off = api.off(name).await;
    assert!(revision(&set_second) < revision(&off));
    assert_eq!(
        served_to_openssl(edge, name).await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME),
        "switched off"
    );
    assert_eq!(
        server.served(name).await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    assert_eq!(api.info(name).await["ServerCertificateStatus"], "off");

    set(&api, name, &second, &[]).await;
    assert_eq!(leaf_to_openssl(edge, name).await, second.leaf, "on again");
    assert_eq!(api.bound_leaf(name).await, second.leaf);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_serves_one_label_and_the_exact_name_wins() {
    let server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let edge = server.addresses().https;
    api.add("*.example.net", &origin).await;
    api.add("exact.example.net", &origin).await;
    let wild = AUTHORITY.issue(&["*.example.net"]);
    let exact = AUTHORITY.issue(&["exact.example.net"]);
    set(&api, ".example.net", &wild, &[]).await;

    assert_eq!(leaf_to_openssl(edge, "a.example.net").await, wild.leaf);
    assert_eq!(leaf_to_openssl(edge, "B.Example.NET").await, wild.leaf);
    for other in ["example.net", "a.b.example.net", "exact.example.net"] {
        let served = served_to_openssl(edge, other).await;
        assert_eq!(served, Err(HandshakeFailure::UNRECOGNIZED_NAME), "{other}");
    }
    set(&api, "exact.example.net", &exact, &[]).await;
    assert_eq!(leaf_to_openssl(edge, "exact.example.net").await, exact.leaf);
    assert_eq!(leaf_to_openssl(edge, "a.example.net").await, wild.leaf);

    let stream = tls::connect(edge, "a.example.net", &["http/1.1"])
        .await
        .unwrap();
    let got = HttpConnection::h1_over(stream)
        .await
        .try_get("a.example.net", "/w")
        .await;
    assert_eq!(got, Ok((200, Origin::page("a.example.net", "/w"))));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_certificates_are_not_served_before_publication() {
    let server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let edge = server.addresses().https;
    let name = "staged.example.com";
    api.add(name, &origin).await;
    let pems: Vec<TestCertificate> = (0..3).map(|_| AUTHORITY.issue(&[name])).collect();
    set(&api, name, &pems[0], &[]).await;

    set(&api, name, &pems[1], &[("Env", "staging")]).await;
    assert_eq!(leaf_to_openssl(edge, name).await, pems[0].leaf, "staged");
    assert_eq!(api.bound_leaf(name).await, pems[0].leaf);
    api.call_on_domain("RollbackStagingConfig", name).await;
    assert_eq!(leaf_to_openssl(edge, name).await, pems[0].leaf, "dropped");
    let params = [("DomainName", name)];
    let refusal = api
        .refused(CDN_VERSION, "PublishStagingConfigToProduction", &params)
        .await;
    assert_ne!(refusal.code, "", "nothing is staged any more");

    set(&api, name, &pems[2], &[("Env", "staging")]).await;
    api.call_on_domain("PublishStagingConfigToProduction", name)
        .await;
    assert_eq!(leaf_to_openssl(edge, name).await, pems[2].leaf, "published");
    assert_eq!(api.bound_leaf(name).await, pems[2].leaf);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_edge_serves_staged_certificates() {
    let server = Server::start_with("group = \"staging\"\n");
    let (api, origin) = (server.root_client(), Origin::start().await);
    let name = "staged.example.com";
    api.add(name, &origin).await;
    let (production, staged) = (AUTHORITY.issue(&[name]), AUTHORITY.issue(&[name]));
    set(&api, name, &production, &[]).await;
    server
        .assert_serves(name, &production.leaf, "without anything staged")
        .await;
    set(&api, name, &staged, &[("Env", "staging")]).await;
    server
        .assert_serves(name, &staged.leaf, "once it is staged")
        .await;
    api.call_on_domain("RollbackStagingConfig", name).await;
    server
        .assert_serves(name, &production.leaf, "once it is dropped")
        .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_wait_until_every_edge_serves() {
    let server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let name = "waited.example.com";
    api.add(name, &origin).await;
    let pem = AUTHORITY.issue(&[name]);
    let params = upload_params(name, &pem);
    let reply = api
        .call_with(CDN_VERSION, SET, &params, &[("prefer", "wait=5")])
        .await
        .unwrap();
    let header = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("preference-applied"), Some("wait=5"));
    assert_eq!(header("x-edgeseal-proven"), Some("1/1"));
    assert!(revision(&reply) > 0);
    server
        .assert_serves(name, &pem.leaf, "when the wait is over")
        .await;

    let plain = api.set(name, &pem).await.unwrap();
    assert!(plain.headers.get("preference-applied").is_none());
    assert!(plain.headers.get("x-edgeseal-proven").is_none());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_stopped_started_and_deleted() {
    let server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let name = "held.example.com";
    api.add(name, &origin).await;
    let pem = AUTHORITY.issue(&[name]);
    set(&api, name, &pem, &[]).await;
    api.call_on_domain("StopCdnDomain", name).await;
    assert_eq!(
        server.served(name).await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    assert_eq!(
        raw::get(server.addresses().http, name, "/").await.status,
        403
    );
    api.call_on_domain("StartCdnDomain", name).await;
    server
        .assert_serves(name, &pem.leaf, "once it is started")
        .await;
    assert_eq!(
        raw::get(server.addresses().http, name, "/").await.status,
        200
    );
    api.call_on_domain("DeleteCdnDomain", name).await;
    assert_eq!(
        server.served(name).await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    assert_eq!(
        raw::get(server.addresses().http, name, "/").await.status,
        404
    );
    let params = [("DomainName", name)];
    let refusal = api
        .refused(CDN_VERSION, "DescribeDomainCertificateInfo", &params)
        .await;
    assert_eq!(refusal.code, "InvalidDomain.NotFound");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_the_origin() {
    let server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let name = "proxied.example.com";
    api.add(name, &origin).await;
    set(&api, name, &AUTHORITY.issue(&[name]), &[]).await;
    let edge = server.addresses();

    let plain = raw::get(edge.http, name, "/plain").await;
    assert_eq!(plain.status, 200, "{}", plain.head);
    assert!(plain.body.contains(&Origin::page(name, "/plain")));
    let stream = tls::connect(edge.https, name, &["http/1.1"]).await.unwrap();
    let mut h1 = HttpConnection::h1_over(stream).await;
    for path in ["/one", "/two"] {
        assert_eq!(
            h1.try_get(name, path).await,
            Ok((200, Origin::page(name, path)))
        );
    }
    let stream = tls::connect(edge.https, name, &["h2"]).await.unwrap();
    let mut h2 = HttpConnection::h2_over(stream).await;
    for path in ["/three", "/four"] {
        assert_eq!(
            h2.try_get(name, path).await,
            Ok((200, Origin::page(name, path)))
        );
    }
    let (status, _) = h2.try_get("other.example.com", "/").await.unwrap();
    assert_eq!(status, 421, "another host on this connection");
    server.stop();
}
