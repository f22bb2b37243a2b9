//! Domains whose visitors find something wrong.

use std::time::{Duration, Instant};

use edgeseal_core::{
    DomainPattern,
    alarm::MisledVisitors,
    outside::{Observation, Selection},
};
use edgeseal_store::{Catalog, Fault};

use super::pace::Pace;
use crate::outside::{finding, findings};

/// Most domains with an alarm of their own; a network that is cut off affects all.
const MISLED_MAX: usize = 1000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct VisitorsOfDomains {
    misled: Vec<MisledVisitors>,
    pace: Pace,
}

impl VisitorsOfDomains {
    /// Reads all observations if the last pass is long enough ago, else those that were wrong. What
    /// was wrong stays so, however long ago, until somebody has looked again: while this process
    /// was stopped, nothing was mended. `selection`: the domains that are looked at; `None`: none.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        interval: Duration,
        selection: Option<&Selection>,
    ) -> Result<(), Fault> {
        let Some(selection) = selection else {
            // Nobody looks any more.
            self.misled.clear();
            return Ok(());
        };
        if self.pace.is_due() {
            let began = Instant::now();
            let found = findings(catalog, selection, MISLED_MAX).await?;
            self.misled = found.into_iter().map(misled).collect();
            self.pace.passed(began.elapsed(), interval);
            return Ok(());
        }
        let mut still = Vec::new();
        for before in &self.misled {
            let found = finding(catalog, selection, &before.domain).await?;
            still.extend(found.map(|found| misled((before.domain.clone(), found))));
        }
        self.misled = still;
        Ok(())
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
    use std::{collections::BTreeMap, sync::Arc};

    use edgeseal_core::{Timestamp, outside::Verdict};
    use edgeseal_store::{Key, Keyring, Txn, Write, memory::MemoryStore, record::encode};

    use super::*;
    use crate::alarms::renewals::tests::domain;

    const INTERVAL: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_was_wrong_stays_until_somebody_has_looked_again() {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = &Catalog::new(Arc::new(MemoryStore::new()), keyring);
        let name = DomainPattern::parse("www.a.example").unwrap();
        let record = encode(&domain("www.a.example", false)).unwrap();
        let write = vec![Write::put(Key::domain(&name), record)];
        let expect = Vec::new();
        catalog.store().commit(Txn { expect, write }).await.unwrap();
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
                .refresh(catalog, INTERVAL, selection)
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
