use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{
    SharedStore,
    conformance::{commit, put, state},
    sqlite::SqliteStore,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn open(path: &Path) -> SharedStore {
    Arc::new(SqliteStore::open(path).unwrap())
}

fn names(directory: &Path) -> Vec<String> {
    let found = fs::read_dir(directory).unwrap();
    let found = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = found.collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_snapshot_of_a_busy_store() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.db");
    let store = open(&path);
    commit(&store, [put("a", "0"), put("account/b", "0")]).await;
    let written = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let (store, written) = (store.clone(), Arc::clone(&written));
        async move {
            for n in 0_u64.. {
                let value = n.to_string();
                commit(&store, [put("a", &value), put("account/b", &value)]).await;
                written.store(n, Ordering::Release);
            }
        }
    });
    for round in 0..5 {
        let to = home.path().join(format!("copy-{round}"));
        let before = written.load(Ordering::Acquire);
        let copy = StoreBackup::create(&path, &to).unwrap();
        {
            let view = copy.snapshot().unwrap();
            assert_eq!(view.integrity_errors().unwrap(), Vec::<String>::new());
            assert_eq!(view.listing_mismatches().unwrap(), 0);
        }
        copy.persist(&to).unwrap();
        let mode = fs::metadata(&to).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = state(&open(&to)).await;
        let value = |name: &str| String::from_utf8(found[name].0.to_vec()).unwrap();
        assert_eq!(value("a"), value("account/b"));
        assert!(value("a").parse::<u64>().unwrap() >= before);
    }
    writer.abort();
    assert!(!writer.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn nothing_is_written_over_and_nothing_is_left_behind() {
    let home = tempfile::tempdir().unwrap();
    let (path, to) = (home.path().join("store.db"), home.path().join("copy"));
    open(&path);
    fs::write(&to, "precious").unwrap();
    let before = names(home.path());
    let refused = StoreBackup::create(&path, &to).unwrap().persist(&to);
    assert!(matches!(refused, Err(BackupError::Exists { .. })));
    assert_eq!(fs::read_to_string(&to).unwrap(), "precious");
    drop(StoreBackup::create(&path, &to).unwrap());
    let foreign = StoreBackup::create(&to, &path).unwrap_err();
    assert!(matches!(foreign, OpenError::Unreadable { .. }), "{foreign}");
    let missing = StoreBackup::create(&home.path().join("none"), &path).unwrap_err();
    assert!(matches!(missing, OpenError::Io { .. }), "{missing}");
    assert_eq!(names(home.path()), before);
}

/// Leaves the files as after a crash: the log has commits that the database lacks.
fn crash(store: SharedStore, path: &Path) {
    let files = ["", "-wal"].map(|tail| with_suffix(path, tail));
    let contents = files.each_ref().map(|file| fs::read(file).unwrap());
    drop(store);
    for (file, content) in files.iter().zip(contents) {
        fs::write(file, content).unwrap();
    }
}

#[tokio::test]
async fn a_backup_replaces_a_store_that_no_process_owns() {
    let home = tempfile::tempdir().unwrap();
    let (path, to) = (home.path().join("store.db"), home.path().join("copy"));
    let store = open(&path);
    let kept = commit(&store, [put("d/1", "kept"), put("counter/x", "1002000")]).await;
    StoreBackup::create(&path, &to)
        .unwrap()
        .persist(&to)
        .unwrap();
    let lost = commit(&store, [put("d/2", "lost")]).await;
    assert!(kept < lost);
    let put_in_place = |replace| {
        let copy = StoreBackup::create(&to, &path).unwrap();
        copy.restore_to(&path, replace, NOW)
    };
    let owned = put_in_place(true);
    assert!(
        matches!(owned, Err(BackupError::Open(OpenError::Locked { .. }))),
        "{owned:?}"
    );
    assert_eq!(
        store
            .get(&crate::conformance::key("d/2"))
            .await
            .unwrap()
            .unwrap()
            .revision,
        lost
    );
    crash(store, &path);
    let there = put_in_place(false);
    assert!(
        matches!(there, Err(BackupError::Exists { .. })),
        "{there:?}"
    );

    let aside = put_in_place(true).unwrap().unwrap();
    let store = open(&path);
    let found: BTreeMap<String, String> = state(&store)
        .await
        .into_iter()
        .map(|(key, (value, _))| (key, String::from_utf8(value.to_vec()).unwrap()))
        .collect();
    let expected = [("counter/x", "2002000"), ("d/1", "kept")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(found, BTreeMap::from(expected));
    let changes = store.changes(lost, &["d/"], 10).await;
    assert!(matches!(
        changes,
        Err(crate::ChangesError::Compacted { .. })
    ));
    // The existing store is intact, including its log.
    assert_eq!(state(&open(&aside)).await.len(), 3);
    drop(store);
    // Without an existing store there is nothing to replace.
    fs::remove_file(&path).unwrap();
    assert_eq!(put_in_place(false).unwrap(), None);
    assert_eq!(state(&open(&path)).await.len(), 2);
    let left = names(home.path());
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[tokio::test]
async fn of_an_empty_log_nothing_is_kept_beside_the_store() {
    let home = tempfile::tempdir().unwrap();
    let (path, to) = (home.path().join("store.db"), home.path().join("copy"));
    SqliteStore::open(&path).unwrap().close().await;
    StoreBackup::create(&path, &to)
        .unwrap()
        .persist(&to)
        .unwrap();
    fs::write(with_suffix(&path, "-wal"), "").unwrap();
    let copy = StoreBackup::create(&to, &path).unwrap();
    let aside = copy.restore_to(&path, true, NOW).unwrap().unwrap();
    assert!(aside.exists());
    let found = names(home.path());
    assert!(
        !found.iter().any(|name| name.ends_with("-wal")),
        "{found:?}"
    );
}

/// The check comes before anything is read, because reading may take long.
#[tokio::test]
async fn an_occupied_target_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.db");
    check_restore_target(&path, false).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    for replace in [false, true] {
        let taken = check_restore_target(&path, replace).unwrap_err();
        assert!(matches!(taken, BackupError::Open(OpenError::Locked { .. })));
    }
    store.close().await;
    let exists = check_restore_target(&path, false).unwrap_err();
    assert!(matches!(exists, BackupError::Exists { .. }), "{exists}");
    check_restore_target(&path, true).unwrap();
}
