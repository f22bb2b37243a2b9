use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use edgeseal_testing::postgres::PostgresServer;
use tokio::sync::watch;

use super::*;
use crate::{
    ChangesError, CommitError, Log, LogWrite, SharedStore, Write,
    conformance::{delete, key, put, writes},
    open::{self, OpenError, StoreUrl},
    postgres::PostgresCopy,
    sqlite::{SqliteSource, SqliteStore, SqliteTarget, StoreBackup},
};

mod beside;
mod last_step;

fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

/// A schema that no other test uses.
fn database(server: &PostgresServer) -> StoreUrl {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let schema = format!("copy{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.url(&schema).parse().unwrap()
}

fn file(directory: &Path, name: &str) -> StoreUrl {
    StoreUrl::Sqlite(directory.join(name))
}

async fn source(url: &StoreUrl) -> Box<dyn CopySource> {
    match url.clone() {
        StoreUrl::Sqlite(path) => Box::new(SqliteSource::open(&path).unwrap()),
        StoreUrl::Postgres(url) => Box::new(PostgresCopy::source(*url).await.unwrap()),
        StoreUrl::Memory => unreachable!(),
    }
}

async fn target(url: &StoreUrl) -> Box<dyn CopyTarget> {
    match url.clone() {
        StoreUrl::Sqlite(path) => Box::new(SqliteTarget::open(&path).unwrap()),
        StoreUrl::Postgres(url) => Box::new(PostgresCopy::target(*url).await.unwrap()),
        StoreUrl::Memory => unreachable!(),
    }
}

async fn open(url: &StoreUrl) -> SharedStore {
    open::open(url, now).await.unwrap()
}

async fn copy(
    from: &dyn CopySource,
    to: &dyn CopyTarget,
    observe: &(dyn Fn(CopyStep) + Sync),
) -> Result<Copied, CopyError> {
    let copier = Copier {
        source: from,
        target: to,
        observe,
        clock: now,
        interrupted: watch::channel(false).1,
    };
    copier.run().await
}

/// All rows of a side.
async fn rows(side: &(impl CopySide + ?Sized)) -> Vec<(Table, Row)> {
    let mut all = Vec::new();
    for table in Table::ALL {
        let mut after = None;
        loop {
            let page = side.rows(table, after.as_ref()).await.unwrap().rows;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            all.extend(page.into_iter().map(|row| (table, row)));
        }
    }
    all
}

/// A row of a log.
fn logged(log: Log, scope: &str, n: u64) -> LogWrite {
    LogWrite::Append {
        log,
        scope: scope.to_owned(),
        name: format!("{n:015}-x"),
        value: Bytes::from(format!("{n}")),
    }
}

/// More than fits into a page, of several kinds.
async fn fill(store: &SharedStore) {
    for n in 0..7 {
        let some: Vec<Write> = (0..900)
            .map(|m| match m % 3 {
                0 => put(&format!("account/{m}/{n}"), &format!("{n}-{m}")),
                1 => put(&format!("z/{m}/{n}"), ""),
                _ => Write::Put {
                    key: key(&format!("nonce/{m}/{n}")),
                    value: Bytes::from_static(b"\x00\xff\x80"),
                    expires: Some(now().plus_ms(1_000_000)),
                },
            })
            .collect();
        let mut txn = writes(some);
        for m in 0..400 {
            txn.log.push(logged(
                Log::Audit,
                &format!("account{}", m % 7),
                n * 400 + m,
            ));
            txn.log
                .push(logged(Log::History, &format!("d{m}.example"), n));
        }
        store.commit(txn).await.unwrap();
    }
    store.commit(writes([delete("account/0/0")])).await.unwrap();
}

/// Changes a store until it is told to stop, or the store takes no more; returns why.
async fn change(store: SharedStore, stop: Arc<AtomicBool>) -> Option<String> {
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let some = [
            put(&format!("account/{}/0", n % 500), &n.to_string()),
            put(&format!("new/{n}"), "1"),
            delete(&format!("z/{}/3", n % 900)),
        ];
        let mut txn = writes(some);
        txn.log.push(logged(Log::Audit, "account0", 1_000_000 + n));
        // The oldest one of the domain goes.
        txn.log
            .push(logged(Log::History, "d0.example", 1_000_000 + n));
        txn.log.push(LogWrite::Remove {
            log: Log::Audit,
            scope: "account0".to_owned(),
            name: format!("{:015}-x", n * 7),
        });
        match store.commit(txn).await {
            Ok(_) => {}
            Err(CommitError::Fault(fault)) => return Some(fault.read_only()?.to_string()),
            Err(conflict) => panic!("{conflict}"),
        }
    }
    None
}

