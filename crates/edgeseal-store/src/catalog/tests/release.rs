//! Data that tenants can create repeatedly is removed.

use std::collections::BTreeMap;

use edgeseal_core::{
    certificate::Digest,
    outside::{Observation, Verdict},
};

use super::*;
use crate::{Write, consistency};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

async fn keys(catalog: &Catalog, prefixes: &[&str]) -> Vec<String> {
    let all = catalog.entries("").await.unwrap();
    let keys = all.iter().map(|entry| entry.key.to_string());
    keys.filter(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)))
        .collect()
}

/// Uploads a certificate with these intermediates.
async fn upload_below(catalog: &Catalog, id: i64, issuers: &[&str]) -> CertificateRecord {
    let mut certificate = certificate(&format!("leaf-{id}"));
    certificate.intermediates = issuers.iter().map(|it| it.as_bytes().to_vec()).collect();
    let row = row(id, &certificate);
    let (certificate, written) = (&certificate, &row);
    let audit = &audit_context();
    let added = catalog.transact(audit, |mut draft| async move {
        draft
            .add_certificate(written, certificate, Quota::Unlimited)
            .await?;
        Ok::<_, Never>((draft, ()))
    });
    added.await.unwrap();
    row
}

fn issuer(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

#[tokio::test]
async fn an_intermediate_goes_with_the_last_certificate_below_it() {
    let catalog = &catalog();
    let has = async |content: &str| catalog.issuer(&issuer(content)).await.unwrap().is_some();
    let one = upload_below(catalog, 1, &["shared", "own"]).await;
    let two = upload_below(catalog, 2, &["shared"]).await;
    assert!(has("shared").await && has("own").await);
    delete(catalog, &one).await;
    assert!(has("shared").await && !has("own").await);
    let found = consistency::check(&**catalog.store()).await.unwrap();
    let findings: Vec<_> = found
        .findings
        .iter()
        .filter(|it| it.key.as_str().starts_with("issuer"))
        .collect();
    assert_eq!(findings, Vec::<&consistency::Finding>::new());
    // The intermediate is added again, and removed again.
    let again = upload_below(catalog, 3, &["own"]).await;
    assert!(has("own").await);
    for row in [&two, &again] {
        delete(catalog, row).await;
    }
    assert_eq!(
        keys(catalog, &["issuer", "material", "content"]).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_use_that_is_not_recorded_is_found() {
    let catalog = &catalog();
    let row = upload_below(catalog, 1, &[]).await;
    let bound = domain("leaf-1.example.com", Some(&row));
    add(catalog, &bound).await;
    let used = Key::certificate_use(1, &bound.name);
    let txn = Txn::new(Vec::new(), vec![Write::Delete(used.clone())]);
    catalog.store().commit(txn).await.unwrap();
    let found = consistency::check(&**catalog.store()).await.unwrap();
    let missing = format!("{used} is missing");
    assert!(
        found.findings.iter().any(|it| it.what == missing),
        "{found:?}"
    );
}

/// Concurrent uploads and deletions below one intermediate: it exists for every certificate that
/// needs it.
#[tokio::test(flavor = "multi_thread")]
async fn releasing_an_intermediate_never_races_an_upload() {
    let catalog = catalog();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_i64 {
        let catalog = catalog.clone();
        tasks.spawn(async move {
            for round in 0..20 {
                let row = upload_below(&catalog, 1 + task * 1000 + round, &["i"]).await;
                let material = catalog.material(&row.material).await.unwrap();
                assert!(material.is_some());
                let there = catalog.issuer(&issuer("i")).await.unwrap();
                assert!(there.is_some(), "{task} {round}");
                delete(&catalog, &row).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(
        keys(&catalog, &["material", "content"]).await,
        Vec::<String>::new()
    );
    // If two concurrent deletions left it behind, the next one removes it.
    let row = upload_below(&catalog, 1_000_000, &["i"]).await;
    delete(&catalog, &row).await;
    assert_eq!(keys(&catalog, &["issuer"]).await, Vec::<String>::new());
}

#[tokio::test]
async fn records_of_deleted_domains_expire() {
    let catalog = &catalog();
    for n in 0..10 {
        let domain = &domain(&format!("a.{n}.example.com"), None);
        add(catalog, domain).await;
        let found = Observation::new(domain.id, NOW, NOW, Verdict::NoAddress, "nothing");
        let found = BTreeMap::from([(domain.name.clone(), found)]);
        catalog.write_observations(&found).await.unwrap();
        let audit = &audit_context();
        let deleted = catalog.transact(audit, |mut draft| async move {
            draft.delete_domain(domain).await?;
            Ok::<_, Never>((draft, ()))
        });
        deleted.await.unwrap();
    }
    let left = async |days: i64| {
        while catalog.sweep(NOW.plus_ms(days * DAY_MS)).await.unwrap() > 0 {}
        let families = keys(catalog, &["family/"]).await.len();
        (families, keys(catalog, &["deleteddomain/"]).await.len())
    };
    assert_eq!(keys(catalog, &["observed/"]).await, Vec::<String>::new());
    assert_eq!(left(0).await, (10, 10));
    assert_eq!(left(1).await, (0, 10));
    assert_eq!(left(91).await, (0, 0));
}
