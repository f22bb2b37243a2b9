//! Whether a process may take a lease, by what it has seen of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::Revision;

/// What is stored of a lease that a process has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseRecord {
    pub(super) holder: Holder,
    /// For how long others wait for a renewal.
    pub(super) ttl_ms: u64,
}

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Names the process, the same after its restart.
    pub(super) owner: String,
    /// Random: tells apart the runs of an owner, and processes that share its name.
    pub(super) run: String,
}

/// A revision of a lease, as one process has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    /// `None` if nobody had it.
    revision: Option<Revision>,
    /// When it was seen first.
    since: Instant,
    /// Whether it was there when the process looked for the first time.
    is_first: bool,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// This process has it.
    Renew,
    /// Nobody has it any more.
    Take,
    /// Another process may have it.
    Wait,
}

impl LeaseRecord {
    fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }
}

impl Sighting {
    /// What is known of a lease that has this revision `now`, after what was seen before.
    pub(super) fn after(before: Option<Self>, revision: Option<Revision>, now: Instant) -> Self {
        match before {
            Some(before) if before.revision == revision => before,
            _ => Self {
                revision,
                since: now,
                is_first: before.is_none(),
            },
        }
    }
}

/// What `candidate` does about a lease that it has just read, with what was stored (`None` within: it
/// does not decode, such as that of another release) and since when it sees that. `ttl` counts for a
/// lease that does not decode.
pub(super) fn decide(
    candidate: &Holder,
    stored: Option<Option<&LeaseRecord>>,
    seen: &Sighting,
    ttl: Duration,
    now: Instant,
) -> Decision {
    let Some(record) = stored else {
        return Decision::Take;
    };
    let holder = record.map(|record| &record.holder);
    if holder == Some(candidate) {
        return Decision::Renew;
    }
    // Of an earlier run, which has ended. One that still runs renews the lease, and then waits for
    // this one as for any other.
    let is_earlier_run = holder.is_some_and(|holder| holder.owner == candidate.owner);
    let ttl = record.map_or(ttl, LeaseRecord::ttl);
    if is_earlier_run && seen.is_first || now.duration_since(seen.since) >= ttl {
        Decision::Take
    } else {
        Decision::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(20);

    fn record(owner: &str, run: &str, ttl: Duration) -> LeaseRecord {
        LeaseRecord {
            holder: Holder {
                owner: owner.to_owned(),
                run: run.to_owned(),
            },
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap(),
        }
    }

    /// Decisions of run 2 of owner `a`.
    #[tokio::test]
    async fn a_lease_is_taken_once_it_was_not_renewed_for_its_duration() {
        use Decision::{Renew, Take, Wait};
        let origin = Instant::now();
        let me = record("a", "2", TTL).holder;
        let of = |owner: &str, run: &str| Some(Some(record(owner, run, TTL)));
        let longer = Some(Some(record("b", "9", TTL * 2)));
        for (what, stored, is_first, seen_for_s, expected) in [
            ("nobody has it", None, true, 0, Take),
            ("it was given back", None, false, 0, Take),
            ("its own", of("a", "2"), false, 0, Renew),
            (
                "its own, not renewed in time",
                of("a", "2"),
                false,
                90,
                Renew,
            ),
            ("of an earlier run", of("a", "1"), true, 0, Take),
            (
                "of another run that came later",
                of("a", "3"),
                false,
                0,
                Wait,
            ),
            ("of another run that renews", of("a", "1"), false, 19, Wait),
            ("of another run that ended", of("a", "3"), false, 20, Take),
            ("of another", of("b", "9"), true, 0, Wait),
            ("of another, almost over", of("b", "9"), true, 19, Wait),
            ("of another, over", of("b", "9"), true, 20, Take),
            ("of another, for longer", longer.clone(), false, 39, Wait),
            ("of another, over at last", longer, false, 40, Take),
            ("of another release", Some(None), true, 19, Wait),
            ("of another release, over", Some(None), true, 20, Take),
        ] {
            let revision = stored.as_ref().map(|_| Revision(7));
            let seen = Sighting {
                revision,
                since: origin,
                is_first,
            };
            let stored = stored.as_ref().map(Option::as_ref);
            let now = origin + Duration::from_secs(seen_for_s);
            assert_eq!(decide(&me, stored, &seen, TTL, now), expected, "{what}");
        }
    }

    #[tokio::test]
    async fn a_renewal_begins_the_wait_anew() {
        let origin = Instant::now();
        let at = |seconds| origin + Duration::from_secs(seconds);
        let mut seen = None;
        for (second, revision, since, is_first) in [
            (0, Some(1), 0, true),
            (5, Some(1), 0, true),
            (6, Some(2), 6, false),
            (9, Some(2), 6, false),
            (10, None, 10, false),
            // A backup was put back: it is not known who has done what since.
            (11, Some(1), 11, false),
        ] {
            let revision = revision.map(Revision);
            let next = Sighting::after(seen, revision, at(second));
            let expected = Sighting {
                revision,
                since: at(since),
                is_first,
            };
            assert_eq!(next, expected, "{second}");
            seen = Some(next);
        }
    }
}
