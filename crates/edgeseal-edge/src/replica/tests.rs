use std::collections::HashMap;

use super::*;

fn name(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

fn row(text: &str, revision: u64, material: Option<&'static [u8]>) -> DomainWrite {
    DomainWrite {
        name: name(text),
        revision: Revision(revision),
        record: Bytes::from(format!("record of {text} at {revision}")),
        material: material.map(|value| (Digest::of(value), Bytes::from_static(value))),
        companion: None,
    }
}

fn open(directory: &Path) -> Replica {
    Replica::open(directory, Environment::Production).unwrap()
}

/// All domains with their material, as in the file.
fn rows(replica: &Replica) -> Vec<(String, u64, Option<Bytes>)> {
    let mut materials = HashMap::new();
    replica
        .visit_materials(|row| {
            assert!(row.is_intact());
            materials.insert(row.digest, Bytes::from(row.value));
        })
        .unwrap();
    let mut found = Vec::new();
    replica
        .visit_domains(|row| {
            assert!(row.is_intact());
            let material = row.material.map(|digest| materials[&digest].clone());
            found.push((row.name.into(), row.revision.0, material));
        })
        .unwrap();
    found
}

async fn written(directory: &Path, batches: Vec<Batch>) -> Replica {
    let writer = open(directory).into_writer().unwrap();
    for batch in batches {
        writer.try_write(batch);
    }
    writer.close().await;
    open(directory)
}

#[tokio::test]
async fn the_content_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let replica = open(directory.path());
    assert_eq!(replica.loaded, ReplicaStatus::default());
    drop(replica);
    let replica = written(
        directory.path(),
        vec![
            Batch {
                issuers: vec![(Digest::of(b"issuer"), Arc::from(&b"issuer"[..]))],
                put: vec![
                    row("a.com", 1, Some(b"one")),
                    row("*.a.com", 2, Some(b"one")),
                ],
                cursor: CursorUpdate::Complete(Revision(2)),
                ..Batch::default()
            },
            Batch {
                put: vec![row("a.com", 3, None), row("b.com", 3, Some(b"two"))],
                quarantine: vec![(name("*.a.com"), "why".to_owned())],
                cursor: CursorUpdate::Advance(Revision(3)),
                ..Batch::default()
            },
        ],
    )
    .await;
    let one = || Some(Bytes::from_static(b"one"));
    assert_eq!(
        rows(&replica),
        [
            (".a.com".to_owned(), 2, one()),
            ("a.com".to_owned(), 3, None),
            ("b.com".to_owned(), 3, Some(Bytes::from_static(b"two"))),
        ]
    );
    assert_eq!(replica.issuers().unwrap().len(), 1);
    assert_eq!(
        replica.quarantine().unwrap(),
        [(name("*.a.com"), "why".to_owned())]
    );
    let standing = ReplicaStatus {
        complete: true,
        cursor: Some(Revision(3)),
        domains: 3,
    };
    assert_eq!(replica.loaded, standing);
}

#[tokio::test]
async fn material_is_deleted_with_its_last_domain() {
    let directory = tempfile::tempdir().unwrap();
    let put = |rows: Vec<DomainWrite>| Batch {
        put: rows,
        ..Batch::default()
    };
    let count = |replica: &Replica| replica.database.count("material");
    let first = vec![
        put(vec![
            row("a.com", 1, Some(b"one")),
            row("b.com", 1, Some(b"old")),
        ]),
        put(vec![row("b.com", 2, Some(b"one"))]),
    ];
    let replica = written(directory.path(), first).await;
    assert_eq!(count(&replica), 2, "while the first listing goes on");
    drop(replica);
    let ended = Batch {
        cursor: CursorUpdate::Complete(Revision(2)),
        ..Batch::default()
    };
    let replica = written(directory.path(), vec![ended]).await;
    assert_eq!(count(&replica), 1);
    drop(replica);
    let replica = written(
        directory.path(),
        vec![put(vec![row("a.com", 2, Some(b"two"))])],
    )
    .await;
    assert_eq!(count(&replica), 2);
    drop(replica);
    let gone = Batch {
        remove: vec![name("a.com"), name("b.com"), name("never-there.com")],
        ..Batch::default()
    };
    let replica = written(directory.path(), vec![gone]).await;
    assert_eq!((count(&replica), rows(&replica)), (0, vec![]));
}

