//! `edgeseal backup` and `restore` of a PostgreSQL database, whose backups are files as those of SQLite.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use tokio::task::block_in_place;

use super::*;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server on this store that serves [`NAME`].
pub(super) async fn server_on(store: &str, origin: &Origin) -> Server {
    let keys = tempfile::tempdir().unwrap();
    let kek = keys.path().join("kek");
    let mut command = binary();
    let made = command.args(["kek", "generate", text(&kek)]).output();
    assert!(made.unwrap().status.success());
    let config = format!(
        "store = \"{store}\"\nkek = \"file:{}\"\nconnections = 100\n{}",
        kek.display(),
        unlimited()
    );
    let server = Server::start_with(&config);
    // Where the commands of the tests look for it.
    fs::copy(&kek, server.data().join("kek")).unwrap();
    configure(&server, store);
    server.root_client().serve(NAME, origin).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_database_during_writes_is_consistent() {
    let (database, origin) = (PostgresServer::shared(), Origin::start().await);
    let store = database.url("backup");
    let server = server_on(&store, &origin).await;
    let (api, added) = (server.root_client(), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, added, sources) = (Arc::clone(&stop), Arc::clone(&added), origin.sources());
        tokio::spawn(async move {
            while !stop.load(Ordering::Acquire) {
                let name = format!("{}.moving.example", uuid::Uuid::new_v4());
                let params = add_params(&name, &sources);
                let called = api.call(CDN_VERSION, "AddCdnDomain", &params).await;
                called.unwrap();
                added.fetch_add(1, Ordering::AcqRel);
            }
        })
    };
    for round in 0..3 {
        let file = server.home().join(format!("backup-{round}.db"));
        let before = added.load(Ordering::Acquire);
        let line = ["backup", text(&file), "--json"];
        let (code, said, errors) = block_in_place(|| run(&server, &store, &line));
        assert_eq!(code, Some(0), "{said}{errors}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["Problems"].as_array().unwrap().len(), 0, "{said}");
        assert_eq!(said["Opened"], true, "{said}");
        let looked_at = said["LookedAt"][0].as_str().unwrap();
        let found: u64 = looked_at.split(' ').next().unwrap().parse().unwrap();
        // One more may have been in flight.
        let possible = before + 1..=added.load(Ordering::Acquire) + 2;
        assert!(possible.contains(&found), "{found} of {possible:?}: {said}");
        let found = fs::metadata(&file).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        let (code, _, errors) = block_in_place(|| run(&server, &store, &line));
        assert_eq!(code, Some(64), "{errors}");
        assert!(errors.contains("is there already"), "{errors}");
    }
    stop.store(true, Ordering::Release);
    writer.await.unwrap();
    let left = fs::read_dir(server.home()).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|name| name.contains("store-copy")).collect();
    assert_eq!(left, Vec::<String>::new());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_into_either_engine() {
    let (database, origin) = (PostgresServer::shared(), Origin::start().await);
    let store = database.url("restored");
    let mut server = server_on(&store, &origin).await;
    let old = server.root_client().bound_leaf(NAME).await;
    let file = server.home().join("backup.db");
    let (code, said, errors) = block_in_place(|| run(&server, &store, &["backup", text(&file)]));
    assert_eq!(code, Some(0), "{said}{errors}");
    let api = server.root_client();
    let newer = AUTHORITY.issue(&[NAME]);
    api.set(NAME, &newer).await.unwrap();
    api.serve("late.moving.example", &origin).await;

    for (line, says) in [
        (vec!["restore", text(&file)], "is there already"),
        (vec!["restore", text(&file), "--replace"], "1 servers use"),
    ] {
        let (code, _, errors) = block_in_place(|| run(&server, &store, &line));
        assert_eq!(code, Some(64), "{errors}");
        assert!(errors.contains(says), "{errors}");
        assert_eq!(api.bound_leaf(NAME).await, newer.leaf);
    }
    // While the server runs: it lists everything again.
    let line = ["restore", text(&file), "--replace", "--live"];
    let (code, said, errors) = block_in_place(|| run(&server, &store, &line));
    assert_eq!(code, Some(0), "{said}{errors}");
    assert!(said.contains("kept as schema restored_before_"), "{said}");
    eventually("the edge serves the backup", async || {
        let served = server.served(NAME).await.ok()?;
        (served[0] == old).then_some(())
    })
    .await;
    eventually("what came after the backup is gone", async || {
        server.served("late.moving.example").await.err().map(drop)
    })
    .await;
    let api = server.root_client();
    assert_eq!(api.bound_leaf(NAME).await, old);
    let again = AUTHORITY.issue(&[NAME]);
    api.set(NAME, &again).await.unwrap();
    eventually("changes reach the edge", async || {
        let served = server.served(NAME).await.ok()?;
        (served[0] == again.leaf).then_some(())
    })
    .await;
    server.terminate();

    // The same file as a store of SQLite, and of another database.
    for other in [
        sqlite(&server.home().join("restored/store.db")),
        database.url("restored_other"),
    ] {
        let (code, said, errors) =
            block_in_place(|| run(&server, &other, &["restore", text(&file)]));
        assert_eq!(code, Some(0), "{said}{errors}");
        configure(&server, &other);
        server.launch();
        assert_eq!(server.root_client().bound_leaf(NAME).await, old);
        let line = ["audit", "verify"];
        let (code, said, errors) = block_in_place(|| run(&server, &other, &line));
        assert_eq!(code, Some(0), "{said}{errors}");
        server.terminate();
    }
    // Another key opens nothing of it, so nothing is restored.
    fs::write(server.data().join("kek"), "").unwrap();
    let (code, said, _) =
        block_in_place(|| run(&server, &database.url("nowhere"), &["restore", text(&file)]));
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_that_a_database_is_out_of_reach() {
    let home = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.env("EDGESEAL_KEK_FILE", home.path().join("kek"));
    command.args([
        "doctor",
        "--store",
        "postgres://me@127.0.0.1:1/db",
        "--data",
    ]);
    let (code, said, errors) = finish(command.arg(home.path()).output().unwrap());
    assert_eq!(code, Some(65), "{said}{errors}");
    assert!(said.contains("no server takes writes"), "{said}");
}
