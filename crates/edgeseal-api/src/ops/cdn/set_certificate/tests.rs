//! What the right to set a domain's certificate does not grant, and what a call costs the store.

use std::sync::{Arc, Mutex};

mod dry_run;

use edgeseal_core::{AccountId, DomainPattern, policy::renewal_policy};
use edgeseal_store::{Fault, SharedStore, TXN_EXPECTS_MAX, TXN_WRITES_MAX, memory::MemoryStore};
use edgeseal_testing::observed_store::{Observe, ObservedStore, Operation};
use serde_json::Value;

use crate::{
    Settings,
    test_server::{TestServer, allow, document, error_of, statement},
};

const ACCOUNT: &str = "1000000000000001";
const CDN: &str = "2018-05-10";
const DCDN: &str = "2018-01-15";
const CAS: &str = "2020-04-07";
const DOMAIN: &str = "a.example.com";
const SECRET: &str = "unannounced.example.org";

async fn ok(world: &TestServer, who: &str, call: (&str, &str), params: &[(&str, &str)]) -> Value {
    let response = world.call(&world.keys[who], call.0, call.1, params).await;
    assert_eq!(
        response.get("Code"),
        None,
        "{call:?} {params:?}: {response}"
    );
    response
}

fn pem(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// An account with a domain, and two users who may set its certificate: one with that right alone,
/// and one with the policy that `edgeseal policy minimal` prints.
async fn world() -> TestServer {
    world_over(Arc::new(MemoryStore::new())).await
}

async fn world_over(store: SharedStore) -> TestServer {
    let (mut world, _tasks) = TestServer::over(store, Settings::default());
    world.account(ACCOUNT, "own").await;
    let add = [
        ("DomainName", DOMAIN),
        ("CdnType", "web"),
        (
            "Sources",
            r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
        ),
    ];
    ok(&world, "own", (CDN, "AddCdnDomain"), &add).await;
    let of_domain = |service| format!("acs:{service}:*:*:domain/{DOMAIN}");
    let only = document(&[
        statement("cdn:*", &of_domain("cdn")),
        statement("dcdn:*", &of_domain("dcdn")),
    ]);
    world.user(ACCOUNT, "only", &[&only]).await;
    let account = AccountId::parse(ACCOUNT).unwrap();
    let minimal = renewal_policy(&account, &[DomainPattern::parse(DOMAIN).unwrap()]).unwrap();
    let dcdn = allow("dcdn:*", &of_domain("dcdn"));
    let batch = allow("cdn:BatchSetCdnDomainServerCertificate", "*");
    let policies = [minimal.text(), &dcdn, &batch];
    world.user(ACCOUNT, "minimal", &policies).await;
    world
}

/// Each spelling: switch, chain and key.
const SPELLINGS: [((&str, &str), [&str; 3]); 6] = [
    (
        (CDN, "SetCdnDomainSSLCertificate"),
        ["SSLProtocol", "SSLPub", "SSLPri"],
    ),
    (
        (DCDN, "SetDcdnDomainSSLCertificate"),
        ["SSLProtocol", "SSLPub", "SSLPri"],
    ),
    (
        (CDN, "SetDomainServerCertificate"),
        ["ServerCertificateStatus", "ServerCertificate", "PrivateKey"],
    ),
    (
        (CDN, "BatchSetCdnDomainServerCertificate"),
        ["SSLProtocol", "SSLPub", "SSLPri"],
    ),
    (
        (DCDN, "SetDcdnDomainCertificate"),
        ["SSLProtocol", "SSLPub", "SSLPri"],
    ),
    (
        (DCDN, "BatchSetDcdnDomainCertificate"),
        ["SSLProtocol", "SSLPub", "SSLPri"],
    ),
];

#[tokio::test]
async fn an_upload_into_the_centre_needs_the_right_to_upload_there() {
    let world = world().await;
    for (number, (call, [switch, chain, key])) in SPELLINGS.into_iter().enumerate() {
        let (chain_pem, key_pem) = pem(DOMAIN);
        let name = format!("name-{number}");
        let params = |kind| {
            [
                ("DomainName", DOMAIN),
                ("CertType", kind),
                ("CertName", &*name),
                (switch, "on"),
                (chain, &*chain_pem),
                (key, &*key_pem),
            ]
        };
        let only = &world.keys["only"];
        let response = world.call(only, call.0, call.1, &params("cas")).await;
        let message = "You are not authorized to do this action. Resource: * \
                       Action: yundun-cert:UploadUserCertificate";
        assert_eq!(error_of(&response), ("NoPermission", message), "{call:?}");
        let denied = &response["AccessDeniedDetail"]["AuthAction"];
        assert_eq!(denied, "yundun-cert:UploadUserCertificate");
        let named = [("CertName", &*name)];
        let read = "DescribeCdnCertificateDetail";
        let response = world.call(&world.keys["own"], CDN, read, &named).await;
        assert!(
            response["Code"].is_string(),
            "{call:?} stored the certificate: {response}"
        );

        ok(&world, "minimal", call, &params("cas")).await;
        // The right to set the domain's certificate suffices for uploads for that domain, in every
        // spelling.
        let (chain_pem, key_pem) = pem(DOMAIN);
        for kind in ["upload", ""] {
            let upload = [
                ("DomainName", DOMAIN),
                ("CertType", kind),
                (switch, "on"),
                (chain, &*chain_pem),
                (key, &*key_pem),
            ];
            ok(&world, "only", call, &upload).await;
        }
        // It also suffices to bind a CAS certificate by name.
        let bind = [
            ("DomainName", DOMAIN),
            ("CertType", "cas"),
            named[0],
            (switch, "on"),
        ];
        ok(&world, "only", call, &bind).await;
    }
}

#[tokio::test]
async fn refused_uploads_into_the_centre_count_as_calls_without_permission() {
    let mut world = world().await;
    world.context.denials = crate::rate_limit::DenialLimiter::new(edgeseal_core::rate::RateLimit {
        calls: 2,
        per_ms: 60_000,
    });
    let (chain, key) = pem(DOMAIN);
    let params = [
        ("DomainName", DOMAIN),
        ("CertType", "cas"),
        ("CertName", "new"),
        ("SSLProtocol", "on"),
        ("SSLPub", &*chain),
        ("SSLPri", &*key),
    ];
    for code in ["NoPermission", "NoPermission", "Throttling.User"] {
        let only = &world.keys["only"];
        let response = world
            .call(only, CDN, "SetCdnDomainSSLCertificate", &params)
            .await;
        assert_eq!(error_of(&response).0, code);
    }
}

#[tokio::test]
async fn what_a_stored_certificate_is_for_is_told_to_those_who_may_read_it() {
    let world = world().await;
    let (chain, key) = pem(SECRET);
    let upload = [("Name", "secret"), ("Cert", &*chain), ("Key", &*key)];
    let made = ok(&world, "own", (CAS, "UploadUserCertificate"), &upload).await;
    let id = made["CertId"].to_string();
    for by in [("CertId", id.as_str()), ("CertName", "secret")] {
        for (who, told) in [("own", true), ("minimal", true), ("only", false)] {
            let params = [
                ("DomainName", DOMAIN),
                ("CertType", "cas"),
                ("SSLProtocol", "on"),
                by,
            ];
            let who_calls = &world.keys[who];
            let set = "SetCdnDomainSSLCertificate";
            let response = world.call(who_calls, CDN, set, &params).await;
            assert_eq!(error_of(&response).0, "Certificate.MissMatch");
            assert_eq!(
                response.to_string().contains(SECRET),
                told,
                "{who}: {response}"
            );
            let detail = response["Detail"].as_str().unwrap();
            assert!(detail.contains(DOMAIN), "{detail}");
            let needs = detail.contains("yundun-cert:GetUserCertificateDetail");
            assert_eq!(needs, !told, "{detail}");
        }
    }
    // The names in the caller's own certificate are reported to everyone.
    let params = [
        ("DomainName", DOMAIN),
        ("SSLProtocol", "on"),
        ("SSLPub", &*chain),
        ("SSLPri", &*key),
    ];
    let only = &world.keys["only"];
    let response = world
        .call(only, CDN, "SetCdnDomainSSLCertificate", &params)
        .await;
    assert!(
        response["Detail"].as_str().unwrap().contains(SECRET),
        "{response}"
    );
}

/// What a call does with the store.
#[derive(Clone, Copy, Debug, Default)]
struct StoreCost {
    /// Reads of single keys. Engines have most of these in memory.
    gets: usize,
    /// Reads of several keys, and listings: from the disk, or a round trip each.
    reads: usize,
    expected: usize,
    written: usize,
}

#[derive(Default)]
struct CostMeter(Mutex<StoreCost>);

impl Observe for CostMeter {
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
        let mut cost = self.0.lock().unwrap();
        match operation {
            Operation::Get(_) => cost.gets += 1,
            Operation::GetMany(_)
            | Operation::GetAndList(..)
            | Operation::List(_)
            | Operation::ReadLog(..)
            | Operation::AuditSince => {
                cost.reads += 1;
            }
            Operation::Commit(txn) => {
                cost.expected += txn.expect.len();
                cost.written += txn.write.len() + txn.log.len();
            }
            Operation::Changes | Operation::Sweep => {}
        }
        Ok(())
    }
}

