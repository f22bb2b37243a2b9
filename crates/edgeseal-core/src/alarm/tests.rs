use std::collections::BTreeMap;

use super::*;
use crate::{Timestamp, domain::Environment};

mod lifecycle;

const DAY: i64 = 86_400_000;
const HOUR: i64 = DAY / 24;
const MINUTE: i64 = 60_000;
const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

type Alarms = BTreeMap<AlarmId, Alarm>;
type Conditions = BTreeMap<AlarmId, Condition>;

fn domain(name: &str) -> DomainPattern {
    DomainPattern::parse(name).unwrap()
}

fn certificate(remaining: i64, life: i64) -> ServedCertificate {
    ServedCertificate {
        domain: domain("www.a.example"),
        account: AccountId::from_random(1),
        environment: Environment::Production,
        not_after: NOW.plus_ms(remaining),
        leaf_not_after: NOW.plus_ms(remaining),
        life_ms: life,
    }
}

#[test]
fn codes_have_words_of_their_own() {
    for code in Code::ALL {
        let facts = code.facts();
        assert_eq!(Code::parse(facts.word), Some(*code));
        let json = serde_json::to_string(code).unwrap();
        assert_eq!(
            json,
            format!("{:?}", facts.word),
            "serialized like the word"
        );
        assert!(facts.severities.is_sorted(), "{code}");
        assert!(facts.meaning.ends_with('.') && facts.remedy.ends_with('.'));
    }
}

/// The first time left at which each rung is reached, by the life of the certificate.
#[test]
fn the_ladder_scales_with_the_life() {
    use Rung::{Day1, Days3, Days7, Days14, Days30, Expired};
    for (life, steps) in [
        (398, [30 * DAY, 14 * DAY, 7 * DAY, 3 * DAY, DAY, 0]),
        (90, [30 * DAY, 14 * DAY, 7 * DAY, 3 * DAY, DAY, 0]),
        (47, [47 * DAY / 3, 47 * DAY / 4, 7 * DAY, 3 * DAY, DAY, 0]),
        (6, [2 * DAY, 36 * HOUR, DAY, 6 * DAY / 10, 6 * DAY / 20, 0]),
        (0, [0; 6]),
    ] {
        let rungs = [Days30, Days14, Days7, Days3, Day1, Expired];
        for (step, expected) in steps.into_iter().zip(rungs) {
            let reached = rung(NOW.plus_ms(step), life * DAY, NOW);
            assert!(
                reached >= Some(expected),
                "{life} days, {step} ms left: {reached:?}"
            );
            let earlier = rung(NOW.plus_ms(step + 1), life * DAY, NOW);
            assert!(
                earlier < Some(expected),
                "{life} days, {step} ms left: {earlier:?}"
            );
        }
        let start = rung_start(NOW, life * DAY);
        assert!(rung(NOW, life * DAY, start).is_some());
        assert_eq!(
            rung(NOW, life * DAY, start.plus_ms(-1)),
            None,
            "{life} days"
        );
        // Never more than the last third of its life.
        assert!(NOW.since_ms(start) <= life * DAY / 3);
    }
}

#[test]
fn expiry_is_told_with_what_ends() {
    let by_chain = ServedCertificate {
        leaf_not_after: NOW.plus_ms(60 * DAY),
        ..certificate(DAY, 90 * DAY)
    };
    let staged = ServedCertificate {
        environment: Environment::Staging,
        ..certificate(-DAY, 90 * DAY)
    };
    for (served, subject, severity, text) in [
        (certificate(31 * DAY, 90 * DAY), "", Severity::Info, ""),
        (
            certificate(29 * DAY, 90 * DAY),
            "www.a.example",
            Severity::Info,
            "its certificate expires at ",
        ),
        (
            certificate(13 * DAY, 90 * DAY),
            "www.a.example",
            Severity::Warning,
            "its certificate expires at ",
        ),
        (
            certificate(0, 90 * DAY),
            "www.a.example",
            Severity::Critical,
            "its certificate expired at ",
        ),
        (certificate(5 * DAY, 6 * DAY), "", Severity::Info, ""),
        (
            by_chain,
            "www.a.example",
            Severity::Critical,
            "an intermediate of its certificate expires at ",
        ),
        (
            staged,
            "www.a.example@staging",
            Severity::Critical,
            "its certificate on staging edges expired at ",
        ),
    ] {
        let snapshot = Snapshot {
            certificates: Some(vec![served]),
            ..Snapshot::default()
        };
        let found = evaluate(&snapshot, &Alarms::new(), NOW);
        if subject.is_empty() {
            assert_eq!(found, Conditions::new());
            continue;
        }
        let condition = &found[&AlarmId::new(Code::CertificateExpiring, subject)];
        assert_eq!(condition.severity, severity, "{condition:?}");
        assert!(
            condition
                .text
                .starts_with(&format!("www.a.example: {text}")),
            "{condition:?}"
        );
        assert_eq!(condition.account, Some(AccountId::from_random(1)));
    }
}

