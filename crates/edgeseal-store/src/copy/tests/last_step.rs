//! The last step of a copy: what is compared in it, and what remains if it fails.

use super::*;

/// Waits in an observer, which is no future.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// A change of each kind.
fn late_changes(n: u64) -> crate::Txn {
    let mut txn = writes([put("late/put", &n.to_string()), put("late/gone", "1")]);
    txn.log.push(logged(Log::Audit, "late", n));
    txn.log.push(logged(Log::History, "late.example", 0));
    txn
}

/// What changed while both were compared is compared after the stop.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_during_the_comparison_is_compared_too() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    fill(&store).await;
    let (left, right) = (
        source(&from).await,
        target(&file(home.path(), "target.db")).await,
    );
    let spoil = |sql: &str| {
        let other = rusqlite::Connection::open(home.path().join("target.db")).unwrap();
        assert_eq!(other.execute(sql, []).unwrap(), 1, "{sql}");
    };
    for (n, sql) in [
        "UPDATE entry SET value = x'78' WHERE key = 'late/put'",
        "DELETE FROM entry WHERE key = 'late/put'",
        "INSERT INTO entry (key, value, changed) VALUES ('late/gone', x'78', 1)",
        "UPDATE audit SET value = x'78'
         WHERE revision = (SELECT max(revision) FROM audit WHERE scope = 'late')",
        "DELETE FROM history WHERE scope = 'late.example'",
    ]
    .into_iter()
    .enumerate()
    {
        let is_changed = AtomicBool::new(false);
        let observe = |step| match step {
            CopyStep::Comparing(_) if !is_changed.swap(true, Ordering::Relaxed) => {
                block_on(store.commit(late_changes(n as u64))).unwrap();
                block_on(store.commit(writes([delete("late/gone")]))).unwrap();
            }
            CopyStep::Stopped => spoil(sql),
            _ => {}
        };
        let copied = copy(&*left, &*right, &observe).await;
        assert!(
            matches!(copied, Err(CopyError::Different(_))),
            "{sql}: {copied:?}"
        );
        store.commit(writes([put("a", sql)])).await.unwrap();
    }
    copy(&*left, &*right, &|_| {}).await.unwrap();
    assert!(rows(&*left).await == rows(&*right).await);
}

/// A record that expired and that the source has removed meanwhile is no difference.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_meanwhile_may_remain() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    let expired = Write::Put {
        key: key("nonce/expired"),
        value: Bytes::from_static(b"1"),
        expires: Some(now().plus_ms(-1)),
    };
    store.commit(writes([expired])).await.unwrap();
    let (left, right) = (
        source(&from).await,
        target(&file(home.path(), "target.db")).await,
    );
    let removed = AtomicUsize::new(0);
    let observe = |step| {
        if matches!(step, CopyStep::CatchingUp(_)) {
            let swept = block_on(store.sweep(now())).unwrap();
            removed.fetch_add(swept, Ordering::Relaxed);
        }
    };
    copy(&*left, &*right, &observe).await.unwrap();
    assert_eq!(removed.into_inner(), 1);
    let remain = right.rows_of(Table::Entry, &[key("nonce/expired")]).await;
    assert_eq!(remain.unwrap().len(), 1);
}

/// An operator who lets the source take changes in the last step has it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_reopened_in_the_last_step_stays_the_store() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    for (from, to) in [
        (file(home.path(), "store.db"), database(&server)),
        (database(&server), file(home.path(), "target.db")),
    ] {
        let store = open(&from).await;
        store.commit(writes([put("a", "1")])).await.unwrap();
        let (left, right) = (source(&from).await, target(&to).await);
        let observe = |step| {
            if step == CopyStep::Stopped {
                let refused = block_on(store.commit(writes([put("a", "2")])));
                refused.unwrap_err();
                block_on(reopen(&*left)).unwrap().unwrap();
                block_on(store.commit(writes([put("a", "2")]))).unwrap();
            }
        };
        let copied = copy(&*left, &*right, &observe).await;
        assert!(matches!(copied, Err(CopyError::Store(_))), "{copied:?}");
        assert!(right.marker().await.unwrap().is_some());
        store.commit(writes([put("a", "3")])).await.unwrap();
        copy(&*left, &*right, &|_| {}).await.unwrap();
        assert!(rows(&*left).await == rows(&*right).await);
    }
}

