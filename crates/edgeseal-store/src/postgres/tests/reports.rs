//! Reports of processes on one database.

use super::{super::schema, *};
use crate::reports::{Reports, RunId};

const ONE: RunId = RunId(1);
const TWO: RunId = RunId(u64::MAX);

async fn sql(server: &PostgresServer, schema: &str, statements: &str) {
    let url: PostgresUrl = server.url(schema).parse().unwrap();
    let session = Connector::new(url).unwrap().connect().await.unwrap();
    session.client.batch_execute(statements).await.unwrap();
}

/// The members, each with what it reported.
async fn members(reports: &dyn Reports) -> Vec<(String, Option<String>)> {
    let snapshot = reports.read().await.unwrap();
    let members = snapshot.members.into_iter().map(|it| {
        let text = |report: crate::reports::Report| String::from_utf8(report.value.into()).unwrap();
        (it.name, it.report.map(text))
    });
    members.collect()
}

fn reported(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

fn unknown(name: &str) -> (String, Option<String>) {
    (name.to_owned(), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_read_each_other_s_reports() {
    let server = PostgresServer::shared();
    let schema = schema();
    let (one, two) = tokio::join!(open(&server, &schema), open(&server, &schema));
    let head = commit(&one, [put("d/a", "1")]).await;
    let (one, two) = (one.reports().unwrap(), two.reports().unwrap());
    let empty = one.read().await.unwrap();
    assert_eq!((empty.members.len(), empty.head), (0, head));

    one.exchange("one", ONE, b"first").await.unwrap();
    two.exchange("two", TWO, b"hello").await.unwrap();
    let seen = one.exchange("one", ONE, b"second").await.unwrap();
    let expected = [reported("one", "second"), reported("two", "hello")];
    assert_eq!(members(&*one).await, expected);
    let [first, second] = [0, 1].map(|n| seen.members[n].report.clone().unwrap());
    assert_eq!((first.run, second.run), (ONE, TWO));
    assert!(second.age_ms >= first.age_ms);
    assert!(seen.collected_ms >= second.age_ms);
    assert_eq!(seen.head, head, "a report is no commit");
    assert_eq!(seen.replaced, None, "its own");
    let off_ms = now().since_ms(seen.now).abs();
    assert!(off_ms < 60_000, "{off_ms}");

    two.withdraw("two", TWO).await.unwrap();
    assert_eq!(members(&*one).await, [reported("one", "second")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_outlive_a_crash_of_the_server() {
    let server = Arc::new(PostgresServer::start());
    let store = open(&server, "reports").await;
    let reports = store.reports().unwrap();
    reports.exchange("one", ONE, b"before").await.unwrap();
    reports.exchange("two", TWO, b"before").await.unwrap();
    let restarted = Arc::clone(&server);
    let restart = move || {
        restarted.kill();
        restarted.start_again();
    };
    tokio::task::spawn_blocking(restart).await.unwrap();
    assert_eq!(members(&*reports).await, [unknown("one"), unknown("two")]);
    let seen = reports.exchange("two", TWO, b"after").await.unwrap();
    assert!(seen.collected_ms < 60_000, "counted anew");
    assert_eq!(
        members(&*reports).await,
        [unknown("one"), reported("two", "after")]
    );
    // It ends without having reported again.
    reports.withdraw("one", ONE).await.unwrap();
    assert_eq!(members(&*reports).await, [reported("two", "after")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_written_only_when_it_changes() {
    let server = PostgresServer::start();
    let store = open(&server, "logged").await;
    let reports = store.reports().unwrap();
    let url: PostgresUrl = server.url("logged").parse().unwrap();
    let session = Connector::new(url).unwrap().connect().await.unwrap();
    // The transaction that wrote the row.
    let writer = async || -> String {
        let select = "SELECT xmin::text FROM member WHERE process = 'one'";
        session.client.query_one(select, &[]).await.unwrap().get(0)
    };
    reports.exchange("one", ONE, b"a").await.unwrap();
    let joined = writer().await;
    for _ in 0..3 {
        reports.exchange("one", ONE, b"b").await.unwrap();
    }
    assert_eq!(writer().await, joined);
    // As if another release had run here before.
    sql(&server, "logged", "UPDATE member SET known_schema = 99").await;
    reports.exchange("one", ONE, b"c").await.unwrap();
    let select = "SELECT known_schema FROM member";
    let known: i32 = session.client.query_one(select, &[]).await.unwrap().get(0);
    assert_eq!(known, schema::known());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silent_for_long_is_forgotten() {
    let server = PostgresServer::shared();
    let schema = schema();
    let store = open(&server, &schema).await;
    let reports = store.reports().unwrap();
    for name in ["lost", "old", "own", "recent"] {
        reports.exchange(name, ONE, b"x").await.unwrap();
    }
    sql(
        &server,
        &schema,
        "DELETE FROM report WHERE process = 'lost'",
    )
    .await;
    reports.exchange("own", ONE, b"y").await.unwrap();
    let all = [
        unknown("lost"),
        reported("old", "x"),
        reported("own", "y"),
        reported("recent", "x"),
    ];
    assert_eq!(members(&*reports).await, all, "it may report soon");
    let later = "
        UPDATE reports_since SET at = at - interval '61 minutes';
        UPDATE report SET at = at - interval '61 minutes' WHERE process = 'old';
        UPDATE report SET at = at - interval '59 minutes' WHERE process = 'recent'";
    sql(&server, &schema, later).await;
    reports.exchange("own", ONE, b"y").await.unwrap();
    assert_eq!(members(&*reports).await, all[2..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_name_replace_each_other_s_report() {
    let server = PostgresServer::shared();
    let schema = schema();
    let store = open(&server, &schema).await;
    let reports = store.reports().unwrap();
    reports.exchange("one", ONE, b"original").await.unwrap();
    let seen = reports.exchange("one", TWO, b"copy").await.unwrap();
    let replaced = seen.replaced.unwrap();
    assert_eq!((replaced.run, &replaced.value[..]), (ONE, &b"original"[..]));
    assert_eq!(seen.members.len(), 1);
    // The one that ends leaves the other one's report.
    reports.withdraw("one", ONE).await.unwrap();
    assert_eq!(members(&*reports).await, [reported("one", "copy")]);
    reports.withdraw("one", TWO).await.unwrap();
    assert_eq!(members(&*reports).await, []);
}
