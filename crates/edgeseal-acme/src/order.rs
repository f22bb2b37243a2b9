//! One order, from the request for it to the chain: each step is stored before the next one is
//! taken, so that it goes on after a crash where it was.

use std::{sync::Arc, time::Duration};

use edgeseal_core::{
    DomainPattern, Secret, Timestamp,
    acme::OrderKind,
    challenge::Token,
    domain::{CertificateLocked, Domain, Environment},
    managed_certificate::{KeyType, ManagedCertificate, Order},
};
use edgeseal_store::{Catalog, Fault, lease::Term, record::Challenge};
use instant_acme::OrderStatus;
use tokio::sync::watch;

use crate::{
    accounts::Accounts,
    authority::{Authority, RemoteOrder},
    certificate_key,
    challenge::{ChallengeSolver, choose},
    charges::Charges,
    error::OrderError,
    issuer::Issuer,
    preflight::Preflight,
};

/// How long one look at an order waits for the authority. What takes longer is looked at again
/// later, and holds up no other order meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what proves an order is relied on while the authority validates: half as long as edges
/// answer a challenge.
const PROVED_MS: i64 = 30 * 60 * 1000;

/// What an order needs.
pub(crate) struct OrderDriver {
    pub(crate) catalog: Catalog,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) accounts: Accounts,
    /// In the order of preference.
    pub(crate) solvers: Vec<Arc<dyn ChallengeSolver>>,
    /// What is checked before an order is placed; `None`: nothing.
    pub(crate) checks: Option<Preflight>,
    pub(crate) clock: fn() -> Timestamp,
    /// What the orders count that are being placed.
    pub(crate) charges: Charges,
    /// The term of the lease to order, in which jobs work.
    pub(crate) term: watch::Receiver<Option<Term>>,
    /// Whether the program ends: nothing new is begun, and nothing is waited for.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// The certificate that is ordered: the domain as it was when the order began.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) domain: DomainPattern,
    pub(crate) domain_id: i64,
    pub(crate) environment: Environment,
}

/// A chain (PEM) and its key.
pub(crate) struct IssuedChain {
    pub(crate) chain: String,
    pub(crate) key: Secret,
}

impl Target {
    pub(crate) fn of(managed: &ManagedCertificate) -> Self {
        Self {
            domain: managed.domain.clone(),
            domain_id: managed.domain_id,
            environment: managed.environment,
        }
    }
}

impl OrderDriver {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The term of the lease to order.
    ///
    /// # Errors
    /// [`OrderError::Interrupted`] without the lease.
    pub(crate) fn term(&self) -> Result<Term, OrderError> {
        self.term.borrow().ok_or(OrderError::Interrupted)
    }