#[tokio::test]
async fn a_skipped_batch_freezes_the_cursor_until_backfilled() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path()).into_writer().unwrap();
    let batch = |text: &str, revision| Batch {
        put: vec![row(text, revision, None)],
        cursor: CursorUpdate::Advance(Revision(revision)),
        ..Batch::default()
    };
    assert!(writer.try_write(batch("a.com", 1)));
    // All capacity is taken: as if the disk had stopped.
    let all = Arc::clone(writer.room());
    let taken = all.acquire_many(64 * 1024).await.unwrap();
    assert!(!writer.try_write(batch("b.com", 2)));
    assert!(!writer.try_write(batch("d.com", 3)));
    assert_eq!(
        writer.pending_backfill(9),
        Backfill::Nothing,
        "there is no room"
    );
    drop(taken);
    assert!(writer.try_write(batch("c.com", 4)));
    writer.close().await;
    let replica = open(directory.path());
    assert_eq!(replica.loaded.cursor, Some(Revision(1)));
    let names =
        |replica: &Replica| -> Vec<String> { rows(replica).into_iter().map(|row| row.0).collect() };
    assert_eq!(names(&replica), ["a.com", "c.com"]);

    let writer = replica.into_writer().unwrap();
    let all = Arc::clone(writer.room());
    let taken = all.acquire_many(64 * 1024).await.unwrap();
    writer.try_write(batch("b.com", 2));
    writer.try_write(batch("d.com", 3));
    drop(taken);
    assert_eq!(
        writer.pending_backfill(1),
        Backfill::Domains(vec![name("b.com")])
    );
    assert_eq!(
        writer.pending_backfill(9),
        Backfill::Domains(vec![name("b.com"), name("d.com")])
    );
    writer.try_write(batch("b.com", 5));
    writer.backfilled(&[name("b.com")], CursorUpdate::Advance(Revision(5)));
    assert_eq!(
        writer.pending_backfill(9),
        Backfill::Domains(vec![name("d.com")])
    );
    writer.try_write(batch("d.com", 5));
    writer.backfilled(&[name("d.com")], CursorUpdate::Advance(Revision(5)));
    assert_eq!(writer.pending_backfill(9), Backfill::Nothing);
    writer.try_write(batch("e.com", 6));
    writer.close().await;
    let replica = open(directory.path());
    assert_eq!(replica.loaded.cursor, Some(Revision(6)));
    assert_eq!(
        names(&replica),
        ["a.com", "b.com", "c.com", "d.com", "e.com"]
    );
}

#[tokio::test]
async fn the_wait_for_a_commit_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path()).into_writer().unwrap();
    let put = |text| Batch {
        put: vec![row(text, 1, None)],
        ..Batch::default()
    };
    let reader = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    let count = || -> i64 {
        let count = "SELECT count(*) FROM domain";
        reader.query_row(count, [], |row| row.get(0)).unwrap()
    };
    writer.write_committed(put("a.com")).await;
    assert_eq!(count(), 1);
    reader.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.write_committed(put("b.com")).await;
    let began = std::time::Instant::now();
    for _ in 0..20 {
        writer.write_committed(put("c.com")).await;
    }
    assert!(
        began.elapsed() < std::time::Duration::from_secs(1),
        "it waits once"
    );
    reader.execute_batch("ROLLBACK").unwrap();
    writer.close().await;
    assert_eq!(count(), 3);
}

#[test]
fn a_corrupted_file_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join(FILE),
        b"this is no database, far from it",
    )
    .unwrap();
    let replica = open(directory.path());
    assert_eq!(replica.loaded, ReplicaStatus::default());
    assert!(directory.path().join("replica.sqlite.corrupted").exists());
}

