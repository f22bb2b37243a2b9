use super::*;
use crate::acme::usage::LimitReached;

fn take(
    usage: &mut Usage,
    name: &str,
    kind: OrderKind,
    now: Timestamp,
) -> Result<Vec<Counter>, LimitReached> {
    let limits = IssuerLimits::LETS_ENCRYPT;
    let taken = usage.take(&limits, &domain(name), kind, 1, now)?;
    Ok(taken.into_iter().map(|(counter, _)| counter).collect())
}

#[test]
fn each_kind_counts_against_its_limits() {
    let mut usage = Usage::default();
    let orders = Counter::Orders;
    let root = Counter::RegisteredDomain("example.com".into());
    let names = Counter::NameSet(".www.example.com".into());
    let name = "*.www.example.com";
    assert_eq!(
        take(&mut usage, name, OrderKind::First, start()),
        Ok(vec![orders, root, names.clone()])
    );
    assert_eq!(
        take(&mut usage, name, OrderKind::Renewal, start()),
        Ok(vec![names])
    );
    assert_eq!(
        take(&mut usage, name, OrderKind::Replacement, start()),
        Ok(vec![])
    );
}

#[test]
fn documented_limits_of_lets_encrypt() {
    let mut usage = Usage::default();
    let mut n = 0;
    let mut first = |usage: &mut Usage, now| {
        n += 1;
        take(
            usage,
            &format!("www.site{n}.example"),
            OrderKind::First,
            now,
        )
    };
    for _ in 0..300 {
        first(&mut usage, start()).unwrap();
    }
    let reached = first(&mut usage, start()).unwrap_err();
    assert_eq!(reached.counter, Counter::Orders);
    // One order each 36 seconds.
    assert_eq!(reached.until, start().plus_ms(36_000));
    first(&mut usage, reached.until).unwrap();
    first(&mut usage, reached.until).unwrap_err();

    for n in 0..50 {
        let name = format!("www{n}.example.com");
        take(
            &mut usage,
            &name,
            OrderKind::First,
            start().plus_ms(days(1)),
        )
        .unwrap();
    }
    let one_more = take(
        &mut usage,
        "one.more.example.com",
        OrderKind::First,
        start().plus_ms(days(1)),
    );
    let reached = one_more.unwrap_err();
    assert_eq!(
        reached.counter,
        Counter::RegisteredDomain("example.com".into())
    );
    // One certificate each 202 minutes.
    let wait = reached.until.since_ms(start().plus_ms(days(1)));
    assert_eq!((wait + MINUTE_MS / 2) / MINUTE_MS, 202);
}

#[test]
fn both_orders_of_a_domain_count_or_none() {
    let limits = IssuerLimits::LETS_ENCRYPT;
    let name = domain("www.example.com");
    let mut usage = Usage::default();
    for _ in 0..2 {
        usage
            .take(&limits, &name, OrderKind::First, 2, start())
            .unwrap();
    }
    // Four of five are used up.
    let reached = usage.take(&limits, &name, OrderKind::First, 2, start());
    let counter = Counter::NameSet("www.example.com".into());
    assert_eq!(reached.unwrap_err().counter, counter);
    usage
        .take(&limits, &name, OrderKind::First, 1, start())
        .unwrap();
}

#[test]
fn a_name_that_failed_five_times_in_an_hour_waits() {
    let limits = IssuerLimits::LETS_ENCRYPT;
    let (bad, good) = (domain("bad.example.com"), domain("good.example.com"));
    let mut usage = Usage::default();
    for _ in 0..5 {
        assert!(usage.count_failure(&limits, &bad, start()).is_some());
    }
    let reached = usage.take(&limits, &bad, OrderKind::Replacement, 1, start());
    let until = start().plus_ms(12 * MINUTE_MS);
    assert_eq!(reached.unwrap_err().until, until);
    usage
        .take(&limits, &good, OrderKind::First, 1, start())
        .unwrap();
    usage
        .take(&limits, &bad, OrderKind::First, 1, until)
        .unwrap();
}

