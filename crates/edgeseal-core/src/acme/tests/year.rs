//! A year in virtual time: very many domains, an authority that is down for three of every 47
//! days, domains that cannot be validated for a while, a mass revocation, a migration that let a
//! fifth of all certificates begin on the same day.
//!
//! `EDGESEAL_WRITE_DOCS=1 cargo test -p edgeseal-core a_year` writes the days to
//! `target/renewal-year.csv`, out of which `benches/plot_renewals.py` draws
//! `docs/operate/renewal-year.png`.

use super::{
    DAY_MS, HOUR_MS, days,
    simulation::{Scenario, Year, three_of_47_days},
    start,
};
use crate::{acme::IssuerLimits, rate::RateLimit};

const YEAR_DAYS: i64 = 365;

#[test]
fn a_year_of_100_000_domains() {
    let year = Year::new(Scenario {
        domains: 100_000,
        life_ms: days(47),
        limits: IssuerLimits::LETS_ENCRYPT,
        is_down: three_of_47_days,
        broken_days: 10,
        revocation_day: Some(200),
        flood_day: None,
        days: YEAR_DAYS,
    })
    .run();
    if std::env::var_os("EDGESEAL_WRITE_DOCS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/renewal-year.csv");
        std::fs::write(path, year.csv()).unwrap();
    }
    assert_eq!(year.expired, Vec::<String>::new());
    assert_eq!(year.authority.refused, 0);
    assert_eq!(year.revoked_before_replacement, 0);
    // No herd: the busiest day has the pace, three times the mean, and the day of the revocation
    // one in twenty certificates more.
    let mean = year.mean();
    let busiest = year.orders().fold(0.0, f64::max);
    assert!((3300.0..4000.0).contains(&mean), "{mean} orders a day");
    assert!(busiest < mean * 3.3 + 5_500.0, "{busiest} of {mean}");
    let ordinary = |(n, _): &(usize, f64)| !(200..=201).contains(n);
    let busiest = year.orders().enumerate().filter(ordinary).map(|(_, n)| n);
    let busiest = busiest.fold(0.0, f64::max);
    assert!(busiest < mean * 3.3, "{busiest} of {mean}");
    let ratio = year.renewals_per_ideal();
    assert!((0.95..1.06).contains(&ratio), "{ratio} of the ideal");
    // What an outage leaves is gone within three days of its end: the pace allows three times the
    // mean, of which one is needed for what falls due meanwhile.
    for n in (0..7).map(|n| n * 47 + 20) {
        let (before, during, after) = (&year.days[n - 1], &year.days[n + 2], &year.days[n + 5]);
        assert!(before.backlog < 300, "day {n}: {}", before.backlog);
        assert!(during.backlog > 1_000, "day {n}: {}", during.backlog);
        assert!(after.backlog < 300, "day {n}: {}", after.backlog);
        assert!(
            during.unreachable < 2_000,
            "day {n}: {}",
            during.unreachable
        );
    }
    // A domain that can never be validated is tried about once a day, and four times a day once it
    // has expired.
    let worst = year.domains.iter().map(|d| d.attempts_since_success).max();
    assert!(worst.is_some_and(|n| (300..2000).contains(&n)), "{worst:?}");
}

#[test]
fn six_day_certificates() {
    let year = Year::new(Scenario {
        domains: 2_000,
        life_ms: 160 * HOUR_MS,
        limits: IssuerLimits::LETS_ENCRYPT,
        // Half of the life are 3.3 days: down for two, and one domain in 500 broken for one.
        is_down: |now| (20..22).contains(&(now.since_ms(start()) / DAY_MS).rem_euclid(47)),
        broken_days: 1,
        revocation_day: None,
        flood_day: None,
        days: 60,
    })
    .run();
    assert_eq!(year.expired, Vec::<String>::new());
    assert_eq!(year.authority.refused, 0);
    let ratio = year.renewals_per_ideal();
    assert!((0.9..1.1).contains(&ratio), "{ratio} of the ideal");
    assert!(year.orders().fold(0.0, f64::max) < year.mean() * 3.5);
}

#[test]
fn an_authority_without_exemptions() {
    // 20,000 certificates need 638 orders a day; 800 are allowed.
    let orders = Some(RateLimit {
        calls: 100,
        per_ms: 3 * 3_600_000,
    });
    let year = Year::new(Scenario {
        domains: 20_000,
        life_ms: days(47),
        limits: IssuerLimits {
            orders,
            ..IssuerLimits::UNKNOWN
        },
        is_down: three_of_47_days,
        broken_days: 5,
        revocation_day: None,
        flood_day: None,
        days: 120,
    })
    .run();
    assert_eq!(year.expired, Vec::<String>::new());
    assert_eq!(year.authority.refused, 0);
    // What a day refills, and a full bucket.
    let busiest = year.orders().fold(0.0, f64::max);
    assert!(busiest <= 900.0, "{busiest}");
    // Fewer, since the herd and what outages leave wait for the limit.
    let ratio = year.renewals_per_ideal();
    assert!((0.8..1.06).contains(&ratio), "{ratio} of the ideal");
}

#[test]
fn an_account_that_asks_for_very_much_delays_nobody() {
    // Without exemptions, renewals and first orders share the limit: of 800 a day, renewals need
    // 638 in the long run.
    let orders = Some(RateLimit {
        calls: 100,
        per_ms: 3 * 3_600_000,
    });
    let year = Year::new(Scenario {
        domains: 20_000,
        life_ms: days(47),
        limits: IssuerLimits {
            orders,
            ..IssuerLimits::UNKNOWN
        },
        is_down: |_| false,
        broken_days: 0,
        revocation_day: None,
        flood_day: Some(2),
        days: 60,
    })
    .run();
    assert_eq!(year.expired, Vec::<String>::new());
    assert_eq!(year.authority.refused, 0);
    // Ten other accounts ask for five certificates each at the same noon, and 8.3 first orders an
    // hour are allowed while renewals wait.
    let hours = year.longest_first_wait_ms / HOUR_MS;
    assert!(hours < 14, "{hours} hours");
}