    /// The issuer of this name, if it is still configured.
    pub(crate) fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.name() == name)
    }

    /// The issuer of this name, if its directory is still this one: another directory, such as that
    /// of a test environment, is another authority.
    pub(crate) fn issuer_at(&self, name: &str, directory: &str) -> Option<&Issuer> {
        let issuer = self.issuer(name);
        issuer.filter(|issuer| issuer.config.directory == directory)
    }

    /// Makes the keys of new orders at an issuer, and stores all of them at once.
    pub(crate) async fn begin(
        &self,
        target: &Target,
        issuer: &Issuer,
        kind: OrderKind,
    ) -> Result<ManagedCertificate, OrderError> {
        self.check_wanted(target).await?;
        let managed = self.managed(target).await?;
        if !managed.orders.is_empty() {
            return Ok(managed);
        }
        let (types, directory) = (issuer.config.key.types(), &issuer.config.directory);
        let replaced = managed
            .issued
            .as_ref()
            .filter(|issued| kind == OrderKind::Replacement && issued.directory == *directory);
        let (mut orders, mut keys) = (Vec::new(), Vec::new());
        for key_type in types.iter().copied() {
            keys.push((key_type, self.key(&managed, issuer, key_type).await?));
            let replaces = replaced.and_then(|issued| issued.renewal_id(key_type, types[0]));
            orders.push(Order {
                issuer: issuer.name().to_owned(),
                directory: directory.clone(),
                key: key_type,
                url: None,
                replaces: replaces.map(str::to_owned),
                proved: None,
                finalizing: false,
                chain: None,
                created: self.now(),
            });
        }
        let begin = |managed: &mut ManagedCertificate| managed.orders.clone_from(&orders);
        self.update(target, &keys, begin).await
    }

    /// Brings all orders in progress to their end: the chains that the issuer signed.
    pub(crate) async fn complete(
        &self,
        managed: &ManagedCertificate,
    ) -> Result<Vec<IssuedChain>, OrderError> {
        let target = Target::of(managed);
        let mut issued = Vec::with_capacity(managed.orders.len());
        for order in &managed.orders {
            let issuer = self.issuer_at(&order.issuer, &order.directory);
            let issuer = issuer.ok_or_else(|| {
                let name = &order.issuer;
                let reason = format!("issuer {name} is no longer configured with this directory");
                OrderError::Unable(reason)
            })?;
            let key = self.catalog.order_key(managed, order.key).await?;
            let gone = || OrderError::Unable("the key of the order cannot be read".to_owned());
            let key = key.ok_or_else(gone)?;
            let chain = match &order.chain {
                Some(chain) => chain.clone(),
                None => self.chain(&target, order, issuer, &key).await?,
            };
            issued.push(IssuedChain { chain, key });
        }
        Ok(issued)
    }

    async fn chain(
        &self,
        target: &Target,
        order: &Order,
        issuer: &Issuer,
        key: &Secret,
    ) -> Result<String, OrderError> {
        let authority = self.accounts.at(issuer).await?;
        let mut remote = match &order.url {
            Some(url) => authority.order(url).await?,
            None => self.place(target, order, issuer, &authority).await?,
        };
        if remote.status() == OrderStatus::Pending {
            self.check_wanted(target).await?;
            let now = self.now();
            let is_proved = |at| now.since_ms(at) < PROVED_MS;
            if !order.proved.is_some_and(is_proved) {
                self.prove(target, issuer, &mut remote).await?;
                self.update_order(target, order, |order| order.proved = Some(now))
                    .await?;
            }
            self.patiently(remote.wait_until_ready(PATIENCE)).await?;
        }
        if remote.status() == OrderStatus::Ready {
            self.check_wanted(target).await?;
            self.update_order(target, order, |order| order.finalizing = true)
                .await?;
            let request = certificate_key::signing_request(&target.domain, key);
            let unusable = |_| OrderError::Unable("the key of the order is unusable".to_owned());
            let request = request.map_err(unusable)?;
            remote.finalize(&request).await?;
        }
        if remote.status() == OrderStatus::Invalid {
            return Err(remote.failure().await);
        }
        let chain = self.patiently(remote.certificate(PATIENCE)).await?;
        self.update_order(target, order, |order| order.chain = Some(chain.clone()))
            .await?;
        Ok(chain)
    }

    async fn place(
        &self,
        target: &Target,
        order: &Order,
        issuer: &Issuer,
        authority: &Authority,
    ) -> Result<RemoteOrder, OrderError> {
        self.check_wanted(target).await?;
        self.patiently(self.check_readiness(target, issuer, authority))
            .await?;
        self.charge(target, issuer).await?;
        let profile = issuer.config.profile.as_deref();
        let replaces = order.replaces.as_deref();
        let remote = authority
            .new_order(&target.domain, profile, replaces)
            .await?;
        tracing::debug!(domain = %target.domain, url = remote.url(), "order placed");
        let url = remote.url().to_owned();
        self.update_order(target, order, |order| order.url = Some(url.clone()))
            .await?;
        Ok(remote)
    }

    /// Proves the authorizations that are pending.
    async fn prove(
        &self,
        target: &Target,
        issuer: &Issuer,
        remote: &mut RemoteOrder,
    ) -> Result<(), OrderError> {
        let preferred = &issuer.config.challenges;
        let mut chosen = Vec::new();
        for offered in remote.pending().await? {
            check_identifier(&target.domain, &offered)?;
            let challenge =
                choose(&self.solvers, preferred, &offered).ok_or_else(|| unprovable(&offered))?;
            chosen.push(challenge.clone());
        }
        if chosen.is_empty() {
            return Ok(());
        }
        let (name, environment) = (&target.domain, target.environment);
        let mut noted = self
            .catalog
            .provisioned_challenges(name, environment)
            .await?;
        let new: Vec<_> = chosen
            .iter()
            .filter(|it| !noted.contains(it))
            .cloned()
            .collect();
        noted.extend(new);
        self.catalog
            .put_provisioned_challenges(name, environment, noted, Some(self.term()?))
            .await?;
        for solver in &self.solvers {
            let challenges = of_method(&chosen, &**solver);
            if !challenges.is_empty() {
                self.patiently(solver.provision(environment, &challenges))
                    .await?;
            }
        }
        for challenge in &chosen {
            if let Err(error) = remote.set_ready(challenge).await {
                // After a crash the authority may have validated it already.
                let OrderError::Refused { .. } = &error else {
                    return Err(error);
                };
                let still = remote.refreshed_pending().await?;
                if still.iter().any(|offered| offered.contains(challenge)) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Removes what was provisioned for a domain. What cannot be removed now stays noted. Returns
    /// whether there is nothing more to be done: what no solver is configured for is left until one
    /// is.
    pub(crate) async fn clean_up(
        &self,
        name: &DomainPattern,
        environment: Environment,
    ) -> Result<bool, Fault> {
        let noted = self
            .catalog
            .provisioned_challenges(name, environment)
            .await?;
        if noted.is_empty() {
            return Ok(true);
        }
        let mut left = noted.clone();
        for solver in &self.solvers {
            let challenges = of_method(&noted, &**solver);
            if challenges.is_empty() {
                continue;
            }
            match solver.clean_up(environment, &challenges).await {
                Ok(()) => left.retain(|it| it.method != solver.method()),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(domain = %name, error, "a challenge was not cleaned up");
                }
            }
        }
        let can_remove = |challenge: &Challenge| {
            let mut solvers = self.solvers.iter();
            solvers.any(|solver| solver.method() == challenge.method)
        };
        let done = !left.iter().any(can_remove);
        if done && !left.is_empty() {
            tracing::warn!(
                domain = %name,
                challenges = left.len(),
                "challenges are left whose method is no longer configured"
            );
        }
        if left != noted {
            let term = self.term().map_err(Fault::of("clean up challenges"))?;
            self.catalog
                .put_provisioned_challenges(name, environment, left, Some(term))
                .await?;
        }
        Ok(done)
    }

    /// The key of a new order: a new one, unless the issuer is configured to keep it and nobody else may
    /// have it.
    async fn key(
        &self,
        managed: &ManagedCertificate,
        issuer: &Issuer,
        key_type: KeyType,
    ) -> Result<Secret, OrderError> {
        if issuer.config.keep_key
            && !self.is_key_compromised(managed).await?
            && let Some(key) = self.catalog.issued_key(managed, key_type).await?
        {
            return Ok(key);
        }
        let generated = tokio::task::spawn_blocking(move || certificate_key::generate(key_type));
        let generated = generated.await.map_err(Fault::of("generate a key"))?;
        Ok(generated.map_err(Fault::of("generate a key"))?)
    }

    /// Whether a certificate may be bound to the domain now.
    async fn check_wanted(&self, target: &Target) -> Result<(), OrderError> {
        if *self.stopping.borrow() {
            return Err(OrderError::Interrupted);
        }
        let domain = self.catalog.domain(&target.domain).await?;
        check_domain(target, domain.as_ref())
    }

    /// The stored state.
    ///
    /// # Errors
    /// [`OrderError::Stopped`] if it is not managed any more.
    pub(crate) async fn managed(&self, target: &Target) -> Result<ManagedCertificate, OrderError> {
        let (name, environment) = (&target.domain, target.environment);
        let managed = self.catalog.managed_certificate(name, environment).await?;
        let managed = managed.filter(|managed| managed.domain_id == target.domain_id);
        managed.ok_or(OrderError::Stopped)
    }

    /// Changes the stored state, together with the keys of orders.
    ///
    /// # Errors
    /// [`OrderError::Stopped`] if it is not managed any more, [`OrderError::Interrupted`] without the
    /// lease.
    pub(crate) async fn update(
        &self,
        target: &Target,
        keys: &[(KeyType, Secret)],
        change: impl Fn(&mut ManagedCertificate) + Send + Sync,
    ) -> Result<ManagedCertificate, OrderError> {
        let of = (&target.domain, target.environment, target.domain_id);
        let term = Some(self.term()?);
        let updated = self.catalog.go_on_with_order(of, keys, change, term);
        updated.await?.ok_or(OrderError::Stopped)
    }

    /// Changes the stored state of an order.
    ///
    /// # Errors
    /// [`OrderError::Stopped`] if it was given up: HTTPS was switched off and on again, for example.
    async fn update_order(
        &self,
        target: &Target,
        order: &Order,
        change: impl Fn(&mut Order) + Send + Sync,
    ) -> Result<(), OrderError> {
        let is_it = |it: &Order| (it.key, it.created) == (order.key, order.created);
        let change = |managed: &mut ManagedCertificate| {
            let mut orders = managed.orders.iter_mut();
            if let Some(order) = orders.find(|order| is_it(order)) {
                change(order);
            }
        };
        let managed = self.update(target, &[], change).await?;
        let exists = managed.orders.iter().any(is_it);
        exists.then_some(()).ok_or(OrderError::Stopped)
    }

    /// Waits for something, but not longer than the program runs.
    async fn patiently<T>(
        &self,
        wait: impl Future<Output = Result<T, OrderError>>,
    ) -> Result<T, OrderError> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            done = wait => done,
            _ = stopping.wait_for(|stopping| *stopping) => Err(OrderError::Interrupted),
        }
    }
}

