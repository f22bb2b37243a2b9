//! Deployments: newest first, in pages of bounded size.

use super::*;
use crate::{
    Listing,
    record::{DeployedDomain, DeploymentRecord},
};

fn deployment(id: i64, failure: Option<&str>) -> DeploymentRecord {
    DeploymentRecord {
        id,
        name: format!("job-{id}"),
        certificates: vec![1],
        domains: vec![DeployedDomain {
            id: 1,
            name: DomainPattern::parse("a.example.com").unwrap(),
            certificate: 1,
            before: None,
            failure: failure.map(str::to_owned),
        }],
        created: NOW,
        changed: NOW,
        created_by: String::new(),
    }
}

async fn deploy(catalog: &Catalog, deployment: &DeploymentRecord) {
    let audit = &audit_context();
    let added = catalog.transact(audit, |mut draft| async move {
        draft.put_deployment(&account(), deployment)?;
        Ok::<_, Never>((draft, ()))
    });
    added.await.unwrap();
}

#[tokio::test]
async fn a_page_of_deployments_is_all_that_is_read() {
    let catalog = &catalog();
    for id in 1..=25 {
        let failure = (id % 5 == 0).then_some("no");
        deploy(catalog, &deployment(id, failure)).await;
    }
    let numbers = |listing: Listing<DeploymentRecord>| {
        let ids: Vec<i64> = listing.items.iter().map(|one| one.id).collect();
        (listing.total, ids)
    };
    for (page, all, failed) in [
        (
            1,
            (16..=25).rev().collect::<Vec<i64>>(),
            vec![25, 20, 15, 10, 5],
        ),
        (2, (6..=15).rev().collect(), vec![]),
        (3, (1..=5).rev().collect(), vec![]),
        (4, vec![], vec![]),
        (usize::MAX, vec![], vec![]),
    ] {
        let span = Pagination::of_page(page, 10);
        let found = catalog.deployments(&account(), span).await.unwrap();
        assert_eq!(numbers(found), (25, all), "page {page}");
        let has_failed = |one: &DeploymentRecord| one.domains[0].failure.is_some();
        let found = catalog
            .deployments_where(&account(), has_failed, span)
            .await;
        assert_eq!(numbers(found.unwrap()), (5, failed), "page {page}");
    }
    let second = Pagination::of_page(2, 2);
    let odd = |one: &DeploymentRecord| one.id % 2 == 1;
    let found = catalog.deployments_where(&account(), odd, second).await;
    assert_eq!(numbers(found.unwrap()), (13, vec![21, 19]));

    // Other pages are not read.
    let write = vec![crate::Write::Put {
        key: Key::deployment(&account(), 0),
        value: bytes::Bytes::from_static(b"?"),
        expires: None,
    }];
    let expect = Vec::new();
    catalog
        .store()
        .commit(Txn::new(expect, write))
        .await
        .unwrap();
    for (page, reads) in [(1, true), (2, true), (3, false)] {
        let found = catalog
            .deployments(&account(), Pagination::of_page(page, 10))
            .await;
        assert_eq!(found.is_ok(), reads, "page {page}");
        assert!(found.is_err() || found.unwrap().total == 26, "page {page}");
    }
}

#[tokio::test]
async fn long_reasons_are_cut() {
    let catalog = &catalog();
    let whole = "\u{e4}".repeat(500);
    for (id, failure, kept) in [
        (1, whole.clone(), whole.clone()),
        (2, format!("{whole}."), format!("{whole}...")),
        (3, "x".repeat(100_000), format!("{}...", "x".repeat(500))),
    ] {
        deploy(catalog, &deployment(id, Some(&failure))).await;
        let stored = catalog.deployment(&account(), id).await.unwrap().unwrap();
        assert_eq!(stored.domains[0].failure.as_deref(), Some(kept.as_str()));
    }
}
