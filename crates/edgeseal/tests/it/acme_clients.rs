//! Other ACME clients behind the edge: each orders from a real authority, which validates at the
//! edge, and answers at the origin. Edgeseal does not know their tokens.

use std::{
    path::Path,
    process::{Command, Output},
};

use edgeseal_testing::{
    pebble::{Pebble, PebbleOptions, server_root},
    port::free_address,
};

use crate::{
    challenges,
    harness::{CDN_VERSION, Origin, Server, pem, pki::AUTHORITY},
};

/// What a client is told.
struct Order<'a> {
    directory: String,
    domain: &'a str,
    /// Where it listens for the validation.
    port: u16,
    /// A file with the CA of the directory.
    roots: &'a Path,
    /// A directory of its own.
    home: &'a Path,
}

/// Whether a client is installed; says so if it is not.
fn has(client: &str) -> bool {
    let found = Command::new(client).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {client} is not installed (apt-get install {client})");
    }
    found
}

/// Orders for a domain in the way, and for one that redirects to HTTPS, while Edgeseal validates
/// another domain of its own. `chain` is where the client puts its certificate.
async fn order_through_the_edge(
    client: &str,
    run: fn(&Order<'_>) -> Output,
    chain: fn(&Order<'_>) -> String,
) {
    if !has(client) {
        return;
    }
    let mut server = Server::start();
    challenges::begin(&mut server).await;
    let addresses = server.addresses();
    let pebble = Pebble::start(PebbleOptions {
        http_port: addresses.http.port(),
        tls_port: addresses.https.port(),
        ..PebbleOptions::default()
    })
    .await;
    let roots = server.home().join("pebble-roots.pem");
    std::fs::write(&roots, server_root()).unwrap();
    let api = server.root_client();
    for (kind, redirects) in [("plain", false), ("redirect", true)] {
        let domain = format!("{kind}.{client}.example");
        let home = server.home().join(&domain);
        let address = free_address();
        pebble.dns.add_address(&domain, [127, 0, 0, 1]).await;
        api.add(&domain, &Origin { address }).await;
        if redirects {
            let certificate = AUTHORITY.issue(&[domain.as_str()]);
            api.set(&domain, &certificate).await.unwrap();
            let params = [
                ("DomainNames", domain.as_str()),
                ("Functions", challenges::FORCE),
            ];
            let configure = "BatchSetCdnDomainConfig";
            api.ok(CDN_VERSION, configure, &params).await;
        }
        let order = Order {
            directory: pebble.directory(),
            domain: &domain,
            port: address.port(),
            roots: &roots,
            home: &home,
        };
        let output = tokio::task::block_in_place(|| run(&order));
        assert!(output.status.success(), "{domain}: {output:?}");
        let chain = std::fs::read_to_string(home.join(chain(&order))).unwrap();
        let leaf = pem::decode(&chain);
        let name = domain.as_bytes();
        let names_it = leaf.windows(name.len()).any(|part| part == name);
        assert!(names_it, "{domain}: {chain}");
    }
    // Edgeseal's own challenge was there all the time.
    challenges::assert_answers(&server, "beside another client").await;
    let passed_on = "edgeseal_acme_answers_total{type=\"http-01\",outcome=\"unknown\"}";
    assert!(server.metric(passed_on).await >= Some(2));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn certbot_orders_through_the_edge() {
    let run = |order: &Order<'_>| {
        let mut certbot = Command::new("certbot");
        certbot.args(["certonly", "--standalone", "--non-interactive"]);
        certbot.args([
            "--agree-tos",
            "--no-eff-email",
            "--email",
            "ops@example.com",
        ]);
        certbot.args([
            "--preferred-challenges",
            "http",
            "--http-01-address",
            "127.0.0.1",
        ]);
        certbot.args(["--http-01-port", &order.port.to_string()]);
        certbot.args(["--server", &order.directory, "-d", order.domain]);
        for directory in ["--config-dir", "--work-dir", "--logs-dir"] {
            certbot.arg(directory).arg(order.home);
        }
        certbot.env("REQUESTS_CA_BUNDLE", order.roots);
        certbot.output().unwrap()
    };
    let chain = |order: &Order<'_>| format!("live/{}/fullchain.pem", order.domain);
    order_through_the_edge("certbot", run, chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lego_orders_through_the_edge() {
    let run = |order: &Order<'_>| {
        let mut lego = Command::new("lego");
        lego.args(["--accept-tos", "--email", "ops@example.com", "--http"]);
        lego.args(["--http.port", &format!("127.0.0.1:{}", order.port)]);
        lego.args(["--server", &order.directory, "--domains", order.domain]);
        lego.arg("--path").arg(order.home).arg("run");
        lego.env("LEGO_CA_CERTIFICATES", order.roots);
        lego.output().unwrap()
    };
    let chain = |order: &Order<'_>| format!("certificates/{}.crt", order.domain);
    order_through_the_edge("lego", run, chain).await;
}