#[test]
fn counters_survive_a_restart_and_end() {
    let mut usage = Usage::default();
    take(&mut usage, "www.example.com", OrderKind::First, start()).unwrap();
    let stored: Vec<(String, _)> = usage
        .counters(start())
        .map(|(counter, state)| (counter.to_string(), state))
        .collect();
    let texts: Vec<&str> = stored.iter().map(|(text, _)| &text[..]).collect();
    assert_eq!(
        texts,
        [
            "orders",
            "registered-domain/example.com",
            "names/www.example.com"
        ]
    );
    let read = stored
        .iter()
        .map(|(text, state)| (Counter::parse(text).unwrap(), *state));
    let mut restored = Usage::restore(read);
    assert_eq!(restored.counters(start()).count(), 3);
    // 36 seconds, 202 minutes, 33.6 hours.
    for (hours, left) in [(1, 2), (4, 1), (34, 0)] {
        let now = start().plus_ms(hours * HOUR_MS);
        assert_eq!(restored.counters(now).count(), left);
    }
    for text in ["", "orders/1", "names", "other/www.example.com"] {
        assert_eq!(Counter::parse(text), None, "{text}");
    }
}

#[test]
fn very_many_counters_do_not_stay() {
    let mut usage = Usage::default();
    for n in 0..20_000 {
        let now = start().plus_ms(n * HOUR_MS);
        let name = format!("www.site{n}.example");
        take(&mut usage, &name, OrderKind::First, now).unwrap();
    }
    assert!(usage.counters(start()).count() <= 1024 + 3);
}

#[test]
fn directories() {
    for (url, limits) in [
        (
            "https://acme-v02.api.letsencrypt.org/directory",
            IssuerLimits::LETS_ENCRYPT,
        ),
        (
            "https://acme-staging-v02.api.letsencrypt.org/directory",
            IssuerLimits::LETS_ENCRYPT_STAGING,
        ),
        ("https://127.0.0.1:14000/dir", IssuerLimits::UNKNOWN),
        ("https://letsencrypt.org.example/", IssuerLimits::UNKNOWN),
    ] {
        assert_eq!(IssuerLimits::of_directory(url), limits, "{url}");
    }
    assert_eq!(IssuerLimits::LETS_ENCRYPT.orders_per_day(), Some(2400));
}

#[test]
fn pauses_double_to_an_hour() {
    let mut health = IssuerHealth::default();
    assert_eq!(health.pause(start()), None);
    let mut now = start();
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        let seed = Seed::of("any");
        health.failed(PauseReason::Unreachable, None, seed, now);
        let (until, reason) = health.pause(now).unwrap();
        assert_eq!(reason, PauseReason::Unreachable);
        let wait = until.since_ms(now);
        let usual = minutes * MINUTE_MS;
        assert!((usual * 3 / 4..=usual).contains(&wait), "{minutes}: {wait}");
        // Others that were on their way.
        health.failed(PauseReason::Unreachable, None, seed, now.plus_ms(1));
        assert_eq!(health.pause(now), Some((until, reason)));
        now = until;
        assert_eq!(health.pause(now), None);
    }
    health.answered();
    health.failed(PauseReason::Unreachable, None, Seed::of("any"), now);
    assert!(health.pause(now).unwrap().0 <= now.plus_ms(MINUTE_MS));
    health.answered();
    assert_eq!(health.pause(now), None);
}

#[test]
fn a_clock_that_was_ahead_pauses_nothing() {
    let mut health = IssuerHealth::default();
    let ahead = start().plus_ms(days(1000));
    health.failed(PauseReason::RateLimited, None, Seed::of("a"), ahead);
    assert!(health.pause(ahead).is_some());
    assert_eq!(health.pause(start()), None);
    assert_eq!(health.pause_of_urgent(start()), None);
}

