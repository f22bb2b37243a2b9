//! Step 4 of a call: rate limits. The tables of nonces and of failed authentications are here too;
//! step 3 ([`authenticate`](crate::authenticate)) uses them. All tables are bounded.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{
    AccountId, Timestamp,
    address::source_network,
    policy::Principal,
    rate::{GcraState, RateDecision, RateLimit, SharedUsage, spend},
};
use quick_cache::sync::{Cache, EntryAction, EntryResult};

use crate::{actions::Action, authenticate::Caller, code::Code, context::Context, error::ApiError};

mod exchange;

pub use exchange::RateExchange;

/// Most nonces remembered at this node. At the 30 changes per second that an account may make, the
/// window of 31 minutes holds 56,000. The store keeps the nonces of changes in any case.
const NONCES_MAX: usize = 1 << 18;
/// Most source addresses whose failures, and principals whose denials, are remembered.
const SOURCES_MAX: usize = 1 << 16;
/// Number of entries from which entries back within their rate are purged.
const PURGE_THRESHOLD: usize = 4096;

/// A caller within its rate; only this module constructs it.
pub struct WithinRate(pub(crate) Caller);

/// A caller over its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{calls} {what} in {per_ms} ms are allowed; wait {retry_after_ms} ms")]
pub struct RateLimited {
    /// The exceeded limit.
    pub what: &'static str,
    /// Calls that are allowed within `per_ms`.
    pub calls: u32,
    /// The period in milliseconds.
    pub per_ms: u32,
    /// Milliseconds to wait.
    pub retry_after_ms: u64,
    /// Whether this is the first refusal since a call was allowed.
    pub first: bool,
}

/// Checks a caller against the rate of its account and action.
///
/// # Errors
/// [`RateLimited`] with the time to wait.
pub fn check_rates(context: &Context, caller: Caller) -> Result<WithinRate, RateLimited> {
    context.denials.check(&caller.principal, caller.now)?;
    let account = caller.principal.account_id();
    check_rate(context, account, caller.action, caller.now)?;
    Ok(WithinRate(caller))
}

/// Charges a denied call to its principal and refunds it to the account, whose other keys are not
/// affected.
pub(crate) fn record_denial(context: &Context, caller: &Caller) {
    let (action, account) = (caller.action, caller.principal.account_id());
    let limit = rate_limit(context, action);
    context
        .rate_limiter
        .refund(account, action.rate_limit_key(), limit);
    context.denials.count(&caller.principal, caller.now);
}

fn rate_limit(context: &Context, action: &Action) -> RateLimit {
    let limit = context.settings.rate_limits.get(action.name).copied();
    limit.unwrap_or(action.rate_limit)
}

/// Counts a call of an account, unless it exceeds the rate of the action.
pub(crate) fn check_rate(
    context: &Context,
    account: &AccountId,
    action: &Action,
    now: Timestamp,
) -> Result<(), RateLimited> {
    let limit = rate_limit(context, action);
    let spent = context
        .rate_limiter
        .spend(account, action.rate_limit_key(), limit, now);
    spent.map_err(|(retry_after_ms, first)| RateLimited {
        what: "calls of your account for this action",
        calls: limit.calls,
        per_ms: limit.per_ms,
        retry_after_ms,
        first,
    })
}

impl ApiError for RateLimited {
    fn code(&self) -> Code {
        Code::ThrottlingUser
    }

    fn retry_after_ms(&self) -> Option<u64> {
        Some(self.retry_after_ms)
    }

    fn should_audit(&self) -> bool {
        self.first
    }
}

/// Usage by account and action.
///
/// The size is bounded by the calls within the period of a limit, and by the number of accounts,
/// which only the operator creates, times the number of actions. An entry that is back within its
/// rate is equivalent to no entry, and is purged.
pub struct RateLimiter(Mutex<Table>);

struct Table {
    used: HashMap<(AccountId, &'static str), AccountUsage>,
    /// Number of entries that triggers the next purge: twice what the last one left, so that the
    /// amortized cost is constant.
    purge_at: usize,
}

struct AccountUsage {
    limit: RateLimit,
    usage: SharedUsage,
    /// Whether a call was refused since the last one that was allowed.
    refusing: bool,
    /// Whether the last report to the other nodes had this limit.
    is_reported: bool,
}

#[derive(Clone, Copy, Default)]
struct Usage {
    spent: GcraState,
    /// Whether a call was refused since the last one that was allowed.
    refusing: bool,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self(Mutex::new(Table {
            used: HashMap::new(),
            purge_at: PURGE_THRESHOLD,
        }))
    }
}

impl RateLimiter {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On refusal, the milliseconds to wait and whether it is the first in a row.
    fn spend(
        &self,
        account: &AccountId,
        action: &'static str,
        limit: RateLimit,
        now: Timestamp,
    ) -> Result<(), (u64, bool)> {
        let mut table = self.lock();
        if table.used.len() >= table.purge_at {
            table.used.retain(|_, used| !used.usage.is_expired(now));
            table.purge_at = PURGE_THRESHOLD.max(2 * table.used.len());
        }
        let used = table.entry(account.clone(), action, limit);
        match used.usage.spend(limit, now) {
            RateDecision::Allowed(_) => {
                used.refusing = false;
                Ok(())
            }
            RateDecision::RetryAfter { ms } => {
                Err((ms, !std::mem::replace(&mut used.refusing, true)))
            }
        }
    }

