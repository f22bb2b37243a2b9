use std::sync::Arc;

use edgeseal_api::ownership::OwnershipOptions;
use edgeseal_core::outside::Verdict;
use edgeseal_store::{Keyring, Txn, Write, memory::MemoryStore, record::encode};
use edgeseal_testing::dns::DnsServer;
use tokio::time::timeout;

use super::*;
use crate::alarms::test_domain;

/// A check of all domains without a pause, with a DNS server that knows no name.
async fn endless(dns: &DnsServer) -> (OutsideCheck, Catalog) {
    let resolver = OwnershipVerifier::new(OwnershipOptions {
        dns: Some(dns.address),
        ..OwnershipOptions::default()
    });
    let roots = observer::public_roots();
    let check = OutsideCheck {
        observer: Observer::new(&Config::default(), resolver.unwrap(), roots).unwrap(),
        selection: Selection::default(),
        interval: Duration::ZERO,
    };
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    (check, Catalog::new(Arc::new(MemoryStore::new()), keyring))
}

async fn write(catalog: &Catalog, write: Vec<Write>) {
    let expect = Vec::new();
    catalog
        .store()
        .commit(Txn::new(expect, write))
        .await
        .unwrap();
}

/// Writes a domain with this certificate.
async fn add(catalog: &Catalog, name: &str, certificate: i64) -> Domain {
    let mut domain = test_domain(name, false);
    let binding = domain.production.as_mut().unwrap();
    binding.certificate = certificate;
    binding.updated = Timestamp::from_unix_seconds(1_700_000_000);
    let put = Write::put(Key::domain(&domain.name), encode(&domain).unwrap());
    write(catalog, vec![put]).await;
    domain
}

#[tokio::test]
async fn what_stays_wrong_holds_up_no_part() {
    let dns = DnsServer::start().await;
    let (check, catalog) = endless(&dns).await;
    let domain = add(&catalog, "wrong.example", 1).await;
    let mut agenda = Agenda::default();
    for part in 0..=u8::MAX {
        let checked = check.check(&catalog, &mut agenda, Some(part));
        let checked = timeout(Duration::from_secs(30), checked).await;
        checked.expect("it ends").unwrap();
        // It is always due.
        agenda.add(domain.name.clone(), Instant::now());
    }
    let found = catalog.observation(&domain).await.unwrap().unwrap();
    assert_eq!(found.verdict, Verdict::NoAddress);
    assert!(found.wrong_since.unwrap() <= found.at);
}

#[tokio::test]
async fn a_damaged_record_stops_no_other_check() {
    let dns = DnsServer::start().await;
    let (check, catalog) = endless(&dns).await;
    let damaged = add(&catalog, "damaged.example", 1).await;
    let other = add(&catalog, "other.example", 2).await;
    let garbage = Write::put(Key::certificate(1), (&b"?"[..]).into());
    write(&catalog, vec![garbage]).await;
    let mut agenda = Agenda::default();
    // The first time it could be a lost packet.
    for _ in 0..2 {
        for domain in [&damaged, &other] {
            agenda.add(domain.name.clone(), Instant::now());
        }
        check.check(&catalog, &mut agenda, None).await.unwrap();
    }
    assert_eq!(catalog.observation(&damaged).await.unwrap(), None);
    assert!(catalog.observation(&other).await.unwrap().is_some());
}
