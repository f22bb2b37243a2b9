//! Summaries that another release wrote.

use bytes::Bytes;

use super::*;
use crate::{Write, key, record::DomainSummary};

/// What is stored under these prefixes, by key.
async fn summaries(catalog: &Catalog) -> Vec<(Key, Bytes)> {
    let mut found = Vec::new();
    for prefix in [key::DOMAIN_SUMMARIES, key::CERTIFICATE_SUMMARIES] {
        let entries = catalog.entries(prefix).await.unwrap().into_iter();
        found.extend(entries.map(|entry| (entry.key, entry.value)));
    }
    found
}

/// As another release left them: with its version, and in a form that this release cannot read.
async fn age(catalog: &Catalog, of: &[(Key, Bytes)]) {
    let write = of.iter().map(|(key, value)| Write::Put {
        key: key.clone(),
        value: [&[1, 7, 7], &value[1..]].concat().into(),
        expires: None,
    });
    let (expect, write) = (Vec::new(), write.collect());
    catalog
        .store()
        .commit(Txn::new(expect, write))
        .await
        .unwrap();
}

#[tokio::test]
async fn summaries_of_another_release_are_written_anew() {
    let catalog = &catalog();
    let rows = [upload(catalog, 1, "a").await, upload(catalog, 2, "b").await];
    // More than one page of them.
    for number in 0..1100_usize {
        let bound = rows.get(number % 3);
        add(catalog, &domain(&format!("d{number}.example.com"), bound)).await;
    }
    let before = summaries(catalog).await;
    assert_eq!(catalog.rebuild_summaries().await.unwrap(), 0);
    age(catalog, &before).await;
    // One summary changed since and has this release's form; another has no domain.
    let changed = domain("d1.example.com", None);
    change(catalog, &domain("d1.example.com", Some(&rows[1])), &changed).await;
    let nowhere = Key::account_domain(&account(), &DomainPattern::parse("no.example.com").unwrap());
    age(catalog, &[(nowhere.clone(), Bytes::from_static(&[1, 0]))]).await;

    assert_eq!(catalog.rebuild_summaries().await.unwrap(), 1101);
    let on = |_: &str, summary: &DomainSummary<'_>| summary.served.is_some();
    let named = catalog.domain_names_where(&account(), on).await.unwrap();
    assert_eq!(named.len(), 733);
    let mut after = summaries(catalog).await;
    after.retain(|(key, _)| *key != nowhere);
    let differing: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
    assert_eq!(differing.len(), 1, "the changed one");
    assert_eq!((before.len(), after.len()), (1102, 1102));
    assert_eq!(
        catalog.rebuild_summaries().await.unwrap(),
        0,
        "the orphaned summary cannot be rebuilt"
    );
}
