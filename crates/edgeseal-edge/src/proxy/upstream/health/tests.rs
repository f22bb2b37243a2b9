use super::*;

fn to(account: u64, authority: &str, tls_host: Option<&str>) -> Destination {
    Destination {
        account,
        authority: authority.into(),
        tls_host: tls_host.map(Into::into),
        h2c: false,
        private: false,
    }
}

fn host(name: &str) -> Authority {
    name.parse().unwrap()
}

/// As it is at `now_ms` of a request that was sent then.
const fn failure(why: NoAnswer, connected: bool, asked_ms: u64) -> Failure {
    Failure {
        why,
        connected,
        asked_ms,
        trial: false,
        cut_short: false,
    }
}

fn unreachable(health: &mut Health, to: &Destination, now_ms: u64) -> Option<u64> {
    health.failed(
        to,
        &host("a.com"),
        failure(NoAnswer::Unreachable, false, now_ms),
        now_ms,
    )
}

fn broken(health: &mut Health, to: &Destination, now_ms: u64) -> Option<u64> {
    health.failed(
        to,
        &host("a.com"),
        failure(NoAnswer::Broken, true, now_ms),
        now_ms,
    )
}

fn trial(health: &mut Health, to: &Destination, why: NoAnswer, now_ms: u64) -> Option<u64> {
    let connected = !matches!(why, NoAnswer::Unreachable);
    let failure = Failure {
        trial: true,
        ..failure(why, connected, now_ms)
    };
    health.failed(to, &host("a.com"), failure, now_ms)
}

#[test]
fn of_whom_a_failure_says_something() {
    use NoAnswer as N;
    const ADDRESS: Scope = Scope::Address;
    const COUNTED: Scope = Scope::Destination { at_once: false };
    const AT_ONCE: Scope = Scope::Destination { at_once: true };
    const NOBODY: Scope = Scope::None;
    // The request was sent at 50,000; what it met, whether there was a connection, when somebody was
    // answered last, whether the edge itself asked; at 60,000.
    let table = [
        (N::Unreachable, false, None, false, ADDRESS),
        (N::Unreachable, false, Some(59_999), false, ADDRESS),
        (N::ConnectTimedOut, false, None, false, ADDRESS),
        (N::ConnectTimedOut, true, None, false, COUNTED), // in the handshake
        (N::Unreachable, true, None, false, COUNTED),
        (N::Untrusted, true, None, false, COUNTED),
        (N::Broken, true, None, false, COUNTED),
        (N::Broken, true, Some(50_000), false, COUNTED),
        (N::Broken, true, Some(50_001), false, NOBODY),
        (N::Broken, true, Some(59_999), false, NOBODY),
        (N::Broken, true, Some(59_999), true, COUNTED),
        (N::HeadTimedOut, true, None, false, AT_ONCE),
        (N::HeadTimedOut, true, Some(49_999), false, AT_ONCE),
        (N::HeadTimedOut, true, Some(50_000), false, NOBODY),
        (N::HeadTimedOut, true, Some(50_000), true, AT_ONCE),
        (N::NotAllowed, false, None, false, NOBODY),
        (N::NotAllowed, false, None, true, NOBODY),
        (N::Busy, false, None, false, NOBODY),
        (N::NoOrigin, false, None, false, NOBODY),
        (N::ClientTooSlow, true, None, false, NOBODY),
        (N::TooLarge, true, None, false, NOBODY),
        (N::LengthRequired, false, None, false, NOBODY),
        (N::ClientBroke, true, None, false, NOBODY),
    ];
    for (why, connected, answered_ms, trial, expected) in table {
        let failure = Failure {
            trial,
            ..failure(why, connected, 50_000)
        };
        let got = scope(failure, answered_ms, 60_000);
        assert_eq!(got, expected, "{why:?} {connected} {answered_ms:?} {trial}");
    }
}

#[test]
fn what_was_not_given_its_time_is_not_silent() {
    let short = |trial, answered_ms| {
        let failure = Failure {
            trial,
            cut_short: true,
            ..failure(NoAnswer::HeadTimedOut, true, 50_000)
        };
        scope(failure, answered_ms, 60_000)
    };
    assert_eq!(short(false, None), Scope::None);
    assert_eq!(short(false, Some(49_999)), Scope::None);
    // The edge's own request may have less time than a visitor's.
    assert_eq!(short(true, None), Scope::Destination { at_once: true });
}

