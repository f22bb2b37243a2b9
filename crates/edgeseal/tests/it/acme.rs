//! Certificates that are ordered from a real authority, which validates at the edge.

mod revocation;

use std::{fs, time::Duration};

use edgeseal_testing::{
    acme_proxy::{AcmeProxy, FINALIZE, NEW_ORDER},
    pebble::{Pebble, PebbleOptions, server_root},
};
use serde_json::Value;

use crate::{
    cli,
    harness::{
        ApiClient, CDN_VERSION, EDGESEAL, Origin, SET, Server, SplitMix, eventually, now, pem,
        server::binary, tls, unlimited,
    },
};

/// A server with an issuer: a real authority behind a proxy.
struct World {
    server: Server,
    proxy: AcmeProxy,
    pebble: Pebble,
    origin: Origin,
    /// Its file is read at each start.
    _roots: tempfile::NamedTempFile,
}

impl World {
    /// `more` are settings of the issuer.
    async fn start(options: PebbleOptions, more: &str) -> Self {
        let proxy = AcmeProxy::start().await;
        let roots = tempfile::NamedTempFile::new().unwrap();
        fs::write(roots.path(), server_root()).unwrap();
        let config = format!(
            "acme_preflight = \"off\"\n{}[[acme]]\nname = \"pebble\"\ndirectory = \"{}\"\naccept_terms = true\n\
             contact = [\"mailto:ops@example.com\"]\nroot_file = \"{}\"\n{more}\n",
            unlimited(),
            proxy.directory(),
            roots.path().display(),
        );
        let server = Server::start_quiet(&config);
        let addresses = server.addresses();
        let pebble = Pebble::start(PebbleOptions {
            http_port: addresses.http.port(),
            tls_port: addresses.https.port(),
            ..options
        })
        .await;
        proxy.pass_to(pebble.address);
        Self {
            server,
            proxy,
            pebble,
            origin: Origin::start().await,
            _roots: roots,
        }
    }

    /// Adds a domain and asks for its certificate.
    async fn order(&self, api: &ApiClient, domain: &str) {
        self.pebble.dns.add_address(domain, [127, 0, 0, 1]).await;
        api.add(domain, &self.origin).await;
        request(api, domain).await;
    }

    /// The leaf that the edge shows.
    async fn served(&self, domain: &str) -> Vec<u8> {
        let https = self.server.addresses().https;
        eventually("the edge serves the certificate", async || {
            tls::served_leaf(https, domain).await.ok()
        })
        .await
    }
}

async fn request(api: &ApiClient, domain: &str) {
    let params = [
        ("DomainName", domain),
        ("SSLProtocol", "on"),
        ("CertType", "free"),
    ];
    api.ok(CDN_VERSION, SET, &params).await;
}

