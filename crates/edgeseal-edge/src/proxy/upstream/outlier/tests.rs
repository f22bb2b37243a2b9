use super::*;

fn to(account: u64, authority: &str, tls_host: Option<&str>) -> Destination {
    Destination {
        account_id: account,
        authority: authority.into(),
        tls_host: tls_host.map(Into::into),
        h2c: false,
        private: false,
    }
}

fn host(name: &str) -> Authority {
    name.parse().unwrap()
}

/// At `now_ms`, of a request that was sent then.
const fn failure(reason: UpstreamError, connected: bool, asked_ms: u64) -> Failure {
    Failure {
        reason,
        connected,
        asked_ms,
        is_probe: false,
        cut_short: false,
    }
}

fn unreachable(health: &mut OutlierDetector, to: &Destination, now_ms: u64) -> Option<u64> {
    health.failed(
        to,
        &host("a.com"),
        failure(UpstreamError::Unreachable, false, now_ms),
        now_ms,
    )
}

fn broken(health: &mut OutlierDetector, to: &Destination, now_ms: u64) -> Option<u64> {
    health.failed(
        to,
        &host("a.com"),
        failure(UpstreamError::BadResponse, true, now_ms),
        now_ms,
    )
}

fn probe(
    health: &mut OutlierDetector,
    to: &Destination,
    reason: UpstreamError,
    now_ms: u64,
) -> Option<u64> {
    let connected = !matches!(reason, UpstreamError::Unreachable);
    let failure = Failure {
        is_probe: true,
        ..failure(reason, connected, now_ms)
    };
    health.failed(to, &host("a.com"), failure, now_ms)
}

#[test]
fn failure_scope_by_cause() {
    use UpstreamError as N;
    const ADDRESS: FailureScope = FailureScope::Address;
    const COUNTED: FailureScope = FailureScope::Destination { at_once: false };
    const AT_ONCE: FailureScope = FailureScope::Destination { at_once: true };
    const NOBODY: FailureScope = FailureScope::None;
    // The request was sent at 50,000; its outcome, whether the TCP connection was established, when
    // the last response was, whether it was a probe; at 60,000.
    let table = [
        (N::Unreachable, false, None, false, ADDRESS),
        (N::Unreachable, false, Some(59_999), false, ADDRESS),
        (N::ConnectTimeout, false, None, false, ADDRESS),
        (N::ConnectTimeout, true, None, false, COUNTED), // in the handshake
        (N::Unreachable, true, None, false, COUNTED),
        (N::TlsUntrusted, true, None, false, COUNTED),
        (N::BadResponse, true, None, false, COUNTED),
        (N::BadResponse, true, Some(50_000), false, COUNTED),
        (N::BadResponse, true, Some(50_001), false, NOBODY),
        (N::BadResponse, true, Some(59_999), false, NOBODY),
        (N::BadResponse, true, Some(59_999), true, COUNTED),
        (N::ResponseTimeout, true, None, false, AT_ONCE),
        (N::ResponseTimeout, true, Some(49_999), false, AT_ONCE),
        (N::ResponseTimeout, true, Some(50_000), false, NOBODY),
        (N::ResponseTimeout, true, Some(50_000), true, AT_ONCE),
        (N::AddressNotAllowed, false, None, false, NOBODY),
        (N::AddressNotAllowed, false, None, true, NOBODY),
        (N::ConnectionLimit, false, None, false, NOBODY),
        (N::NoOrigin, false, None, false, NOBODY),
        (N::ClientTooSlow, true, None, false, NOBODY),
        (N::TooLarge, true, None, false, NOBODY),
        (N::LengthRequired, false, None, false, NOBODY),
        (N::ClientAborted, true, None, false, NOBODY),
    ];
    for (reason, connected, answered_ms, probe, expected) in table {
        let failure = Failure {
            is_probe: probe,
            ..failure(reason, connected, 50_000)
        };
        let got = failure_scope(failure, answered_ms, 60_000);
        assert_eq!(
            got, expected,
            "{reason:?} {connected} {answered_ms:?} {probe}"
        );
    }
}

#[test]
fn a_shortened_time_limit_is_not_a_timeout() {
    let short = |probe, answered_ms| {
        let failure = Failure {
            is_probe: probe,
            cut_short: true,
            ..failure(UpstreamError::ResponseTimeout, true, 50_000)
        };
        failure_scope(failure, answered_ms, 60_000)
    };
    assert_eq!(short(false, None), FailureScope::None);
    assert_eq!(short(false, Some(49_999)), FailureScope::None);
    // A probe may have less time than a client's request.
    assert_eq!(
        short(true, None),
        FailureScope::Destination { at_once: true }
    );
}

