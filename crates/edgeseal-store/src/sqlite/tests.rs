use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{
    SharedStore, Write,
    conformance::{self, TOMBSTONES_KEPT, commit, delete, key, put, state},
};

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    (directory, path)
}

fn open(path: &Path) -> SharedStore {
    Arc::new(SqliteStore::open(path).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    let directories = Mutex::new(Vec::new());
    conformance::suite(async || {
        let (directory, path) = directory();
        directories.lock().unwrap().push(directory);
        let store = SqliteStore::with_tombstone_limit(path, TOMBSTONES_KEPT).unwrap();
        Arc::new(store) as SharedStore
    })
    .await;
}

#[tokio::test]
async fn reopening_keeps_everything_and_goes_on() {
    let (_directory, path) = directory();
    let mut last = Revision(0);
    let first = {
        let store = open(&path);
        let first = commit(&store, [put("d/1", "1"), put("d/2", "1")]).await;
        last = last.max(commit(&store, [delete("d/2")]).await);
        first
    };
    let expected = {
        let store = open(&path);
        let expected = state(&store).await;
        assert_eq!(expected["d/1"].1, first);
        expected
    };
    for _ in 0..3 {
        let store = open(&path);
        assert_eq!(state(&store).await, expected);
        // The log persists across openings, and reports at once that there is nothing new.
        let changes = store.changes(first, &["d/"], 10).await.unwrap();
        assert_eq!(changes.items.len(), 1);
        assert!(changes.through > last);
        assert_eq!(store.changes(last, &["d/"], 10).await.unwrap().items, []);
        let next = commit(&store, [put("n/1", "1"), delete("n/1/")]).await;
        assert!(next > last);
        let next = commit(&store, [delete("n/1")]).await;
        last = next;
    }
}

#[tokio::test]
async fn a_restored_backup_is_detected_even_with_higher_revisions() {
    let (_directory, path) = directory();
    let backup = path.with_extension("backup");
    SqliteStore::open(&path).unwrap().close().await;
    fs::copy(&path, &backup).unwrap();
    let store = open(&path);
    let lost = commit(&store, [put("d/1", "lost")]).await;
    drop(store);
    // Revision leaps are random: open until this history is past what the follower saw in the
    // other.
    fs::copy(&backup, &path).unwrap();
    loop {
        let store = open(&path);
        if commit(&store, [put("n/1", "1")]).await > lost {
            let result = store.changes(lost, &["d/"], 10).await;
            assert!(
                matches!(result, Err(ChangesError::Compacted { .. })),
                "{result:?}"
            );
            break;
        }
    }
}

#[test]
fn a_second_owner_is_refused_and_told_who_is_there() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).err().unwrap();
    assert!(
        matches!(error, OpenError::Locked { holder: Some(pid), .. } if pid == std::process::id())
    );
    let expected = format!(
        "{} is in use by process {}: one process owns the file; stop that one, or give this one \
         another path",
        path.display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    drop(store);
    SqliteStore::open(&path).unwrap();
}

