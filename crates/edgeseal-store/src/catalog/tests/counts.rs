//! Counts of resources that are subject to a quota.

use bytes::Bytes;
use edgeseal_core::quota::QuotaKind;
use tokio::{sync::Barrier, task::JoinSet};

use super::*;
use crate::{SharedStore, Write, sqlite::SqliteStore};

async fn counts(catalog: &Catalog) -> [u64; 3] {
    let mut found = [0; 3];
    for (kind, found) in QuotaKind::ALL.into_iter().zip(&mut found) {
        *found = catalog.used(&account(), kind).await.unwrap();
    }
    found
}

async fn add_within(catalog: &Catalog, name: &str, quota: Quota) -> Result<(), OverQuota> {
    add_at_once(catalog, name, quota, &Barrier::new(1)).await
}

/// Adds a domain; its first commit waits until all others are about to commit.
async fn add_at_once(
    catalog: &Catalog,
    name: &str,
    quota: Quota,
    all: &Barrier,
) -> Result<(), OverQuota> {
    let (domain, audit) = (&domain(name, None), &audit_context());
    let mut is_first = true;
    let added = catalog.transact(audit, |mut draft| {
        let waits = std::mem::take(&mut is_first);
        async move {
            let looked = draft.add_domain(domain, quota).await;
            if waits {
                all.wait().await;
            }
            looked?;
            Ok::<_, Never>((draft, ()))
        }
    });
    match added.await {
        Ok(_) => Ok(()),
        Err(ChangeError::Refused(over)) => Err(over),
        Err(other) => panic!("{name}: {other}"),
    }
}

async fn delete_domain(catalog: &Catalog, name: &str) {
    let (domain, audit) = (&domain(name, None), &audit_context());
    let deleted = catalog.transact(audit, |mut draft| async move {
        draft.delete_domain(domain).await?;
        Ok::<_, Never>((draft, ()))
    });
    deleted.await.unwrap();
}

async fn request_within(catalog: &Catalog, number: u8, quota: Quota) -> Result<(), OverQuota> {
    let audit = &audit_context();
    let added = catalog.transact(audit, |mut draft| async move {
        let keys = (
            &edgeseal_core::certificate::Digest::of(&[number]),
            &Secret::new(vec![1]),
        );
        draft
            .add_signing_request(&account(), keys, "a.example", quota)
            .await?;
        Ok::<_, Never>((draft, ()))
    });
    match added.await {
        Ok(_) => Ok(()),
        Err(ChangeError::Refused(over)) => Err(over),
        Err(other) => panic!("{number}: {other}"),
    }
}

async fn set(catalog: &Catalog, kind: QuotaKind, to: Option<&'static str>) {
    let key = Key::count(&account(), kind);
    let write = vec![match to {
        None => Write::Delete(key),
        Some(text) => Write::Put {
            key,
            value: Bytes::from_static(text.as_bytes()),
            expires: None,
        },
    }];
    let expect = Vec::new();
    catalog
        .store()
        .commit(Txn::new(expect, write))
        .await
        .unwrap();
}

#[tokio::test]
async fn every_change_counts() {
    let catalog = &catalog();
    assert_eq!(counts(catalog).await, [0, 0, 0]);
    let (first, second) = (upload(catalog, 1, "a").await, upload(catalog, 2, "a").await);
    let bound = domain("a.example.com", Some(&first));
    add(catalog, &bound).await;
    add(catalog, &domain("b.example.com", None)).await;
    request_within(catalog, 1, Quota::Unlimited).await.unwrap();
    assert_eq!(counts(catalog).await, [2, 2, 1]);
    let audit = &audit_context();
    // Deleted while a domain has it bound: hidden from its owner, and removed with its last
    // binding.
    let (old, listed) = (
        &first,
        Pagination {
            offset: 0,
            limit: 9,
        },
    );
    let hidden = catalog.transact(audit, |mut draft| async move {
        draft.hide_certificate(old).await?;
        Ok::<_, Never>((draft, ()))
    });
    hidden.await.unwrap();
    assert_eq!(counts(catalog).await, [2, 1, 1]);
    let free = domain("a.example.com", None);
    change(catalog, &bound, &free).await;
    assert_eq!(catalog.certificate(1).await.unwrap(), None);
    assert_eq!(counts(catalog).await, [2, 1, 1]);
    assert_eq!(delete(catalog, &second).await, None);
    delete_domain(catalog, "a.example.com").await;
    assert_eq!(counts(catalog).await, [1, 0, 1]);
    let domains = catalog.domains(&account(), listed).await.unwrap();
    assert_eq!(domains.total, 1);
}

