//! Leases: of several processes on one store, one does a task.
//!
//! No process compares its clock with that of another, as in the leader election of Kubernetes
//! (client-go). A lease is a record that its holder rewrites all the time. Another process takes it once
//! it has itself seen the same revision of the record for the whole duration of the lease, by its
//! monotonic clock (`lease/rule.rs`). A holder relies on it for less than that, counted from the start
//! of its last renewal.
//!
//! Clocks may run at different rates, and a process may be suspended, so changes made under a lease
//! depend on no clock: each expects the [`Term`] under which it was decided, a second record that only a
//! change of the holder rewrites. So who lost the lease, or lost it and has it again, changes nothing by
//! what was decided before.

mod candidate;
mod rule;

use std::time::Duration;

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use crate::{CommitError, Expect, Fault, Key, Revision, SharedStore, Store, Txn, Write};
pub(crate) use candidate::Candidate;

/// What one process at a time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseName {
    /// It notifies of alarms.
    Alarms,
    /// It orders certificates.
    Orders,
    /// The keeper: it links audit records and removes those that have expired, and reseals after a
    /// rotation of the key-encryption key.
    Keeper,
}

/// The time for which a process has a lease without interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    lease: LeaseName,
    /// The commit that took the lease.
    revision: Revision,
}

/// A lease that this process holds whenever it can. Dropped without [`release`](Self::release) it is
/// left to expire, as after a crash.
pub struct Lease {
    name: LeaseName,
    held: Published,
    changed: watch::Receiver<Option<Held>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// How long another process waits for a renewal, and what follows from that.
#[derive(Clone, Copy, Debug)]
struct Timing {
    ttl: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    term: Term,
    until: Instant,
}

/// Tells the process what it holds.
#[derive(Clone)]
struct Published {
    held: watch::Sender<Option<Held>>,
    is_held: watch::Sender<bool>,
}

/// The task that takes and renews a lease.
struct Keeping {
    candidate: Candidate,
    timing: Timing,
    held: Published,
    /// Whether the last attempt failed: only the first failure in a row is logged.
    is_failing: bool,
}

/// How often a process asks for a lease that another one has: so long it takes until a lease that was
/// given back is taken.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How long an attempt waits for the store, at most.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// How long a process that ends tries to give a lease back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

impl LeaseName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alarms, Self::Orders, Self::Keeper];

    /// The name in keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alarms => "alarms",
            Self::Orders => "orders",
            Self::Keeper => "keeper",
        }
    }
}

impl Term {
    /// What a change that is made under the lease has to expect: nobody else has taken it since.
    #[must_use]
    pub fn guard(&self) -> Expect {
        Expect::Unchanged(self.key(), self.revision)
    }

    /// The key at which a change conflicts once the term is over.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::lease_term(self.lease.as_str())
    }
}

/// Commits writes under a lease, if there is one, in this term of it.
pub(crate) async fn write_in_term(
    store: &dyn Store,
    write: Vec<Write>,
    term: Option<Term>,
) -> Result<(), Fault> {
    let expect = term.map(|term| term.guard()).into_iter().collect();
    match store.commit(Txn::new(expect, write)).await {
        Ok(_) => Ok(()),
        Err(CommitError::Conflict { .. }) => Err(Fault::new("commit: the lease was lost")),
        Err(CommitError::Fault(fault)) => Err(fault),
    }
}

impl Timing {
    /// From the start of its last renewal on, a holder relies on the lease for this long. The rest of
    /// the time is for clocks that run at different rates, and for what is under way to end.
    fn hold(self) -> Duration {
        self.ttl * 5 / 6
    }

    /// So two renewals may fail.
    fn renew(self) -> Duration {
        self.ttl / 3
    }

    fn attempt(self) -> Duration {
        (self.ttl / 4).min(ATTEMPT_MAX)
    }

    fn ask(self) -> Duration {
        self.renew().min(ASK_INTERVAL)
    }
}

