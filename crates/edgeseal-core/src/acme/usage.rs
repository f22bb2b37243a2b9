//! What was used up of an issuer's limits, kept over restarts.

use std::{collections::BTreeMap, fmt};

use super::{IssuerLimits, OrderKind};
use crate::{
    DomainPattern, Timestamp,
    rate::{GcraState, RateDecision, RateLimit, left, refund, spend},
};

/// One limit of an issuer, of one account, registered domain or name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Orders of the account.
    Orders,
    /// Certificates below a registered domain.
    RegisteredDomain(Box<str>),
    /// Certificates with exactly this name.
    NameSet(Box<str>),
    /// Failed authorizations of a name.
    Failures(Box<str>),
}

/// What one account has used up at one issuer. It holds only counters that still matter: each
/// leaves it when its limit has refilled.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    counters: BTreeMap<Counter, GcraState>,
    /// As many counters as make it worth looking for expired ones.
    sweep_at: usize,
}

/// Fewest counters among which expired ones are looked for.
const SWEEP_MIN: usize = 1024;

/// Why an order has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// Until when.
    pub until: Timestamp,
    /// Which limit.
    pub counter: Counter,
}

impl Counter {
    /// Whether it concerns every order of the account.
    #[must_use]
    pub const fn is_of_account(&self) -> bool {
        matches!(self, Self::Orders)
    }

    /// Reads what [`Counter`] prints; `None` if it is no counter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "orders" {
            return Some(Self::Orders);
        }
        let (kind, name) = text.split_once('/')?;
        match kind {
            "registered-domain" => Some(Self::RegisteredDomain(name.into())),
            "names" => Some(Self::NameSet(name.into())),
            "failures" => Some(Self::Failures(name.into())),
            _ => None,
        }
    }
}

impl fmt::Display for Counter {
    /// A text without white space, fit for the end of a key: `names/www.example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orders => f.write_str("orders"),
            Self::RegisteredDomain(name) => write!(f, "registered-domain/{name}"),
            Self::NameSet(name) => write!(f, "names/{name}"),
            Self::Failures(name) => write!(f, "failures/{name}"),
        }
    }
}

impl Usage {
    /// Usage out of stored counters.
    #[must_use]
    pub fn restore(counters: impl IntoIterator<Item = (Counter, GcraState)>) -> Self {
        Self {
            counters: counters.into_iter().collect(),
            sweep_at: SWEEP_MIN,
        }
    }

    /// The counters that still matter at `now`; the others are forgotten.
    pub fn counters(&mut self, now: Timestamp) -> impl Iterator<Item = (&Counter, GcraState)> {
        self.counters.retain(|_, state| !state.is_expired(now));
        self.counters
            .iter()
            .map(|(counter, state)| (counter, *state))
    }

    /// Counts `orders` orders of `kind` for `domain`, all of them or none. Returns the counters
    /// that changed, to be stored before the issuer is asked.
    ///
    /// # Errors
    /// [`LimitReached`] with the limit that lets it wait longest.
    pub fn take(
        &mut self,
        limits: &IssuerLimits,
        domain: &DomainPattern,
        kind: OrderKind,
        orders: u32,
        now: Timestamp,
    ) -> Result<Vec<(Counter, GcraState)>, LimitReached> {
        let mut changed = Vec::new();
        let mut reached: Option<LimitReached> = None;
        let mut refused = |until, counter| {
            if reached.as_ref().is_none_or(|reached| reached.until < until) {
                reached = Some(LimitReached { until, counter });
            }
        };
        for (counter, limit) in counted(limits, domain, kind) {
            match self.spend_times(&counter, limit, orders, now) {
                Ok(state) => changed.push((counter, state)),
                Err(until) => refused(until, counter),
            }
        }
        if let Some(limit) = limits.failures_per_name {
            let counter = Counter::Failures(domain.base().as_str().into());
            // What an order does not use up, one more failure would.
            if let Err(until) = self.spend_times(&counter, limit, 1, now) {
                refused(until, counter);
            }
        }
        if let Some(reached) = reached {
            return Err(reached);
        }
        if self.counters.len() >= self.sweep_at {
            let left = self.counters(now).count();
            self.sweep_at = (2 * left).max(SWEEP_MIN);
        }
        for (counter, state) in &changed {
            self.counters.insert(counter.clone(), *state);
        }
        Ok(changed)
    }

    /// Gives back what [`Usage::take`] counted for orders that were not sent to the issuer.
    pub fn give_back(
        &mut self,
        limits: &IssuerLimits,
        domain: &DomainPattern,
        kind: OrderKind,
        orders: u32,
    ) {
        for (counter, limit) in counted(limits, domain, kind) {
            if let Some(state) = self.counters.get_mut(&counter) {
                *state = (0..orders).fold(*state, |state, _| refund(limit, state));
            }
        }
    }

    /// Orders of the account that may be placed at `now`; `None`: any number.
    #[must_use]
    pub fn orders_left(&self, limits: &IssuerLimits, now: Timestamp) -> Option<u32> {
        let limit = limits.orders?;
        let used = self.counters.get(&Counter::Orders).copied();
        Some(left(limit, used.unwrap_or_default(), now))
    }

    /// Counts a failed authorization of `domain`. Returns the counter, to be stored.
    pub fn count_failure(
        &mut self,
        limits: &IssuerLimits,
        domain: &DomainPattern,
        now: Timestamp,
    ) -> Option<(Counter, GcraState)> {
        let counter = Counter::Failures(domain.base().as_str().into());
        let state = self
            .spend_times(&counter, limits.failures_per_name?, 1, now)
            .ok()?;
        self.counters.insert(counter.clone(), state);
        Some((counter, state))
    }

    /// Spends so many; otherwise until when these have to wait.
    fn spend_times(
        &self,
        counter: &Counter,
        limit: RateLimit,
        times: u32,
        now: Timestamp,
    ) -> Result<GcraState, Timestamp> {
        let mut state = self.counters.get(counter).copied().unwrap_or_default();
        for spent in 1..=times {
            match spend(limit, state, now) {
                RateDecision::Allowed(next) => state = next,
                RateDecision::RetryAfter { ms } => {
                    let behind = u64::from(times - spent) * u64::from(limit.per_ms);
                    let ms = ms.saturating_add(behind / u64::from(limit.calls.max(1)));
                    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
                    return Err(now.plus_ms(ms.max(1)));
                }
            }
        }
        Ok(state)
    }
}

/// The limits against which an order counts.
fn counted(
    limits: &IssuerLimits,
    domain: &DomainPattern,
    kind: OrderKind,
) -> impl Iterator<Item = (Counter, RateLimit)> {
    let (is_new, is_counted) = match kind {
        OrderKind::First => (true, true),
        OrderKind::Renewal => (!limits.exempts_renewals, true),
        OrderKind::Replacement => {
            let counts = !limits.exempts_replacements;
            (counts && !limits.exempts_renewals, counts)
        }
    };
    let orders = limits.orders.filter(|_| is_new);
    let registered = limits.per_registered_domain.filter(|_| is_new);
    let name_set = limits.per_name_set.filter(|_| is_counted);
    [
        orders.map(|limit| (Counter::Orders, limit)),
        registered.map(|limit| {
            let root = domain.registrable_domain();
            (Counter::RegisteredDomain(root.as_str().into()), limit)
        }),
        name_set.map(|limit| (Counter::NameSet(domain.to_string().into()), limit)),
    ]
    .into_iter()
    .flatten()
}
