//! What is to be ordered, and in which order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    DAY_MS, RetryState, Seed, Validity,
    renewal::{REVOCATION_NOTICE_MS, Renewal, RenewalCause},
};
use crate::{AccountId, DomainPattern, Timestamp, domain::Environment};

/// Every n-th start belongs to a first order, if one waits and renewals do as well: somebody waits
/// for it, and renewals may be very many.
const FIRST_ORDER_SHARE: u64 = 4;

/// How an issuer counts an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderKind {
    /// The first certificate of these names by this issuer.
    First,
    /// Another certificate with the same names.
    Renewal,
    /// The same, naming the certificate that it `replaces` (RFC 9773 §5).
    Replacement,
}

/// How urgent a task is; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Half of the time between the renewal and the expiry has passed, or the certificate is about
    /// to be revoked. Earliest deadline first.
    Urgent,
    /// A renewal that is due. The one that becomes urgent next goes first.
    Routine,
    /// Nothing is served yet and somebody waits. The accounts take turns; of one account, first
    /// come, first served.
    First,
}

/// Who issued the certificate that a task renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuedBy {
    /// The position of the issuer in the list.
    pub issuer: usize,
    /// Whether the order names the certificate that it replaces: the issuer has renewal
    /// information, and the certificate was not replaced before.
    pub replaces: bool,
}

/// What an order is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// The domain.
    pub domain: Arc<DomainPattern>,
    /// The edges that will serve the certificate.
    pub environment: Environment,
}

/// The next order of a domain in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Not before this point.
    pub ready_at: Timestamp,
    /// From here on it is urgent; `None` for a first order, which never is.
    urgent_at: Option<Timestamp>,
    /// Its place among tasks that are as urgent: when it was requested, or its deadline.
    deadline: Timestamp,
    /// Who issued the present certificate, if that issuer is still in the list.
    issued_by: Option<IssuedBy>,
    /// An issuer that it is not ordered from: by position.
    not_from: Option<usize>,
    /// Whose turn a first order takes: the account that owns the domain.
    account: Option<Seed>,
    /// Orders that it takes: two for a domain with an RSA and an ECDSA certificate.
    pub orders: u32,
    /// Millionths of an order a day that it takes in the long run.
    micro_orders_per_day: u64,
}

/// Tasks that cannot be told apart but by their place: what holds one up for a whole issuer holds
/// up all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane {
    pub(super) urgency: Urgency,
    issued_by: Option<IssuedBy>,
    not_from: Option<usize>,
    orders: u32,
    /// Of first orders: their account. Accounts take turns, and are held up together.
    account: Option<Seed>,
}

type Ready = BTreeSet<(Timestamp, TaskKey)>;

/// Tasks in order. A task that is not ready or whose lane is held costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    tasks: HashMap<TaskKey, Task>,
    waiting: Ready,
    ready: BTreeMap<Lane, Ready>,
    /// By lane without its account.
    held: BTreeMap<Lane, Timestamp>,
    micro_orders_per_day: u64,
    starts: u64,
    /// For each account, which start was the last one of a first order of it.
    turns: HashMap<Seed, u64>,
}

impl From<Arc<DomainPattern>> for TaskKey {
    /// For production.
    fn from(domain: Arc<DomainPattern>) -> Self {
        Self {
            domain,
            environment: Environment::Production,
        }
    }
}

impl From<DomainPattern> for TaskKey {
    /// For production.
    fn from(domain: DomainPattern) -> Self {
        Arc::new(domain).into()
    }
}

impl Task {
    /// The order for a domain that has no certificate by ACME yet.
    #[must_use]
    pub fn first(
        requested_at: Timestamp,
        account: &AccountId,
        orders: u32,
        backoff: RetryState,
    ) -> Self {
        Self {
            ready_at: requested_at.max(backoff.next_attempt),
            urgent_at: None,
            deadline: requested_at,
            issued_by: None,
            not_from: None,
            account: Some(Seed::of(account.as_str())),
            orders,
            micro_orders_per_day: 0,
        }
    }

