//! The scheduler: which order starts next, at which issuer.

use std::sync::Arc;

use super::{
    HOUR_MS, Issuer, IssuerHealth, MINUTE_MS, OrderKind, PauseReason, Seed, Task, Urgency, Usage,
    limits::IssuerLimits,
    queue::{Lane, Queue, TaskKey},
    usage::Counter,
};
use crate::{
    DomainPattern, Timestamp,
    domain::Environment,
    rate::{GcraState, RateDecision, RateLimit, spend},
};

/// How much faster than in the long run routine renewals may go. A batch that falls due together
/// then takes a third of its renewal period, 10.4 of 47 days, and is done within the 15.7 days that
/// remain; and one day has at most three times the orders of an average one.
const PACE: u64 = 3;
/// The pace is kept in each ten minutes.
const PACE_PERIOD_MS: u32 = 600_000;
/// Routine renewals that may always go in ten minutes: a small installation has no herd.
const PACE_MIN: u32 = 10;

/// Chooses what to order next. It is in memory only: built from the store at the start.
///
/// - What is urgent goes first, routine renewals next, then first orders; one in four starts
///   belongs to a first order as long as one waits.
/// - The accounts that wait for first orders take turns: one that asks for very many delays each of
///   the others by one order.
/// - Routine renewals keep a pace of three times their long-run rate, so that no herd forms.
/// - Each order goes to the first issuer of the list that takes it. One that is down is passed over
///   at once; one whose limit is reached, if waiting would take long for this kind of task.
/// - A domain that has to wait holds up no other.
#[derive(Clone, Debug)]
pub struct Scheduler {
    issuers: Vec<Issuer>,
    queue: Queue,
    pace: GcraState,
}

/// An order to start now. Its task has left the scheduler; [set](Scheduler::set) the next one when
/// the order has ended.
#[derive(Clone, Debug)]
pub struct Start {
    /// For which domain.
    pub domain: Arc<DomainPattern>,
    /// In which environment.
    pub environment: Environment,
    /// The position of the issuer.
    pub issuer: usize,
    /// How the issuer counts it; [`OrderKind::Replacement`] has to name what it replaces.
    pub kind: OrderKind,
    /// The task.
    pub task: Task,
    /// The issuer's counters that changed: store them before the issuer is asked.
    pub counters: Vec<(Counter, GcraState)>,
}

impl Start {
    /// The key of its task.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        TaskKey {
            domain: Arc::clone(&self.domain),
            environment: self.environment,
        }
    }
}

/// Why a task does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    until: Timestamp,
    /// Whether it holds for all tasks of the lane.
    is_for_all: bool,
}

