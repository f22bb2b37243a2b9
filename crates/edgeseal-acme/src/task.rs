//! The task that orders and renews: it follows the managed certificates in the store, and starts
//! what the scheduler says is due.

mod reissue;
mod revocations;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use edgeseal_core::{
    DomainPattern, Timestamp,
    acme::{IssuerLimits, Scheduler, Seed, Start, reissue::Reissue},
    certificate::CertificateId,
    domain::Environment,
    managed_certificate::ManagedCertificate,
    revocation::Revocation,
};
use edgeseal_store::{
    Catalog, Fault, Key,
    feed::{Event, Feed},
    key,
    record::{self, IssuerHealthRecord, ProvisionedChallengesRecord},
};
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinError, JoinSet},
};

use crate::{
    accounts::Accounts,
    bind::CertificateSettings,
    challenge::ChallengeSolver,
    issuer::{InvalidIssuer, IssuerConfig, issuers},
    job::{IssuerEvent, Outcome, Work},
    order::{OrderDriver, Target},
    plan::Plan,
    preflight::{Preflight, PreflightSettings},
    revoke,
};

pub use reissue::{OrderHandle, Outlook};
use reissue::{QUESTIONS_MAX, Question};

/// How long orders in progress have to reach a step that is stored, when the program ends.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How soon challenges that were not cleaned up are tried again.
const CLEAN_UP_AGAIN_MS: i64 = 60_000;
/// How soon a domain is worked on again whose job panicked: an hour.
const PANICKED_MS: i64 = 60 * 60 * 1000;
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
}

