//! Leases of tasks.

use super::*;

fn holder(lease: LeaseName, owner: &str) -> LeaseHolder {
    LeaseHolder {
        lease,
        owner: owner.to_owned(),
    }
}

#[tokio::test]
async fn one_process_has_a_lease_at_a_time() {
    let catalog = catalog();
    let later = |ms| NOW.plus_ms(ms);
    for (owner, until, now, expected) in [
        ("a", 100, 0, Some((100, true))),
        ("b", 150, 50, None),
        ("a", 200, 60, Some((200, false))),
        ("b", 250, 199, None),
        ("b", 300, 200, Some((300, true))),
        ("a", 350, 201, None),
        // Not renewed yet.
        ("b", 310, 202, Some((300, false))),
        // Nobody had it meanwhile.
        ("b", 400, 301, Some((400, false))),
        ("a", 500, 401, Some((500, true))),
    ] {
        let holder = holder(LeaseName::Orders, owner);
        let held = catalog.hold_lease(&holder, later(until), later(now));
        let held = held.await.unwrap().map(|held| (held.until, held.is_new));
        let expected = expected.map(|(until, is_new)| (later(until), is_new));
        assert_eq!(held, expected, "{owner} at {now}");
    }
    // Another lease.
    let holder = holder(LeaseName::Alarms, "b");
    let held = catalog.hold_lease(&holder, later(500), later(402)).await;
    assert!(held.unwrap().is_some());
}

#[tokio::test]
async fn a_change_is_not_committed_once_another_process_has_the_lease() {
    let catalog = catalog();
    let (a, b) = (
        holder(LeaseName::Orders, "a"),
        holder(LeaseName::Orders, "b"),
    );
    let until = NOW.plus_ms(100);
    catalog.hold_lease(&a, until, NOW).await.unwrap().unwrap();
    let audit = audit_context();
    let mut tries = Vec::new();
    let changed = catalog.transact(&audit, |mut draft| {
        let attempt = tries.len();
        tries.push(attempt);
        let (catalog, a, b) = (&catalog, &a, &b);
        async move {
            if !draft.has_lease(a, NOW).await? {
                return Err(ChangeError::Refused(attempt));
            }
            draft.note("by a".to_owned());
            // Taken between the read and the commit.
            let taken = catalog.hold_lease(b, until.plus_ms(100), until);
            assert!(taken.await?.is_some());
            Ok((draft, ()))
        }
    });
    assert!(matches!(changed.await, Err(ChangeError::Refused(1))));
}
