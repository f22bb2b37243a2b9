//! Old records are removed, even though the clock may be wrong.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::{
    Changes, ChangesError, CommitError, Entry, Lists, LogPage, LogRange, LogRow, Logs, Page,
    SharedStore, Source, Store, sqlite::SqliteStore,
};

/// Runs retention every hour over this many days; returns how many records it removed.
async fn days_of_looks(catalog: &Catalog, from: Timestamp, days: i64) -> usize {
    const KEPT_DAYS: u32 = 400;
    let mut removed = 0;
    for hour in 0..=days * 24 {
        let now = from.plus_ms(hour * HOUR_MS);
        removed += catalog.expire_audit_records(now, KEPT_DAYS).await.unwrap();
    }
    removed
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_makes_nothing_old() {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let day = |day: i64| NOW.plus_ms(day * DAY_MS);
    let (busy, idle) = (account(1), account(2));
    // The days that the clock jumps: less than the retention, or more.
    for ahead in [390, 10_000] {
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            let store = SqliteStore::open(directory.path().join("store.db")).unwrap();
            Catalog::new(Arc::new(store), keyring.clone())
        };
        let catalog = open();
        let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
        record(&catalog, &idle, "0", day(0)).await;
        for at in [0, 200, 300] {
            record(&catalog, &busy, &at.to_string(), day(at)).await;
            catch_up(&mut chainer).await;
        }
        assert_eq!(days_of_looks(&catalog, day(300), 1).await, 0);
        // Changes are made and linked while the clock is wrong, and the server restarts.
        record(&catalog, &busy, "wrong", day(301 + ahead)).await;
        catch_up(&mut chainer).await;
        assert_eq!(
            catalog
                .expire_audit_records(day(301 + ahead), 400)
                .await
                .unwrap(),
            0
        );
        drop((catalog, chainer));
        let catalog = open();
        let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
        record(&catalog, &idle, "wrong", day(301 + ahead).plus_ms(HOUR_MS)).await;
        catch_up(&mut chainer).await;
        let at = day(301 + ahead).plus_ms(HOUR_MS);
        assert_eq!(
            catalog.expire_audit_records(at, 400).await.unwrap(),
            0,
            "{ahead}"
        );
        // The clock stays correct for long; then records expire, those of the idle account too.
        assert_eq!(days_of_looks(&catalog, day(301), 30).await, 0, "{ahead}");
        assert_eq!(
            days_of_looks(&catalog, day(440), 0).await,
            0,
            "{ahead}: down"
        );
        assert_eq!(days_of_looks(&catalog, day(440), 1).await, 2, "{ahead}");
        for (account, left) in [(&busy, 3), (&idle, 1)] {
            let report = verify(&catalog, account, day(441)).await;
            assert_eq!(report.records, left, "{ahead}");
            assert!(report.is_sound(), "{ahead}: {:?}", report.problems);
        }
        // A jump that lasts.
        record(&catalog, &busy, "later", day(3000)).await;
        catch_up(&mut chainer).await;
        let old = if ahead == 390 { 4 } else { 2 };
        assert_eq!(days_of_looks(&catalog, day(3000), 1).await, old, "{ahead}");
    }
}

/// A store that remembers where pages of audit records begin.
struct Listings {
    store: MemoryStore,
    after: Mutex<Vec<String>>,
}

#[async_trait]
impl Source for Listings {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        self.store.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        self.store.get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        self.store.list(prefix, after, limit).await
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        self.store.changes(after, prefixes, limit).await
    }
}

impl Lists for Listings {}

#[async_trait]
impl Logs for Listings {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        self.after.lock().unwrap().push(range.after.to_owned());
        self.store.read_log(range, limit).await
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        self.store.get_log_rows(log, scope, names).await
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        self.store.audit_since(after, limit).await
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        self.store.log_scopes(log, after, limit).await
    }
}

#[async_trait]
impl Store for Listings {
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        self.store.commit(txn).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        self.store.sweep(now).await
    }
}

#[tokio::test]
async fn a_removal_looks_at_no_record_twice() {
    let store = Arc::new(Listings {
        store: MemoryStore::new(),
        after: Mutex::default(),
    });
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let catalog = Catalog::new(Arc::clone(&store) as SharedStore, keyring);
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    for n in 0..1850 {
        record(&catalog, &account(1), &n.to_string(), NOW.plus_ms(n)).await;
    }
    catch_up(&mut chainer).await;
    let key = catalog.chain_key().await.unwrap().unwrap();
    store.after.lock().unwrap().clear();
    let account = account(1);
    let removed = catalog
        .expire_account_audit(&account, NOW.plus_ms(1800), &key)
        .await;
    assert_eq!(removed.unwrap(), 1800);
    // Each page begins where the last one ended, so that removed records are not scanned again.
    let after = store.after.lock().unwrap().clone();
    let ends = [500, 1000, 1500, 1800].map(|n| row_name(NOW.plus_ms(n - 1), &(n - 1).to_string()));
    let expected: Vec<String> = std::iter::once(String::new()).chain(ends).collect();
    assert_eq!(after, expected);
}