#[test]
fn unreachable_addresses_are_ejected_for_all_accounts_other_failures_for_one() {
    let mine = to(1, "a:443", Some("a.com"));
    let others = [
        to(2, "a:443", Some("a.com")),
        to(1, "a:443", Some("b.com")),
        to(2, "a:443", None),
    ];
    for reason in [UpstreamError::BadResponse, UpstreamError::TlsUntrusted] {
        let mut health = OutlierDetector::default();
        for now in 0..3 {
            health.failed(&mine, &host("a.com"), failure(reason, true, now), now);
        }
        assert!(!health.is_available(&mine), "{reason:?}");
        assert!(
            others.iter().all(|other| health.is_available(other)),
            "{reason:?}"
        );
    }
    let mut health = OutlierDetector::default();
    for now in 0..3 {
        unreachable(&mut health, &mine, now);
    }
    assert!(!health.is_available(&mine));
    assert!(others.iter().all(|other| !health.is_available(other)));
    let private = Destination {
        private: true,
        ..mine
    };
    assert!(health.is_available(&private), "it may have other addresses");
    assert!(health.record_success(&others[0], &host("a.com"), Version::HTTP_11, 3));
    assert!(others.iter().all(|other| health.is_available(other)));
}

#[test]
fn ejection_backs_off_and_ends_at_once() {
    let a = to(1, "a:80", None);
    for reason in [UpstreamError::Unreachable, UpstreamError::BadResponse] {
        let mut health = OutlierDetector::default();
        let failed = failure(reason, reason == UpstreamError::BadResponse, 0);
        assert_eq!(health.failed(&a, &host("a.com"), failed, 0), None);
        assert_eq!(health.failed(&a, &host("a.com"), failed, 1), None);
        assert!(health.is_available(&a));
        assert_eq!(health.failed(&a, &host("a.com"), failed, 2), Some(2_000));
        let mut now = 2;
        let mut out_ms = 2_000;
        for next_ms in [4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert!(!health.is_available(&a));
            assert!(!health.start_probe(&a, now + out_ms - 1));
            now += out_ms;
            assert_eq!(
                health.failed(&a, &host("a.com"), failed, now),
                None,
                "only the edge's own request counts"
            );
            assert!(health.start_probe(&a, now));
            assert!(!health.start_probe(&a, now + 1), "one at a time");
            assert!(!health.is_available(&a), "clients wait for what it meets");
            assert_eq!(probe(&mut health, &a, reason, now), Some(next_ms));
            out_ms = next_ms;
        }
        now += out_ms;
        assert!(health.start_probe(&a, now));
        assert!(
            health.start_probe(&a, now + PROBE_TIMEOUT_MS),
            "one got lost"
        );
        assert!(health.record_success(&a, &host("a.com"), Version::HTTP_11, now));
        assert!(health.is_available(&a) && health.has_no_failures());
        assert!(!health.record_success(&a, &host("a.com"), Version::HTTP_11, now));
    }
}

#[test]
fn a_probe_that_connects_recovers_the_address() {
    let (mine, other) = (to(1, "a:80", None), to(2, "a:80", None));
    let mut health = OutlierDetector::default();
    for now in 0..3 {
        unreachable(&mut health, &mine, now);
    }
    assert!(health.start_probe(&mine, 5_000));
    assert_eq!(
        probe(&mut health, &mine, UpstreamError::BadResponse, 5_000),
        None
    );
    assert!(health.is_available(&mine) && health.is_available(&other));
}

#[test]
fn a_response_timeout_ejects_at_once() {
    let a = to(1, "a:80", None);
    let mut health = OutlierDetector::default();
    let silent = failure(UpstreamError::ResponseTimeout, true, 0);
    assert_eq!(
        health.failed(&a, &host("a.com"), silent, 60_000),
        Some(FIRST_MS)
    );
    assert!(!health.is_available(&a));
    assert_eq!(
        health.failed(&a, &host("a.com"), silent, 60_001),
        None,
        "it is out already"
    );
    assert!(
        health.record_success(&a, &host("a.com"), Version::HTTP_11, 60_002)
            && health.is_available(&a)
    );
}

