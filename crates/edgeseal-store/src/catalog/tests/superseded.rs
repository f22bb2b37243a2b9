//! Superseded uploads: which are kept, which are removed, and how the quota frees space.

use edgeseal_core::{certificate::Digest, quota::QuotaKind};
use tokio::{sync::Barrier, task::JoinSet};

use super::*;
use crate::{
    consistency,
    record::{UploadRecord, UploadsRecord},
};

const A: &str = "a.example.com";
const B: &str = "b.example.com";

/// The context of a call that comes after all earlier ones.
fn later_call() -> AuditContext {
    static CALLS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
    let now = NOW.plus_ms(CALLS.fetch_add(1, Ordering::Relaxed));
    AuditContext {
        now,
        ..audit_context()
    }
}

/// Uploads a certificate for a domain, replacing what `before` has bound.
async fn set(
    catalog: &Catalog,
    before: &Domain,
    id: i64,
    quota: Quota,
) -> Result<Domain, OverQuota> {
    let certificate = certificate(&format!("content-{id}"));
    let row = CertificateRecord {
        uploaded_for: Some(before.name.clone()),
        source: CertificateSource::Upload,
        ..row(id, &certificate)
    };
    let after = domain(&before.name.to_string(), Some(&row));
    let (row, certificate, after, later_call) = (&row, &certificate, &after, &later_call());
    let set = catalog.transact(later_call, |mut draft| async move {
        draft
            .add_certificate(row, certificate, Quota::Unlimited)
            .await?;
        draft.change_domain(before, after).await?;
        let names = std::slice::from_ref(&after.name);
        draft.make_room(&account(), names, quota).await?;
        Ok::<_, Never>((draft, after.clone()))
    });
    match set.await {
        Ok(committed) => Ok(committed.value),
        Err(ChangeError::Refused(over)) => Err(over),
        Err(other) => panic!("{id}: {other}"),
    }
}

/// A domain for which these were uploaded, one after the other.
async fn with_uploads(catalog: &Catalog, name: &str, ids: impl IntoIterator<Item = i64>) -> Domain {
    let mut bound = domain(name, None);
    add(catalog, &bound).await;
    for id in ids {
        bound = set(catalog, &bound, id, Quota::Unlimited).await.unwrap();
    }
    bound
}

/// Binds a stored certificate.
async fn bind(catalog: &Catalog, before: &Domain, id: i64) -> Domain {
    let row = catalog.certificate(id).await.unwrap().unwrap();
    let after = domain(&before.name.to_string(), Some(&row));
    let (changed, later_call) = (&after, &later_call());
    let bound = catalog.transact(later_call, |mut draft| async move {
        draft.change_domain(before, changed).await?;
        Ok::<_, Never>((draft, ()))
    });
    bound.await.unwrap();
    after
}

/// The recorded uploads of a domain.
async fn recorded(catalog: &Catalog, name: &str) -> Vec<UploadRecord> {
    let key = Key::uploads(&account(), &DomainPattern::parse(name).unwrap());
    let record: Option<UploadsRecord> = catalog.read(&key).await.unwrap();
    record.unwrap_or_default().uploads
}

/// Adds a certificate to the recorded uploads of a domain, behind the catalog's back.
async fn record_upload(
    catalog: &Catalog,
    name: &DomainPattern,
    id: i64,
    superseded: Option<Timestamp>,
) {
    let mut uploads = recorded(catalog, &name.to_string()).await;
    uploads.retain(|upload| upload.certificate != id);
    let row = catalog.certificate(id).await.unwrap();
    uploads.push(UploadRecord {
        certificate: id,
        material: row.map_or_else(|| Digest::of(b"none"), |row| row.material),
        superseded,
    });
    let value = record::encode(&UploadsRecord { uploads }).unwrap();
    let write = crate::Write::put(Key::uploads(&account(), name), value);
    crate::write_all(&**catalog.store(), vec![write])
        .await
        .unwrap();
}

/// The IDs of the account's certificates. Also checks the counts and the consistency findings.
async fn numbers(catalog: &Catalog) -> Vec<i64> {
    let span = Pagination {
        offset: 0,
        limit: 99,
    };
    let listed = catalog.certificates(&account(), None, span).await.unwrap();
    let counted = catalog
        .used(&account(), QuotaKind::Certificates)
        .await
        .unwrap();
    assert_eq!(counted, listed.total as u64);
    let found = consistency::check(catalog.store().as_ref()).await.unwrap();
    let without_accounts = |finding: &&consistency::Finding| {
        let is_material = finding.key.as_str().starts_with("material/");
        !is_material && !finding.what.starts_with("account/")
    };
    let findings: Vec<_> = found.findings.iter().filter(without_accounts).collect();
    assert!(findings.is_empty(), "{findings:?}");
    listed.items
}

