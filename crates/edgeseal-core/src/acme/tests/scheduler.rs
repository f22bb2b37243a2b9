use proptest::prelude::*;

use super::*;
use crate::{
    acme::{
        queue::IssuedBy,
        renewal::{Renewal, RenewalCause},
    },
    rate::RateLimit,
};

fn lets_encrypt() -> Issuer {
    Issuer::new(IssuerLimits::LETS_ENCRYPT)
}

fn scheduler(issuers: usize) -> Scheduler {
    Scheduler::new((0..issuers).map(|_| lets_encrypt()).collect())
}

fn first(at: Timestamp) -> Task {
    first_of(0, at)
}

fn first_of(owner: u64, at: Timestamp) -> Task {
    Task::first(at, &account(owner), 1, RetryState::default())
}

const REPLACES: Option<IssuedBy> = Some(IssuedBy {
    issuer: 0,
    replaces: true,
});

/// The renewal of a 45-day certificate that expires in so many days; it was due fifteen days before
/// that.
fn renewal(expires_days: i64) -> Task {
    let not_after = start().plus_ms(days(expires_days));
    let validity = Validity {
        not_before: not_after.plus_ms(-days(45)),
        not_after,
    };
    let at = not_after.plus_ms(-days(15));
    let cause = RenewalCause::Suggested;
    Task::renewal(
        validity,
        Renewal { at, cause },
        REPLACES,
        1,
        RetryState::default(),
    )
}

/// The same, but the issuer has wanted it at once for so many hours.
fn at_once(hours: i64) -> Task {
    let at = start().plus_ms(-hours * HOUR_MS);
    let cause = RenewalCause::AtOnce;
    let backoff = RetryState::default();
    Task::renewal(
        valid_for(days(40)),
        Renewal { at, cause },
        REPLACES,
        1,
        backoff,
    )
}

/// Everything that starts at `now`, by name.
fn starts(scheduler: &mut Scheduler, now: Timestamp) -> Vec<String> {
    std::iter::from_fn(|| scheduler.next(now))
        .map(|start| start.domain.to_string())
        .collect()
}

#[test]
fn the_order_of_work() {
    let mut scheduler = scheduler(1);
    for (name, task) in [
        ("routine-later.example", renewal(14)),
        ("routine.example", renewal(9)),
        ("urgent-tomorrow.example", renewal(1)),
        ("urgent-in-a-week.example", renewal(7)),
        // Its revocation is 22 hours away.
        ("revoked-soon.example", at_once(2)),
        ("first-a.example", first(start().plus_ms(-2))),
        ("first-b.example", first(start().plus_ms(-1))),
        ("not-yet.example", renewal(16)),
        ("expired.example", renewal(-1)),
    ] {
        scheduler.set(domain(name), task);
    }
    assert_eq!(scheduler.len(), (9, 0));
    assert_eq!(
        starts(&mut scheduler, start()),
        [
            "expired.example",
            "revoked-soon.example",
            "urgent-tomorrow.example",
            // One start in four.
            "first-a.example",
            "urgent-in-a-week.example",
            "routine.example",
            "routine-later.example",
            "first-b.example",
        ]
    );
    let due = start().plus_ms(days(1));
    assert_eq!(scheduler.next_at(start()), Some(due));
    assert_eq!(starts(&mut scheduler, due), ["not-yet.example"]);
    assert!(scheduler.is_empty());
}