#[test]
fn conditions_of_edges_keys_disk_store_and_channels() {
    let held = |name: &str| (domain(name), "why".to_owned());
    let edge = |name: &str, is_silent| EdgeReport {
        name: name.to_owned(),
        at: NOW,
        is_silent,
        quarantined: vec![held("q.example")],
        unproven: vec![held("u.example")],
        quarantined_more: 0,
        unproven_more: u64::from(is_silent),
        disk: is_silent.then_some(DiskUse {
            free: 5,
            total: 100,
            wanted: None,
        }),
    };
    let edges = ["p/1", "p/2", "p/3", "p/4"].map(|name| edge(name, false));
    let keys = KeyEncryptionFacts {
        active: "k1".to_owned(),
        since: Some(NOW.plus_ms(-400 * DAY)),
        max_age_ms: Some(400 * DAY),
        unopened: Some(2),
    };
    let failing = |minutes: i64| (NOW.plus_ms(-minutes * MINUTE), "503".to_owned());
    let snapshot = Snapshot {
        edges: Some([&edges[..], &[edge("p/5", true)]].concat()),
        misled_visitors: Some(vec![MisledVisitors {
            domain: domain("m.example"),
            text: "m.example has no address".to_owned(),
        }]),
        key_encryption: Some(keys),
        unlinked_audits: Some(BTreeMap::from([("linker".to_owned(), "off".to_owned())])),
        store_failure: Some(Some("gone".to_owned())),
        failing_channels: Some(BTreeMap::from([
            ("long".to_owned(), failing(15)),
            ("short".to_owned(), failing(14)),
        ])),
        ..Snapshot::default()
    };
    let found = evaluate(&snapshot, &Alarms::new(), NOW);
    let told: Vec<String> = found
        .iter()
        .map(|(id, it)| format!("{id} {}: {}", it.severity, it.text))
        .collect();
    let expected = [
        "domain_quarantined/q.example critical: in quarantine: q.example: edge p/1: why; \
         edge p/2: why; edge p/3: why; and at 2 more edges",
        "domain_unproven/u.example warning: not proven: u.example: edge p/1: why; \
         edge p/2: why; edge p/3: why; and at 2 more edges",
        "visitors_misled/m.example warning: m.example has no address",
        &format!("edge_silent/p/5 warning: edge p/5 is silent since {NOW}"),
        "key_encryption_key_due/k1 warning: key k1 is due for rotation",
        "key_encryption_key_missing/k1 critical: 2 sealed records cannot be opened",
        "audit_chain_broken/linker critical: audit records are not linked: off",
        "disk_nearly_full/p/5 warning: edge p/5: the disk of its data directory is nearly full",
        "store_unavailable/store critical: the store is unavailable: gone",
        &format!(
            "alarm_channel_failing/long warning: channel long has failed since {}: 503",
            NOW.plus_ms(-15 * MINUTE)
        ),
        "alarms_left_out/domain_unproven warning: \
         1 more of domain_unproven have no alarm of their own",
    ];
    assert_eq!(told, expected);
    for code in Code::ALL {
        let is_unknown = matches!(
            code,
            Code::CertificateExpiring
                | Code::RenewalMissed
                | Code::OrderFailed
                // One more than is named.
                | Code::DomainUnproven
                | Code::AlarmsLeftOut
        );
        assert_eq!(snapshot.observes(*code), !is_unknown, "{code}");
    }
}

