use std::sync::Arc;

use edgeseal_core::{
    AccountId,
    alarm::{Phase, Severity},
    certificate::Digest,
    delivery::DeliveryConfig,
    domain::{Binding, Coverage, DomainMode, ServiceType},
};
use edgeseal_store::{
    Keyring, LogWrite, Txn, Write,
    memory::MemoryStore,
    record::{HistoryRecord, encode, encode_summary},
};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const INTERVAL: Duration = Duration::from_secs(60);

pub(crate) fn domain(name: &str, managed: bool) -> Domain {
    Domain {
        id: 1,
        name: DomainPattern::parse(name).unwrap(),
        account: AccountId::from_random(1),
        state: DomainState::Online,
        mode: DomainMode::Normal,
        service: ServiceType::Web,
        coverage: Coverage::Domestic,
        origins: Vec::new(),
        origin_permission: Default::default(),
        description: String::new(),
        resource_group: String::new(),
        tags: Vec::new(),
        created: NOW.plus_ms(-1000 * DAY_MS),
        modified: NOW,
        production: Some(Binding {
            enabled: true,
            certificate: 1,
            material: Digest::of(b""),
            covers: true,
            updated: NOW,
            companion: None,
        }),
        staging: None,
        settings: Vec::new(),
        staged_settings: Vec::new(),
        delivery: DeliveryConfig::default(),
        staged_delivery: None,
        managed: managed
            .then_some(Environment::Production)
            .into_iter()
            .collect(),
    }
}

/// Writes a domain whose certificate, which lives 90 days, was replaced so many days ago.
async fn write(catalog: &Catalog, domain: &Domain, replaced: &[i64]) {
    let latest = replaced.iter().min().unwrap();
    let end = NOW.plus_ms((90 - latest) * DAY_MS);
    let served = BindingSummary {
        certificate: 1,
        expires: end,
        leaf_expires: end,
        life_ms: 90 * DAY_MS,
    };
    let summary = DomainSummary::of(domain, Some(served), None);
    let mut log = Vec::new();
    let write = vec![
        Write::put(Key::domain(&domain.name), encode(domain).unwrap()),
        Write::put(
            Key::account_domain(&domain.account, &domain.name),
            encode_summary(&summary).unwrap(),
        ),
    ];
    for days in replaced {
        let at = NOW.plus_ms(-days * DAY_MS);
        let change = HistoryRecord {
            at,
            access_key: "key".to_owned(),
            action: "SetCdnDomainSSLCertificate".to_owned(),
            environment: Some(Environment::Production),
            before: Some(format!("before {days}")),
            after: Some(format!("after {days}")),
            before_companion: None,
            after_companion: None,
            // Only the latest is still there.
            certificate: Some(if days == latest { 1 } else { 2 + days }),
            companion: None,
            failed: None,
            request_id: days.to_string(),
        };
        let value = encode(&change).unwrap();
        log.push(LogWrite::history(
            &domain.name,
            at,
            &change.request_id,
            value,
        ));
    }
    let txn = Txn {
        write,
        log,
        ..Txn::default()
    };
    catalog.store().commit(txn).await.unwrap();
}

