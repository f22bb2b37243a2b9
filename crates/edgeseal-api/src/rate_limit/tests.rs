use std::{net::Ipv6Addr, sync::Arc};

use edgeseal_core::identity::{RoleName, UserName};
use edgeseal_store::{Catalog, Keyring, memory::MemoryStore};

use super::*;
use crate::policy_cache::PolicyCache;

/// The number of distinct values that a flood sends.
const FLOOD: u32 = 1_000_000;

#[test]
fn a_nonce_passes_once_within_its_window() {
    let nonces = NonceCache::default();
    let now = Timestamp::from_unix_seconds(1_000);
    assert!(nonces.use_nonce("key", "n", now, 1000));
    assert!(!nonces.use_nonce("key", "n", now.plus_ms(1000), 1000));
    assert!(
        nonces.use_nonce("other", "n", now, 1000),
        "each key has its own nonces"
    );
    assert!(nonces.use_nonce("key", "n", now.plus_ms(1001), 1000));
    assert!(!nonces.use_nonce("key", "n", now.plus_ms(1500), 1000));
}

#[test]
fn failures_count_against_the_address_alone() {
    let failures = AuthFailureLimiter::new(RateLimit {
        calls: 2,
        per_ms: 1000,
    });
    let now = Timestamp::from_unix_seconds(1_000);
    let (guesser, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    failures.count(guesser, now);
    assert_eq!(failures.check(guesser, now), Ok(()));
    failures.count(guesser, now);
    assert_eq!(failures.check(guesser, now), Err(500));
    assert_eq!(failures.check(other, now), Ok(()));
    assert_eq!(failures.check(guesser, now.plus_ms(500)), Ok(()));
}

#[test]
fn an_ipv6_guesser_cannot_hop_within_its_network() {
    let failures = AuthFailureLimiter::new(RateLimit {
        calls: 1,
        per_ms: 1000,
    });
    let now = Timestamp::from_unix_seconds(1_000);
    failures.count("2001:db8::1".parse().unwrap(), now);
    assert!(failures.check("2001:db8::2".parse().unwrap(), now).is_err());
    assert!(
        failures
            .check("2001:db8:0:1::2".parse().unwrap(), now)
            .is_ok()
    );
}

#[test]
fn a_flood_of_nonces_uses_bounded_memory() {
    let nonces = NonceCache::default();
    let now = Timestamp::from_unix_seconds(1_000);
    for number in 0..FLOOD {
        let (key, nonce) = (format!("key{}", number % 1000), number.to_string());
        assert!(nonces.use_nonce(&key, &nonce, now, 1000), "{number} is new");
    }
    let last = (FLOOD - 1).to_string();
    assert!(
        !nonces.use_nonce(&format!("key{}", (FLOOD - 1) % 1000), &last, now, 1000),
        "the newest nonce is remembered"
    );
    let held = nonces.0.len();
    assert!(held <= NONCES_MAX, "{held}");
    assert!(held > NONCES_MAX / 2, "the capacity is used: {held}");
}

#[test]
fn a_flood_of_sources_uses_bounded_memory() {
    let failures = AuthFailureLimiter::new(RateLimit {
        calls: 2,
        per_ms: 60_000,
    });
    let now = Timestamp::from_unix_seconds(1_000);
    let of = |number: u32| -> [IpAddr; 2] {
        let network = (0x2001_0db8_u128 << 96) | (u128::from(number) << 64);
        [
            std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
            Ipv6Addr::from_bits(network | 1).into(),
        ]
    };
    for number in 0..FLOOD {
        for source in of(number) {
            failures.count(source, now);
            failures.count(source, now);
        }
    }
    let held = failures.spent.len();
    assert!(held <= SOURCES_MAX, "{held}");
    assert!(held > SOURCES_MAX / 2, "the capacity is used: {held}");
    let victim = "192.0.2.1".parse().unwrap();
    assert_eq!(
        failures.check(victim, now),
        Ok(()),
        "this source has no failures"
    );
}

#[test]
fn failures_at_once_all_count() {
    let limit = RateLimit {
        calls: 400,
        per_ms: 60_000,
    };
    let failures = AuthFailureLimiter::new(limit);
    let (now, source) = (Timestamp::from_unix_seconds(1_000), [192, 0, 2, 1].into());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| failures.count(source, now)));
        }
    });
    assert_eq!(failures.check(source, now), Err(150), "60,000 ms / 400");
}

#[test]
fn a_flood_of_accounts_is_forgotten_once_it_is_within_its_rate() {
    let limits = RateLimiter::default();
    let limit = RateLimit::per_second(30);
    let begin = Timestamp::from_unix_seconds(1_000);
    let held = || limits.0.lock().unwrap().used.len();
    let mut most = 0;
    // A hundred calls per millisecond; at 30 calls a second one slot is free again after 34 ms.
    for number in 0..FLOOD {
        let account = AccountId::from_random(u64::from(number));
        let now = begin.plus_ms(i64::from(number / 100));
        assert_eq!(limits.spend(&account, "Action", limit, now), Ok(()));
        most = most.max(held());
    }
    assert!(most <= 2 * PURGE_THRESHOLD, "{most}");
}

#[test]
fn usage_survives_the_purge() {
    let limits = RateLimiter::default();
    let limit = RateLimit::per_second(1);
    let now = Timestamp::from_unix_seconds(1_000);
    let busy = AccountId::from_random(0);
    assert_eq!(limits.spend(&busy, "Action", limit, now), Ok(()));
    for number in 1..10 * PURGE_THRESHOLD {
        let account = AccountId::from_random(u64::try_from(number).unwrap());
        let _ = limits.spend(&account, "Action", RateLimit::per_second(1000), now);
    }
    let later = now.plus_ms(999);
    for number in 1..10 * PURGE_THRESHOLD {
        let account = AccountId::from_random(u64::try_from(number).unwrap());
        let _ = limits.spend(&account, "Other", RateLimit::per_second(1000), later);
    }
    assert_eq!(limits.spend(&busy, "Action", limit, later), Err((1, true)));
}

#[tokio::test]
async fn unknown_identities_are_not_cached() {
    let catalog = Catalog::new(
        Arc::new(MemoryStore::new()),
        Keyring::parse(&Keyring::generate()).unwrap(),
    );
    let (rights, account) = (PolicyCache::default(), AccountId::from_random(1));
    for number in 0..FLOOD / 100 {
        let user = UserName::parse(&format!("user{number}")).unwrap();
        let role = RoleName::parse(&format!("role{number}")).unwrap();
        assert!(
            rights
                .user(&catalog, &account, &user)
                .await
                .unwrap()
                .is_none()
        );
        let session = rights.role(&catalog, &account, &role, "session").await;
        assert!(session.unwrap().is_none());
    }
    assert_eq!(rights.len(), 0);
}