#[test]
fn a_client_cannot_eject_an_origin_that_serves_others() {
    let a = to(1, "a:80", None);
    let mut health = OutlierDetector::default();
    health.record_success(&a, &host("good.a.com"), Version::HTTP_11, 0);
    for now in 1..LATELY_MS {
        assert_eq!(broken(&mut health, &a, now), None);
    }
    assert!(health.is_available(&a) && health.has_no_failures());
    // No other client came for long. The probe is not for what the client asked for.
    for now in LATELY_MS..LATELY_MS + 3 {
        broken(&mut health, &a, now);
    }
    assert!(!health.is_available(&a));
    assert!(health.start_probe(&a, 2 * LATELY_MS));
    assert_eq!(health.probe_host(&a), Some(&host("good.a.com")));
}

#[test]
fn the_host_of_the_last_response_is_recorded_periodically() {
    let (plain, tls) = (to(1, "a:80", None), to(1, "a:443", Some("one.com")));
    let mut health = OutlierDetector::default();
    for to in [&plain, &tls] {
        health.record_success(to, &host("one.com"), Version::HTTP_11, 0);
        health.record_success(to, &host("two.com"), Version::HTTP_11, NOTE_EVERY_MS - 1);
    }
    assert_eq!(health.probe_host(&plain), Some(&host("one.com")));
    health.record_success(&plain, &host("two.com"), Version::HTTP_11, NOTE_EVERY_MS);
    assert_eq!(health.probe_host(&plain), Some(&host("two.com")));
    assert_eq!(health.probe_host(&tls), None);
}

#[test]
fn without_a_known_host_probes_alternate_between_the_failed_and_the_next_host() {
    let (plain, tls) = (to(1, "a:80", None), to(1, "a:443", Some("one.com")));
    let mut health = OutlierDetector::default();
    for to in [&plain, &tls] {
        for (now, name) in ["zero.com", "zero.com", "one.com", "two.com"]
            .iter()
            .enumerate()
        {
            let now = now as u64;
            health.failed(
                to,
                &host(name),
                failure(UpstreamError::BadResponse, true, now),
                now,
            );
        }
    }
    let mut now = 0;
    for expected in [Some("one.com"), None, Some("one.com"), None] {
        now += LONGEST_MS + PROBE_TIMEOUT_MS;
        assert!(health.start_probe(&plain, now) && health.start_probe(&tls, now));
        assert_eq!(health.probe_host(&plain), expected.map(host).as_ref());
        assert_eq!(health.probe_host(&tls), None);
        probe(&mut health, &plain, UpstreamError::BadResponse, now);
    }
    health.record_success(&plain, &host("three.com"), Version::HTTP_11, now);
    assert_eq!(health.probe_host(&plain), Some(&host("three.com")));
}

#[test]
fn unused_destinations_are_forgotten() {
    let (old, new) = (to(1, "a:80", None), to(1, "b:80", None));
    let mut health = OutlierDetector::default();
    for now in 0..3 {
        unreachable(&mut health, &old, now);
        broken(&mut health, &old, now);
    }
    broken(&mut health, &new, FORGET_EVERY_MS);
    health.forget_old(FORGOTTEN_AFTER_MS);
    assert!(!health.is_available(&old));
    health.forget_old(FORGOTTEN_AFTER_MS + 2);
    assert!(!health.is_available(&old), "not looked for each time");
    health.forget_old(FORGOTTEN_AFTER_MS + FORGET_EVERY_MS - 1);
    assert!(!health.is_available(&old));
    health.forget_old(FORGOTTEN_AFTER_MS + FORGET_EVERY_MS);
    assert!(health.is_available(&old) && health.has_no_failures());
    broken(&mut health, &new, FORGOTTEN_AFTER_MS + FORGET_EVERY_MS);
    health.forget_old(FORGOTTEN_AFTER_MS + 2 * FORGET_EVERY_MS);
    assert!(!health.has_no_failures(), "that was just now");
}

#[test]
fn the_number_of_entries_is_bounded() {
    let mut health = OutlierDetector::default();
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
fn the_version_of_the_last_response_is_recorded_per_destination() {
    let mut health = OutlierDetector::default();
    let (old, other) = (to(1, "192.0.2.1:80", None), to(2, "192.0.2.1:80", None));
    assert!(!health.speaks_http10(&old), "nobody knows");
    health.record_success(&old, &host("a.com"), Version::HTTP_10, 0);
    assert!(health.speaks_http10(&old) && !health.speaks_http10(&other));
    broken(&mut health, &old, 1);
    assert!(health.speaks_http10(&old), "a failure says nothing of it");
    health.record_success(&old, &host("a.com"), Version::HTTP_11, 2);
    assert!(!health.speaks_http10(&old));
}
