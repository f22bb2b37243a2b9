//! What builds on a store stays right whatever the store does within its contract: nothing is lost or
//! done twice, and nobody goes on with what is out of date.

use std::sync::Arc;

use edgeseal_core::{AccountId, account::Account};
use futures_util::future::join_all;

use super::{Faults, TOMBSTONES_KEPT, at, commit, follower, put};
use crate::{
    Catalog, Keyring, Revision, SharedStore,
    catalog::{AccountError, AuditContext, AuditQuery, ChangeError, NewAccessKey, NonceUse},
    feed::Feed,
    memory::MemoryStore,
};

fn store() -> SharedStore {
    Arc::new(MemoryStore::with_tombstone_limit(TOMBSTONES_KEPT))
}

/// A catalog over a store, and one over the same store with faults.
fn catalogs(seed: u64) -> (Catalog, Catalog) {
    let (store, keyring) = (store(), Keyring::parse(&Keyring::generate()).unwrap());
    let faulty = Faults::over(&store, seed);
    (
        Catalog::new(store, keyring.clone()),
        Catalog::new(faulty, keyring),
    )
}

fn audit(account: &AccountId, request: &str) -> AuditContext {
    AuditContext {
        account: account.clone(),
        principal: String::new(),
        access_key: "key".to_owned(),
        source: String::new(),
        action: "Test".to_owned(),
        resource: String::new(),
        request_id: request.to_owned(),
        nonce: Some(NonceUse {
            nonce: request.to_owned(),
            expires: at(1_000_000),
        }),
        now: at(0),
    }
}

fn account(n: u64) -> Account {
    Account {
        id: AccountId::from_random(n),
        name: format!("account-{n}"),
        root: false,
        created: at(0),
        private_origins: None,
        quotas: Default::default(),
    }
}

/// Repeats a call with the same nonce until its outcome is known.
async fn create_key(
    catalog: &Catalog,
    audit: &AuditContext,
    key: &NewAccessKey,
) -> Result<(), AccountError> {
    loop {
        match catalog.create_access_key(audit, key).await {
            Ok(_) | Err(ChangeError::NonceUsed) => return Ok(()),
            Err(ChangeError::Refused(why)) => return Err(why),
            Err(ChangeError::Fault(_) | ChangeError::Contended) => {}
        }
    }
}

/// Callers that repeat what failed, with the same nonce. The keys of one account have a limit, over
/// which they contend.
#[tokio::test(start_paused = true)]
async fn a_change_is_made_once() {
    const CALLERS: usize = 24;
    for seed in 0..8 {
        let (plain, faulty) = catalogs(seed);
        let owner = account(1);
        let key = NewAccessKey::generate(owner.id.clone(), None, at(0));
        let first = audit(&owner.id, "owner");
        plain.create_account(&first, &owner, &key).await.unwrap();
        let callers = (0..CALLERS).map(async |caller| {
            let key = NewAccessKey::generate(owner.id.clone(), None, at(0));
            let audit = audit(&owner.id, &format!("request-{caller}"));
            let made = create_key(&faulty, &audit, &key).await;
            (key.key.id, made)
        });
        let mut made = vec![key.key.id];
        let mut refused = 0;
        for (id, outcome) in join_all(callers).await {
            match outcome {
                Ok(()) => made.push(id),
                Err(AccountError::TooManyKeys { .. }) => {
                    // Repeated after an outcome that was unknown: its own key may be the last one.
                    let key = plain.access_key(&id).await.unwrap();
                    made.extend(key.map(|(key, _)| key.id));
                    refused += 1;
                }
                Err(other) => panic!("seed {seed}: {other:?}"),
            }
        }
        assert!(refused > 0, "seed {seed}");
        made.sort();
        let keys = plain.access_keys_of(&owner.id, None).await.unwrap();
        let mut found: Vec<String> = keys.into_iter().map(|key| key.id).collect();
        found.sort();
        assert_eq!(found, made, "seed {seed}");
        // Each with one audit record.
        let query = AuditQuery {
            from: None,
            until: None,
            newest_first: false,
            after: None,
        };
        let records = plain.audit(&owner.id, query, 1000).await.unwrap().records;
        assert_eq!(records.len(), found.len(), "seed {seed}");
    }
}

/// Followers over a store with faults end with what the store has.
#[tokio::test(start_paused = true)]
async fn followers_converge() {
    for seed in 0..8 {
        let store = store();
        let faulty = Faults::over(&store, seed);
        follower::converges(&store, &faulty, seed).await;
    }
}

/// A cursor that the store never reached: another one issued it, or this one before a backup was put
/// back.
#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_not_in_the_log_lists_again() {
    let store = store();
    let old = commit(&store, [put("d/a", "1")]).await;
    let head = commit(&store, [put("d/a", "2")]).await;
    for cursor in [
        Revision(head.0 + (1 << 33)),
        Revision(u64::MAX >> 1),
        Revision(old.0 - 2),
    ] {
        let faulty = Faults::over(&store, cursor.0);
        let mut follower = follower::Follower::default();
        follower
            .held
            .insert("d/gone".to_owned(), ("1".into(), cursor));
        follower.resume_from = Some(cursor);
        let mut feed = Feed::resume(faulty, ["d/"], cursor);
        while follower.listings == 0 {
            follower.apply(feed.next().await);
        }
        let held: Vec<_> = follower.held.keys().collect();
        assert_eq!(held, ["d/a"], "after {cursor:?}");
    }
}
