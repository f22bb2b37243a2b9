//! Keys that a change assumes to be absent, and certificates that it reads repeatedly.

use std::sync::atomic::AtomicI64;

use super::*;

/// Uploads, and returns how many attempts the decision took.
async fn upload_counting(catalog: &Catalog, row: &CertificateRecord, content: &str) -> usize {
    let (certificate, audit) = (&certificate(content), &audit_context());
    let mut decided = 0;
    let added = catalog.transact(audit, |mut draft| {
        decided += 1;
        async move {
            let named = draft.is_certificate_name_taken(&row.account, &row.name);
            if named.await? {
                return Ok((draft, false));
            }
            draft
                .add_certificate(row, certificate, Quota::Unlimited)
                .await?;
            Ok::<_, Never>((draft, true))
        }
    });
    let added = added.await.unwrap().value;
    let stored = catalog.certificate(row.id).await.unwrap();
    assert_eq!(stored.as_ref() == Some(row), added);
    decided
}

#[tokio::test]
async fn a_wrong_assumption_is_read_on_retry() {
    let catalog = &catalog();
    let first = row(1, &certificate("a"));
    assert_eq!(
        upload_counting(catalog, &first, "a").await,
        1,
        "everything is new"
    );
    let other = row(2, &certificate("b"));
    assert_eq!(upload_counting(catalog, &other, "b").await, 1);
    let second = row(3, &certificate("a"));
    assert_eq!(upload_counting(catalog, &second, "a").await, 2, "content");
    let namesake = CertificateRecord {
        name: first.name.clone(),
        ..row(4, &certificate("c"))
    };
    assert_eq!(upload_counting(catalog, &namesake, "c").await, 2, "name");
    let both = CertificateRecord {
        name: second.name.clone(),
        ..row(5, &certificate("a"))
    };
    let decided = upload_counting(catalog, &both, "a").await;
    assert_eq!(decided, 2, "one failure invalidates all assumptions");

    // Content lookups still find the first certificate.
    let audit = &audit_context();
    let found = catalog.transact(audit, |mut draft| {
        let material = first.material;
        async move {
            let found = draft.certificate_by_content(&account(), &material).await?;
            Ok::<_, Never>((draft, found))
        }
    });
    assert_eq!(found.await.unwrap().value, Some(first));
}

#[tokio::test]
async fn a_change_reads_its_own_certificate_writes() {
    let catalog = &catalog();
    let stored = &upload(catalog, 1, "a").await;
    let (new, audit) = (&row(2, &certificate("b")), &audit_context());
    let changed = catalog.transact(audit, |mut draft| async move {
        assert_eq!(draft.certificate(1).await?.as_ref(), Some(stored));
        draft.hide_certificate(stored).await?;
        let hidden = draft.certificate(1).await?;
        assert!(hidden.is_some_and(|hidden| hidden.removed));
        draft.delete_certificate(stored).await?;
        assert_eq!(draft.certificate(1).await?, None);
        assert_eq!(draft.certificate(2).await?, None);
        draft
            .add_certificate(new, &certificate("b"), Quota::Unlimited)
            .await?;
        assert_eq!(draft.certificate(2).await?.as_ref(), Some(new));
        Ok::<_, Never>((draft, ()))
    });
    changed.await.unwrap();
    assert_eq!(catalog.certificate(1).await.unwrap(), None);
    assert_eq!(catalog.certificate(2).await.unwrap().as_ref(), Some(new));
}

/// Like an upload without a name, for which each attempt draws a new one.
#[tokio::test]
async fn new_assumptions_at_each_attempt_terminate() {
    const TAKEN: i64 = 40;
    let catalog = &catalog();
    for id in 0..TAKEN {
        upload(catalog, id, &id.to_string()).await;
    }
    let (content, audit) = (&certificate("new"), &audit_context());
    let (drawn, mut decided) = (&AtomicI64::new(0), 0);
    let added = catalog.transact(audit, |mut draft| {
        decided += 1;
        async move {
            let row = loop {
                let row = row(drawn.fetch_add(1, Ordering::Relaxed), content);
                let named = draft.is_certificate_name_taken(&row.account, &row.name);
                if !named.await? {
                    break row;
                }
            };
            draft
                .add_certificate(&row, content, Quota::Unlimited)
                .await?;
            Ok::<_, Never>((draft, row.id))
        }
    });
    assert_eq!(added.await.unwrap().value, TAKEN);
    assert_eq!(decided, 2);
}