#[test]
fn a_domain_that_waits_holds_up_no_other() {
    let mut scheduler = scheduler(1);
    let backoff = RetryState {
        failures: 9,
        next_attempt: start().plus_ms(HOUR_MS),
    };
    scheduler.set(
        domain("failing.example"),
        Task::first(start(), &account(0), 1, backoff),
    );
    // More of one registered domain than its limit allows.
    for n in 0..60 {
        let name = format!("a{n}.example.com");
        scheduler.set(domain(&name), first(start()));
    }
    scheduler.set(domain("z.example.org"), first(start().plus_ms(1)));
    let started = starts(&mut scheduler, start().plus_ms(1));
    assert_eq!(started.len(), 51);
    assert!(started.contains(&"z.example.org".to_owned()));
    // The others follow as the limit refills; the failing one when its time has come.
    let now = start().plus_ms(HOUR_MS);
    assert_eq!(starts(&mut scheduler, now), ["failing.example"]);
    let now = start().plus_ms(202 * MINUTE_MS);
    assert_eq!(starts(&mut scheduler, now).len(), 1);
    assert_eq!(scheduler.len().0, 9);
}

#[test]
fn an_account_limit_lets_exempt_renewals_pass() {
    let mut scheduler = scheduler(1);
    for n in 0..400 {
        scheduler.set(domain(&format!("www.site{n}.example")), first(start()));
    }
    for n in 0..20 {
        scheduler.set(domain(&format!("www.old{n}.example")), renewal(2));
    }
    let started = starts(&mut scheduler, start());
    assert_eq!(started.len(), 320);
    assert_eq!(
        started.iter().filter(|name| name.contains("old")).count(),
        20
    );
    let next = scheduler.next_at(start()).unwrap();
    assert_eq!(next, start().plus_ms(36_000));
    assert_eq!(starts(&mut scheduler, next).len(), 1);
    assert!(scheduler.next_at(next).unwrap() > next);
}

#[test]
fn accounts_take_turns_with_first_orders() {
    let mut scheduler = scheduler(1);
    for n in 0..400 {
        let task = first_of(1, start().plus_ms(-n));
        scheduler.set(domain(&format!("www.many{n}.example")), task);
    }
    let few = ["a.few.example", "b.few.example"];
    for name in few {
        scheduler.set(domain(name), first_of(2, start()));
    }
    let started: Vec<_> = (0..4).map(|_| scheduler.next(start()).unwrap()).collect();
    let names: Vec<_> = started.iter().map(|it| it.domain.to_string()).collect();
    assert_eq!(
        names[1..],
        ["a.few.example", "www.many398.example", "b.few.example"]
    );
    assert_eq!(starts(&mut scheduler, start()).len(), 300 - 4);
    // Who comes when the issuer's limit is reached waits for one order of each other account.
    scheduler.set(domain("late.example"), first_of(3, start()));
    assert!(scheduler.next(start()).is_none());
    let next = scheduler.next_at(start()).unwrap();
    assert_eq!(next, start().plus_ms(36_000));
    assert_eq!(starts(&mut scheduler, next), ["late.example"]);
}

#[test]
fn orders_that_were_not_sent_do_not_count() {
    let mut scheduler = scheduler(1);
    let name = domain("www.example.com");
    // Far more than the five of one name in a week.
    for _ in 0..1000 {
        scheduler.set(name.clone(), first(start()));
        let start = scheduler.next(start()).unwrap();
        scheduler.give_back(0, &start.domain, start.kind, start.task.orders);
    }
    let left = scheduler.issuers()[0]
        .usage
        .orders_left(&IssuerLimits::LETS_ENCRYPT, start());
    assert_eq!(left, Some(300));
    // What waits for the limit of the account goes on when some of it is given back.
    for n in 0..301 {
        scheduler.set(domain(&format!("www.site{n}.example")), first(start()));
    }
    let started = scheduler.next(start()).unwrap();
    assert_eq!(starts(&mut scheduler, start()).len(), 299);
    scheduler.give_back(0, &started.domain, started.kind, 1);
    assert_eq!(starts(&mut scheduler, start()).len(), 1);
}

