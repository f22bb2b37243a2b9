//! Step 8 and its kin: not too often, not twice, not by trying. All tables are bounded.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{
    AccountId, Timestamp,
    address::source_network,
    policy::Principal,
    rate::{Decision, Limit, Spent, give_back, spend},
};
use quick_cache::sync::{Cache, EntryAction, EntryResult};

use crate::{
    actions::Action, authenticate::Caller, code::Code, context::Context, operation::Failure,
};

/// Nonces remembered at this node. At the 30 changes a second that an account may make, the window
/// of 31 minutes holds 56,000 of them; the store remembers those of changes in any case.
const NONCES_MAX: usize = 1 << 18;
/// Source addresses whose failures, and principals whose denials, are remembered.
const SOURCES_MAX: usize = 1 << 16;
/// Accounts and actions after which those are forgotten that are within their rate again.
const TIDY_FROM: usize = 4096;

/// A caller within its rate; made only here.
pub struct Admitted(pub(crate) Caller);

/// A caller over its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{calls} {what} in {per_ms} ms are allowed; wait {retry_after_ms} ms")]
pub struct TooOften {
    /// What there was too much of.
    pub what: &'static str,
    /// Calls allowed …
    pub calls: u32,
    /// … in this many milliseconds.
    pub per_ms: u32,
    /// Milliseconds to wait.
    pub retry_after_ms: u64,
    /// Whether this is the first refusal since a call was let through.
    pub first: bool,
}

/// Lets a caller pass within the rate of its account and action.
///
/// # Errors
/// [`TooOften`] with the time to wait.
pub fn admit(context: &Context, caller: Caller) -> Result<Admitted, TooOften> {
    context.denials.check(&caller.principal, caller.now)?;
    let account = caller.principal.account();
    spend_call(context, account, caller.action, caller.now)?;
    Ok(Admitted(caller))
}

/// Counts a call that was refused for want of a permission: against whoever made it and no longer
/// against its account, whose other keys go on.
pub(crate) fn count_denial(context: &Context, caller: &Caller) {
    let (action, account) = (caller.action, caller.principal.account());
    let limit = limit_of(context, action);
    context
        .limits
        .give_back(account, action.counted_as(), limit);
    context.denials.count(&caller.principal, caller.now);
}

fn limit_of(context: &Context, action: &Action) -> Limit {
    let limit = context.settings.limits.get(action.name).copied();
    limit.unwrap_or(action.limit)
}

/// Counts a call of an account, unless it is over the rate of the action.
pub(crate) fn spend_call(
    context: &Context,
    account: &AccountId,
    action: &Action,
    now: Timestamp,
) -> Result<(), TooOften> {
    let limit = limit_of(context, action);
    let spent = context
        .limits
        .spend(account, action.counted_as(), limit, now);
    spent.map_err(|(retry_after_ms, first)| TooOften {
        what: "calls of your account for this action",
        calls: limit.calls,
        per_ms: limit.per_ms,
        retry_after_ms,
        first,
    })
}

impl Failure for TooOften {
    fn code(&self) -> Code {
        Code::ThrottlingUser
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn retry_after_ms(&self) -> Option<u64> {
        Some(self.retry_after_ms)
    }

    fn is_news(&self) -> bool {
        self.first
    }
}

/// What accounts have used up.
///
/// Bounded by what was called within the time of a limit, and by accounts, which only the operator
/// makes, times actions: what is within its rate again is as good as never seen, and is forgotten.
pub struct Limits(Mutex<Table>);

struct Table {
    used: HashMap<(AccountId, &'static str), Used>,
    /// Entries at which it is tidied next. Twice what is left then, so that a call pays for two.
    tidy_at: usize,
}

#[derive(Clone, Copy, Default)]
struct Used {
    spent: Spent,
    /// Whether a call was refused since the last one that was let through.
    refusing: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self(Mutex::new(Table {
            used: HashMap::new(),
            tidy_at: TIDY_FROM,
        }))
    }
}

impl Limits {
    /// The milliseconds to wait, and whether this is the first refusal in a row.
    fn spend(
        &self,
        account: &AccountId,
        action: &'static str,
        limit: Limit,
        now: Timestamp,
    ) -> Result<(), (u64, bool)> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.used.len() >= table.tidy_at {
            table.used.retain(|_, used| !used.spent.is_over(now));
            table.tidy_at = TIDY_FROM.max(2 * table.used.len());
        }
        let used = table.used.entry((account.clone(), action)).or_default();
        match spend(limit, used.spent, now) {
            Decision::Allowed(spent) => {
                *used = Used {
                    spent,
                    refusing: false,
                };
                Ok(())
            }
            Decision::RetryAfter { ms } => Err((ms, !std::mem::replace(&mut used.refusing, true))),
        }
    }