/// A disk that is full, or fails, says nothing about the content of the file.
#[test]
fn disk_failures_are_not_corruption() {
    use rusqlite::ffi;
    let failed = |code| {
        let error = ffi::Error::new(code);
        ReplicaError::from(rusqlite::Error::SqliteFailure(error, None))
    };
    for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
        assert!(failed(code).is_corruption(), "{code}");
    }
    for code in [
        ffi::SQLITE_FULL,
        ffi::SQLITE_READONLY,
        ffi::SQLITE_IOERR,
        ffi::SQLITE_IOERR_SHMSIZE,
        ffi::SQLITE_CANTOPEN,
        ffi::SQLITE_BUSY,
        ffi::SQLITE_NOMEM,
        ffi::SQLITE_PERM,
    ] {
        assert!(!failed(code).is_corruption(), "{code}");
    }
}

/// A file that cannot be opened for writing is read in place, and written once that is possible.
#[tokio::test]
async fn a_replica_that_cannot_be_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let batch = |text, revision| Batch {
        put: vec![row(text, revision, Some(b"one"))],
        cursor: CursorUpdate::Complete(Revision(revision)),
        ..Batch::default()
    };
    drop(written(directory.path(), vec![batch("a.com", 1)]).await);
    // Only the owner of this lock can even read it: opening it as usual fails.
    let holder = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    holder
        .execute_batch("PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE")
        .unwrap();
    let replica = open(directory.path());
    assert_eq!(replica.loaded.cursor, Some(Revision(1)));
    assert_eq!(rows(&replica).len(), 1);
    let writer = replica.into_writer().unwrap();
    writer.try_write(batch("b.com", 2));
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);
    let (told, committed) = oneshot::channel();
    writer.try_write(Batch {
        on_commit: Some(told),
        ..Batch::default()
    });
    committed.await.unwrap();
    writer.close().await;
    let replica = open(directory.path());
    assert_eq!(
        (rows(&replica).len(), replica.loaded.cursor),
        (2, Some(Revision(2)))
    );
    let names = std::fs::read_dir(directory.path()).unwrap();
    let aside = names.filter(|file| {
        file.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("corrupted")
    });
    assert_eq!(aside.count(), 0, "nothing was moved");
}

#[tokio::test]
async fn a_replica_of_another_environment_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let batch = Batch {
        put: vec![row("a.com", 1, None)],
        cursor: CursorUpdate::Complete(Revision(1)),
        ..Batch::default()
    };
    drop(written(directory.path(), vec![batch]).await);
    let replica = Replica::open(directory.path(), Environment::Staging).unwrap();
    assert_eq!(replica.loaded, ReplicaStatus::default());
}

/// A replica with two domains, one issuer and one material, after `sql`; returns its corrupted
/// rows.
async fn damaged_by(sql: &str) -> (tempfile::TempDir, Replica, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let batch = Batch {
        issuers: vec![(Digest::of(b"issuer"), Arc::from(&b"issuer"[..]))],
        put: vec![row("a.com", 1, Some(b"one")), row("b.com", 2, None)],
        cursor: CursorUpdate::Complete(Revision(2)),
        ..Batch::default()
    };
    let replica = written(directory.path(), vec![batch]).await;
    replica.database.execute(sql);
    drop(replica);
    let replica = open(directory.path());
    let mut broken = Vec::new();
    let materials = |row: MaterialRow| {
        if !row.is_intact() {
            broken.push("material".to_owned());
        }
    };
    replica.visit_materials(materials).unwrap();
    let domains = |row: DomainRow| {
        if !row.is_intact() {
            broken.push(row.name.into());
        }
    };
    replica.visit_domains(domains).unwrap();
    (directory, replica, broken)
}

