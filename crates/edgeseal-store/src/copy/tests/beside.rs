//! What runs beside a copy, or after it was killed.

use super::*;

/// Two runs of one copy, as after a kill that the first one survived.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_run_writes() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    for to in [database(&server), file(home.path(), "target.db")] {
        let right = target(&to).await;
        let run = |progress| CopyMarker::Unfinished {
            copy: CopyId::random(),
            run: CopyId::random(),
            from: "somewhere".to_owned(),
            progress,
        };
        let (one, two) = (run(CopyProgress::default()), run(CopyProgress::default()));
        right.begin(None, &one).await.unwrap();
        right.load(Table::Entry, &[], &one).await.unwrap();
        assert!(right.begin(None, &two).await.is_err());
        right.begin(Some(&one), &two).await.unwrap();
        assert!(right.load(Table::Entry, &[], &one).await.is_err());
        assert!(right.clear(&one).await.is_err());
        assert!(right.finish(&one, Revision(7)).await.is_err());
        right.clear(&two).await.unwrap();
        right.finish(&two, Revision(7)).await.unwrap();
        assert!(right.load(Table::Entry, &[], &two).await.is_err());
    }
}

/// A step that a broken connection has left behind is not done after later ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_step_writes_nothing() {
    let server = PostgresServer::shared();
    let to = database(&server);
    let (right, late) = (target(&to).await, target(&to).await);
    let unfinished = unfinished_copy();
    right.begin(None, &unfinished).await.unwrap();
    let row = |value: &'static str| Row {
        key: key("a"),
        value: Some(Bytes::from_static(value.as_bytes())),
        changed: Revision(1),
        expires: None,
    };
    for value in ["1", "2"] {
        let loaded = right.load(Table::Entry, &[row(value)], &unfinished).await;
        loaded.unwrap();
    }
    // Its first step.
    let refused = late.load(Table::Entry, &[row("1")], &unfinished).await;
    refused.unwrap_err();
    late.clear(&unfinished).await.unwrap_err();
    assert_eq!(rows(&*right).await, [(Table::Entry, row("2"))]);
    right.clear(&unfinished).await.unwrap();
    assert!(rows(&*right).await.is_empty());
    right.finish(&unfinished, Revision(7)).await.unwrap();
}

/// A backup of an unfinished copy would be a store that servers start on.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_copy_is_not_backed_up() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    let (path, backup) = (home.path().join("target.db"), home.path().join("backup.db"));
    let unfinished = unfinished_copy();
    let right = target(&StoreUrl::Sqlite(path.clone())).await;
    right.begin(None, &unfinished).await.unwrap();
    drop(right);
    let opened = open::open(&StoreUrl::Sqlite(path.clone()), now).await;
    let refused = opened.map(drop).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("unfinished copy of sqlite:/elsewhere"),
        "{refused}"
    );
    let refused = StoreBackup::create(&path, &backup);
    assert!(
        matches!(refused, Err(OpenError::UnfinishedCopy { .. })),
        "{refused:?}"
    );
    let StoreUrl::Postgres(url) = database(&server) else {
        unreachable!()
    };
    let right = PostgresCopy::target((*url).clone()).await.unwrap();
    right.begin(None, &unfinished).await.unwrap();
    let snapshot = PostgresCopy::snapshot(*url).await.unwrap();
    let refused = StoreBackup::of_database(&snapshot, &backup, &|_| {}).await;
    let Err(OpenError::Database { fault, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(fault.read_only().is_some(), "{fault:?}");
}

/// A follower of a source that another process has stopped sees that commit, and then waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_stopped_source_waits() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    let head = store.commit(writes([put("a", "1")])).await.unwrap();
    let left = source(&from).await;
    let moving = CopyMarker::Moving {
        copy: CopyId::random(),
        to: "elsewhere".to_owned(),
        at: now(),
    };
    let stopped = left.set_marker(None, Some(&moving)).await.unwrap();
    store.commit(writes([put("a", "2")])).await.unwrap_err();
    let changes = store.changes(head, &["a"], 9).await.unwrap();
    assert_eq!(changes.through, stopped);
    // Not again at once.
    let next = tokio::select! {
        biased;
        next = store.changes(stopped, &["a"], 9) => Some(next),
        () = std::future::ready(()) => None,
    };
    assert!(next.is_none(), "{next:?}");
}

/// A source that loses its marker before the target is open takes changes, and the target none.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_lost_its_marker_does_not_open_the_target() {
    let home = tempfile::tempdir().unwrap();
    let from = file(home.path(), "store.db");
    let store = open(&from).await;
    store.commit(writes([put("a", "1")])).await.unwrap();
    let (left, right) = (
        Forgetful(source(&from).await),
        target(&file(home.path(), "target.db")).await,
    );
    let copied = copy(&left, &*right, &|_| {}).await;
    assert!(matches!(copied, Err(CopyError::Store(_))), "{copied:?}");
    assert!(right.marker().await.unwrap().is_some());
    store.commit(writes([put("a", "2")])).await.unwrap();
    copy(&*left.0, &*right, &|_| {}).await.unwrap();
    assert!(rows(&*left.0).await == rows(&*right).await);
}

/// As a database whose standby takes over without the last commit.
struct Forgetful(Box<dyn CopySource>);

#[async_trait]
impl CopySide for Forgetful {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn count(&self, table: Table) -> Result<u64, Fault> {
        self.0.count(table).await
    }

    async fn rows(&self, table: Table, after: Option<&Key>) -> Result<Rows, Fault> {
        self.0.rows(table, after).await
    }

    async fn rows_of(&self, table: Table, keys: &[Key]) -> Result<Vec<Row>, Fault> {
        self.0.rows_of(table, keys).await
    }

    async fn marker(&self) -> Result<Option<CopyMarker>, Fault> {
        self.0.marker().await
    }
}

#[async_trait]
impl CopySource for Forgetful {
    async fn changed(&self, table: Table, after: &ChangeCursor) -> Result<Rows, ChangesError> {
        self.0.changed(table, after).await
    }

    async fn set_marker(
        &self,
        expected: Option<&CopyMarker>,
        marker: Option<&CopyMarker>,
    ) -> Result<Revision, Fault> {
        let revision = self.0.set_marker(expected, marker).await?;
        if matches!(marker, Some(CopyMarker::Moved { .. })) {
            self.0.set_marker(marker, None).await?;
        }
        Ok(revision)
    }
}
