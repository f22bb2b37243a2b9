//! Alarms and silences.

use std::collections::BTreeSet;

use bytes::Bytes;
use edgeseal_core::alarm::{Alarm, AlarmId, Code, Phase, Severity, Silence};

use super::*;
use crate::{
    Key, Txn, Write,
    lease::{LeaseName, Term, candidates},
    record::{BindingSummary, DomainSummary, EdgeRecord, encode},
};

fn alarm(text: &str) -> Alarm {
    Alarm {
        severity: Severity::Warning,
        rung: 1,
        text: text.to_owned(),
        account: Some(account()),
        domain: None,
        first_seen: NOW,
        phase: Phase::Clearing { since: NOW },
        notified: None,
        notifications: 2,
        pending: BTreeSet::from(["pager".to_owned()]),
    }
}

async fn write(catalog: &Catalog, changes: &[(AlarmId, Option<Alarm>)]) {
    let [mut process, _] = candidates(catalog.store(), LeaseName::Alarms);
    let term = process.attempt().await.unwrap().unwrap();
    let written = catalog.write_alarms(changes, &term);
    assert!(written.await.unwrap());
}

#[tokio::test]
async fn only_the_holder_of_the_lease_writes_alarms() {
    let catalog = catalog();
    let id = AlarmId::new(Code::EdgeSilent, "production/a");
    let text = async || {
        catalog
            .alarms()
            .await
            .unwrap()
            .remove(&id)
            .map(|it| it.text)
    };
    let change = |text: &str| [(id.clone(), Some(alarm(text)))];
    let write = async |text: &str, term: &Term| {
        let written = catalog.write_alarms(&change(text), term).await;
        written.unwrap()
    };
    let [mut a, mut b] = candidates(catalog.store(), LeaseName::Alarms);
    let first = a.attempt().await.unwrap().unwrap();
    assert!(write("before", &first).await);
    // It was suspended; meanwhile another one had the lease.
    a.release().await.unwrap();
    let of_other = b.attempt().await.unwrap().unwrap();
    assert!(!write("late", &first).await);
    b.release().await.unwrap();
    let second = a.attempt().await.unwrap().unwrap();
    for term in [first, of_other] {
        assert!(!write("late", &term).await);
    }
    assert_eq!(text().await.as_deref(), Some("before"));
    assert!(write("after", &second).await);
    assert_eq!(text().await.as_deref(), Some("after"));
}

#[tokio::test]
async fn alarms_are_written_and_removed() {
    let catalog = catalog();
    let ids = [
        AlarmId::new(Code::EdgeSilent, "production/a"),
        AlarmId::new(Code::CertificateExpiring, "*.a.example@staging"),
    ];
    let both = ids.clone().map(|id| (id.clone(), Some(alarm(&id.subject))));
    write(&catalog, &both).await;
    let stored = catalog.alarms().await.unwrap();
    for (id, alarm) in both {
        assert_eq!(stored.get(&id), alarm.as_ref());
    }
    let gone = [(ids[0].clone(), None)];
    write(&catalog, &gone).await;
    let left: Vec<AlarmId> = catalog.alarms().await.unwrap().into_keys().collect();
    assert_eq!(left, ids[1..]);
}

#[tokio::test]
async fn a_record_of_another_release_ends_no_alarms() {
    let catalog = catalog();
    let good = AlarmId::new(Code::EdgeSilent, "production/a");
    let changes = [(good.clone(), Some(alarm("it")))];
    write(&catalog, &changes).await;
    let bad = AlarmId::new(Code::EdgeSilent, "production/b");
    let domain = DomainPattern::parse("a.example.com").unwrap();
    let edge = EdgeRecord::new("production", "a");
    let written = Write::put(Key::edge("production", "a"), encode(&edge).unwrap());
    let keys = [
        Key::alarm(&bad),
        Key::alarm_silence(&account(), &domain, true),
        Key::edge("production", "b"),
    ];
    let value = Bytes::from_static(br#"{"v":1,"severity":"apocalyptic"}"#);
    let mut write = keys.map(|key| Write::put(key, value.clone())).to_vec();
    write.push(written);
    let expect = Vec::new();
    catalog
        .store()
        .commit(Txn::new(expect, write))
        .await
        .unwrap();
    let read: Vec<AlarmId> = catalog.alarms().await.unwrap().into_keys().collect();
    assert_eq!(read, [good]);
    assert_eq!(catalog.alarm_silences(None).await.unwrap(), []);
    assert_eq!(catalog.decodable_edges().await.unwrap(), [edge]);
}

/// Who silences, and what is left after the account and after the operator have ended it.
#[tokio::test]
async fn silences_are_read_back_and_end() {
    let catalog = &catalog();
    let domain = domain("a.example.com", None);
    add(catalog, &domain).await;
    let silence = |by_operator| Silence {
        domain: domain.name.clone(),
        account: account(),
        by_operator,
        until: None,
        since: NOW,
    };
    let both = [silence(false), silence(true)];
    let audit = &audit_context();
    silence_all(catalog, &both).await;
    for of in [None, Some(&account())] {
        assert_eq!(catalog.alarm_silences(of).await.unwrap(), both);
    }
    let stranger = AccountId::from_random(77);
    let others = catalog.alarm_silences(Some(&stranger)).await.unwrap();
    assert_eq!(others, []);
    let domain = &domain;
    for (by_operator, was_silenced, left) in [
        (false, true, &both[1..]),
        (false, false, &both[1..]),
        (true, true, &[]),
    ] {
        let ended = catalog.transact(audit, |mut draft| async move {
            let was = draft.unsilence_alarms(domain, by_operator).await?;
            Ok::<_, ChangeError<()>>((draft, was))
        });
        assert_eq!(ended.await.unwrap().value, was_silenced);
        assert_eq!(catalog.alarm_silences(None).await.unwrap(), left);
    }
    silence_all(catalog, &both).await;
    let deleted = catalog.transact(audit, |mut draft| async move {
        draft.delete_domain(domain).await?;
        Ok::<_, ChangeError<()>>((draft, ()))
    });
    deleted.await.unwrap();
    let left = catalog.alarm_silences(None).await.unwrap();
    assert_eq!(left, [], "silences go with their domain");
}

async fn silence_all(catalog: &Catalog, silences: &[Silence]) {
    let audit = &audit_context();
    let stored = catalog.transact(audit, |mut draft| async move {
        for silence in silences {
            draft.silence_alarms(silence)?;
        }
        Ok::<_, ChangeError<()>>((draft, ()))
    });
    stored.await.unwrap();
}

#[tokio::test]
async fn summaries_of_all_accounts_tell_what_is_served_and_staged() {
    let catalog = &catalog();
    let row = upload(catalog, 1, "a").await;
    let mut both = domain("both.example.com", Some(&row));
    both.staging.clone_from(&both.production);
    add(catalog, &both).await;
    add(catalog, &domain("none.example.com", None)).await;
    let fold = |found: &mut Vec<_>, (account, name): (&str, &str), it: &DomainSummary<'_>| {
        found.push((account.to_owned(), name.to_owned(), it.served, it.staged));
    };
    let found = catalog.fold_all_domains(fold).await.unwrap();
    let served = Some(BindingSummary {
        certificate: row.id,
        expires: row.info.chain_not_after,
        leaf_expires: row.info.not_after,
        life_ms: row.info.not_after.since_ms(row.info.not_before),
    });
    let account = account().to_string();
    let expected = [
        (
            account.clone(),
            "both.example.com".to_owned(),
            served,
            served,
        ),
        (account, "none.example.com".to_owned(), None, None),
    ];
    assert_eq!(found, expected);
}