#[test]
fn files_are_for_the_owner_only() {
    let (directory, _) = directory();
    let path = directory.path().join("a/b/store.db");
    let _store = SqliteStore::open(&path).unwrap();
    for (name, expected) in [
        ("a", 0o700),
        ("a/b", 0o700),
        ("a/b/store.db", 0o600),
        ("a/b/store.db-wal", 0o600),
        ("a/b/store.db-shm", 0o600),
        ("a/b/store.db.lock", 0o600),
    ] {
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_left_alone() {
    let (_directory, path) = directory();
    let store = open(&path);
    for n in 0..200 {
        commit(&store, [put(&format!("d/{n}"), &"x".repeat(1000))]).await;
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut scratched = whole.clone();
    scratched[100..4096].fill(0x55); // the schema
    let mut foreign = whole.clone();
    foreign[68..72].fill(1); // application id
    for (contents, expected) in [
        (
            b"not a database, but somebody's text".to_vec(),
            "it is no SQLite database",
        ),
        (b"short".to_vec(), "it is no SQLite database"),
        (whole[..whole.len() / 2].to_vec(), "malformed"),
        (scratched, "malformed"),
        (foreign, "another program"),
    ] {
        fs::write(&path, &contents).unwrap();
        let error = SqliteStore::open(&path).err().unwrap();
        let OpenError::Unreadable { why, .. } = &error else {
            panic!("{expected}: {error:?}");
        };
        assert!(why.contains(expected), "{expected}: {why}");
        assert!(error.to_string().contains("store.db"));
        assert!(fs::read(&path).unwrap() == contents, "{expected}: touched");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(state(&open(&path)).await.len(), 200);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (_directory, path) = directory();
    drop(SqliteStore::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 4).unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).err().unwrap();
    assert!(
        matches!(
            error,
            OpenError::NewerSchema {
                found: 4,
                known: 3,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn a_crash_while_the_file_is_made_leaves_no_trap() {
    let (_directory, path) = directory();
    fs::write(file::with_suffix(&path, ".new"), "half").unwrap();
    fs::write(file::with_suffix(&path, ".new-journal"), "half").unwrap();
    fs::write(&path, "").unwrap();
    drop(SqliteStore::open(&path).unwrap());
    assert!(!file::with_suffix(&path, ".new").exists());
}

/// Commits four megabytes and returns how many bytes. The bytes differ each time, because SQLite
/// skips unchanged pages.
async fn write_megabytes(store: &SharedStore, number: u64) -> u64 {
    let value = format!("{number:016}").repeat(32 << 10);
    let write: Vec<Write> = (1..9).map(|n| put(&format!("d/{n}"), &value)).collect();
    commit(store, write).await;
    8 * value.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_bounded_under_busy_readers() {
    let (_directory, path) = directory();
    let store = open(&path);
    let first = commit(&store, [put("d/0", "1")]).await;
    let stop = Arc::new(tokio::sync::Notify::new());
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let stopped = stop.notified();
                tokio::pin!(stopped);
                loop {
                    tokio::select! {
                        biased;
                        () = &mut stopped => return,
                        page = store.list("d/", None, 500) => { page.unwrap(); }
                    }
                    store.changes(first, &["d/"], 500).await.ok();
                }
            })
        })
        .collect();
    let mut written = 0;
    while written < 2 * file::WAL_LIMIT_BYTES {
        written += write_megabytes(&store, written).await;
    }
    store.sweep(Timestamp::default()).await.unwrap();
    let wal = fs::metadata(file::with_suffix(&path, "-wal"))
        .unwrap()
        .len();
    assert!(wal <= file::WAL_LIMIT_BYTES, "{wal} bytes");
    stop.notify_waiters();
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_reader_does_not_hold_up_the_writer() {
    let (_directory, path) = directory();
    let store = open(&path);
    commit(&store, [put("d/0", "before")]).await;
    let reader = SqliteSnapshot::open(&path).unwrap();
    let mut written = 0;
    while written <= file::WAL_LIMIT_BYTES {
        written += write_megabytes(&store, written).await;
    }
    let log = || {
        fs::metadata(file::with_suffix(&path, "-wal"))
            .unwrap()
            .len()
    };
    assert!(log() > file::WAL_LIMIT_BYTES, "{} bytes", log());
    let began = std::time::Instant::now();
    store.sweep(Timestamp::default()).await.unwrap();
    let took = began.elapsed();
    assert!(took < file::BUSY_TIMEOUT / 2, "the sweep took {took:?}");
    let seen = reader.list("", None, 10).await.unwrap().entries;
    assert_eq!(seen.len(), 1, "the reader keeps its snapshot");
    drop(reader);
    store.sweep(Timestamp::default()).await.unwrap();
    assert_eq!(log(), 0, "no reader needs the log any more");
}

/// Every reader for single keys waits for its disk; the runtime has one thread.
#[tokio::test]
async fn a_disk_that_stalls_does_not_stall_the_runtime() {
    let (_directory, path) = directory();
    SqliteStore::open(&path).unwrap().close().await;
    let store = SqliteStore::open(&path).unwrap();
    let readers = Arc::clone(store.readers().unwrap());
    let mut stalled = Vec::new();
    let mut disks = Vec::new();
    for _ in 0..read::POINTS {
        let (began, begins) = oneshot::channel();
        let (disk, answers) = std::sync::mpsc::channel::<()>();
        let readers = Arc::clone(&readers);
        stalled.push(task::spawn(async move {
            let read = move |_: &Connection| {
                began.send(()).unwrap();
                Ok(answers.recv().is_ok())
            };
            Readers::point(&readers, read).await
        }));
        begins.await.unwrap();
        disks.push(disk);
    }
    let keys = [key("d/1"), key("d/2")];
    let mut gets =
        std::pin::pin!(async { tokio::join!(store.get(&keys[0]), store.get_many(&keys)) });
    tokio::select! {
        biased;
        _ = &mut gets => panic!("a reader was free"),
        () = task::yield_now() => {}
    }
    for disk in disks {
        disk.send(()).unwrap();
    }
    let (one, several) = gets.await;
    assert_eq!((one.unwrap(), several.unwrap()), (None, vec![None, None]));
    for stalled in stalled {
        assert!(stalled.await.unwrap().unwrap());
    }
}

/// The store checks the files at its path, and that they are still the ones it opened.
#[tokio::test]
async fn files_that_are_gone_are_noticed_before_a_commit_is_acknowledged() {
    for tail in ["", "-wal"] {
        for replaced in [false, true] {
            let (directory, path) = directory();
            let (file, aside) = (
                file::with_suffix(&path, tail),
                directory.path().join("aside"),
            );
            let store = open(&path);
            commit(&store, [put("d/1", "1")]).await;
            store.get(&key("d/1")).await.unwrap();
            fs::rename(&file, &aside).unwrap();
            if replaced {
                fs::write(&file, "another").unwrap();
            }
            let label = format!("{tail:?}, replaced: {replaced}");
            let refused = store.commit(conformance::writes([put("d/2", "1")])).await;
            let Err(CommitError::Fault(fault)) = refused else {
                panic!("{label}: {refused:?}");
            };
            let why = fault.cause.unwrap().to_string();
            let expected = if replaced { "another file" } else { "is gone" };
            assert!(why.contains(expected), "{label}: {why}");
            assert!(why.contains(&file.display().to_string()), "{label}: {why}");
            let lost = store.lost().await.cause.unwrap().to_string();
            assert_eq!(lost, why, "{label}");
            // Nothing is returned once the files are gone, not even from memory.
            store.get(&key("d/1")).await.unwrap_err();
            store.get_many(&[key("d/1")]).await.unwrap_err();
            store.list("d/", None, 1).await.unwrap_err();
            store.changes(Revision(0), &["d/"], 1).await.unwrap_err();
            store.sweep(Timestamp::default()).await.unwrap_err();
            drop(store);
            // The database holds all acknowledged commits without its log.
            if tail.is_empty() {
                fs::rename(&aside, &file).unwrap();
            }
            fs::remove_file(file::with_suffix(&path, "-wal")).ok();
            let store = open(&path);
            let found: Vec<String> = state(&store).await.into_keys().collect();
            assert_eq!(found, ["d/1"], "{label}");
            commit(&store, [put("d/2", "1")]).await;
        }
    }
}

#[tokio::test]
async fn files_that_are_gone_are_noticed_while_nothing_is_written() {
    let (_directory, path) = directory();
    let store = open(&path);
    let mut lost = std::pin::pin!(store.lost());
    tokio::select! {
        biased;
        _ = &mut lost => panic!("all files exist"),
        () = time::sleep(2 * FILE_CHECK_INTERVAL) => {}
    }
    fs::remove_file(&path).unwrap();
    let fault = time::timeout(Duration::from_secs(1), lost).await.unwrap();
    assert!(
        fault
            .cause
            .unwrap()
            .to_string()
            .contains("store.db is gone")
    );
    store.get(&key("d/1")).await.unwrap_err();
}

#[tokio::test]
async fn a_failed_commit_is_a_fault_for_all_and_the_next_one_works() {
    let (_directory, path) = directory();
    let store = open(&path);
    let before = commit(&store, [put("d/1", "1")]).await;
    // An index stands in for a disk that fails one write.
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE UNIQUE INDEX refuse ON entry (value IS NULL) WHERE key IN ('d/1', 'd/bad')",
        )
        .unwrap();
    let failed = store
        .commit(conformance::writes([put("d/2", "1"), put("d/bad", "1")]))
        .await;
    assert!(matches!(failed, Err(CommitError::Fault(_))), "{failed:?}");
    assert_eq!(state(&store).await.len(), 1);
    assert_eq!(store.get(&key("d/2")).await.unwrap(), None);
    let after = commit(&store, [put("d/3", "1")]).await;
    assert!(after > before);
    let changes = store.changes(before, &["d/"], 10).await.unwrap();
    assert_eq!((changes.items.len(), changes.through), (1, after));
}

const CHILD: &str = "EDGESEAL_TEST_COMMIT_UNTIL_KILLED";

/// Not a test itself: the next test starts and kills it.
#[tokio::test(flavor = "multi_thread")]
async fn child_commits_until_killed() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let store = open(Path::new(&path));
    let mut tasks = task::JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0.. {
                let name = format!("d/{task}/{n}");
                let revision =
                    commit(&store, [put(&name, "1"), put(&format!("{name}/pair"), "1")]).await;
                println!("\ncommitted {name} {}", revision.0);
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_commit() {
    let (_directory, path) = directory();
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "sqlite::tests::child_commits_until_killed",
                "--nocapture",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        let parse = |line: String| {
            let (name, revision) = line.strip_prefix("committed ")?.split_once(' ')?;
            Some((name.to_owned(), Revision(revision.parse().ok()?)))
        };
        while acknowledged.len() < 300 {
            let line = lines.next().expect("the child keeps running").unwrap();
            acknowledged.extend(parse(line));
        }
        let refused = SqliteStore::open(&path).err().unwrap();
        assert!(
            matches!(refused, OpenError::Locked { holder: Some(pid), .. } if pid == child.id())
        );
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        // What it printed before it died counts too; the last line may be cut off.
        let mut rest: Vec<String> = lines.map_while(Result::ok).collect();
        rest.pop();
        acknowledged.extend(rest.into_iter().filter_map(parse));

        let store = open(&path);
        for (name, revision) in &acknowledged {
            let entry = store.get(&key(name)).await.unwrap();
            assert!(
                entry.is_some_and(|entry| entry.revision == *revision),
                "{name} is lost"
            );
        }
        let names = state(&store).await;
        let pairs = names.keys().filter(|name| name.ends_with("/pair")).count();
        assert_eq!(names.len(), 2 * pairs, "no commit is half applied");
        let write: Vec<Write> = names.keys().map(|name| delete(name)).collect();
        commit(&store, write).await;
    }
}
