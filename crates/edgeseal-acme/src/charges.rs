//! What orders count against the limits of their issuers: taken when a job starts, so that not too
//! many start; stored before an order is sent; given back if it is not sent.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use edgeseal_core::{
    DomainPattern,
    acme::{Counter, OrderKind},
    rate::GcraState,
};

use crate::{
    error::OrderError,
    issuer::Issuer,
    order::{OrderDriver, Target},
};

/// What the orders of one domain count, which one job places.
#[derive(Debug)]
pub(crate) struct Charge {
    /// The position of the issuer.
    pub(crate) issuer: usize,
    pub(crate) kind: OrderKind,
    /// Orders that are counted and were not sent.
    pub(crate) unsent: u32,
    /// The counters of the issuer with these orders.
    pub(crate) counters: Vec<(Counter, GcraState)>,
}

/// The charges of all jobs that place orders.
#[derive(Debug, Default)]
pub(crate) struct Charges(Mutex<HashMap<DomainPattern, Charge>>);

impl Charges {
    fn lock(&self) -> MutexGuard<'_, HashMap<DomainPattern, Charge>> {
        // Each change is a single step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a job counts that starts.
    pub(crate) fn open(&self, domain: &DomainPattern, charge: Charge) {
        self.lock().insert(domain.clone(), charge);
    }

    /// The charge of a job that has ended.
    pub(crate) fn close(&self, domain: &DomainPattern) -> Option<Charge> {
        self.lock().remove(domain)
    }
}

impl OrderDriver {
    /// Stores what an order counts that is about to be sent.
    pub(crate) async fn charge(&self, target: &Target, issuer: &Issuer) -> Result<(), OrderError> {
        let charges = &self.charges;
        let counters = charges
            .lock()
            .get(&target.domain)
            .map(|it| it.counters.clone());
        // What a former process has begun was counted by it, if it was sent.
        if let Some(counters) = counters {
            self.catalog
                .put_issuer_usage(issuer.name(), &counters, self.now())
                .await?;
        }
        if let Some(charge) = charges.lock().get_mut(&target.domain) {
            charge.unsent = charge.unsent.saturating_sub(1);
        }
        Ok(())
    }
}
