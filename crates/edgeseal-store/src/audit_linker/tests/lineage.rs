//! The database goes back to an earlier moment: a backup is put back, or a fail-over loses commits.

use std::{sync::Mutex, time::SystemTime};

use edgeseal_testing::{postgres::PostgresServer, random::SplitMix, wait::eventually};
use tokio::sync::oneshot;

use super::*;
use crate::{
    SharedStore,
    memory::Backup,
    observed_store::{Observe, ObservedStore, Operation},
    postgres::PostgresStore,
};

/// A store that goes back to what it was at one operation when another one begins.
struct GoesBack {
    store: Arc<MemoryStore>,
    state: Mutex<Travel>,
}

struct Travel {
    operations: usize,
    back_up_at: usize,
    put_back_at: usize,
    backup: Option<Backup>,
}

impl Observe for GoesBack {
    fn before(&self, _: Operation<'_>) -> Result<(), Fault> {
        let mut state = self.state.lock().unwrap();
        state.operations += 1;
        if state.operations == state.back_up_at {
            state.backup = Some(self.store.backup());
        }
        if state.operations == state.put_back_at
            && let Some(backup) = state.backup.take()
        {
            self.store.put_back(backup);
        }
        Ok(())
    }
}

/// Whenever it goes back, at any step of the linker, the same linker links all that is left, and nothing
/// that is gone.
#[tokio::test]
async fn a_store_that_went_back_is_linked_from_where_it_is() {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    for seed in 0..400 {
        let mut random = SplitMix(seed);
        let store = Arc::new(MemoryStore::new());
        let plain = Catalog::new(Arc::clone(&store) as SharedStore, keyring.clone());
        let back_up_at = random.below(60) + 1;
        let travel = Travel {
            operations: 0,
            back_up_at,
            put_back_at: back_up_at + random.below(30) + 1,
            backup: None,
        };
        let observed = GoesBack {
            store: Arc::clone(&store),
            state: Mutex::new(travel),
        };
        plain.get_or_create_chain_key().await.unwrap();
        let observed = ObservedStore::over(store, observed);
        let catalog = Catalog::new(Arc::clone(&observed) as SharedStore, keyring.clone());
        let mut linker = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
        let accounts = [account(1), account(2)];
        let mut n = 0;
        while observed.state.lock().unwrap().operations < 120 {
            match random.below(3) {
                0 => {
                    let account = &accounts[random.below(2)];
                    record(&catalog, account, &n.to_string(), NOW.plus_ms(n)).await;
                    n += 1;
                }
                _ => drop(linker.step().await.unwrap()),
            }
        }
        catch_up(&mut linker).await;
        for account in &accounts {
            let report = verify(&plain, account, NOW.plus_ms(n)).await;
            assert!(report.is_sound(), "seed {seed}: {:?}", report.problems);
            assert_eq!(report.pending, 0, "seed {seed}");
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_backup_was_put_back_is_linked() {
    let server = PostgresServer::start();
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let account = account(1);
    let open = async || {
        let url = server.url("lineage").parse().unwrap();
        let store = PostgresStore::open(url, now).await.unwrap();
        Catalog::new(Arc::new(store) as SharedStore, keyring.clone())
    };
    // A record that is in the backup, and its link is not.
    let before = open().await;
    let mut linker = AuditLinker::start(before.clone(), now).await.unwrap();
    record(&before, &account, "linked", now()).await;
    catch_up(&mut linker).await;
    record(&before, &account, "not linked yet", now()).await;
    drop((before, linker));
    server.kill();
    server.back_up();
    server.start_again();

    let catalog = open().await;
    let linker = AuditLinker::start(catalog.clone(), now).await.unwrap();
    let (_keeper, is_keeper) = watch::channel(true);
    let (stop, stopped) = oneshot::channel::<()>();
    let linking = tokio::spawn(linker.run(is_keeper, async {
        let _ = stopped.await;
    }));
    let linked = async |records: u64| {
        eventually("everything is linked", async || {
            let report = verify(&catalog, &account, now()).await;
            // It is no snapshot, in which a link could be half seen.
            let found = (report.records, report.pending, report.is_sound());
            (found == (records, 0, true)).then_some(())
        })
        .await;
    };
    linked(2).await;
    record(&catalog, &account, "lost", now()).await;
    linked(3).await;
    server.kill();
    server.put_back();
    server.start_again();
    // Nothing is written meanwhile but what it links.
    linked(2).await;
    record(&catalog, &account, "after", now()).await;
    linked(3).await;
    stop.send(()).unwrap();
    linking.await.unwrap();
}