impl Scheduler {
    /// A scheduler without tasks. `issuers` are in the order of preference.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self {
            issuers,
            queue: Queue::default(),
            pace: GcraState::default(),
        }
    }

    /// Adds the next order of a domain in an environment, or replaces it.
    pub fn set(&mut self, key: impl Into<TaskKey>, task: Task) {
        self.queue.set(key.into(), task);
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: impl Into<TaskKey>) {
        self.queue.remove(&key.into());
    }

    /// The order to start at `now`, counted against the issuer's limits; `None` if none may. Call
    /// it until it returns `None`, or until as many orders are in progress as the caller wants.
    pub fn next(&mut self, now: Timestamp) -> Option<Start> {
        loop {
            let (key, task, lane) = self.queue.first(now)?;
            match self.decide(&key, &task, lane, now) {
                Ok(start) => {
                    self.queue.start(&key);
                    return Some(start);
                }
                Err(wait) if wait.is_for_all => self.queue.hold(lane, wait.until),
                Err(wait) => self.queue.postpone(key, wait.until),
            }
        }
    }

    /// When [`Scheduler::next`] may return something after it has returned `None` at `now`, unless
    /// something changes before; `None` if there is no task.
    #[must_use]
    pub fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.queue.next_change(now)
    }

    /// The issuer at position `issuer` took an order.
    pub fn issuer_answered(&mut self, issuer: usize, now: Timestamp) {
        if let Some(issuer) = self.issuers.get_mut(issuer) {
            let was_paused = issuer.health.pause(now).is_some();
            issuer.health.answered();
            if was_paused && issuer.health.pause(now).is_none() {
                self.queue.release();
            }
        }
    }

    /// The issuer at position `issuer` did not take an order, for a reason that concerns all
    /// orders: see [`super::IssuerHealth::failed`]. The domain's failures do not count then.
    pub fn issuer_failed(
        &mut self,
        issuer: usize,
        reason: PauseReason,
        retry_after: Option<Timestamp>,
        seed: Seed,
        now: Timestamp,
    ) {
        if let Some(issuer) = self.issuers.get_mut(issuer) {
            issuer.health.failed(reason, retry_after, seed, now);
        }
    }

    /// The issuer at position `issuer` could not validate `domain`. Returns the counter, to be
    /// stored.
    pub fn authorization_failed(
        &mut self,
        issuer: usize,
        domain: &DomainPattern,
        now: Timestamp,
    ) -> Option<(Counter, GcraState)> {
        let issuer = self.issuers.get_mut(issuer)?;
        issuer.usage.count_failure(&issuer.limits, domain, now)
    }

    /// The issuer was not asked for `orders` of the orders of a start: they do not count.
    pub fn give_back(
        &mut self,
        issuer: usize,
        domain: &DomainPattern,
        kind: OrderKind,
        orders: u32,
    ) {
        if let Some(issuer) = self.issuers.get_mut(issuer) {
            issuer.usage.give_back(&issuer.limits, domain, kind, orders);
            self.queue.release();
        }
    }

    /// Replaces what is known of the issuer at position `issuer`: another process may have ordered
    /// there.
    pub fn restore_issuer(&mut self, issuer: usize, health: IssuerHealth, usage: Usage) {
        if let Some(issuer) = self.issuers.get_mut(issuer) {
            issuer.health = health;
            issuer.usage = usage;
            self.queue.release();
        }
    }

    /// The issuers, in the order of preference.
    #[must_use]
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Tasks, and those of them whose time has come.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        self.queue.len()
    }

    /// Whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len().0 == 0
    }

    /// Orders a day that the renewals of all tasks take in the long run, rounded up.
    #[must_use]
    pub fn orders_per_day(&self) -> u64 {
        self.queue.micro_orders_per_day().div_ceil(1_000_000)
    }

    /// Orders a day that the preferred issuer's limits lack in the long run, if its renewals count
    /// against them: certificates will expire unless the limit is raised.
    #[must_use]
    pub fn missing_orders_per_day(&self) -> Option<u64> {
        let limits = &self.issuers.first()?.limits;
        let is_exempt = limits.exempts_renewals || limits.exempts_replacements;
        let available = limits.orders_per_day().filter(|_| !is_exempt)?;
        let missing = self.orders_per_day().saturating_sub(available);
        (missing > 0).then_some(missing)
    }

    /// Starts a task, or says why not.
    fn decide(
        &mut self,
        key: &TaskKey,
        task: &Task,
        lane: Lane,
        now: Timestamp,
    ) -> Result<Start, Wait> {
        let pace = (lane.urgency == Urgency::Routine)
            .then(|| self.spend_pace(now))
            .transpose()?;
        let mut shortest: Option<Wait> = None;
        let mut is_for_all = true;
        let issuers = 0..self.issuers.len();
        for position in issuers.filter(|issuer| task.may_come_from(*issuer)) {
            let kind = task.kind_at(position);
            let issuer = &mut self.issuers[position];
            match ask(issuer, &key.domain, task, kind, now) {
                Ok(counters) => {
                    self.pace = pace.unwrap_or(self.pace);
                    return Ok(Start {
                        domain: key.domain.clone(),
                        environment: key.environment,
                        issuer: position,
                        kind,
                        task: *task,
                        counters,
                    });
                }
                Err((wait, is_down)) => {
                    let waits_ms = wait.until.since_ms(now);
                    let is_worth_it = !is_down && waits_ms <= patience_ms(lane.urgency);
                    is_for_all &= wait.is_for_all;
                    if shortest.as_ref().is_none_or(|it| wait.until < it.until) {
                        shortest = Some(wait);
                    }
                    if is_worth_it {
                        break;
                    }
                }
            }
        }
        // Without an issuer nothing ever starts; looking again in an hour costs nothing.
        let until = shortest.map_or_else(|| now.plus_ms(HOUR_MS), |wait| wait.until);
        Err(Wait { until, is_for_all })
    }

    fn spend_pace(&self, now: Timestamp) -> Result<GcraState, Wait> {
        let per_period = self.queue.micro_orders_per_day() * PACE / (1_000_000 * 144);
        let calls = u32::try_from(per_period).unwrap_or(u32::MAX).max(PACE_MIN);
        let limit = RateLimit {
            calls,
            per_ms: PACE_PERIOD_MS,
        };
        match spend(limit, self.pace, now) {
            RateDecision::Allowed(state) => Ok(state),
            RateDecision::RetryAfter { ms } => Err(Wait {
                until: now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX).max(1)),
                is_for_all: true,
            }),
        }
    }
}

/// How long a task waits for a limit of a preferred issuer before it goes to the next one.
const fn patience_ms(urgency: Urgency) -> i64 {
    match urgency {
        Urgency::Urgent => 0,
        Urgency::First => MINUTE_MS,
        Urgency::Routine => HOUR_MS,
    }
}

/// Counts a task's orders at one issuer. Otherwise how long it waits there, and whether because
/// the issuer is down.
fn ask(
    issuer: &mut Issuer,
    domain: &DomainPattern,
    task: &Task,
    kind: OrderKind,
    now: Timestamp,
) -> Result<Vec<(Counter, GcraState)>, (Wait, bool)> {
    let limits: &IssuerLimits = &issuer.limits;
    let pause = if task.urgency(now) == Urgency::Urgent {
        issuer.health.pause_of_urgent(now)
    } else {
        issuer.health.pause(now)
    };
    if let Some((until, reason)) = pause {
        let wait = Wait {
            until,
            is_for_all: true,
        };
        return Err((wait, reason == PauseReason::Unreachable));
    }
    let taken = issuer.usage.take(limits, domain, kind, task.orders, now);
    if taken.is_ok() {
        issuer.health.asked(now);
    }
    taken.map_err(|reached| {
        let wait = Wait {
            until: reached.until,
            is_for_all: reached.counter.is_of_account(),
        };
        (wait, false)
    })
}
