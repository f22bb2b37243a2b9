//! The task that orders and renews: it follows the managed certificates in the store, and starts
//! what the scheduler says is due.

mod follow;
mod lease;
mod reissue;
mod revocations;
pub(crate) mod telemetry;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use edgeseal_core::{
    DomainPattern, Timestamp,
    acme::{Scheduler, Seed, Start, reissue::Reissue},
    certificate::CertificateId,
    managed_certificate::ManagedCertificate,
    revocation::Revocation,
};
use edgeseal_store::{Catalog, Fault, feed::Feed, key, record::IssuerHealthRecord};
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinError, JoinSet},
};

use crate::{
    accounts::Accounts,
    bind::CertificateSettings,
    challenge::ChallengeSolver,
    charges::{Charge, Charges},
    issuer::{InvalidIssuer, IssuerConfig, issuers},
    job::{IssuerEvent, Outcome, Work},
    order::{OrderDriver, Target},
    preflight::{Preflight, PreflightSettings},
    revoke,
};

use follow::Waits;
use lease::OrderLease;
pub use reissue::{OrderHandle, Outlook};
use reissue::{QUESTIONS_MAX, Question};

/// How long orders in progress have to reach a step that is stored, when the program ends.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How soon challenges that were not cleaned up are tried again.
const CLEAN_UP_AGAIN_MS: i64 = 60_000;
/// How soon a domain is worked on again whose job panicked: an hour.
const PANICKED_MS: i64 = 60 * 60 * 1000;
/// How often the gauges are set.
const GAUGES_MS: i64 = 20_000;
/// The longest sleep: then the clock is read again, which may have been set.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// How certificates are ordered.
pub struct Settings {
    /// The issuers, in the order of preference.
    pub issuers: Vec<IssuerConfig>,
    /// What answers challenges, in the order of preference.
    pub solvers: Vec<Arc<dyn ChallengeSolver>>,
    /// Whether, and where, domains are checked before anything is ordered for them.
    pub preflight: Option<PreflightSettings>,
    /// What certificates are stored with.
    pub certificates: CertificateSettings,
    /// Most domains that are worked on at once.
    pub concurrent: usize,
    /// Names this process among those on the store, the same after its restart.
    pub owner: String,
}

/// Orders and renews the managed certificates of a store.
pub struct OrderTask {
    driver: Arc<OrderDriver>,
    stopping: watch::Sender<bool>,
    settings: CertificateSettings,
    concurrent: usize,
    lease: OrderLease,
    /// When to set the gauges again.
    gauges_due: Timestamp,
    scheduler: Scheduler,
    domains: HashMap<Arc<DomainPattern>, BTreeMap<&'static str, ManagedCertificate>>,
    /// When to look at a domain, apart from what the scheduler starts.
    looks: BTreeSet<(Timestamp, Arc<DomainPattern>)>,
    look_at: HashMap<Arc<DomainPattern>, Timestamp>,
    /// What jobs have left: the feed may bring what they wrote later.
    waits: HashMap<Arc<DomainPattern>, Waits>,
    /// Domains that change while they are worked on are planned afterwards.
    running: HashSet<Arc<DomainPattern>>,
    jobs: JoinSet<Outcome>,
    /// What each job is about: a job that panics cannot say it.
    works: HashMap<task::Id, RunningWork>,
    /// Whether all that the store holds is known: what is not known yet may forbid an order.
    is_listed: bool,
    /// By domain, what was asked to be revoked of it.
    revocations: HashMap<Arc<DomainPattern>, BTreeMap<CertificateId, Revocation>>,
    /// The replacement of many certificates that was asked for last.
    reissue: Option<Reissue>,
    questions: (mpsc::Sender<Question>, mpsc::Receiver<Question>),
}

/// What a job is about.
struct RunningWork {
    domain: Arc<DomainPattern>,
    /// Whether it looks at something: an order in progress, or renewal information.
    is_look: bool,
}