/// A renewal lists nothing. From the sixth upload on, it removes the oldest one, for one more read.
#[tokio::test]
async fn a_renewal_costs_the_store_few_reads_and_rows() {
    let store = ObservedStore::over(Arc::new(MemoryStore::new()), CostMeter::default());
    let world = world_over(store.clone()).await;
    for upload in 1..=8 {
        let (chain, key) = pem(DOMAIN);
        let params = [
            ("DomainName", DOMAIN),
            ("SSLProtocol", "on"),
            ("SSLPub", &*chain),
            ("SSLPri", &*key),
        ];
        std::mem::take(&mut *store.0.lock().unwrap());
        ok(&world, "own", (CDN, "SetCdnDomainSSLCertificate"), &params).await;
        let cost = *store.0.lock().unwrap();
        // The first one also takes a block of IDs, and creates the counter.
        let (reads, expected, written) = match upload {
            1 => continue,
            2..=5 => (0, 7, 12),
            _ => (1, 12, 18),
        };
        assert!(cost.gets <= 11, "{upload}: {cost:?}");
        assert_eq!(cost.reads, reads, "{upload}: {cost:?}");
        assert!(cost.expected <= expected, "{upload}: {cost:?}");
        assert!(cost.written <= written, "{upload}: {cost:?}");
    }
}

