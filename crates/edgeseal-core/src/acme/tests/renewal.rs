use proptest::prelude::*;

use super::*;
use crate::{
    acme::renewal::{PollOutcome, Renewal, RenewalCause, renewal},
    certificate::CertificateId,
    managed_certificate::IssuedCertificate,
};

fn window(from_ms: i64, to_ms: i64) -> RenewalWindow {
    RenewalWindow::new(start().plus_ms(from_ms), start().plus_ms(to_ms)).unwrap()
}

fn info(window: RenewalWindow) -> RenewalInfo {
    RenewalInfo {
        window,
        at_once_since: None,
    }
}

#[test]
fn by_age_at_two_thirds_of_the_life_or_half_of_a_short_one() {
    for (life_ms, from_hours, to_hours) in [
        // 2/3 of 47 days are 752 hours, 6 % of them 67.7.
        (days(47), 718, 786),
        (days(90), 1375, 1505),
        // 160 hours, the short-lived profile of Let's Encrypt.
        (160 * HOUR_MS, 75, 85),
        // Ten days and one millisecond less.
        (days(10), 152, 168),
        (days(10) - 1, 112, 128),
    ] {
        let validity = valid_for(life_ms);
        let ages = (0..1000).map(|i| {
            let due = validity.due_by_age(Seed::of(&i.to_string()));
            due.since_ms(validity.not_before)
        });
        let (least, most) = (ages.clone().min().unwrap(), ages.max().unwrap());
        assert!(least >= from_hours * HOUR_MS, "{life_ms}: {least}");
        assert!(most <= to_hours * HOUR_MS, "{life_ms}: {most}");
        assert!(most - least > life_ms / 20, "not spread: {least} to {most}");
    }
}

#[test]
fn by_the_suggested_window() {
    let validity = valid_for(days(47));
    let suggested = window(days(30), days(32));
    let seed = Seed::of("a certificate");
    let due = renewal(validity, Some(info(suggested)), seed);
    assert_eq!(due.cause, RenewalCause::Suggested);
    assert!(suggested.start() <= due.at && due.at < suggested.end());
    assert_eq!(due, renewal(validity, Some(info(suggested)), seed));
    assert_ne!(
        due,
        renewal(validity, Some(info(suggested)), Seed::of("another"))
    );
}

#[test]
fn a_suggestion_cannot_let_a_certificate_expire() {
    let validity = valid_for(days(50));
    for late in [window(days(46), days(47)), window(days(400), days(401))] {
        let due = renewal(validity, Some(info(late)), Seed::of("any"));
        let at = start().plus_ms(days(45));
        let cause = RenewalCause::Age;
        assert_eq!(due, Renewal { at, cause });
    }
}

#[test]
fn an_invalid_window_is_none() {
    assert_eq!(RenewalWindow::new(start(), start()), None);
    assert_eq!(RenewalWindow::new(start(), start().plus_ms(-1)), None);
}

#[test]
fn a_window_that_moves_into_the_past_means_at_once() {
    let validity = valid_for(days(47));
    let usual = window(days(31), days(32));
    let now = start().plus_ms(days(10));
    let past = window(days(10) - HOUR_MS, days(10) - MINUTE_MS);

    // Moved; and in the first response that this installation ever got.
    for previous in [Some(info(usual)), None] {
        let moved = RenewalInfo::after_response(previous, past, validity, now);
        assert_eq!(moved.at_once_since, Some(now));
        let due = renewal(validity, Some(moved), Seed::of("any"));
        let (at, cause) = (now, RenewalCause::AtOnce);
        assert_eq!(due, Renewal { at, cause });

        // The next response says the same, perhaps relative to its own time.
        let later = now.plus_ms(6 * HOUR_MS);
        for again in [past, window(days(10), days(10) + MINUTE_MS)] {
            let again = RenewalInfo::after_response(Some(moved), again, validity, later);
            assert_eq!(again.at_once_since, Some(now));
        }
        // Withdrawn.
        let withdrawn = RenewalInfo::after_response(Some(moved), usual, validity, later);
        assert_eq!(withdrawn.at_once_since, None);
    }
}