    /// The renewal of a certificate: `renewal` is what [`super::renewal::renewal`] returns.
    #[must_use]
    pub fn renewal(
        validity: Validity,
        renewal: Renewal,
        issued_by: Option<IssuedBy>,
        orders: u32,
        backoff: RetryState,
    ) -> Self {
        if renewal.cause == RenewalCause::AtOnce {
            let revoked_at = renewal.at.plus_ms(REVOCATION_NOTICE_MS);
            return Self::reissue(validity, renewal.at, revoked_at, issued_by, orders, backoff);
        }
        let slack_ms = validity.not_after.since_ms(renewal.at);
        let due = validity.due_by_age(Seed::from_random(u64::MAX / 2));
        let period_ms = due.since_ms(validity.not_before).max(1);
        let micro = u64::from(orders) * DAY_MS.unsigned_abs() * 1_000_000;
        Self {
            ready_at: renewal.at.max(backoff.next_attempt),
            urgent_at: Some(renewal.at.plus_ms(slack_ms / 2)),
            deadline: validity.not_after,
            issued_by,
            not_from: None,
            account: None,
            orders,
            micro_orders_per_day: micro / period_ms.unsigned_abs(),
        }
    }

    /// The replacement of a certificate before its time, urgent from `since` on: it will be revoked
    /// or distrusted at `deadline`, or the operator wants it gone by then.
    #[must_use]
    pub fn reissue(
        validity: Validity,
        since: Timestamp,
        deadline: Timestamp,
        issued_by: Option<IssuedBy>,
        orders: u32,
        backoff: RetryState,
    ) -> Self {
        Self {
            ready_at: since.max(backoff.next_attempt),
            urgent_at: Some(since),
            deadline: deadline.min(validity.not_after),
            issued_by,
            not_from: None,
            account: None,
            orders,
            micro_orders_per_day: 0,
        }
    }

    /// As this, but not ordered from the issuer at this position.
    #[must_use]
    pub const fn not_from(mut self, issuer: Option<usize>) -> Self {
        self.not_from = issuer;
        self
    }

    /// Whether it may be ordered from the issuer at position `issuer`.
    #[must_use]
    pub(super) fn may_come_from(&self, issuer: usize) -> bool {
        self.not_from != Some(issuer)
    }

    /// The end of what it renews, or of the time until that is revoked; for a first order when it
    /// was requested.
    #[must_use]
    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// How urgent it is at `now`.
    #[must_use]
    pub fn urgency(&self, now: Timestamp) -> Urgency {
        match self.urgent_at {
            None => Urgency::First,
            Some(at) if at <= now => Urgency::Urgent,
            Some(_) => Urgency::Routine,
        }
    }

    /// How the issuer at position `issuer` counts the order.
    #[must_use]
    pub fn kind_at(&self, issuer: usize) -> OrderKind {
        match self.issued_by {
            Some(by) if by.issuer == issuer && by.replaces => OrderKind::Replacement,
            Some(by) if by.issuer == issuer => OrderKind::Renewal,
            _ => OrderKind::First,
        }
    }

    fn lane(&self, urgency: Urgency) -> Lane {
        Lane {
            urgency,
            issued_by: self.issued_by,
            not_from: self.not_from,
            orders: self.orders,
            account: self.account,
        }
    }

    /// Its place in the lane of `urgency`.
    fn place(&self, urgency: Urgency) -> Timestamp {
        match urgency {
            Urgency::Routine => self.urgent_at.unwrap_or(self.deadline),
            Urgency::Urgent | Urgency::First => self.deadline,
        }
    }
}

impl Lane {
    /// All lanes that what holds up this one holds up as well.
    const fn of_all_accounts(self) -> Self {
        Self {
            account: None,
            ..self
        }
    }
}

impl Queue {
    /// Adds a task, or replaces that of its key.
    pub(super) fn set(&mut self, key: TaskKey, task: Task) {
        self.remove(&key);
        self.micro_orders_per_day += task.micro_orders_per_day;
        self.waiting.insert((task.ready_at, key.clone()));
        self.tasks.insert(key, task);
    }

    /// Removes a task.
    pub(super) fn remove(&mut self, key: &TaskKey) -> Option<Task> {
        let task = self.tasks.remove(key)?;
        self.micro_orders_per_day -= task.micro_orders_per_day;
        if !self.waiting.remove(&(task.ready_at, key.clone())) {
            for urgency in [Urgency::Urgent, Urgency::First, Urgency::Routine] {
                let place = (task.place(urgency), key.clone());
                if let Some(lane) = self.ready.get_mut(&task.lane(urgency))
                    && lane.remove(&place)
                {
                    break;
                }
            }
        }
        Some(task)
    }