async fn issued(api: &ApiClient, domain: &str) -> Value {
    eventually("the certificate is issued", async || {
        let info = api.info(domain).await;
        let status = info["Status"].as_str().unwrap_or_default();
        assert!(
            ["applying", "success"].contains(&status),
            "{domain}: {info}"
        );
        (status == "success").then_some(info)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_certificate_is_ordered_served_and_renewed() {
    const DOMAIN: &str = "www.acme.example";
    let options = PebbleOptions {
        validity_s: 30,
        ..PebbleOptions::default()
    };
    let world = World::start(options, "").await;
    let api = world.server.root_client();
    world.order(&api, DOMAIN).await;
    // The command asks again, which changes nothing, and waits.
    let mut command = binary();
    command.args(["cert", "order", DOMAIN, "--data"]);
    let ordered = command.arg(world.server.data()).output().unwrap();
    let said = String::from_utf8_lossy(&ordered.stdout);
    assert!(said.contains("has a certificate of Pebble"), "{ordered:?}");
    let info = issued(&api, DOMAIN).await;
    assert_eq!(info["CertType"], "free");
    let first = pem::decode(info["ServerCertificate"].as_str().unwrap());
    assert_eq!(world.served(DOMAIN).await, first);
    eventually("the certificate is renewed", async || {
        (world.served(DOMAIN).await != first).then_some(())
    })
    .await;
    assert_eq!(world.served(DOMAIN).await, api.bound_leaf(DOMAIN).await);
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_order_is_in_the_history() {
    const DOMAIN: &str = "failing.acme.example";
    let world = World::start(PebbleOptions::default(), "").await;
    let api = world.server.root_client();
    // The authority finds no address.
    api.add(DOMAIN, &world.origin).await;
    request(&api, DOMAIN).await;
    let failed = eventually("the order fails", async || {
        let info = api.info(DOMAIN).await;
        (info["Status"] == "failed").then_some(info)
    })
    .await;
    let reason = failed["OrderFailure"].as_str().unwrap();
    let newest = async || {
        let params = [("DomainName", DOMAIN)];
        let mut reply = api.ok(EDGESEAL, "DescribeDomainHistory", &params).await;
        reply["Entries"][0].take()
    };
    let entry = newest().await;
    assert_eq!(entry["Action"], "OrderCertificate");
    assert_eq!(entry["OrderFailure"], reason);
    assert_eq!(entry["Issuer"], "pebble");
    assert_eq!(entry["Times"], 1);
    let printed = cli::printed(&world.server, &format!("cert history {DOMAIN}"));
    assert!(printed.contains("failed: pebble: "), "{printed}");

    world.pebble.dns.add_address(DOMAIN, [127, 0, 0, 1]).await;
    request(&api, DOMAIN).await;
    issued(&api, DOMAIN).await;
    assert_eq!(newest().await["Action"], "IssueCertificate");
    let printed = cli::printed(&world.server, &format!("cert history {DOMAIN}"));
    assert!(printed.contains("failed: pebble: "), "{printed}");
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_proved_in_the_handshake_too() {
    // An internationalised name, in the form of RFC 5890.
    const DOMAIN: &str = "xn--bcher-kva.acme.example";
    let more = "key = \"both\"\nchallenges = [\"tls-alpn-01\"]";
    let world = World::start(PebbleOptions::default(), more).await;
    let api = world.server.root_client();
    world.order(&api, DOMAIN).await;
    let info = issued(&api, DOMAIN).await;
    let first = pem::decode(info["ServerCertificate"].as_str().unwrap());
    assert_eq!(world.served(DOMAIN).await, first);
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_order_is_lost_in_fifty_kills() {
    const KILLS: u32 = 50;
    let seed = now().unix_ms().unsigned_abs();
    println!("seed {seed}");
    let mut random = SplitMix(seed);
    let mut world = World::start(PebbleOptions::default(), "").await;
    // The authority knows these.
    let addresses = world.server.addresses();
    let fixed = [("--http", addresses.http), ("--https", addresses.https)];
    let domains: Vec<String> = (0..KILLS).map(|n| format!("d{n}.kill.example")).collect();
    for domain in &domains {
        let api = world.server.root_client();
        world.order(&api, domain).await;
        // Not a wait for a condition: this is the random moment.
        tokio::time::sleep(Duration::from_micros(random.below(400_000) as u64)).await;
        world.server.kill();
        world.server.launch_with(world.server.command_at(&fixed));
    }
    let api = world.server.root_client();
    for domain in &domains {
        // The authority could not validate what was killed when it tried. It would be tried again
        // after a minute; the call does so at once.
        eventually("the order is decided", async || {
            let status = api.info(domain).await["Status"].clone();
            if status == "failed" {
                request(&api, domain).await;
            }
            (status == "success").then_some(())
        })
        .await;
        assert_eq!(world.served(domain).await, api.bound_leaf(domain).await);
    }
    world.server.stop();
    let placed = world.proxy.requests(NEW_ORDER).len();
    let signed = world.proxy.requests(FINALIZE).into_iter();
    let signed = signed.filter(|request| request.status == 200).count();
    println!("{placed} orders placed, {signed} certificates for {KILLS} domains");
    // None is issued twice. Orders may be placed again: those that the authority could not validate
    // while nothing ran, and those whose URL was not stored when the kill came.
    assert!(signed <= domains.len(), "{signed} certificates");
}
