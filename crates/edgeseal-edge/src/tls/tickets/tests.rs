use std::cell::Cell;

use edgeseal_core::ticket::PERIOD_MS;

use super::*;

/// The id of a domain.
const A_COM: i64 = 7;
const HOUR: i64 = 60 * 60 * 1000;
/// The middle of a period.
const NOON: i64 = 41_666 * PERIOD_MS + 6 * HOUR;

thread_local! {
    /// Each test has its own thread, and so its own clock.
    static NOW: Cell<i64> = const { Cell::new(NOON) };
}

fn clock() -> Timestamp {
    Timestamp::from_unix_ms(NOW.get())
}

fn keyring() -> Keyring {
    Keyring::parse(&Keyring::generate()).unwrap()
}

fn edge(keyring: &Keyring) -> TicketKeys {
    TicketKeys::new(Environment::Production, keyring.clone(), clock)
}

fn shared(keyring: &Keyring, period: TicketPeriod) -> StoredTicketKey {
    let holder = Key::ticket_key(Environment::Production, period);
    let value = TicketKey::generate(period, clock()).seal(keyring, &holder);
    (holder, value.unwrap())
}

#[test]
fn a_ticket_is_valid_for_a_day_at_most_at_every_edge() {
    let keyring = keyring();
    let (a, b) = (edge(&keyring), edge(&keyring));
    for period in TicketPeriod::required(clock()) {
        let (holder, value) = shared(&keyring, period);
        a.insert_stored(&holder, &value);
        b.insert_stored(&holder, &value);
    }
    assert!(a.missing().is_empty());
    let ticket = a.seal(A_COM, b"session").unwrap();
    // The period ends six hours from now; its key is valid for twelve more.
    let table = [
        (0, true),
        (6 * HOUR - 1, true),
        (6 * HOUR, true),
        (18 * HOUR - 1, true),
        (18 * HOUR, false),
        (24 * HOUR, false),
        (-6 * HOUR, true), // another clock is behind: for it this is the next key
        (-18 * HOUR - 1, false),
    ];
    for (later, opens) in table {
        NOW.set(NOON + later);
        let expected = opens.then(|| b"session".to_vec());
        assert_eq!(b.open(A_COM, &ticket), expected, "after {later} ms");
    }
    // The next key seals when its period begins, at both edges without any message.
    NOW.set(NOON + 6 * HOUR);
    let later = a.seal(A_COM, b"later").unwrap();
    assert_ne!(later[..NAME_LEN], ticket[..NAME_LEN]);
    assert_eq!(b.open(A_COM, &later).as_deref(), Some(&b"later"[..]));
    assert_eq!(a.missing(), [TicketPeriod::at(clock()).next()]);
    // Keys that can open nothing any more are dropped.
    NOW.set(NOON + 18 * HOUR);
    b.expire_and_fill();
    let name = &ticket[..NAME_LEN];
    assert!(b.held().iter().all(|one| one.name != name));
}

#[test]
fn without_shared_keys_an_edge_has_its_own() {
    let keyring = keyring();
    let (a, b) = (edge(&keyring), edge(&keyring));
    let own = a.seal(A_COM, b"session").unwrap();
    assert_eq!(a.open(A_COM, &own).as_deref(), Some(&b"session"[..]));
    assert_eq!(b.open(A_COM, &own), None);
    assert_eq!((a.missing().len(), a.stored().len()), (2, 0));
    // Periods pass without the store.
    NOW.set(NOON + 12 * HOUR);
    assert!(a.seal(A_COM, b"x").is_some(), "its own next key was ready");
    a.expire_and_fill();
    assert_eq!(a.open(A_COM, &own).as_deref(), Some(&b"session"[..]));
    // Then it arrives, and from now on all edges open each other's tickets; older ones stay valid
    // here.
    let (holder, value) = shared(&keyring, TicketPeriod::at(clock()));
    a.insert_stored(&holder, &value);
    b.insert_stored(&holder, &value);
    let ticket = a.seal(A_COM, b"shared").unwrap();
    assert_eq!(b.open(A_COM, &ticket).as_deref(), Some(&b"shared"[..]));
    assert_eq!(a.open(A_COM, &own).as_deref(), Some(&b"session"[..]));
    // An operator who removes it from the store invalidates all of its tickets.
    b.forget(&holder);
    assert_eq!(b.open(A_COM, &ticket), None);
    assert_eq!(b.missing().len(), 2);
    let other = b.seal(A_COM, b"x").unwrap();
    assert_ne!(other[..NAME_LEN], ticket[..NAME_LEN]);
}

#[test]
fn malformed_tickets_are_refused() {
    let keyring = keyring();
    let edge = edge(&keyring);
    let ticket = edge.seal(A_COM, b"session").unwrap();
    for length in 0..ticket.len() {
        assert_eq!(edge.open(A_COM, &ticket[..length]), None, "{length} bytes");
    }
    for place in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[place] ^= 1;
        assert_eq!(edge.open(A_COM, &changed), None, "byte {place}");
    }
    assert_eq!(edge.open(A_COM + 1, &ticket), None, "another domain");
    let twice = edge.seal(A_COM, b"session").unwrap();
    assert_ne!(ticket, twice);
    let text = format!("{edge:?}");
    assert!(!text.contains("key:") && text.len() < 100, "{text}");
}

#[test]
fn keys_of_other_environments_are_ignored() {
    let (ours, theirs) = (keyring(), keyring());
    let edge = edge(&ours);
    let period = TicketPeriod::at(clock());
    let (holder, value) = shared(&theirs, period);
    edge.insert_stored(&holder, &value);
    let staging = Key::ticket_key(Environment::Staging, period);
    let value = TicketKey::generate(period, clock()).seal(&ours, &staging);
    edge.insert_stored(&staging, &value.unwrap());
    let (holder, value) = shared(&ours, period.next().next());
    edge.insert_stored(&holder, &value);
    assert!(edge.stored().is_empty());
}

#[test]
fn after_resealing_the_replica_does_not_need_the_old_key() {
    let old = Keyring::generate();
    let keyring = Keyring::parse(&old).unwrap();
    let edge = edge(&keyring);
    let (holder, value) = shared(&keyring, TicketPeriod::at(clock()));
    edge.insert_stored(&holder, &value);
    let ticket = edge.seal(A_COM, b"session").unwrap();
    let new = Keyring::parse(&format!("{}\n{}", *Keyring::generate(), *old)).unwrap();
    keyring.replace(&new).unwrap();
    edge.reseal();
    let [(same, resealed)] = &edge.stored()[..] else {
        panic!("there is one");
    };
    assert!(*same == holder && *resealed != value);
    keyring.remove_key(keyring.ids()[1]).unwrap();
    assert!(TicketKey::open(&keyring, &holder, resealed).is_ok());
    assert_eq!(edge.open(A_COM, &ticket).as_deref(), Some(&b"session"[..]));
}
