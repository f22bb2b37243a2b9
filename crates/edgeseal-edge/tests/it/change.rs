//! Changes while the edge runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edgeseal_core::{Secret, domain::DomainState};
use edgeseal_store::{
    Key, Keyring, Source as _, Store as _, Write,
    memory::MemoryStore,
    record::{Material, encode_material},
};
use edgeseal_testing::{
    http::HttpConnection,
    observed_store::FailingStore,
    origin::saying,
    pki::TestCertificate,
    tls::{HandshakeFailure, served_leaf},
};

use crate::harness::{
    CertificateRecords as _, DomainBuilder as _, Harness, certificate_with_chain, domain, now, put,
    served,
};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_under_load_fail_no_handshake() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let bystander = TestCertificate::self_signed("b.com");
    world.serve("b.com", &bystander, port).await;
    let edge = world.edge().await;
    let address = edge.https_addr();
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );

    let mut load = Vec::new();
    for name in ["a.com", "b.com"] {
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        load.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                served_leaf(address, name)
                    .await
                    .expect("a handshake failed");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for h2 in [false, true] {
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        load.push(tokio::spawn(async move {
            let mut http = match h2 {
                true => HttpConnection::h2(address, "a.com").await,
                false => HttpConnection::h1(address, "a.com").await,
            };
            while !stop.load(Ordering::Relaxed) {
                let answer = http.get("a.com", "/").await;
                assert_eq!(answer, (200, "hello".to_owned()));
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for _ in 0..200 {
        let new = TestCertificate::self_signed("a.com");
        let revision = world.serve("a.com", &new, port).await;
        served(&edge, revision).await;
        assert_eq!(served_leaf(address, "a.com").await, Ok(new.leaf));
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(done.load(Ordering::Relaxed) > 200, "{done:?}");
    assert_eq!(served_leaf(address, "b.com").await, Ok(bystander.leaf));
}

#[tokio::test]
async fn a_domain_is_added_removed_and_added_again() {
    let world = Harness::new();
    let edge = world.edge().await;
    let certificate = TestCertificate::self_signed("a.com");
    let bound = || domain("a.com").bound(&certificate);
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    let on = Ok(certificate.leaf.clone());
    let steps = [
        (put(&bound()), on.clone()),
        (
            put(&bound().off()),
            Err(HandshakeFailure::UNRECOGNIZED_NAME),
        ),
        (put(&bound()), on.clone()),
        (
            put(&bound().in_state(DomainState::Stopping)),
            Err(HandshakeFailure::UNRECOGNIZED_NAME),
        ),
        (put(&bound()), on.clone()),
        (
            Write::Delete(Key::domain(&bound().name)),
            Err(HandshakeFailure::UNRECOGNIZED_NAME),
        ),
        (put(&bound()), on),
    ];
    world.write(certificate.writes(&world.keyring)).await;
    for (number, (write, expected)) in steps.into_iter().enumerate() {
        let revision = world.write(vec![write]).await;
        served(&edge, revision).await;
        assert_eq!(
            served_leaf(edge.https_addr(), "a.com").await,
            expected,
            "step {number}"
        );
    }
}

#[tokio::test]
async fn staging_edges_serve_what_is_staged() {
    let world = Harness::new();
    let (public, staged) = (
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("a.com"),
    );
    let mut writes = public.writes(&world.keyring);
    writes.extend(staged.writes(&world.keyring));
    writes.push(put(&domain("a.com").bound(&public).staged(&staged)));
    world.write(writes).await;
    let production = world.edge().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let staging = world
        .edge_with(|options| {
            options.group = edgeseal_edge::STAGING.to_owned();
            options.directory = elsewhere.path().to_owned();
        })
        .await;
    assert_eq!(
        served_leaf(production.https_addr(), "a.com").await,
        Ok(public.leaf.clone())
    );
    assert_eq!(
        served_leaf(staging.https_addr(), "a.com").await,
        Ok(staged.leaf)
    );
    let dropped = world.put(&domain("a.com").bound(&public)).await;
    served(&staging, dropped).await;
    assert_eq!(
        served_leaf(staging.https_addr(), "a.com").await,
        Ok(public.leaf)
    );
}

#[tokio::test]
async fn unusable_records_are_quarantined_and_the_rest_unaffected() {
    let world = Harness::new();
    let good = TestCertificate::self_signed("a.com");
    let other = TestCertificate::self_signed("b.com");
    world.serve("a.com", &good, 1).await;
    let edge = world.edge().await;
    let new = || TestCertificate::self_signed("a.com");
    let bind = |certificate: &TestCertificate| put(&domain("a.com").bound(certificate));

    let wrong_kek = {
        let certificate = new();
        let stranger = Keyring::parse(&Keyring::generate()).unwrap();
        let mut writes = certificate.writes(&stranger);
        writes.push(bind(&certificate));
        (writes, "key-encryption key")
    };
    let missing = (vec![bind(&new())], "is not in the store");
    let mismatch = {
        let certificate = TestCertificate {
            key: new().key,
            ..new()
        };
        let mut writes = certificate.writes(&world.keyring);
        writes.push(bind(&certificate));
        (writes, "does not match the leaf")
    };
    let no_issuer = {
        let certificate = certificate_with_chain("a.com");
        let mut writes = certificate.writes(&world.keyring);
        writes.remove(0);
        writes.push(bind(&certificate));
        (writes, "issuer")
    };
    let no_key = {
        let certificate = new();
        let material = Material {
            leaf: certificate.leaf.clone(),
            issuers: Vec::new(),
            sealed_key: Vec::new(),
        };
        let material = raw(
            Key::material(&certificate.digest()),
            encode_material(&material).unwrap(),
        );
        (vec![material, bind(&certificate)], "no private key")
    };
    let other_content = {
        let (certificate, wrong) = (new(), new());
        let key = Key::material(&certificate.digest());
        let material = Material {
            leaf: wrong.leaf.clone(),
            issuers: Vec::new(),
            sealed_key: world.keyring.seal(&Secret::new(wrong.key_der()), &key),
        };
        let material = raw(key, encode_material(&material).unwrap());
        (vec![material, bind(&certificate)], "digest")
    };
    let garbage = {
        let certificate = new();
        let material = raw(
            Key::material(&certificate.digest()),
            Bytes::from_static(b"\x01nonsense"),
        );
        (vec![material, bind(&certificate)], "cannot be decoded")
    };
    let key = Key::domain(&domain("a.com").name);
    let bad_json = (
        vec![raw(key.clone(), Bytes::from_static(b"{"))],
        "cannot be decoded",
    );
    let future = (
        vec![raw(key.clone(), Bytes::from_static(b"{\"v\":99}"))],
        "cannot be decoded",
    );
    let foreign = {
        let Write::Put { value, .. } = put(&domain("c.com")) else {
            unreachable!()
        };
        (vec![raw(key, value)], "the record is of c.com")
    };

    for (writes, why) in [
        wrong_kek,
        missing,
        mismatch,
        no_issuer,
        no_key,
        other_content,
        garbage,
        bad_json,
        future,
        foreign,
    ] {
        world.write(writes).await;
        let after = world.serve("b.com", &other, 1).await;
        served(&edge, after).await;
        assert_eq!(
            served_leaf(edge.https_addr(), "a.com").await,
            Ok(good.leaf.clone()),
            "{why}"
        );
        assert_eq!(
            served_leaf(edge.https_addr(), "b.com").await,
            Ok(other.leaf.clone()),
            "{why}"
        );
        let report = world
            .report("default", |report| {
                report
                    .quarantined
                    .iter()
                    .any(|one| one.reason.contains(why))
            })
            .await;
        assert_eq!(report.quarantined.len(), 1, "{report:?}");
        assert_eq!(report.quarantined[0].domain, domain("a.com").name);
    }
    // A usable record ends the quarantine.
    let last = new();
    let revision = world.serve("a.com", &last, 1).await;
    served(&edge, revision).await;
    assert_eq!(served_leaf(edge.https_addr(), "a.com").await, Ok(last.leaf));
    world
        .report("default", |report| report.quarantined.is_empty())
        .await;
}

fn raw(key: Key, value: Bytes) -> Write {
    Write::Put {
        key,
        value,
        expires: None,
    }
}

#[tokio::test]
async fn material_that_is_written_late_is_found() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    world.put(&domain("a.com").bound(&certificate)).await;
    let edge = world
        .edge_with(|options| options.retry_interval = Duration::from_millis(50))
        .await;
    world
        .report("default", |report| report.quarantined.len() == 1)
        .await;
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    world.write(certificate.writes(&world.keyring)).await;
    let report = world
        .report("default", |report| !report.proofs.is_empty())
        .await;
    assert!(report.quarantined.is_empty());
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Ok(certificate.leaf)
    );
}

/// The change log is compacted past a domain's removal while the edge is away.
#[tokio::test]
async fn a_listing_removes_only_what_it_did_not_contain() {
    let store = Arc::new(MemoryStore::with_tombstone_limit(0));
    let world = Harness::on(Arc::<MemoryStore>::clone(&store));
    let (stays, goes) = (
        TestCertificate::self_signed("stays.com"),
        TestCertificate::self_signed("goes.com"),
    );
    world.serve("stays.com", &stays, 1).await;
    let before = world.serve("goes.com", &goes, 1).await;
    world.edge().await.drain().await;
    world.remove("goes.com").await;
    let last = world.serve("new.com", &goes, 1).await;
    store.sweep(now()).await.unwrap();
    assert!(
        store.changes(before, &["domain/"], 10).await.is_err(),
        "it must be compacted"
    );
    let edge = world.edge().await;
    served(&edge, last).await;
    let expect = async |address| {
        assert_eq!(
            served_leaf(address, "stays.com").await,
            Ok(stays.leaf.clone())
        );
        assert_eq!(served_leaf(address, "new.com").await, Ok(goes.leaf.clone()));
        assert_eq!(
            served_leaf(address, "goes.com").await,
            Err(HandshakeFailure::UNRECOGNIZED_NAME)
        );
    };
    expect(edge.https_addr()).await;
    // The replica has removed it as well.
    edge.drain().await;
    let failing = FailingStore::new(&world.store);
    let edge = world.start(world.options(), failing).await;
    expect(edge.https_addr()).await;
}