#[test]
fn a_failed_order_is_as_urgent_as_what_it_would_replace() {
    for (remaining, severity) in [
        (60, Severity::Warning),
        (10, Severity::Warning),
        (2, Severity::Critical),
    ] {
        let served = certificate(remaining * DAY, 90 * DAY);
        let failed = FailedOrder {
            domain: served.domain.clone(),
            account: served.account.clone(),
            environment: Environment::Production,
            reason: "rate limited".to_owned(),
        };
        let snapshot = Snapshot {
            certificates: Some(vec![served]),
            failed_orders: Some(vec![failed]),
            ..Snapshot::default()
        };
        let found = evaluate(&snapshot, &Alarms::new(), NOW);
        let id = AlarmId::new(Code::OrderFailed, "www.a.example");
        assert_eq!(found[&id].severity, severity, "{remaining} days");
    }
}

#[test]
fn a_disk_alarm_ends_later_than_it_begins() {
    const GIB: u64 = 1 << 30;
    let id = AlarmId::new(Code::DiskNearlyFull, "p/1");
    for (free, total, was, expected) in [
        (11, 100, None, None),
        (9, 100, None, Some(Severity::Warning)),
        (1, 100, None, Some(Severity::Critical)),
        (11, 100, Some(Severity::Warning), Some(Severity::Warning)),
        (13, 100, Some(Severity::Warning), None),
        (2, 100, Some(Severity::Critical), Some(Severity::Critical)),
        (3, 100, Some(Severity::Critical), Some(Severity::Warning)),
        // Of a large disk, 10 % is no worry.
        (11, 10_000, None, None),
        (9, 10_000, None, Some(Severity::Warning)),
    ] {
        let disk = DiskUse {
            free: free * GIB,
            total: total * GIB,
            wanted: None,
        };
        let edge = EdgeReport {
            name: "p/1".to_owned(),
            at: NOW,
            is_silent: false,
            quarantined: Vec::new(),
            unproven: Vec::new(),
            quarantined_more: 0,
            unproven_more: 0,
            disk: Some(disk),
        };
        let snapshot = Snapshot {
            edges: Some(vec![edge]),
            ..Snapshot::default()
        };
        let mut before = Alarms::new();
        if let Some(severity) = was {
            before.insert(id.clone(), active(severity, 0));
        }
        let found = evaluate(&snapshot, &before, NOW);
        assert_eq!(
            found.get(&id).map(|it| it.severity),
            expected,
            "{free} of {total}"
        );
    }
}

fn active(severity: Severity, rung: u8) -> Alarm {
    Alarm {
        severity,
        rung,
        text: "t".to_owned(),
        account: None,
        domain: None,
        first_seen: NOW,
        phase: Phase::Active,
        notified: None,
        notifications: 0,
        pending: std::collections::BTreeSet::new(),
    }
}

#[test]
fn silences_mute_what_is_the_silencers_matter() {
    let silence = |by_operator, until| Silence {
        domain: domain("a.example"),
        account: AccountId::from_random(1),
        by_operator,
        until,
        since: NOW,
    };
    let tomorrow = Some(NOW.plus_ms(DAY));
    for (silence, code, owner, at, expected) in [
        (silence(false, None), Code::OrderFailed, 1, NOW, true),
        (silence(false, None), Code::DomainUnproven, 1, NOW, false),
        (silence(true, None), Code::DomainUnproven, 1, NOW, true),
        // The domain has another account.
        (silence(true, None), Code::DomainUnproven, 2, NOW, false),
        (silence(false, tomorrow), Code::OrderFailed, 1, NOW, true),
        (
            silence(false, tomorrow),
            Code::OrderFailed,
            1,
            NOW.plus_ms(DAY),
            false,
        ),
    ] {
        let alarm = Alarm {
            account: Some(AccountId::from_random(owner)),
            domain: Some(domain("a.example")),
            ..active(Severity::Warning, 0)
        };
        let silences: Silences = [silence.clone()].into_iter().collect();
        let id = AlarmId::new(code, "a.example");
        assert_eq!(silences.mute(&id, &alarm, at), expected, "{silence:?}");
    }
}

#[test]
fn an_account_is_not_told_of_edges() {
    let alarm = Alarm {
        domain: Some(domain("a.example")),
        ..active(Severity::Warning, 0)
    };
    assert_eq!(alarm.text_for_account(Code::OrderFailed), "t");
    for code in [Code::DomainQuarantined, Code::DomainUnproven] {
        let text = alarm.text_for_account(code);
        assert!(text.starts_with("a.example: "), "{text}");
    }
}