#[test]
fn renewals_that_count_go_before_first_orders() {
    let mut scheduler = Scheduler::new(vec![Issuer::new(IssuerLimits::UNKNOWN)]);
    for n in 0..400 {
        scheduler.set(domain(&format!("www.site{n}.example")), first(start()));
        scheduler.set(domain(&format!("www.urgent{n}.example")), renewal(2));
    }
    let started = starts(&mut scheduler, start());
    assert_eq!(started.len(), 300);
    let firsts = |started: &[String]| started.iter().filter(|it| it.contains("site")).count();
    assert_eq!(firsts(&started), 75);
    // Of what comes back as well.
    let mut started = Vec::new();
    for n in 1..=20 {
        let now = start().plus_ms(n * 36_000);
        started.extend(starts(&mut scheduler, now));
    }
    assert_eq!((started.len(), firsts(&started)), (20, 5));
}

#[test]
fn routine_renewals_keep_a_pace_and_urgent_ones_do_not() {
    let mut scheduler = scheduler(1);
    for n in 0..10_000 {
        scheduler.set(domain(&format!("www.site{n}.example")), renewal(14));
    }
    // 10,000 in 30 days: 333.3 a day.
    assert_eq!(scheduler.orders_per_day(), 334);
    // Three times that, but never less than ten in ten minutes.
    assert_eq!(starts(&mut scheduler, start()).len(), 10);
    let mut now = start();
    let mut started = 10;
    while now < start().plus_ms(days(1)) {
        now = scheduler.next_at(now).unwrap();
        started += starts(&mut scheduler, now).len();
    }
    assert!((1440..=1455).contains(&started), "{started}");
    for n in 0..100 {
        scheduler.set(domain(&format!("www.urgent{n}.example")), renewal(2));
    }
    let urgent = starts(&mut scheduler, now);
    assert_eq!(
        urgent.iter().filter(|name| name.contains("urgent")).count(),
        100
    );
}

#[test]
fn an_issuer_that_is_down_is_passed_over() {
    let mut scheduler = scheduler(2);
    let now = start();
    scheduler.set(domain("www.example.com"), renewal(12));
    let start = scheduler.next(now).unwrap();
    assert_eq!((start.issuer, start.kind), (0, OrderKind::Replacement));
    scheduler.issuer_failed(0, PauseReason::Unreachable, None, Seed::of("any"), now);
    scheduler.set(start.domain, start.task);
    // The other one has never issued for this name.
    let start = scheduler.next(now).unwrap();
    assert_eq!((start.issuer, start.kind), (1, OrderKind::First));
    scheduler.issuer_failed(1, PauseReason::Unreachable, None, Seed::of("any"), now);
    scheduler.set(start.domain, start.task);
    assert!(scheduler.next(now).is_none());
    // Both pauses end within a minute.
    let next = scheduler.next_at(now).unwrap();
    assert!(next > now && next <= now.plus_ms(MINUTE_MS));
    assert_eq!(scheduler.next(next).unwrap().issuer, 0);
}

#[test]
fn an_answer_ends_the_pause_for_all() {
    let mut scheduler = scheduler(1);
    let now = start();
    scheduler.issuer_failed(0, PauseReason::Unreachable, None, Seed::of("any"), now);
    scheduler.set(domain("www.example.com"), first(now));
    assert!(scheduler.next(now).is_none());
    scheduler.issuer_answered(0, now);
    assert!(scheduler.next(now).is_some());
}

#[test]
fn who_waits_for_a_limit_and_who_goes_elsewhere() {
    let limited = |retry_ms: i64, task: Task| {
        let mut scheduler = scheduler(2);
        let until = Some(start().plus_ms(retry_ms));
        scheduler.issuer_failed(0, PauseReason::RateLimited, until, Seed::of("a"), start());
        scheduler.set(domain("www.example.com"), task);
        scheduler.next(start()).map(|start| start.issuer)
    };
    // Routine waits up to an hour, somebody who waits a minute, and what is urgent not at all.
    assert_eq!(limited(59 * MINUTE_MS, renewal(12)), None);
    assert_eq!(limited(61 * MINUTE_MS, renewal(12)), Some(1));
    assert_eq!(limited(MINUTE_MS, first(start())), None);
    assert_eq!(limited(2 * MINUTE_MS, first(start())), Some(1));
    assert_eq!(limited(MINUTE_MS, renewal(1)), Some(1));
}