#[tokio::test]
async fn every_column_is_under_a_checksum() {
    let table = [
        (
            "UPDATE domain SET revision = 3 WHERE name = 'a.com'",
            "a.com",
        ),
        (
            "UPDATE domain SET record = x'00' WHERE name = 'b.com'",
            "b.com",
        ),
        (
            "UPDATE domain SET material = NULL WHERE name = 'a.com'",
            "a.com",
        ),
        (
            "UPDATE domain SET material = zeroblob(32) WHERE name = 'b.com'",
            "b.com",
        ),
        (
            "UPDATE domain SET mark = mark + 1 WHERE name = 'b.com'",
            "b.com",
        ),
        (
            "UPDATE domain SET name = 'c.com' WHERE name = 'b.com'",
            "c.com",
        ),
        ("UPDATE material SET value = x'6f6f65'", "material"),
        ("UPDATE material SET digest = zeroblob(32)", "material"),
        ("UPDATE material SET mark = mark + 1", "material"),
    ];
    for (sql, expected) in table {
        let (_directory, replica, broken) = damaged_by(sql).await;
        assert_eq!(broken, [expected], "{sql}");
        assert_eq!(replica.loaded.cursor, Some(Revision(2)), "{sql}");
    }
    for sql in [
        "UPDATE standing SET cursor = cursor + 1",
        "UPDATE standing SET domains = 3",
        "UPDATE standing SET complete = 0",
        "UPDATE standing SET mark = mark + 1",
    ] {
        let (_directory, replica, broken) = damaged_by(sql).await;
        assert_eq!((broken.len(), replica.loaded.cursor), (0, None), "{sql}");
    }
}

#[tokio::test]
async fn corrupted_rows_are_discarded_and_the_rest_stays() {
    let (directory, mut replica, _) =
        damaged_by("UPDATE domain SET record = x'00' WHERE name = 'b.com'").await;
    replica.rebuild().unwrap();
    drop(replica);
    let replica = open(directory.path());
    let standing = ReplicaStatus {
        complete: true,
        cursor: None,
        domains: 1,
    };
    assert_eq!(replica.loaded, standing);
    assert_eq!(rows(&replica).len(), 1);
    assert_eq!(replica.issuers().unwrap().len(), 1);
    for sql in [
        "UPDATE issuer SET der = x'00'",
        "UPDATE issuer SET digest = zeroblob(32)",
    ] {
        let (_directory, mut replica, _) = damaged_by(sql).await;
        replica.rebuild().unwrap();
        assert!(replica.issuers().unwrap().is_empty(), "{sql}");
        assert_eq!(rows(&replica).len(), 2, "{sql}");
    }
}

#[tokio::test]
async fn material_of_a_companion_is_deleted_with_its_last_domain_too() {
    let directory = tempfile::tempdir().unwrap();
    let with = |text: &str, revision, first, companion| DomainWrite {
        companion: row(text, revision, companion).material,
        ..row(text, revision, first)
    };
    let put = |rows: Vec<DomainWrite>| Batch {
        put: rows,
        ..Batch::default()
    };
    let (one, two, late) = (Some(&b"one"[..]), Some(&b"two"[..]), Some(&b"late"[..]));
    let listing = vec![
        put(vec![
            with("a.com", 1, one, two),
            with("b.com", 1, two, None),
            with("c.com", 1, None, late),
        ]),
        put(vec![with("c.com", 2, None, one)]),
        Batch {
            cursor: CursorUpdate::Complete(Revision(2)),
            ..Batch::default()
        },
    ];
    let replica = written(directory.path(), listing).await;
    assert_eq!(replica.database.count("material"), 2, "one and two");
    let mut companions = Vec::new();
    let each = |row: DomainRow| {
        assert!(row.is_intact());
        companions.push(row.companion);
    };
    replica.visit_domains(each).unwrap();
    let digest = |text: &[u8]| Some(Digest::of(text));
    assert_eq!(companions, [digest(b"two"), None, digest(b"one")]);
    drop(replica);

    for (change, left) in [
        (put(vec![with("a.com", 3, two, one)]), 2), // the other way round
        (put(vec![with("c.com", 4, None, None)]), 2),
        (put(vec![with("a.com", 5, two, None)]), 1),
        (put(vec![with("b.com", 6, None, two)]), 1),
        (put(vec![with("a.com", 7, None, None)]), 1),
    ] {
        let replica = written(directory.path(), vec![change]).await;
        assert_eq!(replica.database.count("material"), left);
    }
    let gone = Batch {
        remove: vec![name("b.com")],
        ..Batch::default()
    };
    let replica = written(directory.path(), vec![gone]).await;
    assert_eq!(replica.database.count("material"), 0);
}