/// Whether a certificate may be bound to this domain.
///
/// # Errors
/// [`OrderError::Stopped`] if the order is not wanted any more; [`OrderError::Locked`] if the
/// certificate must not be changed now.
pub(crate) fn check_domain(target: &Target, domain: Option<&Domain>) -> Result<(), OrderError> {
    let domain = domain
        .filter(|domain| domain.id == target.domain_id && domain.is_managed(target.environment));
    let domain = domain.ok_or(OrderError::Stopped)?;
    let locked = |locked: CertificateLocked| OrderError::Locked(locked);
    domain.check_certificate_change().map_err(locked)
}

fn of_method(challenges: &[Challenge], solver: &dyn ChallengeSolver) -> Vec<Challenge> {
    let challenges = challenges.iter();
    challenges
        .filter(|challenge| challenge.method == solver.method())
        .cloned()
        .collect()
}

/// Whether these challenges prove the domain of the order: an authority must not have us prove
/// another name, perhaps another account's.
fn check_identifier(domain: &DomainPattern, offered: &[Challenge]) -> Result<(), OrderError> {
    let is_own = |challenge: &Challenge| {
        challenge.name.eq_ignore_ascii_case(domain.base().as_str())
            && challenge.wildcard == domain.is_wildcard()
            && Token::parse(&challenge.token).is_ok()
    };
    if offered.iter().all(is_own) {
        return Ok(());
    }
    Err(OrderError::refused(
        "the authority wants proof of another name, or gives a token that is none",
    ))
}

fn unprovable(offered: &[Challenge]) -> OrderError {
    let wildcard = offered.iter().any(|challenge| challenge.wildcard);
    OrderError::Unable(if wildcard {
        "a wildcard domain is proved by dns-01 only, which is not configured".to_owned()
    } else {
        "the issuer offers no challenge that is configured here".to_owned()
    })
}
