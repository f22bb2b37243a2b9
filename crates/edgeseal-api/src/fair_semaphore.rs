//! A semaphore with a total limit and a limit per account: requests beyond the limit of an account
//! wait without delaying those of others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use edgeseal_core::AccountId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore with a total limit and a limit per account.
#[derive(Debug)]
pub(crate) struct FairSemaphore {
    all: Arc<Semaphore>,
    per_account: usize,
    /// The semaphore of each account that holds or awaits a permit.
    accounts: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// A permit; released on drop.
#[derive(Debug)]
pub(crate) struct FairPermit {
    _of_all: Option<OwnedSemaphorePermit>,
    _own: AccountPermit,
}

/// A permit among those of its account, or a position in the queue for one.
#[derive(Debug)]
struct AccountPermit {
    turns: Arc<FairSemaphore>,
    account: AccountId,
    semaphore: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl FairSemaphore {
    /// Creates a semaphore with a total limit and a limit per account.
    pub(crate) fn new(in_all: usize, of_account: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(in_all)),
            per_account: of_account,
            accounts: Mutex::default(),
        })
    }

    /// Waits for a permit: first among those of the account, then among all. Both queues are FIFO.
    pub(crate) async fn acquire(self: &Arc<Self>, account: &AccountId) -> FairPermit {
        let queue = {
            let mut accounts = self.accounts();
            let none = || Arc::new(Semaphore::new(self.per_account));
            Arc::clone(accounts.entry(account.clone()).or_insert_with(none))
        };
        let mut own = AccountPermit {
            turns: Arc::clone(self),
            account: account.clone(),
            semaphore: Some(Arc::clone(&queue)),
            permit: None,
        };
        // The semaphores are never closed.
        own.permit = queue.acquire_owned().await.ok();
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok();
        FairPermit {
            _of_all: of_all,
            _own: own,
        }
    }

    /// Whether an account holds or awaits a permit.
    #[cfg(test)]
    pub(crate) fn is_asked_by(&self, account: &AccountId) -> bool {
        self.accounts().contains_key(account)
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Semaphore>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AccountPermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        drop(self.semaphore.take());
        let mut accounts = self.turns.accounts();
        // No other task of the account holds or awaits a permit.
        if accounts
            .get(&self.account)
            .is_some_and(|queue| Arc::strong_count(queue) == 1)
        {
            accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_account_waits_at_its_own_limit_and_then_in_the_common_queue() {
        let turns = FairSemaphore::new(3, 2);
        let account = |number: u64| AccountId::parse(&number.to_string()).unwrap();
        let [a, b, c] = [
            1_000_000_000_000_001,
            1_000_000_000_000_002,
            1_000_000_000_000_003,
        ]
        .map(account);
        let one = turns.acquire(&a).await;
        let two = turns.acquire(&a).await;
        let mut third = Box::pin(turns.acquire(&a));
        assert!(
            (&mut third).now_or_never().is_none(),
            "the account is at its limit"
        );
        let other = turns.acquire(&b).await;
        let mut waits = Box::pin(turns.acquire(&c));
        assert!(
            (&mut waits).now_or_never().is_none(),
            "the total limit is reached"
        );
        drop(one);
        assert!(
            (&mut third).now_or_never().is_none(),
            "it is behind the other account in the common queue"
        );
        let waited = waits.await;
        drop(two);
        let third = third.await;
        drop((waited, other, third));
        assert!(turns.accounts().is_empty(), "no account is kept");
    }

    #[tokio::test]
    async fn a_cancelled_waiter_is_removed() {
        let turns = FairSemaphore::new(1, 1);
        let account = AccountId::parse("1000000000000001").unwrap();
        let turn = turns.acquire(&account).await;
        assert!(turns.acquire(&account).now_or_never().is_none());
        assert_eq!(turns.accounts().len(), 1);
        drop(turn);
        assert!(turns.accounts().is_empty());
        assert!(turns.acquire(&account).now_or_never().is_some());
    }
}