#[test]
fn a_task_becomes_urgent_while_it_waits() {
    let issuer = Issuer::new(IssuerLimits {
        orders: Some(RateLimit {
            calls: 1,
            per_ms: 3_600_000,
        }),
        ..IssuerLimits::UNKNOWN
    });
    let mut scheduler = Scheduler::new(vec![issuer]);
    scheduler.set(domain("a.example"), renewal(8));
    scheduler.set(domain("b.example"), renewal(14));
    assert_eq!(starts(&mut scheduler, start()), ["a.example"]);
    scheduler.set(domain("first.example"), first(start()));
    // In 6.5 days it has half of its fifteen days left, and goes before the first order.
    let now = start().plus_ms(days(7));
    assert_eq!(starts(&mut scheduler, now), ["b.example"]);
}

#[test]
fn without_an_issuer_nothing_starts() {
    let mut scheduler = Scheduler::new(Vec::new());
    scheduler.set(domain("www.example.com"), first(start()));
    assert!(scheduler.next(start()).is_none());
    assert!(scheduler.next_at(start()).unwrap() > start());
    assert_eq!(scheduler.missing_orders_per_day(), None);
}

#[test]
fn says_when_the_limits_do_not_suffice() {
    let missing = |limits: IssuerLimits| {
        let mut scheduler = Scheduler::new(vec![Issuer::new(limits)]);
        for n in 0..90_000 {
            scheduler.set(domain(&format!("www.site{n}.example")), renewal(14));
        }
        scheduler.missing_orders_per_day()
    };
    // 90,000 in 30 days, and 2,400 a day are allowed.
    assert_eq!(missing(IssuerLimits::UNKNOWN), Some(600));
    assert_eq!(missing(IssuerLimits::LETS_ENCRYPT), None);
}

#[test]
fn a_failed_authorization_counts_for_its_name() {
    let mut scheduler = scheduler(1);
    let name = domain("www.example.com");
    for _ in 0..5 {
        let counter = scheduler.authorization_failed(0, &name, start());
        assert_eq!(counter.unwrap().0.to_string(), "failures/www.example.com");
    }
    scheduler.set(name, first(start()));
    assert!(scheduler.next(start()).is_none());
    let next = start().plus_ms(12 * MINUTE_MS);
    assert_eq!(scheduler.next_at(start()), Some(next));
    assert!(scheduler.next(next).is_some());
}

proptest! {
    /// Whatever is asked for, in whatever order: everything starts once, not before its time, and
    /// time does not stand still.
    #[test]
    fn everything_starts_once(
        tasks in prop::collection::vec((0_u8..3, -20_i64..40, 0_i64..3, 1_u32..3), 1..80),
    ) {
        let mut scheduler = scheduler(1);
        let mut left = std::collections::BTreeMap::new();
        for (n, (kind, day, hours, orders)) in tasks.iter().enumerate() {
            let mut task = match kind {
                0 => first(start().plus_ms(days(*day))),
                1 => at_once(*hours),
                _ => renewal(*day),
            };
            task.orders = *orders;
            let name = domain(&format!("www.site{n}.example"));
            scheduler.set(name.clone(), task);
            left.insert(name, task);
        }
        let mut now = start();
        for _ in 0..10_000 {
            while let Some(start) = scheduler.next(now) {
                let task = left.remove(&*start.domain);
                prop_assert!(task.is_some_and(|task| task.ready_at <= now));
            }
            let Some(next) = scheduler.next_at(now) else { break };
            prop_assert!(next > now);
            now = next;
        }
        prop_assert!(left.is_empty() && scheduler.is_empty());
        prop_assert_eq!(scheduler.orders_per_day(), 0);
    }
}
