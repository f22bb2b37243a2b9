use proptest::prelude::*;

use super::*;

#[test]
fn doubles_to_a_day() {
    let now = start();
    let expires = Some(now.plus_ms(days(15)));
    let mut backoff = RetryState::default();
    let mut waits = Vec::new();
    for _ in 0..14 {
        backoff = backoff.after_failure(expires, None, Seed::of("any"), now);
        waits.push(backoff.next_attempt.since_ms(now));
    }
    for (n, wait) in waits.iter().enumerate() {
        let usual = (MINUTE_MS << n.min(11)).min(days(1));
        assert!(
            (usual * 3 / 4..=usual * 5 / 4).contains(wait),
            "failure {n}: {wait}"
        );
    }
    assert_eq!(backoff.failures, 14);
    assert!(!backoff.is_over(now));
    assert!(backoff.is_over(backoff.next_attempt));
}

#[test]
fn asking_again_is_no_way_around_the_back_off() {
    let now = start();
    let many = RetryState {
        failures: 7,
        next_attempt: now.plus_ms(2 * HOUR_MS),
    };
    let again = |failed_ms: i64| many.asked_again(now.plus_ms(-failed_ms), now);
    assert_eq!(again(HOUR_MS).next_attempt, now);
    assert_eq!(again(1_000).next_attempt, now.plus_ms(9_000));
    assert_eq!(again(1_000).failures, 7);
    let soon = RetryState {
        failures: 1,
        next_attempt: now.plus_ms(5),
    };
    assert_eq!(soon.asked_again(now, now), soon);
}

#[test]
fn leaves_time_before_the_expiry() {
    let now = start();
    let many = RetryState {
        failures: 30,
        next_attempt: now,
    };
    let wait = |expires: Option<i64>| {
        let expires = expires.map(|ms| now.plus_ms(ms));
        let next = many.after_failure(expires, None, Seed::of("any"), now);
        next.next_attempt.since_ms(now)
    };
    assert_eq!(wait(Some(8 * HOUR_MS)), 2 * HOUR_MS);
    assert_eq!(wait(Some(MINUTE_MS)), MINUTE_MS);
    // Nothing valid is served.
    assert_eq!(wait(Some(-1)), 6 * HOUR_MS);
    assert_eq!(wait(None), 6 * HOUR_MS);
}

#[test]
fn the_issuers_word_counts_within_reason() {
    let now = start();
    let expires = Some(now.plus_ms(HOUR_MS));
    let next = |retry_after_ms: i64| {
        let retry_after = Some(now.plus_ms(retry_after_ms));
        let backoff = RetryState::default();
        let next = backoff.after_failure(expires, retry_after, Seed::of("any"), now);
        next.next_attempt.since_ms(now)
    };
    assert_eq!(next(days(2)), days(2));
    assert_eq!(next(i64::MAX), days(7));
    // Sooner than it would be tried anyway: does not speed it up.
    assert!(next(1) >= MINUTE_MS * 3 / 4);
}

proptest! {
    #[test]
    fn always_later_and_in_time(
        failures: u32,
        expires_ms in proptest::option::of(-days(10)..days(100)),
        retry_after_ms in proptest::option::of(-days(10)..days(100)),
        random: u64,
    ) {
        let now = start();
        let backoff = RetryState { failures, next_attempt: now };
        let at = |ms: i64| now.plus_ms(ms);
        let seed = Seed::from_random(random);
        let next = backoff.after_failure(expires_ms.map(at), retry_after_ms.map(at), seed, now);
        let wait = next.next_attempt.since_ms(now);
        prop_assert!(wait >= MINUTE_MS * 3 / 4);
        prop_assert!(wait <= days(7));
        if retry_after_ms.is_none_or(|ms| ms <= 0) {
            prop_assert!(wait <= days(1));
            let left = expires_ms.unwrap_or(0);
            prop_assert!(left < 4 * MINUTE_MS || wait <= left / 4);
        }
    }
}
