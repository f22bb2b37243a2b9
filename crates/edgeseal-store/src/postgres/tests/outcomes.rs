//! Outcomes that are hard to know: cut connections, cancelled waits, sessions that lost their right,
//! databases that went back.

use std::time::Duration;

use edgeseal_testing::wait::eventually;
use tokio_postgres::Client;

use super::{cutter::Cut, *};
use crate::postgres::{batch::Batch, connect::Session, writer::COMMIT_SQL};

async fn session(server: &PostgresServer, schema: &str) -> Session {
    let url = server.url(schema).parse().unwrap();
    Connector::new(url).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_doubt_is_done_once() {
    const CUTS: [Cut; 3] = [Cut::Request, Cut::Answer(0), Cut::Answer(5)];
    let server = PostgresServer::shared();
    let cutter = Cutter::start(server.port, "d/counter").await;
    let direct = server.url(&schema());
    let proxied = direct.replace(&format!(":{}/", server.port), &format!(":{}/", cutter.port));
    let store = PostgresStore::open(proxied.parse().unwrap(), now).await;
    let store: SharedStore = Arc::new(store.unwrap());
    let mut head = commit(&store, [put("d/counter", "0")]).await;
    for n in 1..=51_u32 {
        cutter.arm(CUTS[n as usize % CUTS.len()]);
        let add = Write::Add {
            key: key("d/counter"),
            by: 1,
            at_most: u64::MAX,
        };
        let revision = commit(&store, [add]).await;
        assert!(revision > head);
        head = revision;
        assert_eq!(cutter.cuts(), n);
        let count = store.get(&key("d/counter")).await.unwrap().unwrap();
        assert_eq!((count.value, count.revision), (n.to_string().into(), head));
    }
    // A conflict is found out as well as a success.
    for cut in CUTS {
        cutter.arm(cut);
        let txn = Txn {
            expect: vec![Expect::Absent(key("d/counter"))],
            write: vec![put("never", "1")],
            ..Txn::default()
        };
        let refused = store.commit(txn).await;
        assert!(
            matches!(refused, Err(CommitError::Conflict { .. })),
            "{refused:?}"
        );
        assert_eq!(store.get(&key("never")).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_lost_its_right_writes_nothing() {
    let server = PostgresServer::shared();
    let schema = schema();
    let store = open(&server, &schema).await;
    let session = session(&server, &schema).await;
    let admit = "SELECT admit_writer_1($1, $2, 1)";
    for (old, new) in [(0_i64, 1_i64), (1, 2)] {
        session.client.execute(admit, &[&old, &new]).await.unwrap();
    }
    let txn = conformance::writes([put("a", "1")]);
    let batch = Batch::of([&txn]);
    let mut written = Vec::new();
    for token in [1_i64, 2] {
        let (id, now_ms, difference) = (token, now().unix_ms(), 60_000_i64);
        let fixed: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&token, &id, &now_ms, &difference];
        let parameters: Vec<_> = fixed.into_iter().chain(batch.parameters()).collect();
        let result = session.client.query_one(COMMIT_SQL, &parameters).await;
        let code = result.as_ref().err().and_then(tokio_postgres::Error::code);
        written.push(code.map(|code| code.code().to_owned()));
        let found = store.get(&key("a")).await.unwrap();
        assert_eq!(found.is_some(), result.is_ok());
    }
    assert_eq!(written, [Some("ES001".to_owned()), None]);
}

/// The process that waits for a standby, other than this one.
async fn waits_for_a_standby(client: &Client, other_than: i32) -> Option<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid <> $1";
    let row = client.query_opt(sql, &[&other_than]).await.unwrap()?;
    Some(row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_standby_does_not_have_is_not_acknowledged() {
    let server = PostgresServer::start();
    let store = open(&server, "standby").await;
    commit(&store, [put("d/counter", "0")]).await;
    let control = session(&server, "standby").await;
    let control = &control.client;
    let set = async |statement: &str| {
        control.batch_execute(statement).await.unwrap();
        control
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .unwrap();
    };
    set("ALTER SYSTEM SET synchronous_standby_names = 'missing'").await;
    let show = "SELECT current_setting('synchronous_standby_names')";
    eventually("the setting", || async {
        let shown: String = control.query_one(show, &[]).await.unwrap().get(0);
        (shown == "missing").then_some(())
    })
    .await;

    // The server's processes take the setting up one after the other, so the first ones may not wait.
    let mut acknowledged = 0;
    let (pending, first) = loop {
        let committing = Arc::clone(&store);
        let add = Write::Add {
            key: key("d/counter"),
            by: 1,
            at_most: u64::MAX,
        };
        let pending = tokio::spawn(async move { commit(&committing, [add]).await });
        let waiting = eventually("the commit waits, or ends", || async {
            match waits_for_a_standby(control, 0).await {
                None => pending.is_finished().then_some(None),
                waiting => Some(waiting),
            }
        });
        match waiting.await {
            Some(process) => break (pending, process),
            None => acknowledged += 1,
        }
    };
    control
        .execute("SELECT pg_cancel_backend($1)", &[&first])
        .await
        .unwrap();
    // PostgreSQL answers as if all were well, after a warning. The writer finds out instead, which waits
    // too.
    eventually("another one waits", || waits_for_a_standby(control, first)).await;
    assert!(!pending.is_finished(), "acknowledged without its standby");

    set("ALTER SYSTEM RESET synchronous_standby_names").await;
    let revision = pending.await.unwrap();
    let found = store.get(&key("d/counter")).await.unwrap().unwrap();
    let count = (acknowledged + 1).to_string();
    assert_eq!((found.value, found.revision), (count.into(), revision));
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_list_again_when_a_backup_was_put_back() {
    let server = PostgresServer::start();
    commit(&open(&server, "backup").await, [put("d/a", "1")]).await;
    server.kill();
    server.back_up();
    server.start_again();
    let store = open(&server, "backup").await;
    let lost = commit(&store, [put("d/a", "2")]).await;
    let following = Arc::clone(&store);
    let waiting = tokio::spawn(async move { following.changes(lost, &["d/"], 10).await });
    server.kill();
    server.put_back();
    server.start_again();
    let changes = timeout(Duration::from_secs(60), waiting).await;
    let changes = changes.expect("the follower wakes up").unwrap();
    assert!(
        matches!(changes, Err(ChangesError::Compacted { .. })),
        "{changes:?}"
    );
    let found = store.get(&key("d/a")).await.unwrap().unwrap();
    assert_eq!(&found.value[..], b"1");
    // It goes on, and no condition on what was lost holds.
    let txn = Txn {
        expect: vec![Expect::Unchanged(key("d/a"), lost)],
        write: vec![put("d/a", "3")],
        ..Txn::default()
    };
    let refused = store.commit(txn).await;
    assert!(
        matches!(refused, Err(CommitError::Conflict { .. })),
        "{refused:?}"
    );
    commit(&store, [put("d/a", "4")]).await;
}