#[tokio::test]
async fn a_domain_keeps_the_uploads_that_it_had_last() {
    let catalog = &catalog();
    let centre = upload(catalog, 100, "centre").await;
    let bound = with_uploads(catalog, A, 1..=5).await;
    assert_eq!(numbers(catalog).await, [1, 2, 3, 4, 5, 100]);
    let first = catalog.certificate(1).await.unwrap().unwrap();
    let bound = set(catalog, &bound, 6, Quota::Unlimited).await.unwrap();
    assert_eq!(numbers(catalog).await, [2, 3, 4, 5, 6, 100]);
    assert!(catalog.material(&first.material).await.unwrap().is_none());

    // Binding a superseded upload again makes it the most recently used one.
    let bound = bind(catalog, &bound, 2).await;
    let bound = set(catalog, &bound, 7, Quota::Unlimited).await.unwrap();
    assert_eq!(numbers(catalog).await, [2, 4, 5, 6, 7, 100]);

    // CAS certificates are never removed, and binding one supersedes the domain's upload.
    let bound = bind(catalog, &bound, 100).await;
    assert_eq!(numbers(catalog).await, [2, 5, 6, 7, 100]);
    let bound = set(catalog, &bound, 8, Quota::Unlimited).await.unwrap();
    assert_eq!(numbers(catalog).await, [2, 5, 6, 7, 8, 100]);
    assert!(catalog.material(&centre.material).await.unwrap().is_some());

    // Deleting the domain leaves no more uploads behind.
    let (domain, later_call) = (&bound, &later_call());
    let deleted = catalog.transact(later_call, |mut draft| async move {
        draft.delete_domain(domain).await?;
        Ok::<_, Never>((draft, ()))
    });
    deleted.await.unwrap();
    assert_eq!(numbers(catalog).await.len(), SUPERSEDED_MAX + 1);
}

/// A caller that may set a domain's certificate may bind any certificate of the account to it.
#[tokio::test]
async fn uploads_for_another_domain_do_not_go() {
    let catalog = &catalog();
    let mut a = with_uploads(catalog, A, 1..=5).await;
    let mut b = with_uploads(catalog, B, 11..=15).await;
    for id in [1, 2, 3, 4] {
        b = bind(catalog, &b, id).await;
        b = set(catalog, &b, 20 + id, Quota::Unlimited).await.unwrap();
    }
    let there = numbers(catalog).await;
    assert_eq!(there, [1, 2, 3, 4, 5, 15, 21, 22, 23, 24]);

    // An upload that another domain has bound stays, however old.
    let alone = async || {
        let uploads = recorded(catalog, A).await.into_iter();
        uploads.map(|it| it.certificate).collect::<Vec<_>>()
    };
    assert_eq!(alone().await, [5, 1, 2, 3, 4]);
    let b = bind(catalog, &b, 5).await;
    assert_eq!(alone().await, [1, 2, 3, 4]);
    for id in 31..=36 {
        a = set(catalog, &a, id, Quota::Unlimited).await.unwrap();
    }
    assert!(catalog.is_certificate_used(5).await.unwrap());
    let there = numbers(catalog).await;
    assert!(there.contains(&5) && !there.contains(&31), "{there:?}");
    set(catalog, &b, 25, Quota::Unlimited).await.unwrap();
    let there = numbers(catalog).await;
    assert!(there.contains(&5) && !there.contains(&32), "{there:?}");
}

#[tokio::test]
async fn at_the_quota_a_renewal_takes_the_place_of_what_it_supersedes() {
    let catalog = &catalog();
    let mut a = with_uploads(catalog, A, 1..=5).await;
    let b = with_uploads(catalog, B, [11]).await;
    let quota = Quota::AtMost(6);
    // The upload superseded longest ago is removed first, the one superseded now last.
    for (id, left) in [(6, [2, 3, 4, 5, 6, 11]), (7, [3, 4, 5, 6, 7, 11])] {
        a = set(catalog, &a, id, quota).await.unwrap();
        assert_eq!(numbers(catalog).await, left);
    }
    let b = set(catalog, &b, 12, quota).await.unwrap();
    assert_eq!(numbers(catalog).await, [3, 4, 5, 6, 7, 12]);
    // A lowered quota does not block renewals either.
    let b = set(catalog, &b, 13, Quota::AtMost(1)).await.unwrap();
    assert_eq!(numbers(catalog).await, [3, 4, 5, 6, 7, 13]);

    // An upload that replaces nothing is refused: the domain has no certificate, or another domain
    // has it bound too.
    let new = domain("new.example.com", None);
    add(catalog, &new).await;
    let over = set(catalog, &new, 21, quota).await.unwrap_err();
    assert_eq!((over.used, over.limit), (6, 6));
    bind(catalog, &new, 13).await;
    assert!(set(catalog, &b, 14, quota).await.is_err());
    assert_eq!(numbers(catalog).await, [3, 4, 5, 6, 7, 13]);
}