#[test]
fn what_cannot_be_connected_to_is_out_for_all_and_the_rest_for_one() {
    let mine = to(1, "a:443", Some("a.com"));
    let others = [
        to(2, "a:443", Some("a.com")),
        to(1, "a:443", Some("b.com")),
        to(2, "a:443", None),
    ];
    for why in [NoAnswer::Broken, NoAnswer::Untrusted] {
        let mut health = Health::default();
        for now in 0..3 {
            health.failed(&mine, &host("a.com"), failure(why, true, now), now);
        }
        assert!(!health.is_in(&mine), "{why:?}");
        assert!(others.iter().all(|other| health.is_in(other)), "{why:?}");
    }
    let mut health = Health::default();
    for now in 0..3 {
        unreachable(&mut health, &mine, now);
    }
    assert!(!health.is_in(&mine));
    assert!(others.iter().all(|other| !health.is_in(other)));
    let private = Destination {
        private: true,
        ..mine
    };
    assert!(health.is_in(&private), "it may have other addresses");
    assert!(health.answered(&others[0], &host("a.com"), Version::HTTP_11, 3));
    assert!(others.iter().all(|other| health.is_in(other)));
}

#[test]
fn an_origin_goes_out_for_longer_and_longer_and_comes_back_at_once() {
    let a = to(1, "a:80", None);
    for why in [NoAnswer::Unreachable, NoAnswer::Broken] {
        let mut health = Health::default();
        let failed = failure(why, why == NoAnswer::Broken, 0);
        assert_eq!(health.failed(&a, &host("a.com"), failed, 0), None);
        assert_eq!(health.failed(&a, &host("a.com"), failed, 1), None);
        assert!(health.is_in(&a));
        assert_eq!(health.failed(&a, &host("a.com"), failed, 2), Some(2_000));
        let mut now = 2;
        let mut out_ms = 2_000;
        for next_ms in [4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert!(!health.is_in(&a));
            assert!(!health.begins_trial(&a, now + out_ms - 1));
            now += out_ms;
            assert_eq!(
                health.failed(&a, &host("a.com"), failed, now),
                None,
                "only the edge's own request counts"
            );
            assert!(health.begins_trial(&a, now));
            assert!(!health.begins_trial(&a, now + 1), "one at a time");
            assert!(!health.is_in(&a), "visitors wait for what it meets");
            assert_eq!(trial(&mut health, &a, why, now), Some(next_ms));
            out_ms = next_ms;
        }
        now += out_ms;
        assert!(health.begins_trial(&a, now));
        assert!(health.begins_trial(&a, now + TRIAL_MS), "one got lost");
        assert!(health.answered(&a, &host("a.com"), Version::HTTP_11, now));
        assert!(health.is_in(&a) && health.is_all_well());
        assert!(!health.answered(&a, &host("a.com"), Version::HTTP_11, now));
    }
}

#[test]
fn a_trial_that_connects_brings_the_address_back() {
    let (mine, other) = (to(1, "a:80", None), to(2, "a:80", None));
    let mut health = Health::default();
    for now in 0..3 {
        unreachable(&mut health, &mine, now);
    }
    assert!(health.begins_trial(&mine, 5_000));
    assert_eq!(trial(&mut health, &mine, NoAnswer::Broken, 5_000), None);
    assert!(health.is_in(&mine) && health.is_in(&other));
}

#[test]
fn a_silent_origin_is_out_at_once() {
    let a = to(1, "a:80", None);
    let mut health = Health::default();
    let silent = failure(NoAnswer::HeadTimedOut, true, 0);
    assert_eq!(
        health.failed(&a, &host("a.com"), silent, 60_000),
        Some(FIRST_MS)
    );
    assert!(!health.is_in(&a));
    assert_eq!(
        health.failed(&a, &host("a.com"), silent, 60_001),
        None,
        "it is out already"
    );
    assert!(health.answered(&a, &host("a.com"), Version::HTTP_11, 60_002) && health.is_in(&a));
}

#[test]
fn a_visitor_cannot_take_out_what_answers_others() {
    let a = to(1, "a:80", None);
    let mut health = Health::default();
    health.answered(&a, &host("good.a.com"), Version::HTTP_11, 0);
    for now in 1..LATELY_MS {
        assert_eq!(broken(&mut health, &a, now), None);
    }
    assert!(health.is_in(&a) && health.is_all_well());
    // Nobody else came for long. What it is tried with is not what the visitor asked for.
    for now in LATELY_MS..LATELY_MS + 3 {
        broken(&mut health, &a, now);
    }
    assert!(!health.is_in(&a));
    assert!(health.begins_trial(&a, 2 * LATELY_MS));
    assert_eq!(health.trial_host(&a), Some(&host("good.a.com")));
}

