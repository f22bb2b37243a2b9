//! Concurrent changes of the last uses of a certificate.

use super::*;

/// A domain binds a certificate that is about to be deleted: the later commit sees the earlier one.
#[tokio::test]
async fn a_deletion_never_passes_a_binding() {
    let catalog = &catalog();
    let row = &upload(catalog, 1, "a").await;
    let bound = &domain("a.example.com", Some(row));
    let first_try = &AtomicBool::new(true);
    let audit = &audit_context();
    let deleted = catalog.transact(audit, |mut draft| async move {
        let user = draft.domain_using_certificate(row.id).await?;
        if first_try.swap(false, Ordering::Relaxed) {
            add(catalog, bound).await;
        }
        if user.is_none() {
            draft.delete_certificate(row).await?;
        }
        Ok::<_, Never>((draft, user))
    });
    assert_eq!(
        deleted.await.unwrap().value.as_deref(),
        Some("a.example.com")
    );
    assert!(catalog.certificate(1).await.unwrap().is_some());
}

/// The last two domains release a hidden certificate at once: it is removed.
#[tokio::test]
async fn two_last_users_do_not_pass_each_other() {
    let catalog = &catalog();
    let (old, new) = (
        &upload(catalog, 1, "a").await,
        &upload(catalog, 2, "b").await,
    );
    let (one, two) = (
        &domain("a.example.com", Some(old)),
        &domain("b.example.com", Some(old)),
    );
    add(catalog, one).await;
    add(catalog, two).await;
    let audit = &audit_context();
    let hidden = catalog.transact(audit, |mut draft| async move {
        draft.hide_certificate(old).await?;
        Ok::<_, Never>((draft, ()))
    });
    hidden.await.unwrap();
    let first_try = &AtomicBool::new(true);
    let again = &audit_context();
    let left = catalog.transact(again, |mut draft| async move {
        let after = domain("a.example.com", Some(new));
        draft.change_domain(one, &after).await?;
        if first_try.swap(false, Ordering::Relaxed) {
            change(catalog, two, &domain("b.example.com", Some(new))).await;
        }
        Ok::<_, Never>((draft, ()))
    });
    left.await.unwrap();
    assert_eq!(catalog.certificate(1).await.unwrap(), None);
    assert!(catalog.material(&old.material).await.unwrap().is_none());
}

/// The only domain releases its certificate while it is being hidden: it does not stay hidden
/// forever.
#[tokio::test]
async fn hiding_never_passes_the_last_user_who_leaves() {
    let catalog = &catalog();
    let (old, new) = (
        &upload(catalog, 1, "a").await,
        &upload(catalog, 2, "b").await,
    );
    let bound = &domain("a.example.com", Some(old));
    add(catalog, bound).await;
    let first_try = &AtomicBool::new(true);
    let audit = &audit_context();
    let removed = catalog.transact(audit, |mut draft| async move {
        let user = draft.domain_using_certificate(old.id).await?;
        if first_try.swap(false, Ordering::Relaxed) {
            change(catalog, bound, &domain("a.example.com", Some(new))).await;
        }
        match user {
            Some(_) => draft.hide_certificate(old).await?,
            None => draft.delete_certificate(old).await?,
        }
        Ok::<_, Never>((draft, ()))
    });
    removed.await.unwrap();
    assert_eq!(catalog.certificate(1).await.unwrap(), None);
}

/// The change that releases a hidden certificate from its last domain adds the same content again:
/// leaf and key stay.
#[tokio::test]
async fn content_that_comes_back_as_it_goes_stays() {
    let catalog = &catalog();
    let old = &upload(catalog, 1, "a").await;
    let bound = &domain("a.example.com", Some(old));
    add(catalog, bound).await;
    let audit = &audit_context();
    let hidden = catalog.transact(audit, |mut draft| async move {
        draft.hide_certificate(old).await?;
        Ok::<_, Never>((draft, ()))
    });
    hidden.await.unwrap();
    let again = &certificate("a");
    let row = &row(2, again);
    let second = &audit_context();
    let replaced = catalog.transact(second, |mut draft| async move {
        draft.add_certificate(row, again, Quota::Unlimited).await?;
        draft
            .change_domain(bound, &domain("a.example.com", Some(row)))
            .await?;
        Ok::<_, Never>((draft, ()))
    });
    replaced.await.unwrap();
    assert_eq!(catalog.certificate(1).await.unwrap(), None);
    assert!(catalog.material(&old.material).await.unwrap().is_some());
    assert_eq!(delete(catalog, row).await.as_deref(), Some("a.example.com"));
}
