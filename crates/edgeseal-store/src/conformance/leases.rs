//! Leases pass from one process to the next on any engine.

use std::time::Duration;

use edgeseal_testing::wait::eventually;
use tokio::sync::Mutex;

use super::*;
use crate::lease::{Candidate, LeaseName, Term};

fn candidate(store: &SharedStore, owner: &str) -> Candidate {
    let ttl = Duration::from_millis(200);
    Candidate::new(store.clone(), LeaseName::Keeper, owner.to_owned(), ttl)
}

async fn attempt(candidate: &mut Candidate) -> Option<Term> {
    candidate.attempt().await.unwrap()
}

/// Whether a change is committed that was decided in this term.
async fn is_committed(store: &SharedStore, term: Term) -> bool {
    let txn = Txn::new(vec![term.guard()], vec![put("done", "1")]);
    match store.commit(txn).await {
        Ok(_) => true,
        Err(CommitError::Conflict { key }) => {
            assert_eq!(key, term.key());
            false
        }
        Err(CommitError::Fault(fault)) => panic!("{fault}"),
    }
}

pub(super) async fn pass_on(store: &SharedStore) {
    let (mut one, mut two) = (candidate(store, "a"), candidate(store, "b"));
    let first = attempt(&mut one).await.unwrap();
    assert_eq!(attempt(&mut two).await, None);
    // A renewal is no new term, and what was decided before it is committed.
    assert_eq!(attempt(&mut one).await, Some(first));
    assert!(is_committed(store, first).await);

    // It is suspended, and renews nothing.
    let waiting = &Mutex::new(&mut two);
    let second = eventually("another process has it", || async move {
        attempt(*waiting.lock().await).await
    })
    .await;
    assert!(!is_committed(store, first).await);
    assert!(is_committed(store, second).await);

    // It was given back, and neither earlier term lasts.
    two.release().await.unwrap();
    let third = attempt(&mut one).await.unwrap();
    for (term, lasts) in [(first, false), (second, false), (third, true)] {
        assert_eq!(is_committed(store, term).await, lasts);
    }
    // Only its holder gives it back.
    two.release().await.unwrap();
    assert_eq!(attempt(&mut one).await, Some(third));
    // After a restart under the same name it is another term.
    let mut again = candidate(store, "a");
    let fourth = attempt(&mut again).await.unwrap();
    assert!(fourth != third && !is_committed(store, third).await);
    assert_eq!(attempt(&mut one).await, None);
}