#[test]
fn a_limit_of_the_account_is_waited_for() {
    let mut health = IssuerHealth::default();
    let (now, seed) = (start(), Seed::of("any"));
    let until = now.plus_ms(3 * HOUR_MS);
    health.failed(PauseReason::RateLimited, Some(until), seed, now);
    assert_eq!(health.pause(now), Some((until, PauseReason::RateLimited)));
    // An order from before ends well.
    health.answered();
    assert_eq!(health.pause(now), Some((until, PauseReason::RateLimited)));
    // Another refusal says more.
    let later = until.plus_ms(HOUR_MS);
    health.failed(PauseReason::RateLimited, Some(later), seed, now);
    assert_eq!(health.pause(now), Some((later, PauseReason::RateLimited)));
    health.failed(
        PauseReason::RateLimited,
        Some(now.plus_ms(days(365))),
        seed,
        later,
    );
    assert_eq!(health.pause(later).unwrap().0, later.plus_ms(days(1)));
}

#[test]
fn an_issuer_that_is_down_is_not_believed_for_longer_than_an_hour() {
    let mut health = IssuerHealth::default();
    let (now, seed) = (start(), Seed::of("any"));
    let week = Some(now.plus_ms(days(7)));
    health.failed(PauseReason::Unreachable, week, seed, now);
    let (until, _) = health.pause(now).unwrap();
    assert_eq!(until, now.plus_ms(HOUR_MS));
}

#[test]
fn a_pause_is_doubted_once_an_hour_by_what_is_urgent() {
    let mut health = IssuerHealth::default();
    let (now, seed) = (start(), Seed::of("any"));
    let limited = PauseReason::RateLimited;
    health.failed(limited, Some(now.plus_ms(days(1))), seed, now);
    let until = now.plus_ms(HOUR_MS);
    assert_eq!(health.pause_of_urgent(now), Some((until, limited)));
    assert_eq!(health.pause_of_urgent(until), None);
    // The first one that goes is the only one.
    health.asked(until);
    let next = until.plus_ms(HOUR_MS);
    assert_eq!(health.pause_of_urgent(until), Some((next, limited)));
    // It is refused as well, even because the issuer is down now.
    health.failed(PauseReason::Unreachable, None, seed, until.plus_ms(1));
    assert_eq!(health.pause(next), Some((now.plus_ms(days(1)), limited)));
    assert_eq!(health.pause_of_urgent(next.plus_ms(1)), None);
    health.asked(next.plus_ms(1));
    health.answered();
    assert_eq!(health.pause(next), None);
    // Without a pause nothing is noted.
    health.asked(next);
    health.failed(limited, Some(next.plus_ms(days(1))), seed, next);
    health.answered();
    assert_eq!(health.pause(next), Some((next.plus_ms(days(1)), limited)));
}

#[test]
fn one_urgent_order_an_hour_goes_to_an_issuer_that_limits_us() {
    let mut scheduler = Scheduler::new(vec![Issuer::new(IssuerLimits::UNKNOWN)]);
    let (now, day) = (start(), Some(start().plus_ms(days(1))));
    scheduler.issuer_failed(0, PauseReason::RateLimited, day, Seed::of("any"), now);
    let (validity, state) = (valid_for(days(3)), RetryState::default());
    for name in ["a.example.com", "b.example.com"] {
        let task = Task::reissue(validity, now, now.plus_ms(days(1)), None, 1, state);
        scheduler.set(domain(name), task);
    }
    scheduler.set(
        domain("c.example.com"),
        Task::first(now, &account(0), 1, state),
    );
    for hours in 1..=2 {
        assert!(scheduler.next(now.plus_ms(hours * HOUR_MS - 1)).is_none());
        let at = now.plus_ms(hours * HOUR_MS);
        assert!(scheduler.next_at(now).is_some_and(|next| next <= at));
        assert_eq!(
            scheduler.next(at).unwrap().task.urgency(at),
            Urgency::Urgent
        );
        assert!(scheduler.next(at).is_none());
    }
    // It was taken after all.
    let at = now.plus_ms(2 * HOUR_MS);
    scheduler.issuer_answered(0, at);
    assert_eq!(scheduler.next(at).unwrap().task.urgency(at), Urgency::First);
}
