//! A store with faults.

use super::*;
use crate::{SharedStore, conformance::Faults};

/// Each record is linked once, although commits of links fail, or seem to have failed.
#[tokio::test(start_paused = true)]
async fn every_record_is_linked_once() {
    for seed in 0..6 {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let plain = Catalog::new(store.clone(), keyring.clone());
        plain.get_or_create_chain_key().await.unwrap();
        let faulty = Catalog::new(Faults::over(&store, seed), keyring);
        let account = account(1);
        let mut linker = loop {
            if let Ok(linker) = AuditLinker::start(faulty.clone(), || NOW).await {
                break linker;
            }
        };
        for n in 0..30 {
            record(&plain, &account, &n.to_string(), NOW.plus_ms(n)).await;
            if n % 3 == 0 {
                while !matches!(linker.step().await, Ok(false)) {}
            }
        }
        drop(linker);
        let mut last = AuditLinker::start(plain.clone(), || NOW).await.unwrap();
        catch_up(&mut last).await;
        let report = verify(&plain, &account, NOW).await;
        assert!(report.is_sound(), "seed {seed}: {:?}", report.problems);
        assert_eq!((report.records, report.pending), (30, 0), "seed {seed}");
    }
}
