//! Reports of processes on one database.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn processes_read_each_other_s_reports() {
    let server = PostgresServer::shared();
    let schema = schema();
    let (one, two) = tokio::join!(open(&server, &schema), open(&server, &schema));
    let head = commit(&one, [put("d/a", "1")]).await;
    let (one, two) = (one.reports().unwrap(), two.reports().unwrap());
    let empty = one.read().await.unwrap();
    assert_eq!((empty.reports.len(), empty.head), (0, head));

    one.exchange("one", b"first").await.unwrap();
    two.exchange("two", b"hello").await.unwrap();
    let seen = one.exchange("one", b"second").await.unwrap();
    let reports: Vec<_> = seen
        .reports
        .iter()
        .map(|report| (report.from.as_str(), &report.value[..]))
        .collect();
    assert_eq!(reports, [("one", &b"second"[..]), ("two", &b"hello"[..])]);
    assert!(seen.reports[1].age_ms >= seen.reports[0].age_ms);
    assert_eq!(seen.head, head, "a report is no commit");
    let off_ms = now().since_ms(seen.now).abs();
    assert!(off_ms < 60_000, "{off_ms}");

    two.withdraw("two").await.unwrap();
    let left = one.read().await.unwrap().reports;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].from, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_begin_again_after_a_crash_of_the_server() {
    let server = Arc::new(PostgresServer::start());
    let store = open(&server, "reports").await;
    let reports = store.reports().unwrap();
    reports.exchange("one", b"before").await.unwrap();
    let restarted = Arc::clone(&server);
    let restart = move || {
        restarted.kill();
        restarted.start_again();
    };
    tokio::task::spawn_blocking(restart).await.unwrap();
    assert_eq!(reports.read().await.unwrap().reports, []);
    let seen = reports.exchange("two", b"after").await.unwrap();
    assert_eq!(seen.reports.len(), 1);
}