/// Once the source is marked as moved, the error says that the target is to be opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_opened_is_opened_by_the_next_run() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    store.commit(writes([put("a", "1")])).await.unwrap();
    let left = source(&from).await;
    let right = Opened {
        target: target(&file(home.path(), "target.db")).await,
        and_then: AndThen::Fails,
    };
    let copied = copy(&*left, &right, &|_| {}).await.unwrap_err();
    assert!(
        matches!(copied, CopyError::TargetNotOpen { .. }),
        "{copied}"
    );
    assert!(copied.to_string().contains("target.db is not open yet"));
    store.commit(writes([put("a", "2")])).await.unwrap_err();
    copy(&*left, &*right.target, &|_| {}).await.unwrap();
    assert!(rows(&*left).await == rows(&*right.target).await);
    assert_eq!(right.marker().await.unwrap(), None);
    store.commit(writes([put("a", "2")])).await.unwrap_err();
}

/// A fail-over that loses the marker of the source when the target is open already.
#[tokio::test(flavor = "multi_thread")]
async fn two_stores_that_take_changes_are_named() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    store.commit(writes([put("a", "1")])).await.unwrap();
    let left = source(&from).await;
    let right = Opened {
        target: target(&file(home.path(), "target.db")).await,
        and_then: AndThen::Reopens(&*left),
    };
    let copied = copy(&*left, &right, &|_| {}).await.unwrap_err();
    assert!(matches!(copied, CopyError::BothOpen { .. }), "{copied}");
    let said = copied.to_string();
    assert!(said.contains("target.db is open, but sqlite:"), "{said}");
    store.commit(writes([put("a", "2")])).await.unwrap();
    assert_eq!(right.marker().await.unwrap(), None);
}

/// What happens when a target is to be opened.
enum AndThen<'a> {
    /// It fails, before anything is done.
    Fails,
    /// It is opened, and this source takes changes again.
    Reopens(&'a dyn CopySource),
}

struct Opened<'a> {
    target: Box<dyn CopyTarget>,
    and_then: AndThen<'a>,
}

#[async_trait]
impl CopySide for Opened<'_> {
    fn name(&self) -> &str {
        self.target.name()
    }

    async fn count(&self, table: Table) -> Result<u64, Fault> {
        self.target.count(table).await
    }

    async fn rows(&self, table: Table, after: Option<&Key>) -> Result<Rows, Fault> {
        self.target.rows(table, after).await
    }

    async fn rows_of(&self, table: Table, keys: &[Key]) -> Result<Vec<Row>, Fault> {
        self.target.rows_of(table, keys).await
    }

    async fn marker(&self) -> Result<Option<CopyMarker>, Fault> {
        self.target.marker().await
    }
}

#[async_trait]
impl CopyTarget for Opened<'_> {
    async fn begin(&self, before: Option<&CopyMarker>, marker: &CopyMarker) -> Result<(), Fault> {
        self.target.begin(before, marker).await
    }

    async fn clear(&self, marker: &CopyMarker) -> Result<(), Fault> {
        self.target.clear(marker).await
    }

    async fn load(&self, table: Table, rows: &[Row], marker: &CopyMarker) -> Result<(), Fault> {
        self.target.load(table, rows, marker).await
    }

    async fn finish(&self, marker: &CopyMarker, above: Revision) -> Result<(), Fault> {
        match self.and_then {
            AndThen::Fails => Err(Fault::new("open the copy: as planned")),
            AndThen::Reopens(source) => {
                self.target.finish(marker, above).await?;
                reopen(source).await.map(drop)
            }
        }
    }
}
