//! Leases of a store in memory, in virtual time; `conformance/leases.rs` has those of all engines.

use std::sync::Arc;

use edgeseal_testing::random::SplitMix;
use tokio::time::sleep;

use super::*;
use crate::{
    Catalog, Keyring,
    catalog::{AuditContext, ChangeError},
    conformance::Faults,
    memory::MemoryStore,
};

const TTL: Duration = Duration::from_secs(20);

fn store() -> SharedStore {
    Arc::new(MemoryStore::new())
}

fn candidate(store: &SharedStore, name: LeaseName, owner: &str) -> Candidate {
    Candidate::new(store.clone(), name, owner.to_owned(), TTL)
}

/// New runs of processes `a` and `b`.
pub(crate) fn candidates(store: &SharedStore, name: LeaseName) -> [Candidate; 2] {
    ["a", "b"].map(|owner| candidate(store, name, owner))
}

fn lease(store: &SharedStore, owner: &str) -> Lease {
    Lease::start(store.clone(), LeaseName::Keeper, owner.to_owned(), TTL)
}

async fn held(lease: &Lease) -> Term {
    let mut held = lease.is_held();
    held.wait_for(|held| *held).await.unwrap();
    lease.term().unwrap()
}

/// How long it takes until a process has the lease.
async fn time_to(lease: &Lease) -> Duration {
    let began = Instant::now();
    held(lease).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn another_process_waits_until_a_lease_was_not_renewed_for_its_duration() {
    let store = store();
    let one = lease(&store, "a");
    let first = held(&one).await;
    let two = lease(&store, "b");
    sleep(10 * TTL).await;
    assert_eq!((one.term(), two.term()), (Some(first), None));
    // As in a crash.
    drop(one);
    let waited = time_to(&two).await;
    assert!(
        waited >= TTL - TTL / 3 && waited <= TTL + ASK_INTERVAL,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_has_its_lease_back_at_once_after_a_restart() {
    let store = store();
    let before = lease(&store, "a");
    let first = held(&before).await;
    let other = lease(&store, "b");
    sleep(TTL).await;
    drop(before);
    let after = lease(&store, "a");
    assert_eq!(time_to(&after).await, Duration::ZERO);
    assert!(after.term() != Some(first) && other.term().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let store = store();
    let one = lease(&store, "a");
    held(&one).await;
    let two = lease(&store, "b");
    sleep(TTL).await;
    one.release().await;
    assert!(time_to(&two).await <= ASK_INTERVAL);
    // One that it does not have is not its own to give back.
    let three = lease(&store, "c");
    sleep(TTL).await;
    three.release().await;
    let term = two.term();
    sleep(TTL).await;
    assert!(term.is_some() && two.term() == term);
}

/// As after a copy of a data directory.
#[tokio::test(start_paused = true)]
async fn of_two_processes_with_one_name_the_later_one_has_the_lease() {
    let store = store();
    let one = lease(&store, "a");
    held(&one).await;
    sleep(TTL).await;
    let two = lease(&store, "a");
    held(&two).await;
    sleep(TTL).await;
    for _ in 0..200 {
        assert!(one.term().is_none() && two.term().is_some());
        sleep(TTL / 10).await;
    }
    // It goes on for the one that is left.
    two.release().await;
    held(&one).await;
}

/// A store that is gone renews nothing.
#[tokio::test(start_paused = true)]
async fn a_process_gives_up_before_others_may_begin() {
    use crate::observed_store::{Observe, ObservedStore, Operation};

    /// Hangs once it is told to.
    struct Hanging(watch::Receiver<bool>);

    #[async_trait::async_trait]
    impl Observe for Hanging {
        fn before(&self, _: Operation<'_>) -> Result<(), Fault> {
            Ok(())
        }

        async fn hold(&self, _: Operation<'_>) {
            let mut hangs = self.0.clone();
            hangs.wait_for(|hangs| !*hangs).await.unwrap();
        }
    }

    let store = store();
    let (hang, hangs) = watch::channel(false);
    let cut_off: SharedStore = ObservedStore::over(store.clone(), Hanging(hangs));
    let one = lease(&cut_off, "a");
    held(&one).await;
    let (two, mut is_held) = (lease(&store, "b"), one.is_held());
    sleep(TTL).await;
    hang.send_replace(true);
    is_held.wait_for(|held| !*held).await.unwrap();
    assert!(one.term().is_none() && two.term().is_none());
    held(&two).await;
    // It comes back, and waits as any other.
    hang.send_replace(false);
    sleep(TTL).await;
    assert!(one.term().is_none() && two.term().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_release_does_not_last_for_ever() {
    let store = store();
    let put = Write::put(Key::lease("keeper"), r#"{"v":1,"until":9}"#.into());
    store.commit(Txn::new(Vec::new(), vec![put])).await.unwrap();
    let lease = lease(&store, "a");
    sleep(TTL - ASK_INTERVAL).await;
    assert_eq!(lease.term(), None);
    held(&lease).await;
}

#[tokio::test]
async fn a_change_is_not_committed_once_another_process_has_the_lease() {
    let store = store();
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let catalog = &Catalog::new(store.clone(), keyring);
    let [mut a, mut b] = candidates(&store, LeaseName::Orders);
    let term = &a.attempt().await.unwrap().unwrap();
    let audit = AuditContext {
        account: edgeseal_core::AccountId::from_random(7),
        principal: String::new(),
        access_key: String::new(),
        source: String::new(),
        action: "Test".to_owned(),
        resource: String::new(),
        request_id: String::new(),
        nonce: None,
        now: edgeseal_core::Timestamp::default(),
    };
    let takeover = &tokio::sync::Mutex::new(Some(async {
        a.release().await.unwrap();
        assert!(b.attempt().await.unwrap().is_some());
    }));
    let changed = catalog.transact(&audit, async |mut draft| {
        if !draft.has_term(term).await? {
            return Err(ChangeError::Refused("the lease was lost"));
        }
        // Between the read and the commit.
        if let Some(takeover) = takeover.lock().await.take() {
            takeover.await;
        }
        Ok((draft, ()))
    });
    let changed = changed.await;
    assert!(
        matches!(changed, Err(ChangeError::Refused(_))),
        "{changed:?}"
    );
}

/// Whatever the store and the processes do, at most one relies on the lease, and what one decided is
/// committed in its own term only.
#[tokio::test(start_paused = true)]
async fn a_lease_is_held_once() {
    for seed in 0..8 {
        let plain = store();
        let faulty = Faults::over(&plain, seed);
        let mut random = SplitMix(seed);
        let mut leases = ["a", "b", "c"].map(|owner| Some(lease(&faulty, owner)));
        let mut committed = [0_u32; 3];
        let mut last = None;
        for step in 0..3000 {
            sleep(Duration::from_millis(random.below(2000) as u64)).await;
            let terms = leases
                .each_ref()
                .map(|it| it.as_ref().and_then(Lease::term));
            let holders = terms.iter().flatten().count();
            assert!(holders < 2, "seed {seed}, at {step}: {terms:?}");
            let index = random.below(3);
            match (leases[index].take(), random.below(20)) {
                (Some(lease), 0) => lease.release().await,
                (Some(lease), 1) => drop(lease),
                (None, 2) => leases[index] = Some(lease(&faulty, ["a", "b", "c"][index])),
                (it, _) => leases[index] = it,
            }
            // Decided in its term, and committed later.
            let Some((index, term)) = (0..3).find_map(|n| Some((n, terms[n]?))) else {
                continue;
            };
            let write = Write::put(Key::from_stored("done"), step.to_string().into());
            let done = plain
                .commit(Txn::new(vec![term.guard()], vec![write]))
                .await;
            let has_it = leases[index].as_ref().and_then(Lease::term) == Some(term);
            match done {
                Ok(_) => {
                    committed[index] += 1;
                    last = Some(step.to_string());
                }
                Err(CommitError::Conflict { key }) => {
                    assert_eq!(key, term.key());
                    assert!(!has_it, "seed {seed}, at {step}: its own term is over");
                }
                Err(CommitError::Fault(fault)) => panic!("{fault}"),
            }
        }
        let stored = plain.get(&Key::from_stored("done")).await.unwrap().unwrap();
        let last = last.unwrap();
        assert_eq!(stored.value, last.as_bytes(), "seed {seed}");
        assert!(
            committed.iter().all(|n| *n > 50),
            "seed {seed}: {committed:?}"
        );
    }
}
