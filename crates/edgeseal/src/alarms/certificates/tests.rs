use edgeseal_core::{
    alarm::Phase,
    domain::{Coverage, ServiceType},
};
use edgeseal_store::{
    Keyring, TXN_WRITES_MAX, Txn, Write, memory::MemoryStore, record::encode_summary,
};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const INTERVAL: Duration = Duration::from_secs(60);

struct World {
    catalog: Catalog,
    account: AccountId,
}

impl World {
    fn new() -> Self {
        let store = std::sync::Arc::new(MemoryStore::new());
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        Self {
            catalog: Catalog::new(store, keyring),
            account: AccountId::from_random(1),
        }
    }

    /// Domains with what they serve: production and staging, in days left of 90.
    async fn write(&self, domains: &[(&str, DomainState, Option<i64>, Option<i64>)]) {
        let write = domains.iter().map(|(name, state, served, staged)| {
            let summary = DomainSummary {
                id: 1,
                state: *state,
                service: ServiceType::Web,
                coverage: Coverage::Domestic,
                modified: NOW,
                resource_group: "",
                tags: Vec::new(),
                origins: Vec::new(),
                served: served.map(binding),
                staged: staged.map(binding),
                settings: Vec::new(),
            };
            let name = DomainPattern::parse(name).unwrap();
            let key = Key::account_domain(&self.account, &name);
            Write::put(key, encode_summary(&summary).unwrap())
        });
        let write: Vec<Write> = write.collect();
        for part in write.chunks(TXN_WRITES_MAX) {
            let txn = Txn::new(Vec::new(), part.to_vec());
            self.catalog.store().commit(txn).await.unwrap();
        }
    }

    async fn refresh(&self, served: &mut ServedCertificates) {
        served
            .refresh(&self.catalog, &BTreeMap::new(), INTERVAL, NOW)
            .await
            .unwrap();
    }
}

fn binding(days: i64) -> BindingSummary {
    let end = NOW.plus_ms(days * DAY_MS);
    BindingSummary {
        certificate: 1,
        expires: end,
        leaf_expires: end,
        life_ms: 90 * DAY_MS,
    }
}

fn due(served: &ServedCertificates, now: Timestamp) -> Vec<String> {
    let due = served.due(now);
    due.map(|it| format!("{} {:?}", it.domain, it.environment))
        .collect()
}

use DomainState::{Offline, Online};

#[tokio::test]
async fn what_is_due_is_known_without_another_pass() {
    let world = World::new();
    world
        .write(&[
            ("a.example", Online, Some(60), None),
            ("b.example", Online, Some(10), Some(2)),
            ("c.example", Online, Some(-1), None),
            ("d.example", Offline, Some(-1), None),
            ("e.example", Online, None, None),
        ])
        .await;
    let mut served = ServedCertificates::default();
    world.refresh(&mut served).await;
    let expected = [
        "c.example Production",
        "b.example Staging",
        "b.example Production",
    ];
    assert_eq!(due(&served, NOW), expected);
    let counts = ExpiryCounts {
        expired: 1,
        expiring: 2,
    };
    assert_eq!(served.counts(NOW), counts);
    assert_eq!(served.within(), [1, 1, 1, 1, 2, 2, 3, 3, 3]);
    let nearest = served.nearest(2);
    let nearest: Vec<&str> = nearest.iter().map(|(domain, _)| domain.as_str()).collect();
    assert_eq!(nearest, ["c.example", "b.example"]);
    // Time passes.
    assert_eq!(due(&served, NOW.plus_ms(30 * DAY_MS)).len(), 4);

    // A renewal, one that has stopped, and one that is gone are seen at once; a new one later.
    world
        .write(&[
            ("b.example", Online, Some(89), Some(2)),
            ("c.example", Offline, Some(-1), None),
            ("f.example", Online, Some(1), None),
        ])
        .await;
    world.refresh(&mut served).await;
    assert_eq!(due(&served, NOW), ["b.example Staging"]);
    served.pace = Pace::default();
    world.refresh(&mut served).await;
    assert_eq!(
        due(&served, NOW),
        ["f.example Production", "b.example Staging"]
    );
}

#[tokio::test]
async fn the_most_urgent_are_kept_and_the_others_counted() {
    let world = World::new();
    let names: Vec<String> = (0..DUE_MAX + 5).map(|n| format!("d{n}.example")).collect();
    let domains = names.iter().enumerate();
    let domains = domains.map(|(n, name)| {
        let days = if n < 5 { 20 } else { 1 };
        (name.as_str(), Online, Some(days), None)
    });
    world.write(&domains.collect::<Vec<_>>()).await;
    let mut served = ServedCertificates::default();
    world.refresh(&mut served).await;
    assert_eq!(served.due(NOW).count(), DUE_MAX);
    let is_of_few_days = |it: &ServedCertificate| it.not_after == NOW.plus_ms(DAY_MS);
    assert!(served.due(NOW).all(is_of_few_days));
    assert_eq!(served.counts(NOW).expiring, DUE_MAX + 5);
    assert_eq!(served.left_out(), 5);

    // One that has an alarm stays, although others are more urgent; another was renewed.
    world.write(&[("d1.example", Online, Some(80), None)]).await;
    let alarms = ["d0.example", "d1.example"].map(|name| alarm(&world, name));
    let alarms = alarms.into();
    served.pace = Pace::default();
    let refreshed = served.refresh(&world.catalog, &alarms, INTERVAL, NOW);
    refreshed.await.unwrap();
    assert_eq!(served.due(NOW).count(), DUE_MAX + 1);
    assert!(
        served
            .due(NOW)
            .any(|it| it.domain.to_string() == "d0.example")
    );
    assert_eq!(served.left_out(), 3);

    // All are renewed: each is read again in its turn.
    let renewed = names
        .iter()
        .map(|name| (name.as_str(), Online, Some(80), None));
    world.write(&renewed.collect::<Vec<_>>()).await;
    for _ in 0..=DUE_MAX / READ_AGAIN_MAX {
        assert!(!served.pace.is_due());
        world.refresh(&mut served).await;
    }
    assert_eq!(served.due(NOW).count(), 0);
}

fn alarm(world: &World, name: &str) -> (AlarmId, Alarm) {
    let alarm = Alarm {
        severity: Severity::Info,
        rung: 0,
        text: String::new(),
        account: Some(world.account.clone()),
        domain: DomainPattern::parse(name).ok(),
        first_seen: NOW,
        phase: Phase::Active,
        notified: None,
        notifications: 1,
        pending: Default::default(),
    };
    (AlarmId::new(Code::CertificateExpiring, name), alarm)
}