#[test]
fn a_window_that_passed_while_nobody_renewed_is_no_alarm() {
    let validity = valid_for(days(47));
    let usual = window(days(31), days(32));
    let now = start().plus_ms(days(34));
    for previous in [Some(info(usual)), None] {
        let passed = RenewalInfo::after_response(previous, usual, validity, now);
        assert_eq!(passed.at_once_since, None);
    }
}

#[test]
fn an_issuer_that_always_wants_it_at_once_gets_two_orders_a_day() {
    let name = domain("www.example.com");
    let mut orders = Vec::new();
    let mut now = start();
    let mut before: Option<IssuedCertificate> = None;
    while now < start().plus_ms(days(30)) {
        orders.push(now);
        let id: CertificateId = 1;
        let validity = (now.plus_ms(-HOUR_MS), now.plus_ms(days(47)));
        let mut issued = IssuedCertificate::new(("a".to_owned(), now), (id, None), validity, &name);
        issued.replace(before.as_ref(), &name, now);
        let past = RenewalWindow::new(now.plus_ms(-2), now.plus_ms(-1)).unwrap();
        let known = RenewalInfo::after_response(None, past, issued.validity(), now);
        issued.renewal_info = Some(known);
        let renewal = issued.renewal(&name);
        assert_eq!(renewal.cause, RenewalCause::AtOnce);
        now = renewal.at.max(now.plus_ms(1000));
        before = Some(issued);
    }
    // The first time it is believed.
    assert_eq!(orders[1], start().plus_ms(1000));
    assert!((60..70).contains(&orders.len()), "{}", orders.len());
}

#[test]
fn a_short_life_is_renewed_at_its_half() {
    let validity = valid_for(16_000);
    assert_eq!(validity.earliest_renewal(), start().plus_ms(8_000));
    let validity = valid_for(HOUR_MS * 160);
    assert_eq!(validity.earliest_renewal(), start().plus_ms(12 * HOUR_MS));
}

#[test]
fn renewal_information_is_requested_as_the_issuer_says() {
    let now = start();
    let seed = Seed::of("any");
    let answered = |retry_after_ms| PollOutcome::Answered { retry_after_ms };
    let next = |poll: RenewalInfoPoll| poll.next.since_ms(now);
    for (retry_after_ms, wait_ms) in [
        (None, 6 * HOUR_MS),
        (Some(2 * HOUR_MS), 2 * HOUR_MS),
        (Some(0), MINUTE_MS),
        (Some(-5), MINUTE_MS),
        (Some(days(30)), days(1)),
        (Some(i64::MAX), days(1)),
    ] {
        let poll = RenewalInfoPoll::default().after(answered(retry_after_ms), seed, now);
        let wait = next(poll);
        assert!(wait >= wait_ms && wait <= wait_ms + wait_ms / 20, "{wait}");
    }
    let mut poll = RenewalInfoPoll::default();
    for minutes in [1, 2, 4, 8, 16, 360, 1] {
        poll = poll.after(PollOutcome::TemporaryError, seed, now);
        let wait = next(poll) / MINUTE_MS;
        assert!(wait >= minutes && wait <= minutes + minutes / 20, "{wait}");
    }
    let poll = poll.after(PollOutcome::LastingError, seed, now);
    assert!(poll.errors == 0 && next(poll) >= 6 * HOUR_MS);
}

proptest! {
    /// Whatever an issuer suggests, the renewal is due before the end, and inside the window if it
    /// leaves a tenth of the life.
    #[test]
    fn always_due_before_the_end(
        life_ms in 2_i64..days(400),
        from_ms in -days(500)..days(500),
        length_ms in 1..days(500),
        random: u64,
    ) {
        let validity = valid_for(life_ms);
        let window = window(from_ms, from_ms + length_ms);
        let seed = Seed::from_random(random);
        for info in [None, Some(info(window))] {
            let due = renewal(validity, info, seed);
            prop_assert!(due.at < validity.not_after);
            if due.cause == RenewalCause::Suggested {
                prop_assert!(window.start() <= due.at && due.at < window.end());
            }
        }
    }
}
