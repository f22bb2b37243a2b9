use std::sync::Arc;

use edgeseal_store::{
    Keyring,
    catalog::{AuditQuery, NonceUse},
    memory::MemoryStore,
    record::AuditRecord,
};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn account() -> AccountId {
    AccountId::from_random(7)
}

fn refusal(number: usize, code: &str, resource: &str, now: Timestamp) -> AuditedRefusal {
    AuditedRefusal {
        audit: AuditContext {
            account: account(),
            principal: format!("acs:ram::{}:root", account()),
            access_key: "key".to_owned(),
            source: "::1".to_owned(),
            action: "Test".to_owned(),
            resource: resource.to_owned(),
            request_id: number.to_string(),
            nonce: Some(NonceUse {
                nonce: number.to_string(),
                expires: NOW.plus_ms(1_000_000),
            }),
            now,
        },
        code: code.to_owned(),
        is_dry_run: false,
        notes: vec!["why".to_owned()],
    }
}

fn records(entries: &[AuditWrite]) -> Vec<(&str, &[String])> {
    let records = entries.iter().filter_map(|entry| match entry {
        AuditWrite::Record(refusal) => {
            Some((refusal.audit.request_id.as_str(), &refusal.notes[..]))
        }
        AuditWrite::Nonce(_) => None,
    });
    records.collect()
}

#[test]
fn of_one_kind_the_first_is_written_and_the_rest_counted() {
    let mut gathered = Coalescer::default();
    let flood = (0..1000).map(|n| refusal(n, "Code", "a", NOW.plus_ms(n as i64)));
    let entries: Vec<AuditWrite> = flood.map(|one| gathered.add(one)).collect();
    assert_eq!(records(&entries), [("0", &["why".to_owned()][..])]);
    assert!(gathered.expire(NOW.plus_ms(WINDOW_MS - 1)).is_empty());
    let over = gathered.expire(NOW.plus_ms(WINDOW_MS));
    let note = "998 more of this kind within a minute before were left out";
    assert_eq!(
        records(&over),
        [("999", &["why".to_owned(), note.to_owned()][..])]
    );
    assert!(gathered.0.is_empty(), "no entry is kept");
}

#[test]
fn the_next_one_after_the_time_tells_of_those_before() {
    let mut gathered = Coalescer::default();
    for n in 0..11 {
        gathered.add(refusal(n, "Code", "a", NOW));
    }
    let next = gathered.add(refusal(11, "Code", "a", NOW.plus_ms(WINDOW_MS)));
    let note = "10 more of this kind within a minute before were left out";
    assert_eq!(
        records(&[next]),
        [("11", &["why".to_owned(), note.to_owned()][..])]
    );
    assert!(gathered.finish().is_empty(), "reported once");
}

#[test]
fn resources_are_recorded_separately_up_to_a_limit() {
    let mut gathered = Coalescer::default();
    let many = (0..3 * WRITTEN_MAX).map(|n| refusal(n, "Code", &n.to_string(), NOW));
    let entries: Vec<AuditWrite> = many.map(|one| gathered.add(one)).collect();
    assert_eq!(records(&entries).len(), WRITTEN_MAX);
}

#[test]
fn kinds_are_told_apart_and_identical_denials_are_counted() {
    let mut gathered = Coalescer::default();
    let codes = [
        "A",
        "B",
        "NoPermission",
        "NoPermission",
        "A",
        "NoPermission",
    ];
    let all = codes.iter().enumerate();
    let entries: Vec<AuditWrite> = all
        .map(|(n, code)| gathered.add(refusal(n, code, "a", NOW)))
        .collect();
    let written: Vec<&str> = records(&entries).iter().map(|(n, _)| *n).collect();
    assert_eq!(written, ["0", "1", "2"]);
}

#[test]
fn each_denial_of_something_else_or_of_somebody_else_is_written() {
    let mut gathered = Coalescer::default();
    for n in 0..3 * WRITTEN_MAX {
        let thing = refusal(n, "NoPermission", &n.to_string(), NOW);
        assert!(matches!(gathered.add(thing), AuditWrite::Record(_)), "{n}");
        let mut who = refusal(n, "NoPermission", "a", NOW);
        who.audit.principal = format!("acs:ram::{}:user/u{n}", account());
        assert!(matches!(gathered.add(who), AuditWrite::Record(_)), "{n}");
    }
}

#[test]
fn unauthenticated_refusals_are_bounded() {
    let mut gathered = Coalescer::default();
    let mut written = 0;
    for n in 0..5000 {
        let mut one = refusal(n, "SignatureDoesNotMatch", &n.to_string(), NOW);
        one.audit.principal = String::new();
        one.audit.action = format!("Action{}", n % 70);
        one.audit.source = (n / 10).to_string();
        written += usize::from(matches!(gathered.add(one), AuditWrite::Record(_)));
    }
    // One for each of the first sources, and one for all others.
    assert_eq!(written, UNAUTHENTICATED_KEYS_MAX + 1);
    // Refusals of authenticated callers are still recorded.
    let one = refusal(5000, "SignatureDoesNotMatch", "a", NOW);
    assert!(matches!(gathered.add(one), AuditWrite::Record(_)));
}

#[test]
fn the_table_is_bounded() {
    let mut gathered = Coalescer::default();
    let mut written = 0;
    for n in 0..2 * KEYS_MAX {
        let mut one = refusal(n, "Code", "a", NOW);
        one.audit.source = n.to_string();
        written += usize::from(matches!(gathered.add(one), AuditWrite::Record(_)));
    }
    assert_eq!(gathered.0.len(), KEYS_MAX + 1);
    assert_eq!(written, KEYS_MAX + 1);
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
    let span = AuditQuery {
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
        .map(|record| record.request_id.as_str())
        .collect();
    assert_eq!(requests, ["0", "4"]);
    assert_eq!(
        records[1].notes[1],
        "3 more of this kind within a minute before were left out"
    );
}
