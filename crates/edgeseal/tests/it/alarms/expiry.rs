//! What is told of a certificate that ends, or is not replaced: everywhere, until it is renewed.

use edgeseal_core::{DomainPattern, Timestamp, domain::Domain};
use edgeseal_store::{
    Key, Log, LogRange, LogWrite, Txn, Write,
    record::{HistoryRecord, decode, encode},
};
use edgeseal_testing::{
    pki::{CertificateWithKey, leaf_params, new_key},
    receiver::Receiver,
};
use time::OffsetDateTime;

use super::{
    AUTHORITY, NAME, RAISED, Server, TestCertificate, add, assert_told, doctor, ends_in_days,
    ready_is, set_validity_days, start, stopped_store,
};
use crate::harness::now;

const DAY_MS: i64 = 86_400_000;

/// A certificate whose intermediate ends first.
fn ends_with_its_chain() -> TestCertificate {
    let root = CertificateWithKey::root("Root of the short intermediate");
    let intermediate = root.authority_with("Short intermediate", new_key(), |params| {
        set_validity_days(params, -300, 2);
    });
    let leaf = intermediate.issue(leaf_params(&[NAME]), new_key());
    TestCertificate {
        chain: leaf.pem() + &intermediate.pem(),
        key: leaf.key_pem(),
        leaf: leaf.der,
    }
}

/// A certificate that ends in some seconds.
fn ends_soon() -> TestCertificate {
    let end = OffsetDateTime::from_unix_timestamp(now().unix_seconds() + 4).unwrap();
    AUTHORITY.issue_with(&[NAME], |params| params.not_after = end)
}

/// Gives the domain a history in which its certificate was replaced every 60 days, 75 days ago for
/// the last time.
async fn write_history(server: &Server) {
    let store = stopped_store(server).await;
    let name = DomainPattern::parse(NAME).unwrap();
    let domain = store.get(&Key::domain(&name)).await.unwrap().unwrap();
    let mut domain: Domain = decode(&domain.value).unwrap();
    let bound = domain.production.as_ref().unwrap().certificate;
    let scope = name.to_string();
    let history = LogRange {
        log: Log::History,
        scope: &scope,
        after: "",
        before: None,
        newest_first: false,
    };
    let history = store.read_log(history, 100).await.unwrap();
    let last: HistoryRecord = decode(&history.rows.last().unwrap().value).unwrap();
    let rows = history.rows.into_iter();
    let mut log: Vec<LogWrite> = rows
        .map(|row| LogWrite::Remove {
            log: Log::History,
            scope: row.scope,
            name: row.name,
        })
        .collect();
    for days in [75, 135, 195, 255] {
        let change = HistoryRecord {
            at: now().plus_ms(-days * DAY_MS),
            before: Some(format!("before {days}")),
            after: Some(format!("after {days}")),
            // Only the latest is still there.
            certificate: Some(if days == 75 {
                bound
            } else {
                bound + 1000 + days
            }),
            request_id: days.to_string(),
            ..last.clone()
        };
        let value = encode(&change).unwrap();
        log.push(LogWrite::history(
            &name,
            change.at,
            &change.request_id,
            value,
        ));
    }
    // What is older than the domain is of another one.
    domain.created = now().plus_ms(-300 * DAY_MS);
    let txn = Txn {
        write: vec![Write::put(Key::domain(&name), encode(&domain).unwrap())],
        log,
        ..Txn::default()
    };
    store.commit(txn).await.unwrap();
}

/// What is expected of a certificate.
struct Case {
    certificate: fn() -> TestCertificate,
    /// Whether the history shows that it should have been replaced.
    is_late: bool,
    told: &'static [&'static str],
    code: &'static str,
    severity: &'static str,
    readyz: &'static str,
    doctor: (i32, &'static str),
    text: &'static str,
}

const ESCALATED: &str = "escalated certificate_expiring www.alarms.example";
const MISSED: &str = "raised renewal_missed www.alarms.example";

const CASES: &[Case] = &[
    Case {
        certificate: || ends_in_days(NAME, 2),
        is_late: false,
        told: &[RAISED],
        code: "certificate_expiring",
        severity: "critical",
        readyz: "certificates expired: 0, expiring: 1, first www.alarms.example at ",
        doctor: (
            0,
            "warning: www.alarms.example: its certificate expires at ",
        ),
        text: "www.alarms.example: its certificate expires at ",
    },
    Case {
        certificate: ends_soon,
        is_late: false,
        told: &[RAISED, ESCALATED],
        code: "certificate_expiring",
        severity: "critical",
        readyz: "certificates expired: 1, expiring: 0, first www.alarms.example at ",
        doctor: (
            65,
            "problem: www.alarms.example: its certificate expired at ",
        ),
        text: "www.alarms.example: its certificate expired at ",
    },
    Case {
        certificate: ends_with_its_chain,
        is_late: false,
        told: &[RAISED],
        code: "certificate_expiring",
        severity: "critical",
        readyz: "certificates expired: 0, expiring: 1, first www.alarms.example at ",
        doctor: (
            0,
            "warning: www.alarms.example: its certificate expires at ",
        ),
        text: "www.alarms.example: an intermediate of its certificate expires at ",
    },
    Case {
        certificate: || AUTHORITY.issue_with(&[NAME], |it| set_validity_days(it, -75, 20)),
        is_late: true,
        told: &[MISSED],
        code: "renewal_missed",
        severity: "warning",
        readyz: "ready, degraded; renewals missed: 1\n",
        doctor: (
            0,
            "warning: www.alarms.example: its certificate was replaced every 60 days",
        ),
        text: "www.alarms.example: its certificate was replaced every 60 days, and the replacement \
               due at ",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_is_told_everywhere_until_it_is_renewed() {
    for case in CASES {
        let hook = Receiver::start(&[]).await;
        let mut server = start(&hook);
        add(&server.root_client(), NAME, &(case.certificate)()).await;
        if case.is_late {
            assert_eq!(server.terminate().code(), Some(0));
            write_history(&server).await;
            server.launch();
        }
        assert_told(&hook, case.told).await;
        let last = hook.at_least(case.told.len()).await.pop().unwrap().json();
        let last = &last["notifications"][0];
        let text = last["text"].as_str().unwrap();
        assert!(text.starts_with(case.text), "{text}");
        assert_eq!(last["severity"], case.severity, "{text}");
        let end = text.rsplit(' ').next().unwrap();
        if !case.is_late {
            assert!(Timestamp::parse_iso(end).is_some(), "{text}");
        }
        ready_is(&server, case.readyz, |body| body.contains(case.readyz)).await;
        let (code, severity) = (case.code, case.severity);
        let series = format!("edgeseal_alarms{{code=\"{code}\",severity=\"{severity}\"}}");
        assert_eq!(server.metric(&series).await, Some(1), "{series}");
        let (exit, said) = doctor(&server.data());
        assert_eq!(exit, Some(case.doctor.0), "{said}");
        assert!(said.contains(case.doctor.1), "{said}");
        assert!(server.log().contains(&format!(": {}", case.text)), "{text}");

        let renewed = AUTHORITY.issue(&[NAME]);
        server.root_client().set(NAME, &renewed).await.unwrap();
        let resolved = format!("resolved {code} {NAME}");
        assert_told(&hook, &[case.told, &[&resolved]].concat()).await;
        ready_is(&server, "ready", |body| body == "ready\n").await;
        assert_eq!(server.metric(&series).await, Some(0), "{series}");
        server.stop();
    }
}
