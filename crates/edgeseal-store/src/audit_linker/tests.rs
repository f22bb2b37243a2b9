use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use super::*;
use crate::{
    Keyring, Log, LogWrite, Txn, Write,
    audit_chain::{ChainWarning, Head, Report},
    catalog::{AuditContext, AuditQuery},
    key,
    memory::MemoryStore,
    record, row_name,
};

mod faults;
mod keeper;
mod lineage;
mod retention;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn catalog() -> Catalog {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    Catalog::new(Arc::new(MemoryStore::new()), keyring)
}

fn account(n: u64) -> AccountId {
    AccountId::from_random(n)
}

async fn record(catalog: &Catalog, account: &AccountId, request: &str, now: Timestamp) {
    let audit = AuditContext {
        account: account.clone(),
        principal: format!("acs:ram::{account}:root"),
        access_key: "key".to_owned(),
        source: "::1".to_owned(),
        action: "Test".to_owned(),
        resource: String::new(),
        request_id: request.to_owned(),
        nonce: None,
        now,
    };
    catalog.record_refusal(&audit, "Code", &[]).await.unwrap();
}

/// Links all that is not linked.
async fn catch_up(linker: &mut AuditLinker) {
    while linker.step().await.unwrap() {}
}

async fn verify(catalog: &Catalog, account: &AccountId, now: Timestamp) -> Report {
    let key = catalog.chain_key().await.unwrap().unwrap();
    let verified = catalog.verify_audit(account, None, &key, now).await;
    verified.unwrap()
}

#[tokio::test]
async fn existing_and_new_records_are_linked_once() {
    let catalog = catalog();
    let (one, other) = (account(1), account(2));
    for n in 0..5 {
        record(&catalog, &one, &format!("before{n}"), NOW).await;
    }
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    catch_up(&mut chainer).await;
    for n in 0..5 {
        record(&catalog, &other, &format!("after{n}"), NOW.plus_ms(n)).await;
        record(&catalog, &one, &format!("after{n}"), NOW.plus_ms(n)).await;
        catch_up(&mut chainer).await;
    }
    for (account, records) in [(&one, 10), (&other, 5)] {
        let report = verify(&catalog, account, NOW).await;
        assert!(report.is_sound(), "{:?}", report.problems);
        assert_eq!((report.records, report.pending), (records, 0));
    }
    assert_eq!(
        catalog.audited_accounts().await.unwrap(),
        std::collections::BTreeSet::from([one, other])
            .into_iter()
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_restarted_linker_resumes() {
    let catalog = catalog();
    let account = account(1);
    for round in 0..6 {
        record(&catalog, &account, &format!("{round}a"), NOW.plus_ms(round)).await;
        let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
        if round % 2 == 0 {
            catch_up(&mut chainer).await;
        } else {
            // The linker stops before it has linked the record.
            assert!(chainer.step().await.unwrap());
        }
        drop(chainer);
        record(&catalog, &account, &format!("{round}b"), NOW.plus_ms(round)).await;
    }
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    catch_up(&mut chainer).await;
    let report = verify(&catalog, &account, NOW).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.records, report.pending), (12, 0));
}

#[tokio::test]
async fn concurrent_linkers_link_each_record_once() {
    let catalog = catalog();
    let account = account(1);
    let mut one = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    let mut other = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    for n in 0..20 {
        for m in 0..3 {
            record(&catalog, &account, &format!("{n}-{m}"), NOW.plus_ms(n)).await;
        }
        // One linker falls behind, then the other, then both step at once.
        match n % 3 {
            0 => catch_up(&mut one).await,
            1 => catch_up(&mut other).await,
            _ => {
                tokio::join!(catch_up(&mut one), catch_up(&mut other));
            }
        }
    }
    catch_up(&mut one).await;
    let report = verify(&catalog, &account, NOW).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.records, report.pending), (60, 0));
}

#[tokio::test]
async fn many_records_make_several_links() {
    let catalog = catalog();
    let account = account(1);
    for n in 0..2 * LINK_RECORDS_MAX + 10 {
        record(&catalog, &account, &n.to_string(), NOW.plus_ms(n as i64)).await;
    }
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    catch_up(&mut chainer).await;
    let report = verify(&catalog, &account, NOW).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.links, report.records), (3, 2010));
}