#[test]
fn the_host_that_was_answered_is_noted_now_and_then() {
    let (plain, tls) = (to(1, "a:80", None), to(1, "a:443", Some("one.com")));
    let mut health = Health::default();
    for to in [&plain, &tls] {
        health.answered(to, &host("one.com"), Version::HTTP_11, 0);
        health.answered(to, &host("two.com"), Version::HTTP_11, NOTE_EVERY_MS - 1);
    }
    assert_eq!(health.trial_host(&plain), Some(&host("one.com")));
    health.answered(&plain, &host("two.com"), Version::HTTP_11, NOTE_EVERY_MS);
    assert_eq!(health.trial_host(&plain), Some(&host("two.com")));
    assert_eq!(health.trial_host(&tls), None);
}

#[test]
fn where_no_host_was_answered_a_trial_is_for_the_one_that_failed_and_the_next_in_turns() {
    let (plain, tls) = (to(1, "a:80", None), to(1, "a:443", Some("one.com")));
    let mut health = Health::default();
    for to in [&plain, &tls] {
        for (now, name) in ["zero.com", "zero.com", "one.com", "two.com"]
            .iter()
            .enumerate()
        {
            let now = now as u64;
            health.failed(to, &host(name), failure(NoAnswer::Broken, true, now), now);
        }
    }
    let mut now = 0;
    for expected in [Some("one.com"), None, Some("one.com"), None] {
        now += LONGEST_MS + TRIAL_MS;
        assert!(health.begins_trial(&plain, now) && health.begins_trial(&tls, now));
        assert_eq!(health.trial_host(&plain), expected.map(host).as_ref());
        assert_eq!(health.trial_host(&tls), None);
        trial(&mut health, &plain, NoAnswer::Broken, now);
    }
    health.answered(&plain, &host("three.com"), Version::HTTP_11, now);
    assert_eq!(health.trial_host(&plain), Some(&host("three.com")));
}

#[test]
fn what_nobody_asks_for_any_more_is_forgotten() {
    let (old, new) = (to(1, "a:80", None), to(1, "b:80", None));
    let mut health = Health::default();
    for now in 0..3 {
        unreachable(&mut health, &old, now);
        broken(&mut health, &old, now);
    }
    broken(&mut health, &new, FORGET_EVERY_MS);
    health.forget_old(FORGOTTEN_AFTER_MS);
    assert!(!health.is_in(&old));
    health.forget_old(FORGOTTEN_AFTER_MS + 2);
    assert!(!health.is_in(&old), "not looked for each time");
    health.forget_old(FORGOTTEN_AFTER_MS + FORGET_EVERY_MS - 1);
    assert!(!health.is_in(&old));
    health.forget_old(FORGOTTEN_AFTER_MS + FORGET_EVERY_MS);
    assert!(health.is_in(&old) && health.is_all_well());
    broken(&mut health, &new, FORGOTTEN_AFTER_MS + FORGET_EVERY_MS);
    health.forget_old(FORGOTTEN_AFTER_MS + 2 * FORGET_EVERY_MS);
    assert!(!health.is_all_well(), "that was just now");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut health = Health::default();
    let far = LATELY_MS + NOTE_EVERY_MS;
    for number in 0..=KNOWN_MAX {
        let to = to(1, &format!("{number}:80"), None);
        unreachable(&mut health, &to, 0);
        broken(&mut health, &to, 0);
        health.note_answer(&to, &host("a.com"), Version::HTTP_11, 0);
    }
    assert!(health.addresses[0].0.len() <= KNOWN_MAX);
    assert!(health.destinations.0.len() <= KNOWN_MAX);
    assert!(health.answered.len() <= KNOWN_MAX);
    let late = to(1, "late:80", None);
    health.note_answer(&late, &host("a.com"), Version::HTTP_11, far);
    assert_eq!(health.answered.len(), 1, "the old ones make room");
}

#[test]
fn the_version_of_the_last_answer_is_remembered_of_each_destination() {
    let mut health = Health::default();
    let (old, other) = (to(1, "192.0.2.1:80", None), to(2, "192.0.2.1:80", None));
    assert!(!health.speaks_http10(&old), "nobody knows");
    health.answered(&old, &host("a.com"), Version::HTTP_10, 0);
    assert!(health.speaks_http10(&old) && !health.speaks_http10(&other));
    broken(&mut health, &old, 1);
    assert!(health.speaks_http10(&old), "a failure says nothing of it");
    health.answered(&old, &host("a.com"), Version::HTTP_11, 2);
    assert!(!health.speaks_http10(&old));
}