/// Several domains release it at once, and one of them is the last; in a file and in memory.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_released_by_several_domains_at_once_is_superseded() {
    let home = tempfile::tempdir().unwrap();
    let file = crate::sqlite::SqliteStore::open(home.path().join("store.db")).unwrap();
    let stores: [SharedStore; 2] = [Arc::new(MemoryStore::new()), Arc::new(file)];
    for store in stores {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = Catalog::new(store, keyring);
        with_uploads(&catalog, A, [1]).await;
        let shared = catalog.certificate(1).await.unwrap().unwrap();
        for name in [B, "c.example.com"] {
            add(&catalog, &domain(name, Some(&shared))).await;
        }
        let all = Arc::new(Barrier::new(3));
        let mut tasks = JoinSet::new();
        for name in [A, B, "c.example.com"] {
            let (catalog, all, shared) = (catalog.clone(), Arc::clone(&all), shared.clone());
            tasks.spawn(async move {
                let (before, after) = (domain(name, Some(&shared)), domain(name, None));
                let (before, after, all, later_call) = (&before, &after, &*all, &later_call());
                let mut is_first = true;
                let left = catalog.transact(later_call, |mut draft| {
                    let waits = std::mem::take(&mut is_first);
                    async move {
                        draft.change_domain(before, after).await?;
                        if waits {
                            all.wait().await;
                        }
                        Ok::<_, Never>((draft, ()))
                    }
                });
                left.await.unwrap();
            });
        }
        tasks.join_all().await;
        let uploads = recorded(&catalog, A).await;
        assert_eq!(uploads.len(), 1);
        assert!(uploads[0].superseded.is_some());
    }
}

/// An upload that is bound between the decision to remove it and the commit stays.
#[tokio::test]
async fn an_upload_bound_during_removal_stays() {
    bind_during_removal(1).await;
}

/// One of the others that is bound meanwhile leaves room for the oldest.
#[tokio::test]
async fn the_oldest_stays_if_another_is_bound_during_its_removal() {
    bind_during_removal(3).await;
}

async fn bind_during_removal(bound: i64) {
    let catalog = &catalog();
    let a = with_uploads(catalog, A, 1..=5).await;
    let b = &with_uploads(catalog, B, []).await;
    let certificate = certificate("content-6");
    let row = CertificateRecord {
        uploaded_for: Some(a.name.clone()),
        ..row(6, &certificate)
    };
    let after = domain(A, Some(&row));
    let (before, after, row, certificate) = (&a, &after, &row, &certificate);
    let (first_try, later_call) = (&AtomicBool::new(true), &later_call());
    let set = catalog.transact(later_call, |mut draft| async move {
        draft
            .add_certificate(row, certificate, Quota::Unlimited)
            .await?;
        draft.change_domain(before, after).await?;
        draft.trim_superseded().await?;
        assert_eq!(
            draft.certificate(1).await?.is_none(),
            first_try.load(Ordering::Relaxed),
            "the oldest one, until it is bound"
        );
        if first_try.swap(false, Ordering::Relaxed) {
            bind(catalog, b, bound).await;
        }
        Ok::<_, Never>((draft, ()))
    });
    set.await.unwrap();
    assert_eq!(numbers(catalog).await, [1, 2, 3, 4, 5, 6]);
}

/// A binding by a release that does not know superseded uploads.
#[tokio::test]
async fn a_bound_upload_stays_despite_a_stale_index() {
    let catalog = &catalog();
    let a = with_uploads(catalog, A, 1..=5).await;
    let b = with_uploads(catalog, B, []).await;
    bind(catalog, &b, 1).await;
    record_upload(catalog, &a.name, 1, Some(NOW)).await;
    set(catalog, &a, 6, Quota::Unlimited).await.unwrap();
    assert_eq!(numbers(catalog).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn the_doctor_finds_invalid_superseded_entries() {
    let catalog = &catalog();
    let a = with_uploads(catalog, A, 1..=2).await;
    let (centre, b) = (
        upload(catalog, 3, "centre").await,
        DomainPattern::parse(B).unwrap(),
    );
    for (name, id, superseded, finds) in [
        (&a.name, 1, Some(NOW), 0),
        (&b, 1, Some(NOW), 1),
        (&a.name, centre.id, Some(NOW), 2),
        (&b, 9, Some(NOW), 3),
        // It is bound, and one that is superseded is not.
        (&a.name, 2, Some(NOW), 4),
        (&a.name, 1, None, 5),
    ] {
        record_upload(catalog, name, id, superseded).await;
        let found = consistency::check(catalog.store().as_ref()).await.unwrap();
        let findings = found.findings.iter();
        let findings = findings.filter(|it| it.key.as_str().starts_with(crate::key::UPLOADS));
        assert_eq!(findings.count(), finds, "{name} {id}");
    }
}