/// Moves a store that changes all the time: both sides are equal, and only the target takes changes.
async fn moves(from: &StoreUrl, to: &StoreUrl) {
    let store = open(from).await;
    fill(&store).await;
    let writer = tokio::spawn(change(Arc::clone(&store), Arc::default()));
    let (left, right) = (source(from).await, target(to).await);
    let copied = copy(&*left, &*right, &|_| {}).await.unwrap();
    let said = writer.await.unwrap().expect("the source refuses changes");
    assert!(said.contains(&to.name()), "{said}");
    let (wanted, found) = (rows(&*left).await, rows(&*right).await);
    assert!(wanted == found, "{} and {} rows", wanted.len(), found.len());
    assert_eq!(copied.records, found.len() as u64);
    assert_eq!(right.marker().await.unwrap(), None);
    drop(right);

    // Reads of the source go on; its followers list everything again at the target.
    let before = store.list("", None, 1).await.unwrap().revision;
    let new = open(to).await;
    let after = new.list("", None, 1).await.unwrap().revision;
    assert!(after > before && after > copied.revision);
    for cursor in [before, copied.revision, Revision(0), wanted[0].1.changed] {
        let changes = new.changes(cursor, &[""], 1).await;
        let is_refused = matches!(changes, Err(ChangesError::Compacted { .. }));
        assert!(is_refused, "{cursor:?}: {changes:?}");
    }
    let next = new.commit(writes([put("new/first", "1")])).await.unwrap();
    assert!(next > after);
    let changes = new.changes(after, &["new/"], 1).await.unwrap();
    assert_eq!(changes.items.len(), 1);
    // What the listings of accounts use.
    let accounts = new.list("account/", None, 1).await.unwrap();
    assert_eq!(accounts.entries[0].key, wanted[0].1.key);

    // The source can be taken back.
    let refused = store.commit(writes([put("a", "1")])).await.unwrap_err();
    assert!(matches!(refused, CommitError::Fault(fault) if fault.read_only().is_some()));
    let marker = reopen(&*left).await.unwrap();
    assert!(matches!(marker, Some(CopyMarker::Moved { .. })));
    store.commit(writes([put("a", "1")])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_changes_moves_between_engines_and_back() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    let first = file(home.path(), "first.db");
    let (second, third) = (database(&server), database(&server));
    let fourth = file(home.path(), "fourth.db");
    moves(&first, &second).await;
    moves(&second, &third).await;
    moves(&third, &fourth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_goes_on() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    fill(&store).await;
    let left: Arc<dyn CopySource> = source(&from).await.into();
    let mut lasted = 0;
    for to in [database(&server), file(home.path(), "target.db")] {
        let right: Arc<dyn CopyTarget> = target(&to).await.into();
        // Each run gets one step further than the one before.
        for steps in 1.. {
            let name = format!("late/{steps}");
            let late = store
                .commit(writes([put(&name, "1"), delete("z/1/1")]))
                .await;
            let is_stopped = left.marker().await.unwrap().is_some();
            assert_eq!(late.is_err(), is_stopped);
            let (left, right) = (Arc::clone(&left), Arc::clone(&right));
            let count = AtomicUsize::new(0);
            let run = tokio::spawn(async move {
                copy(&*left, &*right, &|_| {
                    if count.fetch_add(1, Ordering::Relaxed) == steps {
                        // As a kill does: nothing is tidied up.
                        std::panic::resume_unwind(Box::new(()));
                    }
                })
                .await
            });
            match run.await {
                Ok(copied) => {
                    copied.unwrap();
                    break;
                }
                Err(_) => lasted += 1,
            }
            if let StoreUrl::Postgres(_) = to {
                let opened = open::open(&to, now).await.map(drop);
                let is_refused = matches!(&opened, Err(OpenError::UnfinishedCopy { .. }));
                assert!(is_refused, "{opened:?}");
            }
        }
        assert!(rows(&*left).await == rows(&*right).await);
        // A run after the last one finds everything done.
        copy(&*left, &*right, &|_| {}).await.unwrap();
        reopen(&*left).await.unwrap();
    }
    assert!(lasted > 8, "{lasted}");
}

fn unfinished_copy() -> CopyMarker {
    CopyMarker::Unfinished {
        copy: CopyId::random(),
        run: CopyId::random(),
        from: "sqlite:/elsewhere".to_owned(),
        progress: CopyProgress::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_stores_are_refused() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    fill(&store).await;
    let left = source(&from).await;
    let empty = database(&server);
    let nowhere = PostgresCopy::source(match empty.clone() {
        StoreUrl::Postgres(url) => *url,
        _ => unreachable!(),
    });
    let missing = nowhere.await.map(drop).unwrap_err();
    assert_eq!(
        missing.cause.unwrap().to_string(),
        "there is no store in it"
    );

    let used = database(&server);
    let other = open(&used).await;
    other.commit(writes([put("a", "1")])).await.unwrap();
    let refused = copy(&*left, &*target(&used).await, &|_| {}).await;
    assert!(
        matches!(refused, Err(CopyError::NotEmpty(_))),
        "{refused:?}"
    );
    // With the version of the data.
    assert_eq!(other.list("", None, 9).await.unwrap().entries.len(), 2);
    // Of which only the logs have a row.
    let logs = file(home.path(), "logs.db");
    let other = open(&logs).await;
    let mut txn = crate::Txn::default();
    txn.log.push(logged(Log::History, "d.example", 1));
    other.commit(txn).await.unwrap();
    drop(other);
    let refused = copy(&*left, &*target(&logs).await, &|_| {}).await;
    assert!(
        matches!(refused, Err(CopyError::NotEmpty(_))),
        "{refused:?}"
    );

    // A process that had the target open before the copy began writes nothing there.
    let late = open(&empty).await;
    let unfinished = unfinished_copy();
    let right = target(&empty).await;
    right.begin(None, &unfinished).await.unwrap();
    let refused = late.commit(writes([put("a", "1")])).await.unwrap_err();
    assert!(matches!(refused, CommitError::Fault(fault) if fault.read_only().is_some()));
    let refused = copy(&*left, &*right, &|_| {}).await;
    assert!(
        matches!(refused, Err(CopyError::OtherCopy { .. })),
        "{refused:?}"
    );

    let again = database(&server);
    copy(&*left, &*target(&again).await, &|_| {}).await.unwrap();
    let refused = copy(&*left, &*target(&database(&server)).await, &|_| {}).await;
    assert!(
        matches!(refused, Err(CopyError::SourceReadOnly { .. })),
        "{refused:?}"
    );
}

/// A copy that is interrupted lets the source take changes, even if an earlier run had stopped it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_leaves_the_source_open() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    fill(&store).await;
    let left: Arc<dyn CopySource> = source(&from).await.into();
    let right: Arc<dyn CopyTarget> = target(&file(home.path(), "target.db")).await.into();
    let (one, two) = (Arc::clone(&left), Arc::clone(&right));
    let killed = tokio::spawn(async move {
        let observe = |step| {
            if step == CopyStep::Stopped {
                std::panic::resume_unwind(Box::new(()));
            }
        };
        copy(&*one, &*two, &observe).await
    });
    assert!(killed.await.is_err());
    store.commit(writes([put("a", "1")])).await.unwrap_err();
    let copier = Copier {
        source: &*left,
        target: &*right,
        observe: &|_| {},
        clock: now,
        interrupted: watch::channel(true).1,
    };
    let interrupted = copier.run().await;
    assert!(matches!(interrupted, Err(CopyError::Interrupted)));
    store.commit(writes([put("a", "1")])).await.unwrap();
    copy(&*left, &*right, &|_| {}).await.unwrap();
    assert!(rows(&*left).await == rows(&*right).await);
}

/// The copy begins again if the change log of the source is too short.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_log_restarts_the_copy() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    let path = home.path().join("store.db");
    let store: SharedStore = Arc::new(SqliteStore::with_tombstone_limit(&path, 4).unwrap());
    fill(&store).await;
    let left: Arc<dyn CopySource> = Arc::new(SqliteSource::open(&path).unwrap());
    let right: Arc<dyn CopyTarget> = target(&database(&server)).await.into();
    let (one, two) = (Arc::clone(&left), Arc::clone(&right));
    let killed = tokio::spawn(async move {
        copy(&*one, &*two, &|_| std::panic::resume_unwind(Box::new(()))).await
    });
    assert!(killed.await.is_err());
    let gone: Vec<Write> = (0..300)
        .map(|n| delete(&format!("z/{}/1", n * 3 + 1)))
        .collect();
    for gone in gone.chunks(10) {
        store.commit(writes(gone)).await.unwrap();
    }
    store.sweep(now()).await.unwrap();
    let steps = Mutex::new(Vec::new());
    let observe = |step| steps.lock().unwrap().push(step);
    copy(&*left, &*right, &observe).await.unwrap();
    assert!(steps.lock().unwrap().contains(&CopyStep::Restarted));
    assert!(rows(&*left).await == rows(&*right).await);
}

/// A record that differs is found, and the source takes changes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    fill(&store).await;
    let (left, right) = (
        source(&from).await,
        target(&file(home.path(), "target.db")).await,
    );
    let spoil = |sql: &str| {
        let path = home.path().join("target.db");
        let other = rusqlite::Connection::open(path).unwrap();
        other
            .busy_timeout(std::time::Duration::from_secs(30))
            .unwrap();
        assert_eq!(other.execute(sql, []).unwrap(), 1, "{sql}");
    };
    for sql in [
        "UPDATE entry SET value = x'78' WHERE key = 'z/1/1'",
        "UPDATE entry SET expires = 1 WHERE key = 'nonce/2/2'",
        "DELETE FROM entry WHERE key = 'account/3/3'",
        "INSERT INTO entry (key, value, changed) VALUES ('zz', x'78', 1)",
        "INSERT INTO entry (key, value, changed, expires)
         VALUES ('zz', x'78', 1, 9000000000000)",
        "UPDATE audit SET value = x'78' WHERE revision = (SELECT min(revision) FROM audit)",
        "DELETE FROM history WHERE scope = 'd1.example' AND name LIKE '%03-x'",
    ] {
        let spoiled = AtomicBool::new(false);
        let observe = |step| {
            let is_listed = matches!(step, CopyStep::CatchingUp(_));
            if is_listed && !spoiled.swap(true, Ordering::Relaxed) {
                spoil(sql);
            }
        };
        let copied = copy(&*left, &*right, &observe).await;
        assert!(
            matches!(copied, Err(CopyError::Different(_))),
            "{sql}: {copied:?}"
        );
        store.commit(writes([put("a", sql)])).await.unwrap();
    }
    // The next run copies everything again.
    copy(&*left, &*right, &|_| {}).await.unwrap();
    assert!(rows(&*left).await == rows(&*right).await);
}
