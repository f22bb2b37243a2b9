//! Domains whose visitors find something wrong.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use edgeseal_core::{
    DomainPattern,
    alarm::{Alarm, AlarmId, Code, MisledVisitors},
    domain::Environment,
    outside::{Observation, Selection},
};
use edgeseal_store::{Catalog, Fault};

use super::{others_with_alarm, pace::Pace};
use crate::outside::{findings, findings_of};

/// Most domains with an alarm of their own; a network that is cut off affects all.
const MISLED_MAX: usize = 1000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct VisitorsOfDomains {
    misled: Vec<MisledVisitors>,
    /// How many there were in the last pass besides.
    left_out: u64,
    pace: Pace,
}

impl VisitorsOfDomains {
    /// Reads all observations if the last pass is long enough ago, else those that were wrong. What
    /// was wrong stays so, however long ago, until the next check: while this process
    /// was stopped, nothing was mended. `selection`: the domains that are checked; `None`: none.
    /// What has an alarm is kept in any case.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        alarms: &BTreeMap<AlarmId, Alarm>,
        interval: Duration,
        selection: Option<&Selection>,
    ) -> Result<(), Fault> {
        let Some(selection) = selection else {
            // Nothing is checked any more.
            self.misled.clear();
            self.left_out = 0;
            return Ok(());
        };
        if self.pace.is_due() {
            let began = Instant::now();
            let (found, left_out) = findings(catalog, selection, MISLED_MAX, |_| true).await?;
            let mut found: Vec<MisledVisitors> = found.into_iter().map(misled).collect();
            if left_out > 0 {
                let known = found.iter();
                let known = known.map(|it| (&it.domain, Environment::Production));
                let others = others_with_alarm(alarms, Code::VisitorsMisled, known);
                let others: Vec<_> = others.into_iter().map(|(domain, ..)| domain).collect();
                let others = findings_of(catalog, selection, &others).await?;
                found.extend(others.into_iter().map(misled));
            }
            self.misled = found;
            self.left_out = left_out;
            self.pace.passed(began.elapsed(), interval);
            return Ok(());
        }
        let domains = self.misled.iter().map(|before| before.domain.clone());
        let domains: Vec<DomainPattern> = domains.collect();
        let found = findings_of(catalog, selection, &domains).await?;
        self.misled = found.into_iter().map(misled).collect();
        Ok(())
    }

    /// How many are not among them.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The domains.
    pub(super) fn misled(&self) -> Vec<MisledVisitors> {
        self.misled.clone()
    }
}

fn misled((domain, found): (DomainPattern, Observation)) -> MisledVisitors {
    MisledVisitors {
        domain,
        text: found.text,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use edgeseal_core::{AccountId, Timestamp, outside::Verdict};
    use edgeseal_store::{Key, Keyring, Txn, Write, memory::MemoryStore, record::encode};

    use super::*;
    use crate::alarms::renewals::tests::domain;

    const INTERVAL: Duration = Duration::from_secs(60);

    /// A catalog with nothing in it.
    fn empty() -> Catalog {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        Catalog::new(Arc::new(MemoryStore::new()), keyring)
    }

    /// What is found at a domain, which exists if it has an owner.
    async fn misled_at(catalog: &Catalog, name: &str, owner: Option<u64>) {
        let mut domain = domain(name, false);
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let found = Observation::new(domain.id, at, at, Verdict::NoAddress, "something");
        let found = BTreeMap::from([(domain.name.clone(), found)]);
        catalog.write_observations(&found).await.unwrap();
        if let Some(owner) = owner {
            domain.account = AccountId::from_random(owner);
            let write = vec![Write::put(
                Key::domain(&domain.name),
                encode(&domain).unwrap(),
            )];
            let expect = Vec::new();
            catalog
                .store()
                .commit(Txn::new(expect, write))
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn neither_deleted_domains_nor_another_account_take_the_places() {
        let catalog = &empty();
        for n in 0..5 {
            misled_at(catalog, &format!("0{n}.gone.example"), None).await;
            misled_at(catalog, &format!("a{n}.many.example"), Some(1)).await;
        }
        misled_at(catalog, "z.few.example", Some(2)).await;
        let all = Selection::default();
        let (found, left_out) = findings(catalog, &all, 3, |_| true).await.unwrap();
        let mut names: Vec<String> = found.iter().map(|(name, _)| name.to_string()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["a0.many.example", "a1.many.example", "z.few.example"]
        );
        assert_eq!(left_out, 3);
        let (found, left_out) = findings(catalog, &all, 6, |_| true).await.unwrap();
        assert_eq!((found.len(), left_out), (6, 0));
    }

    #[tokio::test]
    async fn what_was_wrong_stays_until_somebody_has_looked_again() {
        let catalog = &empty();
        let name = DomainPattern::parse("www.a.example").unwrap();
        let record = encode(&domain("www.a.example", false)).unwrap();
        let write = vec![Write::put(Key::domain(&name), record)];
        let expect = Vec::new();
        catalog
            .store()
            .commit(Txn::new(expect, write))
            .await
            .unwrap();
        let see = async |verdict| {
            let at = Timestamp::from_unix_seconds(1_800_000_000);
            // As after a long stop of this process.
            let found = Observation::new(1, at, at, verdict, "something");
            let found = BTreeMap::from([(name.clone(), found)]);
            catalog.write_observations(&found).await.unwrap();
        };
        let all = Selection::default();
        let other = Selection {
            except: vec![name.clone()],
            ..Selection::default()
        };
        let misled = async |visitors: &mut VisitorsOfDomains, selection| {
            visitors
                .refresh(catalog, &BTreeMap::new(), INTERVAL, selection)
                .await
                .unwrap();
            visitors.misled().len()
        };
        see(Verdict::NoAddress).await;
        let mut visitors = VisitorsOfDomains::default();
        assert_eq!(misled(&mut visitors, Some(&all)).await, 1);
        assert_eq!(misled(&mut visitors, Some(&all)).await, 1);
        see(Verdict::Ok).await;
        assert_eq!(misled(&mut visitors, Some(&all)).await, 0);
        see(Verdict::Refused).await;
        for selection in [Some(&other), None] {
            let mut visitors = VisitorsOfDomains::default();
            assert_eq!(misled(&mut visitors, selection).await, 0);
        }
    }
}
