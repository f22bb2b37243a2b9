//! Which origins are left alone for a while: a pure state machine, fed with what requests meet.
//!
//! An origin that fails [`FAILURES_MAX`] times in a row, or that has been silent towards everybody for as
//! long as it was waited for, is out for [`FIRST_MS`], doubled with each
//! failure after that up to [`LONGEST_MS`]. When its time is over one request tries it, while the
//! others stay away; if it answers, the past is forgotten. Being out never refuses a request: when
//! all others fail, an origin that is out is tried all the same.

use std::collections::HashMap;

/// Failures in a row that take an origin out.
const FAILURES_MAX: u32 = 3;
/// How long it is out at first.
const FIRST_MS: u64 = 2_000;
/// How long it is out at most.
const LONGEST_MS: u64 = 60_000;
/// How long others stay away while one request tries it.
const TRIAL_MS: u64 = 10_000;
/// Origins remembered at most; beyond, those are forgotten that are not out any more.
const KNOWN_MAX: usize = 65_536;

/// The origins that failed lately, by authority.
#[derive(Debug, Default)]
pub(super) struct Health(HashMap<Box<str>, Ailing>);

#[derive(Debug)]
struct Ailing {
    failures: u32,
    out_until_ms: u64,
    /// Since when one request tries it.
    trial_since_ms: Option<u64>,
}

impl Health {
    /// Whether no origin failed lately.
    pub(super) fn is_all_well(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether requests may go to this origin. Claims nothing.
    pub(super) fn is_in(&self, authority: &str, now_ms: u64) -> bool {
        self.0.get(authority).is_none_or(|ailing| {
            let on_trial = ailing
                .trial_since_ms
                .is_some_and(|since| now_ms < since + TRIAL_MS);
            ailing.failures < FAILURES_MAX || (now_ms >= ailing.out_until_ms && !on_trial)
        })
    }

    /// Says that a request goes to this origin: if it is out, this is its trial.
    pub(super) fn tried(&mut self, authority: &str, now_ms: u64) {
        if let Some(ailing) = self.0.get_mut(authority)
            && ailing.failures >= FAILURES_MAX
        {
            ailing.trial_since_ms = Some(now_ms);
        }
    }

    /// It answered. Whether it comes back by that.
    pub(super) fn answered(&mut self, authority: &str) -> bool {
        self.0
            .remove(authority)
            .is_some_and(|ailing| ailing.failures >= FAILURES_MAX)
    }

    /// It failed; if it was `silent`, nobody else need wait to find that out. For how long it goes out by
    /// that, if it does.
    pub(super) fn failed(&mut self, authority: &str, now_ms: u64, silent: bool) -> Option<u64> {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(authority) {
            self.0.retain(|_, ailing| now_ms < ailing.out_until_ms);
            if self.0.len() >= KNOWN_MAX {
                return None;
            }
        }
        let ailing = self.0.entry(authority.into()).or_insert(Ailing {
            failures: 0,
            out_until_ms: 0,
            trial_since_ms: None,
        });
        // Requests that were on their way when it went out say nothing new.
        if now_ms < ailing.out_until_ms && ailing.trial_since_ms.is_none() {
            return None;
        }
        ailing.failures = ailing.failures.saturating_add(1);
        if silent {
            ailing.failures = ailing.failures.max(FAILURES_MAX);
        }
        ailing.trial_since_ms = None;
        let over = ailing.failures.checked_sub(FAILURES_MAX)?;
        let out_ms = (FIRST_MS << over.min(16)).min(LONGEST_MS);
        ailing.out_until_ms = now_ms + out_ms;
        Some(out_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_goes_out_for_longer_and_longer_and_comes_back_at_once() {
        let mut health = Health::default();
        assert_eq!(health.failed("a:80", 0, false), None);
        assert_eq!(health.failed("a:80", 1, false), None);
        assert!(health.is_in("a:80", 1));
        let mut now = 2;
        for out_ms in [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(health.failed("a:80", now, false), Some(out_ms));
            assert_eq!(
                health.failed("a:80", now + 1, false),
                None,
                "it is out already"
            );
            assert!(!health.is_in("a:80", now + out_ms - 1));
            assert!(health.is_in("b:80", now));
            now += out_ms;
            assert!(health.is_in("a:80", now), "time for a trial");
            health.tried("a:80", now);
            assert!(!health.is_in("a:80", now + 1), "one request tries");
            assert!(health.is_in("a:80", now + TRIAL_MS), "a trial got lost");
        }
        assert!(health.answered("a:80"));
        assert!(health.is_in("a:80", now) && health.is_all_well());
        assert!(!health.answered("a:80"));
    }

    #[test]
    fn a_silent_origin_is_out_at_once() {
        let mut health = Health::default();
        assert_eq!(health.failed("a:80", 0, true), Some(FIRST_MS));
        assert!(!health.is_in("a:80", 1));
        assert_eq!(health.failed("a:80", 1, true), None, "it is out already");
        health.tried("a:80", FIRST_MS);
        assert_eq!(health.failed("a:80", FIRST_MS, true), Some(2 * FIRST_MS));
        assert!(health.answered("a:80") && health.is_in("a:80", FIRST_MS));
    }

    #[test]
    fn answers_between_failures_keep_an_origin_in() {
        let mut health = Health::default();
        for now in 0..10 {
            assert_eq!(health.failed("a:80", now, false), None);
            assert_eq!(health.failed("a:80", now, false), None);
            assert!(!health.answered("a:80"));
        }
        assert!(health.is_in("a:80", 10));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut health = Health::default();
        for number in 0..=KNOWN_MAX {
            health.failed(&format!("{number}:80"), 0, false);
        }
        assert!(health.0.len() <= KNOWN_MAX);
    }
}