    /// Takes a call that was let through off the count again.
    fn give_back(&self, account: &AccountId, action: &'static str, limit: Limit) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = table.used.get_mut(&(account.clone(), action)) {
            used.spent = give_back(limit, used.spent);
        }
    }
}

/// Calls refused for want of a permission, by user, role or account: whoever has no right to call
/// goes on calling in vain for a while, then not at all, and no other key of the account notices.
pub struct Denials {
    limit: Limit,
    /// By the principal's number, so that sessions of one role count together.
    used: Cache<String, Used>,
}

impl Denials {
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            limit,
            used: Cache::new(SOURCES_MAX),
        }
    }

    /// Whether a principal may call.
    fn check(&self, principal: &Principal, now: Timestamp) -> Result<(), TooOften> {
        let who = number(principal);
        let Some(mut used) = self.used.get(&who) else {
            return Ok(());
        };
        let Decision::RetryAfter { ms } = spend(self.limit, used.spent, now) else {
            return Ok(());
        };
        let first = !std::mem::replace(&mut used.refusing, true);
        if first {
            self.used.insert(who, used);
        }
        Err(TooOften {
            what: "calls of yours without permission",
            calls: self.limit.calls,
            per_ms: self.limit.per_ms,
            retry_after_ms: ms,
            first,
        })
    }

    fn count(&self, principal: &Principal, now: Timestamp) {
        count_in(&self.used, &number(principal), |used| {
            if let Decision::Allowed(spent) = spend(self.limit, used.spent, now) {
                *used = Used {
                    spent,
                    refusing: false,
                };
            }
        });
    }
}

/// The number of whoever calls, unique over accounts, users and roles.
pub(crate) fn number(principal: &Principal) -> String {
    let account = principal.account();
    match principal {
        Principal::Account(_) => account.to_string(),
        Principal::User { id, .. } => format!("{account}:user:{id}"),
        Principal::Role { id, .. } => format!("{account}:role:{id}"),
    }
}

/// Nonces seen at this node.
pub struct Nonces(Cache<[u8; 16], Timestamp>);

impl Default for Nonces {
    fn default() -> Self {
        Self(Cache::new(NONCES_MAX))
    }
}

impl Nonces {
    /// Uses up a nonce of an access key; `false` if it was used within the last `window_ms`. Of
    /// two at once, one wins.
    pub(crate) fn take(
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

/// Failed authentications, by source address: guessing costs the guesser, never the account.
///
/// An address that has used up its failures is refused before a key is looked up. Calls that it has
/// under way then are still judged: at most one for each connection that it may have.
pub struct Failures {
    limit: Limit,
    spent: Cache<IpAddr, Spent>,
}

impl Failures {
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            limit,
            spent: Cache::new(SOURCES_MAX),
        }
    }

    /// Whether an address may try again; the milliseconds to wait if not.
    pub(crate) fn check(&self, source: IpAddr, now: Timestamp) -> Result<(), u64> {
        let spent = self.spent.get(&source_network(source)).unwrap_or_default();
        match spend(self.limit, spent, now) {
            Decision::Allowed(_) => Ok(()),
            Decision::RetryAfter { ms } => Err(ms),
        }
    }

    pub(crate) fn count(&self, source: IpAddr, now: Timestamp) {
        count_in(&self.spent, &source_network(source), |spent| {
            if let Decision::Allowed(next) = spend(self.limit, *spent, now) {
                *spent = next;
            }
        });
    }
}

/// Changes an entry, or a new one, in place: of many at once, each counts.
fn count_in<K: Hash + Eq + Clone, V: Clone + Default>(
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
        // An error means that it was pushed out at once: the table is full of others.
        let _ = place.insert(value);
    }
}

#[cfg(test)]
mod tests;