impl Lease {
    /// Asks for the lease from now on. Others take it once it was not renewed for `ttl`.
    ///
    /// `owner` names the process, the same after its restart, which then takes its lease back at once.
    /// If two processes run under one name, as after a copy of a data directory, the one that starts
    /// later takes the lease from the other.
    #[must_use]
    pub fn start(store: SharedStore, name: LeaseName, owner: String, ttl: Duration) -> Self {
        let held = Published {
            held: watch::Sender::new(None),
            is_held: watch::Sender::new(false),
        };
        let keeping = Keeping {
            candidate: Candidate::new(store, name, owner, ttl),
            timing: Timing { ttl },
            held: held.clone(),
            is_failing: false,
        };
        let (stop, stopped) = watch::channel(false);
        Self {
            name,
            changed: held.held.subscribe(),
            held,
            stop,
            task: tokio::spawn(keeping.run(stopped)),
        }
    }

    /// Which lease.
    #[must_use]
    pub const fn name(&self) -> LeaseName {
        self.name
    }

    /// The term for which this process has the lease now; `None` if it does not have it. After another
    /// term than before, what was read before is out of date: another process may have had the lease.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        let held = *self.held.held.borrow();
        held.filter(|held| held.until > Instant::now())
            .map(|held| held.term)
    }

    /// Waits until the [term](Self::term) changes. Cancel safe.
    pub async fn changed(&mut self) {
        // Cannot fail: `self` owns a sender.
        let _ = self.changed.changed().await;
    }

    /// Whether this process has the lease, as it changes.
    #[must_use]
    pub fn is_held(&self) -> watch::Receiver<bool> {
        self.held.is_held.subscribe()
    }

    /// Notes that a change conflicted at the [key](Term::key) of this term: it is over.
    pub fn note_lost(&self, term: Term) {
        let current = *self.held.held.borrow();
        if current.is_some_and(|held| held.term == term) {
            self.held.set(None);
        }
    }

    /// Gives the lease back, so that another process has it within a second. To be called once what is
    /// done under the lease has ended.
    pub async fn release(mut self) {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.task).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the task of a lease failed");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Published {
    fn set(&self, held: Option<Held>) {
        self.held.send_if_modified(|known| {
            let is_news = known.map(|it| it.term) != held.map(|it| it.term);
            *known = held;
            is_news
        });
        self.is_held.send_if_modified(|known| {
            let is_news = *known != held.is_some();
            *known = held.is_some();
            is_news
        });
    }

    /// Waits for `work`; if the lease ends meanwhile, says so.
    async fn or_expire<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let until = self.held.borrow().map(|held| held.until);
        if let Some(until) = until {
            tokio::select! {
                done = &mut work => return done,
                () = sleep_until(until) => self.set(None),
            }
        }
        work.await
    }
}

impl Keeping {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            () = self.keep() => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        self.held.set(None);
        let released = timeout(RELEASE_TIMEOUT, self.candidate.release()).await;
        let released = released.unwrap_or_else(|_| Err(Fault::new("release a lease: in time")));
        if let Err(fault) = released {
            let error: &dyn std::error::Error = &fault;
            let lease = self.candidate.name().as_str();
            tracing::warn!(lease, error, "a lease was not given back; it expires");
        }
    }

    /// Takes and renews the lease, for ever.
    async fn keep(&mut self) {
        loop {
            let began = Instant::now();
            let attempt = timeout(self.timing.attempt(), self.candidate.attempt());
            let attempted = self.held.or_expire(attempt).await;
            let attempted = attempted.unwrap_or_else(|_| Err(Fault::new("keep a lease: in time")));
            let next = match &attempted {
                Ok(Some(term)) => {
                    self.held.set(Some(Held {
                        term: *term,
                        until: began + self.timing.hold(),
                    }));
                    began + self.timing.renew()
                }
                Ok(None) => {
                    self.held.set(None);
                    Instant::now() + self.timing.ask()
                }
                // What is held stays so until its end.
                Err(_) => Instant::now() + self.timing.ask(),
            };
            self.log(attempted.err());
            self.held.or_expire(sleep_until(next)).await;
        }
    }

    fn log(&mut self, failure: Option<Fault>) {
        if let Some(fault) = &failure
            && !self.is_failing
        {
            let error: &dyn std::error::Error = fault;
            let lease = self.candidate.name().as_str();
            tracing::warn!(lease, error, "a lease can neither be taken nor renewed");
        }
        self.is_failing = failure.is_some();
    }
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) use tests::candidates;