/// Orders and renews the managed certificates of a store.
pub struct OrderTask {
    driver: Arc<OrderDriver>,
    stopping: watch::Sender<bool>,
    settings: CertificateSettings,
    concurrent: usize,
    scheduler: Scheduler,
    domains: HashMap<Arc<DomainPattern>, BTreeMap<&'static str, ManagedCertificate>>,
    /// When to look at a domain, apart from what the scheduler starts.
    looks: BTreeSet<(Timestamp, Arc<DomainPattern>)>,
    look_at: HashMap<Arc<DomainPattern>, Timestamp>,
    /// Domains that change while they are worked on are planned afterwards.
    running: HashSet<Arc<DomainPattern>>,
    jobs: JoinSet<Outcome>,
    /// The domain of each job: a job that panics cannot say it.
    domain_of: HashMap<task::Id, Arc<DomainPattern>>,
    /// By domain, what was asked to be revoked of it.
    revocations: HashMap<Arc<DomainPattern>, BTreeMap<CertificateId, Revocation>>,
    /// The replacement of many certificates that was asked for last.
    reissue: Option<Reissue>,
    questions: (mpsc::Sender<Question>, mpsc::Receiver<Question>),
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
            let limits = IssuerLimits::of_directory(&issuer.config.directory);
            let mut scheduled = edgeseal_core::acme::Issuer::new(limits);
            scheduled.health = catalog.issuer_health(issuer.name()).await?.health;
            scheduled.usage = catalog.issuer_usage(issuer.name()).await?;
            known.push(scheduled);
        }
        let (stopping, stopped) = watch::channel(false);
        let driver = OrderDriver {
            accounts: Accounts::new(catalog.clone(), clock),
            catalog,
            issuers,
            solvers: settings.solvers,
            checks: settings.preflight.map(Preflight::new),
            clock,
            stopping: stopped,
        };
        Ok(Self {
            driver: Arc::new(driver),
            stopping,
            settings: settings.certificates,
            concurrent: settings.concurrent.max(1),
            scheduler: Scheduler::new(known),
            domains: HashMap::new(),
            looks: BTreeSet::new(),
            look_at: HashMap::new(),
            running: HashSet::new(),
            revocations: HashMap::new(),
            reissue: None,
            questions: mpsc::channel(QUESTIONS_MAX),
            jobs: JoinSet::new(),
            domain_of: HashMap::new(),
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
        let mut feed = Feed::start(Arc::clone(self.driver.catalog.store()), prefixes);
        let mut stop = std::pin::pin!(stop);
        let mut revoking = std::pin::pin!(revoke::run(Arc::clone(&self.driver)));
        loop {
            let now = self.driver.now();
            self.start_due(now);
            let sleep = tokio::time::sleep(self.sleep_for(now));
            tokio::select! {
                () = &mut stop => break,
                () = &mut revoking => {}
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
        }
    }

    fn sleep_for(&self, now: Timestamp) -> Duration {
        if self.running.len() >= self.concurrent {
            return SLEEP_MAX;
        }
        let look = self.looks.first().map(|(at, _)| *at);
        let next = look.into_iter().chain(self.scheduler.next_at(now)).min();
        let ms = next.map_or(i64::MAX, |next| next.since_ms(now).max(1));
        Duration::from_millis(ms.unsigned_abs()).min(SLEEP_MAX)
    }

    fn start_due(&mut self, now: Timestamp) {
        while self.running.len() < self.concurrent {
            if let Some((at, domain)) = self.looks.first()
                && *at <= now
            {
                let domain = Arc::clone(domain);
                self.unlook(&domain);
                self.spawn(domain, Work::Resume);
            } else if let Some(start) = self.scheduler.next(now) {
                self.begin(start, now);
            } else {
                return;
            }
        }
    }

    fn begin(&mut self, start: Start, now: Timestamp) {
        let managed = self.domains.get(&start.domain);
        let due = managed.and_then(|managed| {
            let managed = managed.values();
            managed
                .filter(|managed| self.plan_of(managed, self.reissue.as_ref()).is_due(now))
                .min_by_key(|managed| managed.requested.at)
        });
        let Some(managed) = due else {
            // Cannot happen: a task is set for what is in the map.
            return;
        };
        let work = Work::Begin {
            target: Target::of(managed),
            issuer: start.issuer,
            kind: start.kind,
            counters: start.counters,
        };
        self.spawn(start.domain, work);
    }

    fn spawn(&mut self, domain: Arc<DomainPattern>, work: Work) {
        self.unlook(&domain);
        self.scheduler.remove(Arc::clone(&domain));
        self.running.insert(Arc::clone(&domain));
        let (driver, settings) = (Arc::clone(&self.driver), self.settings);
        let of = Arc::clone(&domain);
        let job = self
            .jobs
            .spawn(async move { driver.work(domain, work, settings).await });
        self.domain_of.insert(job.id(), of);
    }

    async fn ended(&mut self, ended: Result<(task::Id, Outcome), JoinError>) {
        let now = self.driver.now();
        let (id, outcome) = match ended {
            Ok(ended) => ended,
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
        let Some(domain) = self.domain_of.remove(&id) else {
            return;
        };
        self.running.remove(&domain);
        if let Some((issuer, event)) = outcome.issuer
            && let Err(fault) = self.note(&issuer, event, &domain, now).await
        {
            let error: &dyn std::error::Error = &fault;
            tracing::warn!(issuer, error, "the state of an issuer was not stored");
        }
        let again = outcome.unclean.then(|| now.plus_ms(CLEAN_UP_AGAIN_MS));
        self.refresh(&domain).await;
        self.plan(&domain, outcome.not_before, again);
    }

    /// Reads what became of a domain: the feed may still be behind.
    async fn refresh(&mut self, domain: &Arc<DomainPattern>) {
        for environment in [Environment::Production, Environment::Staging] {
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

    /// Plans the next work for a domain.
    fn plan(
        &mut self,
        domain: &Arc<DomainPattern>,
        not_before: Option<Timestamp>,
        look: Option<Timestamp>,
    ) {
        self.unlook(domain);
        if self.running.contains(domain) {
            return;
        }
        let mut next = Plan { task: None, look };
        for managed in self
            .domains
            .get(domain)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            let planned = self.plan_of(managed, self.reissue.as_ref());
            next = next.or_earlier(planned.waiting_for(&self.paused_until(managed)));
        }
        next = next.not_before(not_before);
        match next.task {
            Some(task) => self.scheduler.set(Arc::clone(domain), task),
            None => self.scheduler.remove(Arc::clone(domain)),
        }
        if let Some(at) = next.look {
            self.looks.insert((at, Arc::clone(domain)));
            self.look_at.insert(Arc::clone(domain), at);
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
    fn orders(&self) -> u32 {
        let preferred = self.driver.issuers.first();
        preferred.map_or(1, |issuer| issuer.config.key.types().len() as u32)
    }

    fn unlook(&mut self, domain: &Arc<DomainPattern>) {
        if let Some(at) = self.look_at.remove(domain) {
            self.looks.remove(&(at, Arc::clone(domain)));
        }
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
        self.driver.catalog.put_issuer_health(name, &record).await
    }

    fn health(&self, position: usize) -> Option<edgeseal_core::acme::IssuerHealth> {
        let issuer = self.scheduler.issuers().get(position)?;
        Some(issuer.health.clone())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::ListBegins => {
                for domain in std::mem::take(&mut self.domains).into_keys() {
                    self.scheduler.remove(domain);
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
                self.plan(&domain, None, Some(now));
            }
            return;
        }
        let managed = value.map(record::decode::<ManagedCertificate>);
        match managed.transpose() {
            Ok(managed) => {
                let gone = managed.is_none();
                self.put(&domain, environment, managed);
                self.plan(&domain, None, gone.then_some(now));
            }
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::error!(key = %key, error, "a managed certificate cannot be read");
            }
        }
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
