//! When reports are written, on a clock that is moved by hand.

use std::path::Path;

use edgeseal_core::domain::Environment;
use edgeseal_store::{Keyring, Source as _, memory::MemoryStore, record::decode};

use super::*;
use crate::tls::KeyCache;

struct Reporting {
    store: Arc<MemoryStore>,
    serving: Arc<ServingState>,
    applied: Arc<ProofQueue>,
    revision: u64,
}

impl Reporting {
    /// A prover without a listener: no domain is served, so there is nothing to probe.
    fn start() -> Self {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let keys = Arc::new(KeyCache::new(keyring, 1));
        let serving = Arc::new(ServingState::new(
            keys,
            Environment::Production,
            Default::default(),
        ));
        let (store, applied) = (Arc::new(MemoryStore::new()), Arc::default());
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let prover = Prover::new(
            Arc::clone(&serving),
            Arc::clone(&applied),
            Arc::clone(&store) as SharedStore,
            || Timestamp::from_unix_seconds(1_800_000_000),
            &Options::new("e1", "default", nowhere, Path::new("")),
            nowhere,
        );
        tokio::spawn(prover.unwrap().run(std::future::pending()));
        Self {
            store,
            serving,
            applied,
            revision: 0,
        }
    }

    /// The number of reports written within this time: each is one commit, and nothing else
    /// commits.
    async fn reports_within(&self, span: Duration) -> u64 {
        let commits = || async { self.store.list("edge/", None, 1).await.unwrap().revision.0 };
        let before = commits().await;
        sleep(span).await;
        commits().await - before
    }

    fn change(&mut self) {
        self.revision += 1;
        let changed = AppliedChange {
            name: DomainPattern::parse(&format!("d{}.example.com", self.revision)).unwrap(),
            revision: Revision(self.revision),
            at: None,
        };
        self.applied
            .push_applied(Revision(self.revision), vec![changed]);
    }

    async fn last(&self) -> EdgeRecord {
        let key = Key::edge("default", "e1");
        decode(&self.store.get(&key).await.unwrap().unwrap().value).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn without_changes_there_is_a_report_a_minute() {
    let reporting = Reporting::start();
    assert_eq!(reporting.reports_within(Duration::from_secs(5)).await, 1);
    assert_eq!(reporting.reports_within(HEARTBEAT * 10).await, 10);
    // Commits that touch no domain are applied without a report.
    for revision in 1..100 {
        reporting
            .applied
            .push_applied(Revision(revision), Vec::new());
    }
    assert_eq!(reporting.reports_within(HEARTBEAT / 2).await, 0);
    assert_eq!(reporting.reports_within(HEARTBEAT).await, 1);
    assert_eq!(reporting.last().await.revision, 99);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changes_a_second_are_a_report_a_second() {
    let mut reporting = Reporting::start();
    reporting.reports_within(Duration::from_secs(5)).await;
    let before = reporting.store.list("", None, 1).await.unwrap().revision.0;
    for _ in 0..5000 {
        reporting.change();
        sleep(Duration::from_millis(1)).await;
    }
    // The last ones are in the report at the end of their second.
    sleep(REPORT_INTERVAL_MIN).await;
    assert_eq!(reporting.last().await.revision, 5000);
    let after = reporting.store.list("", None, 1).await.unwrap().revision.0;
    assert!((5..=7).contains(&(after - before)), "{}", after - before);
    assert_eq!(reporting.reports_within(HEARTBEAT / 2).await, 0);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_quarantined_domains_fit_into_a_report() {
    let reporting = Reporting::start();
    let label = "long".repeat(15);
    for n in 0..10_000 {
        let name =
            DomainPattern::parse(&format!("d{n:05}.{label}.{label}.{label}.example")).unwrap();
        let reason = format!("the record is of other{n:05}.{label}.{label}.{label}.example");
        reporting.serving.quarantine().put(&name, &reason);
    }
    sleep(REPORT_INTERVAL_MIN * 2).await;
    let report = reporting.last().await;
    let (named, in_all) = (report.quarantined.len(), report.quarantined_total);
    assert_eq!((named, in_all), (NAMED_MAX, 10_000));
    assert!(encode(&report).unwrap().len() < 200_000);

    let healed = report.quarantined[0].domain.clone();
    reporting.serving.quarantine().release(&healed);
    sleep(REPORT_INTERVAL_MIN * 2).await;
    let report = reporting.last().await;
    let (named, in_all) = (report.quarantined.len(), report.quarantined_total);
    assert_eq!((named, in_all), (NAMED_MAX, 9_999));
    assert_ne!(report.quarantined[0].domain, healed);
}