/// Replacing one with another in the same change does not raise the count.
#[tokio::test]
async fn replacing_is_allowed_at_the_quota() {
    let catalog = &catalog();
    let (old, other) = (upload(catalog, 1, "a").await, certificate("b"));
    let (old, other, new, audit) = (&old, &other, &row(2, &other), &audit_context());
    for (quota, removes, fits) in [
        (Quota::AtMost(1), false, false),
        (Quota::AtMost(1), true, true),
    ] {
        let replaced = catalog.transact(audit, |mut draft| async move {
            if removes {
                draft.delete_certificate(old).await?;
            }
            draft.add_certificate(new, other, quota).await?;
            Ok::<_, Never>((draft, ()))
        });
        match replaced.await {
            Ok(_) => assert!(fits),
            Err(ChangeError::Refused(over)) => assert!(!fits && over.used == 1, "{over}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(counts(catalog).await, [0, 1, 0]);
}

/// All calls have read before the first of them commits; in a file and in memory, in a store
/// without stored counts.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_end_exactly_at_the_quota() {
    const LIMIT: u32 = 50;
    let home = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(home.path().join("store.db")).unwrap();
    let stores: [SharedStore; 2] = [Arc::new(MemoryStore::new()), Arc::new(file)];
    for store in stores {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = Catalog::new(store, keyring);
        add(&catalog, &domain("first.example.com", None)).await;
        set(&catalog, QuotaKind::Domains, None).await;
        let all = Arc::new(Barrier::new(2 * LIMIT as usize));
        let mut tasks = JoinSet::new();
        for task in 0..2 * LIMIT {
            let (catalog, all) = (catalog.clone(), Arc::clone(&all));
            tasks.spawn(async move {
                // No shared parent domain, which would make the calls conflict anyway.
                let name = format!("www.{task}.example");
                add_at_once(&catalog, &name, Quota::AtMost(LIMIT), &all).await
            });
        }
        let results = tasks.join_all().await;
        let added = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(added, LIMIT as usize - 1);
        for over in results.into_iter().filter_map(Result::err) {
            assert_eq!(
                (over.kind, over.adding, over.limit),
                (QuotaKind::Domains, 1, LIMIT)
            );
            assert_eq!(
                over.used,
                u64::from(LIMIT),
                "refused at the limit, not before"
            );
        }
        let span = Pagination {
            offset: 0,
            limit: 0,
        };
        let there = catalog.domains(&account(), span).await.unwrap().total;
        assert_eq!(there, LIMIT as usize);
        assert_eq!(counts(&catalog).await[0], u64::from(LIMIT));
        delete_domain(&catalog, "first.example.com").await;
        let again = add_within(&catalog, "again.example.com", Quota::AtMost(LIMIT));
        assert_eq!(again.await, Ok(()));
    }
}

#[tokio::test]
async fn existing_records_are_counted_once() {
    let catalog = &catalog();
    for number in 0..3 {
        add(catalog, &domain(&format!("{number}.example.com"), None)).await;
    }
    for first in ["add", "delete"] {
        set(catalog, QuotaKind::Domains, None).await;
        assert_eq!(counts(catalog).await[0], 3, "without a stored count");
        match first {
            "add" => {
                let over = add_within(catalog, "new.example.com", Quota::AtMost(3)).await;
                assert_eq!(over.unwrap_err().used, 3);
                let added = add_within(catalog, "new.example.com", Quota::AtMost(4)).await;
                assert_eq!(added, Ok(()));
                assert_eq!(counts(catalog).await[0], 4);
                delete_domain(catalog, "new.example.com").await;
            }
            _ => delete_domain(catalog, "0.example.com").await,
        }
    }
    assert_eq!(counts(catalog).await[0], 2);
}

#[tokio::test]
async fn a_wrong_number_is_corrected() {
    let catalog = &catalog();
    let owner = edgeseal_core::account::Account {
        id: account(),
        name: "owner".to_owned(),
        root: false,
        created: NOW,
        private_origins: None,
        quotas: Default::default(),
    };
    let key = NewAccessKey::generate(account(), None, NOW);
    catalog
        .create_account(&audit_context(), &owner, &key)
        .await
        .unwrap();
    assert_eq!(catalog.recount_all().await.unwrap(), []);
    add(catalog, &domain("a.example.com", None)).await;
    upload(catalog, 1, "a").await;
    assert_eq!(catalog.recount_all().await.unwrap(), []);
    set(catalog, QuotaKind::Domains, Some("7")).await;
    set(catalog, QuotaKind::Certificates, Some("many")).await;
    let corrected = [
        (QuotaKind::Domains, Some(7)),
        (QuotaKind::Certificates, None),
    ];
    let corrected = corrected.map(|(kind, was)| CountCorrection {
        account: account(),
        kind,
        recorded: was,
        actual: 1,
    });
    assert_eq!(catalog.recount_all().await.unwrap(), corrected);
    assert_eq!(counts(catalog).await, [1, 1, 0]);
}

#[tokio::test]
async fn signing_requests_that_are_forgotten_make_room() {
    let (catalog, quota) = (&catalog(), Quota::AtMost(2));
    for (number, fits) in [(1, true), (2, true), (3, false)] {
        let added = request_within(catalog, number, quota).await;
        assert_eq!(added.is_ok(), fits, "{number}");
    }
    let later = NOW.plus_ms(SIGNING_REQUEST_TTL_MS + 1);
    assert_eq!(catalog.sweep(later).await.unwrap(), 2);
    assert_eq!(request_within(catalog, 3, quota).await, Ok(()));
    assert_eq!(counts(catalog).await, [0, 0, 1]);
}