#[tokio::test]
async fn a_chain_that_was_tampered_with_is_left_as_it_is() {
    let catalog = catalog();
    let account = account(1);
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    record(&catalog, &account, "1", NOW).await;
    catch_up(&mut chainer).await;
    let mut head: Head = catalog
        .read(&Key::audit_head(&account))
        .await
        .unwrap()
        .unwrap();
    head.through += 1000;
    let txn = Txn {
        write: vec![Write::put(
            Key::audit_head(&account),
            record::encode(&head).unwrap(),
        )],
        ..Txn::default()
    };
    catalog.store().commit(txn).await.unwrap();
    record(&catalog, &account, "2", NOW).await;
    catch_up(&mut chainer).await;
    let found: Head = catalog
        .read(&Key::audit_head(&account))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, head);
    assert!(!verify(&catalog, &account, NOW).await.is_sound());
    let unlinked = chainer.unlinked();
    let why = "the head of its chain is forged".to_owned();
    let expected = Some(Unlinked {
        tampered: Tampered::from([(account, why)]),
        is_behind: false,
    });
    assert_eq!(*unlinked.borrow(), expected);
    // A later keeper finds out without a new record, and other processes what the keeper found.
    let mut later = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    let mut other = AuditLinker::start(catalog, || NOW).await.unwrap();
    let seen = [later.unlinked(), other.unlinked()];
    assert!(seen.iter().all(|unlinked| unlinked.borrow().is_none()));
    later.check_heads().await.unwrap();
    other.look().await.unwrap();
    for unlinked in seen {
        assert_eq!(*unlinked.borrow(), expected);
    }
}

#[tokio::test]
async fn old_records_go_with_their_links_and_the_rest_still_holds() {
    let catalog = catalog();
    let account = account(1);
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    for day in 0..10 {
        for n in 0..150 {
            let at = NOW.plus_ms(day * DAY_MS + n);
            record(&catalog, &account, &format!("{day}-{n}"), at).await;
        }
        catch_up(&mut chainer).await;
    }
    let key = catalog.chain_key().await.unwrap().unwrap();
    let now = NOW.plus_ms(10 * DAY_MS);
    assert_eq!(verify(&catalog, &account, now).await.records, 1500);
    let expire = async |before| {
        catalog
            .expire_account_audit(&account, before, &key)
            .await
            .unwrap()
    };
    assert_eq!(expire(NOW).await, 0, "no record is that old");
    // A cutoff in the middle of a day falls inside a link.
    let before = NOW.plus_ms(4 * DAY_MS + 75);
    assert_eq!(expire(before).await, 4 * 150 + 75);
    let links = key::account_audit_links(&account);
    let left = catalog.store().list(&links, None, 100).await.unwrap();
    assert_eq!(left.entries.len(), 6);
    let report = verify(&catalog, &account, now).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.records, 1500 - 675);
    assert_eq!(report.removed_before, Some(before));
    // A longer retention neither restores records nor moves the beginning.
    assert_eq!(expire(NOW).await, 0);
    assert!(verify(&catalog, &account, now).await.is_sound());
    // All records expire.
    assert_eq!(expire(now).await, 1500 - 675);
    let report = verify(&catalog, &account, now).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.links, report.records), (0, 0));
    // New records are linked after that.
    record(&catalog, &account, "new", now).await;
    catch_up(&mut chainer).await;
    let report = verify(&catalog, &account, now).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.links, report.records), (1, 1));
}

#[tokio::test]
async fn a_removed_record_that_is_younger_than_the_retention_is_found() {
    let catalog = catalog();
    let account = account(1);
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    for day in 0..3 {
        record(
            &catalog,
            &account,
            &day.to_string(),
            NOW.plus_ms(day * DAY_MS),
        )
        .await;
        catch_up(&mut chainer).await;
    }
    let key = catalog.chain_key().await.unwrap().unwrap();
    let before = NOW.plus_ms(DAY_MS);
    catalog
        .expire_account_audit(&account, before, &key)
        .await
        .unwrap();
    let gone = LogWrite::Remove {
        log: Log::Audit,
        scope: account.to_string(),
        name: row_name(NOW.plus_ms(DAY_MS), "1"),
    };
    let txn = Txn {
        log: vec![gone],
        ..Txn::default()
    };
    catalog.store().commit(txn).await.unwrap();
    let report = verify(&catalog, &account, NOW.plus_ms(3 * DAY_MS)).await;
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(report.problems[0].to_string().contains("missing"));
}

