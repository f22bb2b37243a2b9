use std::sync::Arc;

use edgeseal_store::{Keyring, memory::MemoryStore};

use super::*;

const NOON: Timestamp = Timestamp::from_unix_seconds(1_795_521_600); // 2026-11-24T12:00:00Z

fn catalog() -> Catalog {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    Catalog::new(Arc::new(MemoryStore::default()), keyring)
}

async fn writes(catalog: &Catalog) -> u64 {
    let page = catalog.store().list("", None, 1).await.unwrap();
    page.revision.0
}

#[tokio::test]
async fn the_first_use_in_an_hour_is_known_at_once_and_written_once() {
    let catalog = catalog();
    let (uses, writer) = KeyUses::new(catalog.clone());
    let before = writes(&catalog).await;
    for minute in [0, 1, 59] {
        uses.record("a", NOON.plus_ms(minute * 60_000));
    }
    assert_eq!(uses.last_used(&catalog, "a").await.unwrap(), Some(NOON));
    assert_eq!(uses.last_used(&catalog, "b").await.unwrap(), None);
    assert_eq!(
        catalog.access_key_last_used("a").await.unwrap(),
        None,
        "not yet"
    );

    drop(uses);
    writer.await;
    assert_eq!(catalog.access_key_last_used("a").await.unwrap(), Some(NOON));
    assert_eq!(writes(&catalog).await, before + 1);
}

#[tokio::test]
async fn what_another_node_saw_later_counts() {
    let catalog = catalog();
    let (uses, _writer) = KeyUses::new(catalog.clone());
    uses.record("a", NOON);
    let later = NOON.plus_ms(HOUR_MS);
    catalog.record_access_key_use("a", later).await.unwrap();
    assert_eq!(uses.last_used(&catalog, "a").await.unwrap(), Some(later));
}

#[tokio::test]
async fn what_does_not_fit_is_written_at_a_later_use() {
    let catalog = catalog();
    let (uses, writer) = KeyUses::new(catalog.clone());
    for number in 0..=QUEUE_MAX {
        uses.record(&number.to_string(), NOON);
    }
    let last = QUEUE_MAX.to_string();
    assert_eq!(uses.last_used(&catalog, &last).await.unwrap(), None);
    let writer = tokio::spawn(writer);
    while uses.last_used(&catalog, &last).await.unwrap().is_none() {
        uses.record(&last, NOON);
        tokio::task::yield_now().await;
    }
    drop(uses);
    writer.await.unwrap();
    assert_eq!(
        catalog.access_key_last_used(&last).await.unwrap(),
        Some(NOON)
    );
}