/// The largest batch is far from the limits of a transaction, also when it ends older bindings.
#[tokio::test]
async fn a_batch_of_fifty_domains_fits_into_a_transaction() {
    let store = ObservedStore::over(Arc::new(MemoryStore::new()), CostMeter::default());
    let world = world_over(store.clone()).await;
    let names: Vec<String> = (0..50).map(|n| format!("d{n:02}.example.com")).collect();
    let names = names.join(",");
    let add = [
        ("DomainName", &*names),
        ("CdnType", "web"),
        (
            "Sources",
            r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
        ),
    ];
    ok(&world, "own", (CDN, "BatchAddCdnDomain"), &add).await;
    for batch in 1..=8 {
        let (chain, key) = pem("*.example.com");
        let params = [
            ("DomainName", &*names),
            ("SSLProtocol", "on"),
            ("SSLPub", &*chain),
            ("SSLPri", &*key),
        ];
        std::mem::take(&mut *store.0.lock().unwrap());
        let action = (CDN, "BatchSetCdnDomainServerCertificate");
        ok(&world, "own", action, &params).await;
        let cost = *store.0.lock().unwrap();
        assert!(cost.written > 100, "{batch}: {cost:?}");
        assert!(cost.written <= TXN_WRITES_MAX / 4, "{batch}: {cost:?}");
        assert!(cost.expected <= TXN_EXPECTS_MAX / 4, "{batch}: {cost:?}");
    }
}