impl OrderTask {
    /// Checks the settings, and reads what the store knows of the issuers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn new(
        catalog: Catalog,
        settings: Settings,
        clock: fn() -> Timestamp,
    ) -> Result<Self, StartError> {
        let issuers = issuers(settings.issuers, clock)?;
        let mut known = Vec::with_capacity(issuers.len());
        for issuer in &issuers {
            let mut scheduled = edgeseal_core::acme::Issuer::new(issuer.config.limits);
            scheduled.health = catalog.issuer_health(issuer.name()).await?.health;
            scheduled.usage = catalog.issuer_usage(issuer.name()).await?;
            known.push(scheduled);
        }
        let (stopping, stopped) = watch::channel(false);
        let lease = OrderLease::start(catalog.store().clone(), settings.owner);
        let driver = OrderDriver {
            accounts: Accounts::new(catalog.clone(), clock),
            catalog,
            issuers,
            solvers: settings.solvers,
            checks: settings.preflight.map(Preflight::new),
            clock,
            charges: Charges::default(),
            term: lease.adopted(),
            stopping: stopped,
        };
        Ok(Self {
            driver: Arc::new(driver),
            stopping,
            settings: settings.certificates,
            concurrent: settings.concurrent.max(1),
            lease,
            gauges_due: Timestamp::default(),
            scheduler: Scheduler::new(known),
            domains: HashMap::new(),
            looks: BTreeSet::new(),
            look_at: HashMap::new(),
            waits: HashMap::new(),
            running: HashSet::new(),
            revocations: HashMap::new(),
            reissue: None,
            questions: mpsc::channel(QUESTIONS_MAX),
            jobs: JoinSet::new(),
            works: HashMap::new(),
            is_listed: false,
        })
    }

    /// Orders and renews until `stop` completes.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let prefixes = [
            key::MANAGED_CERTIFICATES,
            key::PROVISIONED_CHALLENGES,
            key::REISSUE,
            key::REVOCATIONS,
        ];
        let mut feed = Feed::start(self.driver.catalog.store().clone(), prefixes);
        let mut stop = std::pin::pin!(stop);
        let mut revoking = std::pin::pin!(revoke::run(Arc::clone(&self.driver)));
        loop {
            let now = self.driver.now();
            self.follow_lease(now).await;
            if self.leads() {
                self.start_due(now);
            }
            if self.gauges_due <= now || self.gauges_due.since_ms(now) > GAUGES_MS {
                self.set_gauges(now);
            }
            let sleep = tokio::time::sleep(self.sleep_for(now));
            tokio::select! {
                () = &mut stop => break,
                () = &mut revoking, if self.leads() => {}
                () = self.lease.changed() => {}
                event = feed.next() => self.apply(event),
                Some(ended) = self.jobs.join_next_with_id() => self.ended(ended).await,
                Some(question) = self.questions.1.recv() => self.answer(question),
                () = sleep => {}
            }
        }
        self.stopping.send_replace(true);
        let jobs = async { while self.jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, jobs).await.is_err() {
            tracing::warn!("orders in progress are interrupted; they go on after the next start");
            self.jobs.shutdown().await;
        }
        self.lease.release().await;
    }

    /// Whether this process has the lease to order, as it changes.
    #[must_use]
    pub fn has_lease(&self) -> watch::Receiver<bool> {
        self.lease.is_held()
    }

    fn sleep_for(&self, now: Timestamp) -> Duration {
        let mut next = self.gauges_due;
        next = self.lease_due().map_or(next, |due| due.min(next));
        if self.is_listed && self.leads() && self.running.len() < self.concurrent {
            let look = self.looks.first().map(|(at, _)| *at);
            let look = look.filter(|_| self.may_look());
            let due = look.into_iter().chain(self.scheduler.next_at(now)).min();
            next = due.map_or(next, |due| due.min(next));
        }
        let ms = next.since_ms(now).max(1).unsigned_abs();
        Duration::from_millis(ms).min(SLEEP_MAX)
    }

    /// Whether another look may begin. A quarter of the places is kept for new orders: an authority
    /// whose renewal information hangs must not hold up orders at others.
    fn may_look(&self) -> bool {
        let looks = self.works.values().filter(|work| work.is_look).count();
        looks < (self.concurrent - self.concurrent / 4).max(1)
    }

    fn start_due(&mut self, now: Timestamp) {
        while self.is_listed && self.running.len() < self.concurrent {
            if let Some((at, domain)) = self.looks.first()
                && *at <= now
                && self.may_look()
            {
                let domain = Arc::clone(domain);
                self.unlook(&domain);
                self.spawn(domain, Work::Resume);
            } else if let Some(start) = self.scheduler.next(now) {
                self.begin(start);
            } else {
                return;
            }
        }
    }

    fn begin(&mut self, start: Start) {
        let managed = self.domains.get(&start.domain);
        let Some(managed) = managed.and_then(|it| it.get(start.environment.as_str())) else {
            // Not expected: a task is set for what is in the map.
            let orders = start.task.orders;
            self.scheduler
                .give_back(start.issuer, &start.domain, start.kind, orders);
            return self.plan(&start.domain, None);
        };
        let work = Work::Begin {
            target: Target::of(managed),
            issuer: start.issuer,
            kind: start.kind,
        };
        let charge = Charge {
            issuer: start.issuer,
            kind: start.kind,
            unsent: start.task.orders,
            counters: start.counters,
        };
        self.driver.charges.open(&start.domain, charge);
        self.spawn(start.domain, work);
    }

    fn spawn(&mut self, domain: Arc<DomainPattern>, work: Work) {
        self.unlook(&domain);
        self.forget_tasks(&domain);
        self.waits.remove(&domain);
        self.running.insert(Arc::clone(&domain));
        let (driver, settings) = (Arc::clone(&self.driver), self.settings);
        let running = RunningWork {
            domain: Arc::clone(&domain),
            is_look: matches!(work, Work::Resume),
        };
        let job = self
            .jobs
            .spawn(async move { driver.work(domain, work, settings).await });
        self.works.insert(job.id(), running);
    }

    async fn ended(&mut self, ended: Result<(task::Id, Outcome), JoinError>) {
        let now = self.driver.now();
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            // The lease has ended.
            Err(error) if error.is_cancelled() => (error.id(), Outcome::default()),
            Err(error) => {
                let id = error.id();
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "an order failed unexpectedly; it is tried again");
                let not_before = Some(now.plus_ms(PANICKED_MS));
                let outcome = Outcome {
                    not_before,
                    ..Outcome::default()
                };
                (id, outcome)
            }
        };
        let Some(RunningWork { domain, .. }) = self.works.remove(&id) else {
            return;
        };
        self.running.remove(&domain);
        if let Some(charge) = self.driver.charges.close(&domain) {
            let Charge {
                issuer,
                kind,
                unsent,
                ..
            } = charge;
            self.scheduler.give_back(issuer, &domain, kind, unsent);
        }
        if let Some((issuer, event)) = outcome.issuer
            && let Err(fault) = self.note(&issuer, event, &domain, now).await
        {
            let error: &dyn std::error::Error = &fault;
            tracing::warn!(issuer, error, "the state of an issuer was not stored");
        }
        let waits = Waits {
            since: now,
            not_before: outcome.not_before,
            clean_up: outcome.unclean.then(|| now.plus_ms(CLEAN_UP_AGAIN_MS)),
        };
        if waits.not_before.or(waits.clean_up).is_some() {
            self.waits.insert(Arc::clone(&domain), waits);
        }
        self.refresh(&domain).await;
        self.plan(&domain, None);
    }

    /// Notes how an issuer behaved, also in the store.
    async fn note(
        &mut self,
        name: &str,
        event: IssuerEvent,
        domain: &DomainPattern,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let mut issuers = self.driver.issuers.iter();
        let Some(position) = issuers.position(|issuer| issuer.name() == name) else {
            return Ok(());
        };
        let before = self.health(position);
        let mut said = String::new();
        match event {
            IssuerEvent::Answered => self.scheduler.issuer_answered(position, now),
            IssuerEvent::Failed {
                why,
                reason,
                retry_at,
            } => {
                let seed = Seed::of(name);
                self.scheduler
                    .issuer_failed(position, why, retry_at, seed, now);
                said = reason;
            }
            IssuerEvent::AuthorizationFailed => {
                let counter = self.scheduler.authorization_failed(position, domain, now);
                let catalog = &self.driver.catalog;
                let counters: Vec<_> = counter.into_iter().collect();
                return catalog.put_issuer_usage(name, &counters, now).await;
            }
        }
        let health = self.health(position);
        if health == before {
            return Ok(());
        }
        let record = IssuerHealthRecord {
            health: health.unwrap_or_default(),
            reason: said,
        };
        let term = self.driver.term().map_err(Fault::of("note an issuer"))?;
        let catalog = &self.driver.catalog;
        catalog.put_issuer_health(name, &record, term).await
    }

    fn health(&self, position: usize) -> Option<edgeseal_core::acme::IssuerHealth> {
        let issuer = self.scheduler.issuers().get(position)?;
        Some(issuer.health.clone())
    }
}

/// Why certificates cannot be ordered.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An issuer is not configured well.
    #[error(transparent)]
    Issuer(#[from] InvalidIssuer),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Fault),
}