/// The certificate with this end, as far as it is read here.
async fn write_certificate(catalog: &Catalog, end: Timestamp) {
    let info = serde_json::json!({
        "id": 1, "account": AccountId::from_random(1), "name": "n", "source": "upload",
        "region": "r", "material": Digest::of(b""), "has_key": true, "created": NOW,
        "facts": {
            "common_name": "",
            "names": [], "issuer": "", "issuer_organization": "", "serial": "",
            "not_before": NOW, "not_after": end, "chain_not_after": end,
            "sha256": "", "sha1": "", "key": "ecdsa", "key_bits": 256,
        },
    });
    let record: CertificateRecord = serde_json::from_value(info).unwrap();
    let write = vec![Write::put(Key::certificate(1), encode(&record).unwrap())];
    let expect = Vec::new();
    catalog
        .store()
        .commit(Txn::new(expect, write))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_replacement_that_has_not_come_is_found_until_it_comes() {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let catalog = &Catalog::new(Arc::new(MemoryStore::new()), keyring);
    write_certificate(catalog, NOW.plus_ms(15 * DAY_MS)).await;
    let late = domain("late.example", false);
    write(catalog, &late, &[75, 135, 195, 255]).await;
    write(
        catalog,
        &domain("managed.example", true),
        &[75, 135, 195, 255],
    )
    .await;
    write(
        catalog,
        &domain("early.example", false),
        &[50, 110, 170, 230],
    )
    .await;
    write(catalog, &domain("once.example", false), &[75]).await;
    // Another account had the name until 100 days ago.
    let again = Domain {
        created: NOW.plus_ms(-100 * DAY_MS),
        ..domain("again.example", false)
    };
    write(catalog, &again, &[75, 135, 195, 255]).await;
    let (mut renewals, none) = (MissedRenewals::default(), BTreeMap::new());
    renewals
        .refresh(catalog, &none, INTERVAL, NOW)
        .await
        .unwrap();
    let missed = renewals.missed();
    let texts: Vec<&str> = missed.iter().map(|it| it.text.as_str()).collect();
    let due = NOW.plus_ms(-15 * DAY_MS);
    let expected = format!(
        "late.example: its certificate was replaced every 60 days, and the replacement due at {due} has not come"
    );
    assert_eq!(texts, [expected]);
    assert_eq!(missed[0].account, late.account);

    // A process that starts knows it from its alarm, before it has come to it again.
    let known = missed_alarm(&missed[0]);
    let mut later = MissedRenewals {
        pace: {
            let mut pace = Pace::default();
            pace.passed(Duration::ZERO, INTERVAL);
            pace
        },
        ..MissedRenewals::default()
    };
    later.refresh(catalog, &known, INTERVAL, NOW).await.unwrap();
    assert_eq!(later.missed(), missed);
    // A record that cannot be decoded neither ends the alarm nor stops the others.
    let damaged = Txn {
        write: vec![Write::put(Key::domain(&late.name), (&b"?"[..]).into())],
        ..Txn::default()
    };
    catalog.store().commit(damaged).await.unwrap();
    later.refresh(catalog, &known, INTERVAL, NOW).await.unwrap();
    assert_eq!(later.missed(), missed);

    // It comes: seen without another pass.
    write(catalog, &late, &[0]).await;
    assert!(!renewals.pace.is_due());
    renewals
        .refresh(catalog, &none, INTERVAL, NOW)
        .await
        .unwrap();
    assert_eq!(renewals.missed(), []);
}

fn missed_alarm(missed: &MissedRenewal) -> BTreeMap<AlarmId, Alarm> {
    let alarm = Alarm {
        severity: Severity::Warning,
        rung: 0,
        text: missed.text.clone(),
        account: Some(missed.account.clone()),
        domain: Some(missed.domain.clone()),
        first_seen: NOW,
        phase: Phase::Active,
        notified: None,
        notifications: 1,
        pending: Default::default(),
    };
    let id = AlarmId::new(Code::RenewalMissed, missed.domain.to_string());
    BTreeMap::from([(id, alarm)])
}

#[test]
fn an_account_has_room_for_its_share() {
    let mut renewals = MissedRenewals::default();
    let missed = |n: usize, account: u64| MissedRenewal {
        domain: DomainPattern::parse(&format!("d{n}.example")).unwrap(),
        account: AccountId::from_random(account),
        text: String::new(),
    };
    for n in 0..MISSED_MAX {
        let missed = missed(n, 1);
        assert!(renewals.has_room(&missed.account), "{n}");
        renewals.missed.insert(missed.domain.clone(), missed);
    }
    assert!(!renewals.has_room(&AccountId::from_random(1)));
    assert!(renewals.has_room(&AccountId::from_random(2)));
}
