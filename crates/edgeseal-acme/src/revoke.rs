//! Revocation: what the store says is to be revoked is tried until the issuer has revoked it, or
//! refuses. A restart goes on from the store; a certificate that was revoked just before a crash is
//! revoked already when it is tried again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use edgeseal_core::{
    Timestamp,
    acme::Seed,
    domain::Environment,
    managed_certificate::ManagedCertificate,
    revocation::{Revocation, RevocationReason, RevocationState, is_served},
};
use edgeseal_store::{
    Fault, Key,
    feed::{Event, Feed},
    key, record,
    rollout::EdgeState,
};

use crate::{bind::audit_context, error::OrderError, issuer::Issuer, order::OrderDriver};

/// How soon it is looked again whether a certificate is still served.
const LOOK_AGAIN_MS: i64 = 2000;
/// How soon something is tried again that failed on this side.
const RETRY_MS: i64 = 30_000;
/// Most domains that are looked at whether they serve a certificate: with more it counts as served.
const DOMAINS_MAX: usize = 1000;

/// The revocations that are pending, each with when to look at it.
type Pending = BTreeMap<Key, (Timestamp, Revocation)>;

/// Revokes what is to be revoked, for ever.
pub(crate) async fn run(driver: Arc<OrderDriver>) {
    let store = Arc::clone(driver.catalog.store());
    let mut feed = Feed::start(store, [key::REVOCATIONS]);
    let mut pending = Pending::new();
    loop {
        let next = pending.values().map(|(at, _)| *at).min();
        let wait_ms = next.map_or(i64::MAX, |at| at.since_ms(driver.now()).max(1));
        tokio::select! {
            event = feed.next() => apply(event, &mut pending),
            () = tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
        }
        let now = driver.now();
        for (at, revocation) in pending.values_mut().filter(|(at, _)| *at <= now) {
            *at = driver.look(revocation).await.unwrap_or_else(|fault| {
                let error: &dyn std::error::Error = &fault;
                tracing::warn!(domain = %revocation.domain, error, "a revocation waits for the store");
                now.plus_ms(RETRY_MS)
            });
        }
        pending.retain(|_, (_, revocation)| revocation.state == RevocationState::Pending);
    }
}

fn apply(event: Event, pending: &mut Pending) {
    match event {
        Event::ListBegins => pending.clear(),
        Event::Listed(entries) => {
            for entry in entries {
                apply_change(entry.key, Some(&entry.value), pending);
            }
        }
        Event::ListEnds { .. } => {}
        Event::Changes(changes) => {
            for change in changes.items {
                apply_change(change.key, change.value.as_deref(), pending);
            }
        }
    }
}

fn apply_change(key: Key, value: Option<&[u8]>, pending: &mut Pending) {
    // What cannot be read is reported by the task that orders.
    let revocation = value.and_then(|value| record::decode::<Revocation>(value).ok());
    match revocation.filter(|it| it.state == RevocationState::Pending) {
        Some(revocation) => {
            let at = revocation.retry.next_attempt;
            pending.insert(key, (at, revocation));
        }
        None => {
            pending.remove(&key);
        }
    }
}

impl OrderDriver {
    /// Tries a revocation, unless it waits for a replacement; when to look at it again.
    async fn look(&self, revocation: &mut Revocation) -> Result<Timestamp, Fault> {
        if revocation.after_replacement && self.is_still_served(revocation).await? {
            return Ok(self.now().plus_ms(LOOK_AGAIN_MS));
        }
        let term = self.term().map_err(Fault::of("revoke a certificate"))?;
        let mut tried = revocation.clone();
        match self.revoke(revocation).await {
            Ok(()) => {
                tried.state = RevocationState::Revoked;
                tried.failure.clear();
            }
            Err(OrderError::Store(fault)) => return Err(fault),
            Err(error) => self.fail(&mut tried, &error),
        }
        let (domain, certificate) = (&tried.domain, tried.certificate);
        let (state, reason) = (tried.state.as_str(), &tried.failure);
        tracing::info!(%domain, certificate, state, reason, "a revocation was tried");
        if tried.state == RevocationState::Pending {
            self.catalog.put_revocation(&tried, Some(term)).await?;
        } else {
            let audit = audit_context((&tried.account, domain), "RevokeCertificate", self.now());
            self.catalog.end_revocation(&audit, &tried, term).await?;
        }
        *revocation = tried;
        Ok(revocation.retry.next_attempt)
    }

    fn fail(&self, revocation: &mut Revocation, error: &OrderError) {
        let retry_at = match error {
            OrderError::Paused { retry_at, .. } => *retry_at,
            _ => None,
        };
        let seed = Seed::of(&revocation.domain.to_string());
        let retry = revocation.retry;
        revocation.retry = retry.after_failure(None, retry_at, seed, self.now());
        revocation.failure = error.to_string();
        if matches!(error, OrderError::Refused { .. } | OrderError::Unable(_)) {
            revocation.state = RevocationState::Failed;
        }
    }

    /// Whether a domain still has the certificate bound, or an edge that is alive has not applied
    /// that it was replaced. An edge that has quarantined the domain serves what it served before.
    async fn is_still_served(&self, revocation: &Revocation) -> Result<bool, Fault> {
        let id = revocation.certificate;
        let users = self
            .catalog
            .domains_using_certificate(id, DOMAINS_MAX)
            .await?;
        if users.len() >= DOMAINS_MAX || users.iter().any(|domain| is_served(domain, id)) {
            return Ok(true);
        }
        let edges = self.catalog.edges().await?;
        let now = self.now();
        for name in &revocation.served_by {
            for environment in [Environment::Production, Environment::Staging] {
                let target = self.catalog.rollout_target(name, None, environment).await?;
                // It was deleted; edges that are behind apply the deletion as any other change.
                let Some(target) = target else { continue };
                let edges = edges
                    .iter()
                    .filter(|edge| edge.environment() == environment);
                let mut states = edges.map(|edge| edge.status(&target, now).state);
                if states.any(|state| !matches!(state, EdgeState::Serving | EdgeState::Silent)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Asks the issuer; if it is not known, each one in turn.
    async fn revoke(&self, revocation: &Revocation) -> Result<(), OrderError> {
        let is_asked =
            |issuer: &&Issuer| revocation.issuer.is_empty() || issuer.name() == revocation.issuer;
        let mut failed = OrderError::Unable("its issuer is no longer configured".to_owned());
        for issuer in self.issuers.iter().filter(is_asked) {
            let revoked = match self.accounts.at(issuer).await {
                Ok(authority) => authority.revoke(&revocation.leaf, revocation.reason).await,
                Err(error) => Err(error),
            };
            match revoked {
                Ok(()) => return Ok(()),
                // The one that did not answer may be the issuer: it is asked again.
                Err(_) if matches!(failed, OrderError::Paused { .. }) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Whether somebody else may have the key of what is managed.
    pub(crate) async fn is_key_compromised(
        &self,
        managed: &ManagedCertificate,
    ) -> Result<bool, Fault> {
        let revocations = self.catalog.revocations_of(&managed.domain).await?;
        Ok(revocations.iter().any(|revocation| {
            revocation.reason == RevocationReason::KeyCompromise && revocation.replaces(managed)
        }))
    }
}
