use std::sync::Arc;

use edgeseal_store::{
    Keyring,
    catalog::{AuditSpan, NonceUse},
    memory::MemoryStore,
    record::AuditRecord,
};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn account() -> AccountId {
    AccountId::from_random(7)
}

fn refusal(number: usize, code: &str, resource: &str, now: Timestamp) -> Refusal {
    Refusal {
        deed: Deed {
            account: account(),
            principal: format!("acs:ram::{}:root", account()),
            access_key: "key".to_owned(),
            source: "::1".to_owned(),
            action: "Test".to_owned(),
            resource: resource.to_owned(),
            request: number.to_string(),
            nonce: Some(NonceUse {
                nonce: number.to_string(),
                expires: NOW.plus_ms(1_000_000),
            }),
            now,
        },
        code: code.to_owned(),
        notes: vec!["why".to_owned()],
    }
}

fn records(entries: &[Entry]) -> Vec<(&str, &[String])> {
    let records = entries.iter().filter_map(|entry| match entry {
        Entry::Record(refusal) => Some((refusal.deed.request.as_str(), &refusal.notes[..])),
        Entry::Nonce(_) => None,
    });
    records.collect()
}

#[test]
fn of_one_kind_the_first_is_written_and_the_rest_counted() {
    let mut gathered = Gathered::default();
    let flood = (0..1000).map(|n| refusal(n, "Code", "a", NOW.plus_ms(n as i64)));
    let entries: Vec<Entry> = flood.map(|one| gathered.take(one)).collect();
    assert_eq!(records(&entries), [("0", &["why".to_owned()][..])]);
    assert!(gathered.over(NOW.plus_ms(WINDOW_MS - 1)).is_empty());
    let over = gathered.over(NOW.plus_ms(WINDOW_MS));
    let note = "998 more of this kind within a minute before were left out";
    assert_eq!(
        records(&over),
        [("999", &["why".to_owned(), note.to_owned()][..])]
    );
    assert!(gathered.0.is_empty(), "nothing is kept");
}

#[test]
fn the_next_one_after_the_time_tells_of_those_before() {
    let mut gathered = Gathered::default();
    for n in 0..11 {
        gathered.take(refusal(n, "Code", "a", NOW));
    }
    let next = gathered.take(refusal(11, "Code", "a", NOW.plus_ms(WINDOW_MS)));
    let note = "10 more of this kind within a minute before were left out";
    assert_eq!(
        records(&[next]),
        [("11", &["why".to_owned(), note.to_owned()][..])]
    );
    assert!(gathered.end().is_empty(), "told once");
}

#[test]
fn things_are_told_apart_up_to_a_limit() {
    let mut gathered = Gathered::default();
    let many = (0..3 * WRITTEN_MAX).map(|n| refusal(n, "Code", &n.to_string(), NOW));
    let entries: Vec<Entry> = many.map(|one| gathered.take(one)).collect();
    assert_eq!(records(&entries).len(), WRITTEN_MAX);
}

#[test]
fn kinds_are_told_apart_and_identical_denials_are_counted() {
    let mut gathered = Gathered::default();
    let codes = [
        "A",
        "B",
        "NoPermission",
        "NoPermission",
        "A",
        "NoPermission",
    ];
    let all = codes.iter().enumerate();
    let entries: Vec<Entry> = all
        .map(|(n, code)| gathered.take(refusal(n, code, "a", NOW)))
        .collect();
    let written: Vec<&str> = records(&entries).iter().map(|(n, _)| *n).collect();
    assert_eq!(written, ["0", "1", "2"]);
}

#[test]
fn each_denial_of_something_else_or_of_somebody_else_is_written() {
    let mut gathered = Gathered::default();
    for n in 0..3 * WRITTEN_MAX {
        let thing = refusal(n, "NoPermission", &n.to_string(), NOW);
        assert!(matches!(gathered.take(thing), Entry::Record(_)), "{n}");
        let mut who = refusal(n, "NoPermission", "a", NOW);
        who.deed.principal = format!("acs:ram::{}:user/u{n}", account());
        assert!(matches!(gathered.take(who), Entry::Record(_)), "{n}");
    }
}

#[test]
fn calls_of_nobody_leave_few_records_whatever_they_say() {
    let mut gathered = Gathered::default();
    let mut written = 0;
    for n in 0..5000 {
        let mut one = refusal(n, "SignatureDoesNotMatch", &n.to_string(), NOW);
        one.deed.principal = String::new();
        one.deed.action = format!("Action{}", n % 70);
        one.deed.source = (n / 10).to_string();
        written += usize::from(matches!(gathered.take(one), Entry::Record(_)));
    }
    // One for each of the first addresses, and one for all others.
    assert_eq!(written, UNPROVEN_KINDS_MAX + 1);
    // Whoever is proven is not told less for it.
    let one = refusal(5000, "SignatureDoesNotMatch", "a", NOW);
    assert!(matches!(gathered.take(one), Entry::Record(_)));
}

#[test]
fn the_table_is_bounded() {
    let mut gathered = Gathered::default();
    let mut written = 0;
    for n in 0..2 * KINDS_MAX {
        let mut one = refusal(n, "Code", "a", NOW);
        one.deed.source = n.to_string();
        written += usize::from(matches!(gathered.take(one), Entry::Record(_)));
    }
    assert_eq!(gathered.0.len(), KINDS_MAX + 1);
    assert_eq!(written, KINDS_MAX + 1);
}

#[tokio::test]
async fn what_is_left_out_still_uses_its_nonce_up_and_the_end_tells_of_it() {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let catalog = Catalog::new(Arc::new(MemoryStore::new()), keyring);
    let (sender, waiting) = mpsc::channel(16);
    let writer = tokio::spawn(write(catalog.clone(), || NOW, waiting));
    for n in 0..5 {
        sender
            .send(refusal(n, "Code", "a", NOW.plus_ms(n as i64)))
            .await
            .unwrap();
    }
    drop(sender);
    writer.await.unwrap();
    for n in 0..5 {
        assert!(
            catalog.is_nonce_used("key", &n.to_string()).await.unwrap(),
            "{n}"
        );
    }
    let span = AuditSpan {
        from: None,
        until: None,
        newest_first: false,
        after: None,
    };
    let page = catalog.audit(&account(), span, 10).await.unwrap();
    let records: Vec<AuditRecord> = page
        .records
        .into_iter()
        .filter_map(|(_, record)| record)
        .collect();
    let requests: Vec<&str> = records
        .iter()
        .map(|record| record.request.as_str())
        .collect();
    assert_eq!(requests, ["0", "4"]);
    assert_eq!(
        records[1].notes[1],
        "3 more of this kind within a minute before were left out"
    );
}
