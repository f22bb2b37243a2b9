//! Follows the managed certificates in the store, and plans the next work for each domain.

use std::{collections::BTreeMap, sync::Arc};

use edgeseal_core::{
    DomainPattern, Timestamp, acme::TaskKey, domain::Environment,
    managed_certificate::ManagedCertificate,
};
use edgeseal_store::{
    Key,
    feed::Event,
    key,
    record::{self, ProvisionedChallengesRecord},
};

use super::OrderTask;

const ENVIRONMENTS: [Environment; 2] = [Environment::Production, Environment::Staging];

/// What the last job of a domain has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// When it ended.
    pub(super) since: Timestamp,
    /// Nothing is done before, except what is asked for since then.
    pub(super) not_before: Option<Timestamp>,
    /// When challenges are to be cleaned up that could not be.
    pub(super) clean_up: Option<Timestamp>,
}

impl OrderTask {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::ListBegins => {
                self.is_listed = false;
                for domain in std::mem::take(&mut self.domains).into_keys() {
                    self.forget_tasks(&domain);
                }
                self.reissue = None;
                self.revocations.clear();
                self.looks.clear();
                self.look_at.clear();
            }
            Event::Listed(entries) => {
                for entry in entries {
                    self.apply_change(&entry.key, Some(&entry.value));
                }
            }
            Event::ListEnds { entries, .. } => {
                self.is_listed = true;
                tracing::info!(entries, "managed certificates are followed");
            }
            Event::Changes(changes) => {
                for change in changes.items {
                    self.apply_change(&change.key, change.value.as_deref());
                }
            }
        }
    }

    fn apply_change(&mut self, key: &Key, value: Option<&[u8]>) {
        if *key == Key::reissue() {
            return self.apply_reissue(value);
        }
        if key.as_str().starts_with(key::REVOCATIONS) {
            return self.apply_revocation(key, value);
        }
        let Some((domain, environment)) = key.managed_domain() else {
            return;
        };
        let domain = Arc::new(domain);
        let now = self.driver.now();
        if !key.as_str().starts_with(key::MANAGED_CERTIFICATES) {
            // Challenges of an order that nobody works on are cleaned up.
            let left = value.and_then(|value| {
                let left = record::decode::<ProvisionedChallengesRecord>(value);
                left.ok()
            });
            if left.is_some() && !self.running.contains(&domain) {
                self.plan(&domain, Some(now));
            }
            return;
        }
        let managed = value.map(record::decode::<ManagedCertificate>);
        match managed.transpose() {
            Ok(managed) => {
                let gone = managed.is_none();
                self.put(&domain, environment, managed);
                self.plan(&domain, gone.then_some(now));
            }
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::error!(key = %key, error, "a managed certificate cannot be read");
            }
        }
    }

    /// Reads what became of a domain: the feed may still be behind.
    pub(super) async fn refresh(&mut self, domain: &Arc<DomainPattern>) {
        for environment in ENVIRONMENTS {
            let catalog = &self.driver.catalog;
            match catalog.managed_certificate(domain, environment).await {
                Ok(managed) => self.put(domain, environment, managed),
                // The feed brings it.
                Err(_) => return,
            }
        }
    }

    fn put(
        &mut self,
        domain: &Arc<DomainPattern>,
        environment: Environment,
        managed: Option<ManagedCertificate>,
    ) {
        let of_domain = self.domains.entry(Arc::clone(domain)).or_default();
        match managed {
            Some(managed) => of_domain.insert(environment.as_str(), managed),
            None => of_domain.remove(environment.as_str()),
        };
        if of_domain.is_empty() {
            self.domains.remove(domain);
        }
    }

    /// Plans the next work for a domain; `look` is another time to look at it.
    pub(super) fn plan(&mut self, domain: &Arc<DomainPattern>, look: Option<Timestamp>) {
        self.unlook(domain);
        if self.running.contains(domain) {
            return;
        }
        let mut tasks = Vec::new();
        let mut look = look;
        let waits = self.waits.get(domain).copied();
        let managed = self.domains.get(domain);
        if managed.is_none() && waits.is_some_and(|waits| waits.clean_up.is_none()) {
            self.waits.remove(domain);
        }
        for managed in managed.into_iter().flat_map(BTreeMap::values) {
            // What was asked for since then need not wait.
            let waits = waits.filter(|waits| managed.requested.at <= waits.since);
            let planned = self.plan_of(managed, self.reissue.as_ref());
            let planned = planned.waiting_for(&self.paused_until(managed));
            let planned = planned.not_before(waits.and_then(|waits| waits.not_before));
            look = look.into_iter().chain(planned.look).min();
            tasks.push((managed.environment, planned.task));
        }
        let clean_up = waits.and_then(|waits| waits.clean_up);
        look = look.into_iter().chain(clean_up).min();
        self.forget_tasks(domain);
        for (environment, task) in tasks {
            let domain = Arc::clone(domain);
            if let Some(task) = task {
                self.scheduler.set(
                    TaskKey {
                        domain,
                        environment,
                    },
                    task,
                );
            }
        }
        if let Some(at) = look {
            self.looks.insert((at, Arc::clone(domain)));
            self.look_at.insert(Arc::clone(domain), at);
        }
    }

    /// Takes the tasks of a domain out of the scheduler.
    pub(super) fn forget_tasks(&mut self, domain: &Arc<DomainPattern>) {
        for environment in ENVIRONMENTS {
            self.scheduler.remove(TaskKey {
                domain: Arc::clone(domain),
                environment,
            });
        }
    }

    /// Until when the issuer of an order in progress takes no requests.
    fn paused_until(&self, managed: &ManagedCertificate) -> Option<Timestamp> {
        let issuer = &managed.orders.first()?.issuer;
        let position = self
            .driver
            .issuers
            .iter()
            .position(|it| it.name() == issuer)?;
        let scheduled = self.scheduler.issuers().get(position)?;
        scheduled
            .health
            .pause(self.driver.now())
            .map(|(until, _)| until)
    }

    /// Orders that one domain takes.
    pub(super) fn orders(&self) -> u32 {
        let preferred = self.driver.issuers.first();
        preferred.map_or(1, |issuer| issuer.config.key.types().len() as u32)
    }

    pub(super) fn unlook(&mut self, domain: &Arc<DomainPattern>) {
        if let Some(at) = self.look_at.remove(domain) {
            self.looks.remove(&(at, Arc::clone(domain)));
        }
    }
}
