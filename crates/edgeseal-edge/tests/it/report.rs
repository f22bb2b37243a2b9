//! The report of the edge.

use edgeseal_store::Key;
use edgeseal_testing::pki::TestCertificate;

use crate::harness::{CertificateRecords as _, DomainBuilder as _, Harness, domain, pattern};

#[tokio::test]
async fn a_change_is_proven_by_what_a_handshake_showed() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let wildcard = TestCertificate::self_signed("*.b.com");
    let edge = world.edge().await;
    world.report("default", |report| report.id == "e1").await;

    let first = world.serve("a.com", &certificate, 1).await;
    let second = world.serve("*.b.com", &wildcard, 1).await;
    let report = world
        .report("default", |report| report.revision >= second.0)
        .await;
    assert_eq!((report.group.as_str(), report.domains), ("default", 2));
    let proof = |name: &str| {
        let name = pattern(name);
        report.proofs.iter().find(|proof| proof.domain == name)
    };
    assert_eq!(proof("a.com").unwrap().sha256, Some(certificate.sha256()));
    assert_eq!(proof("*.b.com").unwrap().sha256, Some(wildcard.sha256()));
    assert!(first < second);

    let off = world.put(&domain("a.com").bound(&certificate).off()).await;
    let report = world
        .report("default", |report| report.revision >= off.0)
        .await;
    assert_eq!(report.proofs[0].domain, pattern("a.com"), "latest first");
    assert_eq!(report.proofs[0].sha256, None, "refused, as it must be");

    let gone = world.remove("a.com").await;
    let report = world
        .report("default", |report| report.revision >= gone.0)
        .await;
    assert_eq!(report.domains, 1);
    assert!(
        report
            .proofs
            .iter()
            .all(|proof| proof.domain != pattern("a.com"))
    );

    edge.drain().await;
    let left = world.store.get(&Key::edge("default", "e1")).await.unwrap();
    assert_eq!(left, None, "a drained edge is none to wait for");
}

/// Reports are commits as well; they must not trigger the next report.
#[tokio::test]
async fn reports_do_not_trigger_reports() {
    let world = Harness::new();
    let edge = world.edge().await;
    let revision = world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    world
        .report("default", |report| report.revision >= revision.0)
        .await;
    let key = Key::edge("default", "e1");
    let changed = |entry: Option<edgeseal_store::Entry>| entry.unwrap().revision;
    let before = changed(world.store.get(&key).await.unwrap());
    // The edge has seen its own report, and had two more seconds to write another.
    crate::harness::served(&edge, before).await;
    tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
    assert_eq!(changed(world.store.get(&key).await.unwrap()), before);
}