/// A settable clock, in milliseconds after [`NOW`].
fn settable() -> (
    Arc<AtomicI64>,
    impl Fn() -> Timestamp + Send + Sync + 'static,
) {
    let set = Arc::new(AtomicI64::new(0));
    let shared = Arc::clone(&set);
    (set, move || NOW.plus_ms(shared.load(Ordering::Relaxed)))
}

#[tokio::test]
async fn a_clock_that_steps_leaves_a_sound_chain_and_an_insertion_does_not() {
    let catalog = catalog();
    let account = account(1);
    let (set, clock) = settable();
    let mut chainer = AuditLinker::start(catalog.clone(), clock).await.unwrap();
    let steps = [0, -HOUR_MS, 1000 - HOUR_MS, 2000, 500 * DAY_MS, 3000];
    for (n, step) in steps.into_iter().enumerate() {
        set.store(step, Ordering::Relaxed);
        record(&catalog, &account, &n.to_string(), NOW.plus_ms(step)).await;
        // The record is valid while it waits for its link,
        let report = verify(&catalog, &account, NOW.plus_ms(step)).await;
        assert!(report.is_sound(), "{n}: {:?}", report.problems);
        catch_up(&mut chainer).await;
        // and afterwards, whatever the clock is then.
        for now in [step, 3000] {
            let report = verify(&catalog, &account, NOW.plus_ms(now)).await;
            assert!(report.is_sound(), "{n}: {:?}", report.problems);
        }
    }
    let report = verify(&catalog, &account, NOW).await;
    assert_eq!((report.links, report.records), (6, 6));
    let back = [(2, HOUR_MS), (6, 500 * DAY_MS - 3000)];
    let back = back.map(|(n, by_ms)| ChainWarning::ClockSetBack { n, by_ms });
    assert_eq!(report.warnings, back);
    // The clock is correct, and the record is old.
    record(&catalog, &account, "old", NOW.plus_ms(-HOUR_MS)).await;
    catch_up(&mut chainer).await;
    let report = verify(&catalog, &account, NOW.plus_ms(4000)).await;
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(report.problems[0].to_string().contains("inserted later"));
}

#[tokio::test]
async fn an_anchor_that_is_ahead_removes_nothing_that_comes_later() {
    let catalog = catalog();
    let account = account(1);
    let mut chainer = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    record(&catalog, &account, "0", NOW).await;
    catch_up(&mut chainer).await;
    let key = catalog.chain_key().await.unwrap().unwrap();
    let ahead = NOW.plus_ms(500 * DAY_MS);
    assert_eq!(
        catalog
            .expire_account_audit(&account, ahead, &key)
            .await
            .unwrap(),
        1
    );
    for n in 1..4 {
        record(&catalog, &account, &n.to_string(), NOW.plus_ms(n * DAY_MS)).await;
        catch_up(&mut chainer).await;
    }
    let before = NOW.plus_ms(2 * DAY_MS);
    assert_eq!(
        catalog
            .expire_account_audit(&account, before, &key)
            .await
            .unwrap(),
        1
    );
    let report = verify(&catalog, &account, NOW.plus_ms(4 * DAY_MS)).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.records, 2);
    assert_eq!(
        report.warnings,
        vec![ChainWarning::RetentionAhead { before: ahead }]
    );
}

#[tokio::test]
async fn pages_forwards_and_backwards() {
    let catalog = catalog();
    let account = account(1);
    for n in 0..10 {
        record(&catalog, &account, &n.to_string(), NOW.plus_ms(n * 1000)).await;
    }
    let all: Vec<String> = (2..8).map(|n| n.to_string()).collect();
    for newest_first in [false, true] {
        for limit in [1, 4, 100] {
            let (mut found, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let span = AuditQuery {
                    from: Some(NOW.plus_ms(2000)),
                    until: Some(NOW.plus_ms(8000)),
                    newest_first,
                    after: after.as_deref(),
                };
                let page = catalog.audit(&account, span, limit).await.unwrap();
                let records = page.records.iter();
                found
                    .extend(records.map(|(_, record)| record.as_ref().unwrap().request_id.clone()));
                if !page.has_more {
                    break;
                }
                after = page.records.last().map(|(name, _)| name.clone());
            }
            if newest_first {
                found.reverse();
            }
            assert_eq!(found, all, "pages of {limit}, newest first: {newest_first}");
        }
    }
}