    /// The task that goes first at `now`, with its lane.
    pub(super) fn first(&mut self, now: Timestamp) -> Option<(TaskKey, Task, Lane)> {
        self.wake(now);
        let orders_first = self.starts % FIRST_ORDER_SHARE == FIRST_ORDER_SHARE - 1;
        let urgencies = if orders_first {
            [Urgency::First, Urgency::Urgent, Urgency::Routine]
        } else {
            [Urgency::Urgent, Urgency::Routine, Urgency::First]
        };
        urgencies.into_iter().find_map(|urgency| {
            let lanes = self.ready.iter().filter(|(lane, _)| {
                let held = self.held.get(&lane.of_all_accounts()).copied();
                lane.urgency == urgency && held.unwrap_or_default() <= now
            });
            let heads = lanes.filter_map(|(lane, ready)| {
                let turn = lane.account.and_then(|account| self.turns.get(&account));
                Some((turn, ready.first()?, *lane))
            });
            let (_, (_, key), lane) = heads.min()?;
            let task = self.tasks.get(key)?;
            Some((key.clone(), *task, lane))
        })
    }

    /// Takes a task out for an order that starts.
    pub(super) fn start(&mut self, key: &TaskKey) {
        let account = self.remove(key).and_then(|task| task.account);
        self.starts += 1;
        if let Some(account) = account {
            self.turns.insert(account, self.starts);
        }
    }

    /// Lets one task wait until `until`.
    pub(super) fn postpone(&mut self, key: TaskKey, until: Timestamp) {
        if let Some(task) = self.remove(&key) {
            let ready_at = until;
            self.set(key, Task { ready_at, ..task });
        }
    }

    /// Lets all tasks of a lane, and of the same lane of other accounts, wait until `until`.
    pub(super) fn hold(&mut self, lane: Lane, until: Timestamp) {
        self.held.insert(lane.of_all_accounts(), until);
    }

    /// Lets no lane wait: something has changed for the better.
    pub(super) fn release(&mut self) {
        self.held.clear();
    }

    /// When [`Queue::first`] may next return something that it does not return now.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        let lanes = self.ready.iter().filter_map(|(lane, ready)| {
            let (place, _) = ready.first()?;
            let held = self.held.get(&lane.of_all_accounts());
            let held = held.copied().unwrap_or(now);
            // What becomes urgent changes its lane.
            let is_routine = lane.urgency == Urgency::Routine;
            Some(if is_routine { held.min(*place) } else { held })
        });
        waiting.into_iter().chain(lanes).min()
    }

    /// Orders a day, in millionths, that all tasks take in the long run.
    pub(super) const fn micro_orders_per_day(&self) -> u64 {
        self.micro_orders_per_day
    }

    /// Tasks, and those of them that are ready.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.tasks.len(), self.tasks.len() - self.waiting.len())
    }

    /// Moves tasks that have become ready or urgent into their lanes.
    fn wake(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.waiting.pop_first_if(now) {
            debug_assert!(at <= now, "a task is ready before its time");
            if let Some(task) = self.tasks.get(&key) {
                let urgency = task.urgency(now);
                let place = (task.place(urgency), key);
                self.ready
                    .entry(task.lane(urgency))
                    .or_default()
                    .insert(place);
            }
        }
        let mut urgent = Vec::new();
        for (lane, ready) in &mut self.ready {
            while lane.urgency == Urgency::Routine
                && let Some((_, key)) = ready.pop_first_if(now)
            {
                urgent.push(key);
            }
        }
        for key in urgent {
            if let Some(task) = self.tasks.get(&key) {
                let place = (task.place(Urgency::Urgent), key);
                self.ready
                    .entry(task.lane(Urgency::Urgent))
                    .or_default()
                    .insert(place);
            }
        }
        self.ready.retain(|_, ready| !ready.is_empty());
        self.held.retain(|_, until| *until > now);
    }
}

trait PopFirstIf {
    /// The first, if its time has come.
    fn pop_first_if(&mut self, now: Timestamp) -> Option<(Timestamp, TaskKey)>;
}

impl PopFirstIf for Ready {
    fn pop_first_if(&mut self, now: Timestamp) -> Option<(Timestamp, TaskKey)> {
        let is_due = self.first().is_some_and(|(at, _)| *at <= now);
        if is_due { self.pop_first() } else { None }
    }
}
