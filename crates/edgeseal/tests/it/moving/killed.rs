//! What a backup and a restore leave behind that were killed, and that the next one removes it.

use std::{fs, path::Path};

use tokio::task::block_in_place;

use super::{backup::server_on, *};

/// Names in a directory that begin with this.
fn names(directory: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// The schemas that restores load.
fn loading(database: &PostgresServer, schema: &str) -> Vec<String> {
    let sql = format!(
        "SELECT string_agg(nspname, ' ') FROM pg_namespace
         WHERE starts_with(nspname, '{schema}_restore_')"
    );
    let found = database.query(&sql);
    found.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_copy_removes_what_a_killed_one_left() {
    let (database, origin) = (PostgresServer::shared(), Origin::start().await);
    let store = database.url("killed_copy");
    let server = server_on(&store, &origin).await;
    let (directory, file) = (server.home(), server.home().join("backup.db"));
    let line = ["backup", file.to_str().unwrap()];
    // It reads the history last.
    let lock = "LOCK TABLE killed_copy.history IN ACCESS EXCLUSIVE MODE";
    let held = block_in_place(|| database.hold_open(lock));
    let mut backup = command(&server, &store, &line).spawn().unwrap();
    let left = eventually("the backup has begun", async || {
        let found = names(directory, ".store-copy-");
        (!found.is_empty()).then_some(found)
    })
    .await;
    // One that runs is left alone.
    let mut other = line.map(str::to_owned);
    other[1].push_str(".other");
    let other = other.each_ref().map(String::as_str);
    let mut beside = command(&server, &store, &other).spawn().unwrap();
    eventually("another one runs beside it", async || {
        (names(directory, ".store-copy-").len() == 2).then_some(())
    })
    .await;
    assert!(directory.join(&left[0]).exists());
    for process in [&mut backup, &mut beside] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    drop(held);
    assert_eq!(names(directory, ".store-copy-").len(), 2);

    let (code, said, errors) = block_in_place(|| run(&server, &store, &line));
    assert_eq!(code, Some(0), "{said}{errors}");
    assert_eq!(names(directory, ".store-copy-"), Vec::<String>::new());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_restore_removes_what_a_killed_one_left() {
    let (database, origin) = (PostgresServer::shared(), Origin::start().await);
    let store = database.url("killed_restore");
    let mut server = server_on(&store, &origin).await;
    let file = server.home().join("backup.db");
    let (code, said, errors) =
        block_in_place(|| run(&server, &store, &["backup", file.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{said}{errors}");
    let leaf = server.root_client().bound_leaf(NAME).await;
    server.terminate();

    // Everything is loaded; the old tables cannot be replaced yet.
    let lock = "SELECT FROM killed_restore.write_lock FOR UPDATE";
    let held = block_in_place(|| database.hold_open(lock));
    let line = ["restore", file.to_str().unwrap(), "--replace"];
    let mut restore = command(&server, &store, &line).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
        WHERE wait_event_type = 'Lock' AND relation = 'killed_restore.write_lock'::regclass";
    eventually("the restore waits", async || {
        (block_in_place(|| database.query(waits)) != "0").then_some(())
    })
    .await;
    restore.kill().unwrap();
    restore.wait().unwrap();
    let left = block_in_place(|| loading(&database, "killed_restore"));
    assert_eq!(left.len(), 1, "{left:?}");
    drop(held);
    // The old store is untouched.
    server.launch();
    assert_eq!(server.root_client().bound_leaf(NAME).await, leaf);
    server.terminate();

    let (code, said, errors) = block_in_place(|| run(&server, &store, &line));
    assert_eq!(code, Some(0), "{said}{errors}");
    let removed = format!("{}, which a restore that was killed left behind", left[0]);
    assert!(errors.contains(&removed), "{said}{errors}");
    let left = block_in_place(|| loading(&database, "killed_restore"));
    assert_eq!(left, Vec::<String>::new());
    server.launch();
    assert_eq!(server.root_client().bound_leaf(NAME).await, leaf);
    server.terminate();
}
