//! Challenges are published and withdrawn together, and confirmed by the edges that live.

use edgeseal_core::{DomainName, challenge::KeyAuthorization, domain::Environment};

use super::*;
use crate::{
    Revision, Write,
    catalog::{CONFIRM_WITHIN_MS, ChallengeConfirmation},
    consistency, key,
    record::{ChallengeRecord, EdgeRecord},
    rollout::SILENT_AFTER_MS,
    write_all,
};

const EXPIRES: Timestamp = NOW.plus_ms(60_000);

fn host() -> DomainName {
    DomainName::parse("a.example.com").unwrap()
}

fn authorization(token: &str) -> KeyAuthorization {
    KeyAuthorization::parse(&format!("{token}.{}", "t".repeat(43))).unwrap()
}

fn edge(group: &str, id: &str, challenge_revision: u64) -> EdgeRecord {
    EdgeRecord {
        challenge_revision,
        at: NOW,
        ..EdgeRecord::new(group, id)
    }
}

#[tokio::test]
async fn challenges_come_and_go_and_expire() {
    let catalog = catalog();
    let both = [
        ChallengeRecord::http_01(host(), authorization("one"), EXPIRES),
        ChallengeRecord::tls_alpn_01(host(), &authorization("one"), EXPIRES),
    ];
    let first = catalog.publish_challenges(&both).await.unwrap();
    let page = catalog.store().list(key::CHALLENGES, None, 10).await;
    let entries = page.unwrap().entries;
    let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "challenge/http-01/one",
            "challenge/tls-alpn-01/a.example.com"
        ]
    );
    assert!(
        entries.iter().all(|entry| entry.revision == first),
        "one commit"
    );
    assert_eq!(catalog.challenges().await.unwrap(), both);
    let found = consistency::check(&**catalog.store()).await.unwrap();
    assert_eq!(found.findings, []);

    // Another order of the same host takes its tls-alpn-01 challenge over, and keeps it.
    let other = ChallengeRecord::tls_alpn_01(host(), &authorization("two"), EXPIRES);
    let second = catalog
        .publish_challenges(std::slice::from_ref(&other))
        .await;
    assert!(second.unwrap() > first);
    for _ in 0..2 {
        catalog.withdraw_challenges(&both).await.unwrap();
        assert_eq!(
            catalog.challenges().await.unwrap(),
            std::slice::from_ref(&other)
        );
    }
    catalog.sweep(EXPIRES.plus_ms(1)).await.unwrap();
    assert_eq!(catalog.challenges().await.unwrap(), []);
    assert!(other.is_pending(EXPIRES) && !other.is_pending(EXPIRES.plus_ms(1)));
}

#[tokio::test]
async fn a_challenge_under_a_foreign_key_is_found() {
    let catalog = catalog();
    let challenge = ChallengeRecord::http_01(host(), authorization("one"), EXPIRES);
    let value = record::encode(&challenge).unwrap();
    let elsewhere = Key::from_stored("challenge/http-01/two");
    let write = vec![Write::put(elsewhere.clone(), value)];
    write_all(&**catalog.store(), write).await.unwrap();
    let found = consistency::check(&**catalog.store()).await.unwrap();
    let keys: Vec<&Key> = found.findings.iter().map(|finding| &finding.key).collect();
    assert_eq!(keys, [&elsewhere]);
}

#[test]
fn live_edges_of_the_environment_are_waited_for() {
    let published = (Revision(10), NOW);
    let reports = [
        (Revision(11), edge("default", "confirmed", 10)),
        (Revision(12), edge("default", "behind", 9)),
        (Revision(9), edge("default", "gone", 0)),
        (Revision(12), edge("staging", "other", 0)),
    ];
    let of = |now| ChallengeConfirmation::of(&reports, Environment::Production, published, now);
    let soon = of(NOW.plus_ms(CONFIRM_WITHIN_MS - 1));
    assert_eq!(soon.confirmed, 1);
    assert_eq!(soon.missing, ["default/behind", "default/gone"]);
    // The one that has reported since lives, and is behind.
    assert_eq!(
        of(NOW.plus_ms(CONFIRM_WITHIN_MS)).missing,
        ["default/behind"]
    );
    let silent = of(NOW.plus_ms(SILENT_AFTER_MS + 1));
    assert_eq!(silent, ChallengeConfirmation::default());
    assert!(!silent.is_complete(), "nobody answers");
    let staging = ChallengeConfirmation::of(&reports, Environment::Staging, published, NOW);
    assert_eq!(staging.missing, ["staging/other"]);
    let all = ChallengeConfirmation::of(&reports[..1], Environment::Production, published, NOW);
    assert!(all.is_complete());
}

#[tokio::test]
async fn confirmation_is_read_from_the_reports() {
    let catalog = catalog();
    let challenge = ChallengeRecord::http_01(host(), authorization("one"), EXPIRES);
    let published = catalog.publish_challenges(&[challenge]).await.unwrap();
    let report = |reached| {
        let value = record::encode(&edge("default", "one", reached)).unwrap();
        write_all(
            &**catalog.store(),
            vec![Write::put(Key::edge("default", "one"), value)],
        )
    };
    let confirmation =
        || catalog.challenge_confirmation(Environment::Production, (published, NOW), NOW);
    report(0).await.unwrap();
    assert_eq!(confirmation().await.unwrap().missing, ["default/one"]);
    report(published.0).await.unwrap();
    assert!(confirmation().await.unwrap().is_complete());
}
