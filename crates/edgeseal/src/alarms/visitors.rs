//! Domains whose visitors find something wrong.

use std::time::{Duration, Instant};

use edgeseal_core::{DomainPattern, alarm::MisledVisitors, outside::Observation};
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
    /// Reads all observations if the last pass is long enough ago, else those that were wrong.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        interval: Duration,
    ) -> Result<(), Fault> {
        if self.pace.is_due() {
            let began = Instant::now();
            let found = findings(catalog, MISLED_MAX).await?;
            self.misled = found.into_iter().map(misled).collect();
            self.pace.passed(began.elapsed(), interval);
            return Ok(());
        }
        let mut still = Vec::new();
        for before in &self.misled {
            let found = finding(catalog, &before.domain).await?;
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
