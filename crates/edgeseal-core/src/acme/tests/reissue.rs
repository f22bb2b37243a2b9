use std::sync::Arc;

use super::*;
use crate::{
    acme::{
        queue::IssuedBy,
        reissue::{Reissue, ReissueScope, Throughput, forecast},
    },
    managed_certificate::IssuedCertificate,
};

const FAST: Throughput = Throughput {
    parallel: 20,
    order_ms: 10_000,
};

/// So many certificates of 47 days, ten below each registered domain, that have to be replaced
/// within 24 hours.
fn batch(n: usize, issued_by: Option<IssuedBy>) -> Vec<(Arc<DomainPattern>, Task)> {
    let deadline = start().plus_ms(days(1));
    let task = || {
        let validity = valid_for(days(47));
        Task::reissue(
            validity,
            start(),
            deadline,
            issued_by,
            1,
            RetryState::default(),
        )
    };
    (0..n)
        .map(|i| domain(&format!("www{}.site{}.example", i % 10, i / 10)))
        .map(|name| (Arc::new(name), task()))
        .collect()
}

#[test]
fn exempt_replacements_take_what_the_driver_takes() {
    let scheduler = Scheduler::new(vec![Issuer::new(IssuerLimits::LETS_ENCRYPT)]);
    let by = IssuedBy {
        issuer: 0,
        replaces: true,
    };
    let forecast = forecast(&scheduler, batch(10_000, Some(by)), FAST, start());
    // 500 times twenty orders of ten seconds.
    assert_eq!(forecast.finished_at, start().plus_ms(5_000_000));
    assert_eq!((forecast.late, forecast.never), (0, 0));
    assert_eq!(forecast.issuers[0].domains, 10_000);
}

#[test]
fn a_distrusted_issuer_is_replaced_at_the_pace_of_the_others() {
    let limits = [IssuerLimits::LETS_ENCRYPT, IssuerLimits::UNKNOWN];
    let issuers = limits.map(Issuer::new).to_vec();
    let forecast = forecast(&Scheduler::new(issuers), batch(6_000, None), FAST, start());
    // Each takes 300 at once and 100 an hour.
    assert_eq!(
        forecast.issuers.iter().map(|it| it.domains).sum::<usize>(),
        6_000
    );
    assert!((2_950..=3_050).contains(&forecast.issuers[0].domains));
    let hours = forecast.finished_at.since_ms(start()) / HOUR_MS;
    assert!((26..=28).contains(&hours), "{hours}");
    // Of 24 hours' notice.
    assert!((500..=700).contains(&forecast.late), "{}", forecast.late);
    assert_eq!(
        forecast.finished_at,
        forecast
            .issuers
            .iter()
            .map(|it| it.finished_at)
            .max()
            .unwrap()
    );
}

#[test]
fn without_an_issuer_it_never_ends() {
    let forecast = forecast(&Scheduler::new(Vec::new()), batch(3, None), FAST, start());
    assert_eq!(forecast.never, 3);
}

#[test]
fn an_issuer_that_is_left_out_takes_nothing() {
    let issuers = [IssuerLimits::LETS_ENCRYPT, IssuerLimits::UNKNOWN].map(Issuer::new);
    let scheduler = |n: usize| Scheduler::new(issuers[..n].to_vec());
    let without_first = || {
        let batch = batch(20, None).into_iter();
        batch.map(|(name, task)| (name, task.not_from(Some(0))))
    };
    let both = forecast(&scheduler(2), without_first(), FAST, start());
    assert_eq!((both.issuers[0].domains, both.issuers[1].domains), (0, 20));
    // The only issuer is left out.
    assert_eq!(
        forecast(&scheduler(1), without_first(), FAST, start()).never,
        20
    );
}

#[test]
fn the_mark_concerns_what_was_ordered_before_by_scope() {
    let issued = |issuer: &str, hours: i64, revoked: bool| {
        let by = (issuer.to_owned(), start().plus_ms(hours * HOUR_MS));
        let validity = (start(), start().plus_ms(days(47)));
        let ids = (1, None);
        let mut issued = IssuedCertificate::new(by, ids, validity, &domain("www.example.com"));
        issued.renewal_info = RenewalWindow::new(start(), start().plus_ms(1)).map(|window| {
            let at_once_since = revoked.then(start);
            RenewalInfo {
                window,
                at_once_since,
            }
        });
        issued
    };
    let of_issuer = || ReissueScope::Issuer("a".to_owned());
    let rows = [
        (ReissueScope::All, issued("a", 1, false), true),
        (ReissueScope::All, issued("b", 2, false), false),
        (of_issuer(), issued("a", 1, false), true),
        (of_issuer(), issued("b", 1, false), false),
        (of_issuer(), issued("a", 3, false), false),
        (ReissueScope::Revoked, issued("a", 1, true), true),
        (ReissueScope::Revoked, issued("a", 1, false), false),
        (ReissueScope::Revoked, issued("a", 2, true), false),
    ];
    for (scope, issued, concerned) in rows {
        let at = start().plus_ms(2 * HOUR_MS);
        let reissue = Reissue::new(scope, None, at, at.plus_ms(days(1)));
        assert_eq!(
            reissue.concerns(&issued),
            concerned,
            "{reissue:?} {issued:?}"
        );
    }
}

#[test]
fn progress_leaves_out_the_time_during_which_it_was_stopped() {
    let at = |hours: i64| start().plus_ms(hours * HOUR_MS);
    let mut reissue = Reissue::new(ReissueScope::All, None, at(0), at(24));
    reissue.total = 1000;
    assert_eq!(reissue.progress(1000, at(1)).finished_at, None);
    let progress = reissue.progress(750, at(1));
    assert_eq!((progress.done, progress.percent), (250, 25));
    assert_eq!(progress.finished_at, Some(at(4)));

    reissue.stop(at(1));
    reissue.stop(at(2));
    assert_eq!(reissue.progress(750, at(9)).finished_at, None);
    reissue.resume(at(11));
    reissue.resume(at(12));
    assert_eq!(reissue.progress(750, at(11)).finished_at, Some(at(14)));

    let text = serde_json::to_string(&reissue).unwrap();
    assert_eq!(serde_json::from_str::<Reissue>(&text).unwrap(), reissue);

    let progress = reissue.progress(0, at(14));
    assert_eq!((progress.done, progress.percent), (1000, 100));
    assert_eq!(progress.finished_at, Some(at(14)));
    // More are left than there were: a revocation has spread.
    assert_eq!(reissue.progress(1001, at(14)).done, 0);
}
