//! How long certificates live, in words, and a certificate that is replaced while it is read.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use edgeseal_store::{Fault, SharedStore, key::CERTIFICATES, memory::MemoryStore};
use edgeseal_testing::observed_store::{Observe, ObservedStore, Operation};
use serde_json::Value;
use tokio::sync::Notify;

use super::*;
use crate::{Settings, test_server::TestServer};

#[test]
fn lives() {
    const DAY: i64 = 86_400;
    for (days, text) in [
        (90, "3 months"),
        (47, "2 months"),
        (365, "1 years"),
        (366, "1 years"),
        (398, "13 months"),
        (730, "2 years"),
        (3650, "10 years"),
    ] {
        let from = Timestamp::from_unix_seconds(0);
        assert_eq!(
            life(from, Timestamp::from_unix_seconds(days * DAY - 1)),
            text
        );
    }
}

/// A store that holds one read of a certificate until it is released.
#[derive(Default)]
struct Held {
    is_armed: AtomicBool,
    reached: Notify,
    released: Notify,
}

#[async_trait]
impl Observe for Held {
    fn before(&self, _: Operation<'_>) -> Result<(), Fault> {
        Ok(())
    }

    async fn hold(&self, operation: Operation<'_>) {
        let keys = match &operation {
            Operation::Get(key) => std::slice::from_ref(*key),
            Operation::GetMany(keys) => keys,
            _ => return,
        };
        let is_certificate = keys.iter().any(|it| it.as_str().starts_with(CERTIFICATES));
        if is_certificate && self.is_armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.released.notified().await;
        }
    }
}

/// More uploads than a domain keeps, so that the certificate that was bound is gone.
const RENEWALS: usize = 6;

#[tokio::test]
async fn what_is_replaced_meanwhile_is_read_again() {
    const DOMAIN: (&str, &str) = ("DomainName", "a.example.com");
    let held = ObservedStore::over(Arc::new(MemoryStore::new()), Held::default());
    let (mut world, _tasks) = TestServer::over(held.clone() as SharedStore, Settings::default());
    world.account("1000000000000001", "own").await;
    let call = async |action: &str, params: &[(&str, &str)]| {
        let reply = world.call(&world.keys["own"], "2018-05-10", action, params);
        let reply: Value = reply.await;
        assert_eq!(reply.get("Code"), None, "{action}: {reply}");
        reply
    };
    let sources = r#"[{"content":"192.0.2.1","type":"ipaddr"}]"#;
    let add = [DOMAIN, ("CdnType", "web"), ("Sources", sources)];
    call("AddCdnDomain", &add).await;
    let upload = async || {
        let made = rcgen::generate_simple_self_signed([DOMAIN.1.to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let on = [
            DOMAIN,
            ("SSLProtocol", "on"),
            ("SSLPub", &chain),
            ("SSLPri", &key),
        ];
        call("SetCdnDomainSSLCertificate", &on).await;
        chain
    };
    upload().await;
    held.is_armed.store(true, Ordering::SeqCst);
    let renewed = async {
        held.reached.notified().await;
        let mut newest = String::new();
        for _ in 0..RENEWALS {
            newest = upload().await;
        }
        held.released.notify_one();
        newest
    };
    let info = call("DescribeDomainCertificateInfo", &[DOMAIN]);
    let (info, newest) = tokio::join!(info, renewed);
    let shown = &info["CertInfos"]["CertInfo"];
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(shown[0]["ServerCertificate"], newest);
}