    /// Refunds a call that was allowed.
    fn refund(&self, account: &AccountId, action: &'static str, limit: RateLimit) {
        let mut table = self.lock();
        if let Some(used) = table.used.get_mut(&(account.clone(), action)) {
            used.usage.refund(limit);
        }
    }
}

impl Table {
    fn entry(
        &mut self,
        account: AccountId,
        action: &'static str,
        limit: RateLimit,
    ) -> &mut AccountUsage {
        let unused = || AccountUsage {
            limit,
            usage: SharedUsage::default(),
            refusing: false,
            is_reported: false,
        };
        self.used.entry((account, action)).or_insert_with(unused)
    }
}

/// Denied calls, by user, role or account: a principal without permission is throttled, and no
/// other key of the account is affected.
pub struct DenialLimiter {
    limit: RateLimit,
    /// By the principal's id, so that sessions of one role share a limit.
    used: Cache<String, Usage>,
}

impl DenialLimiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            used: Cache::new(SOURCES_MAX),
        }
    }

    /// Whether a principal may call.
    fn check(&self, principal: &Principal, now: Timestamp) -> Result<(), RateLimited> {
        let who = principal_key(principal);
        let Some(mut used) = self.used.get(&who) else {
            return Ok(());
        };
        let RateDecision::RetryAfter { ms } = spend(self.limit, used.spent, now) else {
            return Ok(());
        };
        let first = !std::mem::replace(&mut used.refusing, true);
        if first {
            self.used.insert(who, used);
        }
        Err(RateLimited {
            what: "calls of yours without permission",
            calls: self.limit.calls,
            per_ms: self.limit.per_ms,
            retry_after_ms: ms,
            first,
        })
    }

    fn count(&self, principal: &Principal, now: Timestamp) {
        update_entry(&self.used, &principal_key(principal), |used| {
            if let RateDecision::Allowed(spent) = spend(self.limit, used.spent, now) {
                *used = Usage {
                    spent,
                    refusing: false,
                };
            }
        });
    }
}

/// The id of the caller, unique over accounts, users and roles.
pub(crate) fn principal_key(principal: &Principal) -> String {
    let account = principal.account_id();
    match principal {
        Principal::Account(_) => account.to_string(),
        Principal::User { id, .. } => format!("{account}:user:{id}"),
        Principal::Role { id, .. } => format!("{account}:role:{id}"),
    }
}

/// Nonces seen by this node.
pub struct NonceCache(Cache<[u8; 16], Timestamp>);

impl Default for NonceCache {
    fn default() -> Self {
        Self(Cache::new(NONCES_MAX))
    }
}

impl NonceCache {
    /// Uses a nonce of an access key; `false` if it was used within the last `window_ms`. Of two
    /// concurrent calls, one succeeds.
    pub(crate) fn use_nonce(
        &self,
        access_key: &str,
        nonce: &str,
        now: Timestamp,
        window_ms: i64,
    ) -> bool {
        let mut hash = [0; 16];
        let text = format!("{}:{access_key}{nonce}", access_key.len());
        hash.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
        let mut fresh = false;
        let seen = self.0.get_or_insert_with(&hash, || {
            fresh = true;
            Ok::<_, std::convert::Infallible>(now)
        });
        let Ok(seen) = seen;
        if !fresh && now.since_ms(seen) > window_ms {
            self.0.insert(hash, now);
            return true;
        }
        fresh
    }
}

/// Failed authentications, by source address: guesses throttle the guesser, never the account.
///
/// An address that exceeds the limit is refused before a key is looked up. Its calls in flight are
/// still processed: at most one per open connection.
pub struct AuthFailureLimiter {
    limit: RateLimit,
    spent: Cache<IpAddr, GcraState>,
}

impl AuthFailureLimiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            spent: Cache::new(SOURCES_MAX),
        }
    }

    /// Whether an address may try again; if not, the milliseconds to wait.
    pub(crate) fn check(&self, source: IpAddr, now: Timestamp) -> Result<(), u64> {
        let spent = self.spent.get(&source_network(source)).unwrap_or_default();
        match spend(self.limit, spent, now) {
            RateDecision::Allowed(_) => Ok(()),
            RateDecision::RetryAfter { ms } => Err(ms),
        }
    }

    pub(crate) fn count(&self, source: IpAddr, now: Timestamp) {
        update_entry(&self.spent, &source_network(source), |spent| {
            if let RateDecision::Allowed(next) = spend(self.limit, *spent, now) {
                *spent = next;
            }
        });
    }
}

/// Updates or inserts an entry in place: concurrent updates all count.
fn update_entry<K: Hash + Eq + Clone, V: Clone + Default>(
    table: &Cache<K, V>,
    key: &K,
    count: impl Fn(&mut V),
) {
    let entry = table.entry(key, None, |_, value| {
        count(value);
        EntryAction::Retain(())
    });
    if let EntryResult::Vacant(place) = entry {
        let mut value = V::default();
        count(&mut value);
        // An error means that it was evicted at once: the table is full of others.
        let _ = place.insert(value);
    }
}

#[cfg(test)]
mod tests;
