//! Verifies the audit chain of an account.

use std::{collections::HashSet, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{AccountId, Timestamp, certificate::Digest};

use super::{
    Anchor, ChainKey, Head, Link, LinkedRecord, Mac,
    clock::{self, Timing},
    time_of,
};

/// A chain that does not exist although there are records older than this is a removed one.
const UNLINKED_GRACE_MS: i64 = 60 * 60 * 1000;
/// Problems that a report names; further ones are counted. Of remarks none is named beyond.
const REPORTED_MAX: usize = 1000;

/// The end of a chain as it was once reported and kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedHead {
    /// Number of the link.
    pub n: u64,
    /// Its MAC.
    pub mac: Mac,
}

/// What is wrong with a chain or with what it is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The anchor was not made here, or was changed.
    #[error("the anchor is forged")]
    ForgedAnchor,
    /// The head was not made here, or was changed.
    #[error("the head is forged")]
    ForgedHead,
    /// There are links or old records and no head.
    #[error("there is no head, although there are links or records that should have been linked")]
    MissingHead,
    /// The head names another last link than there is.
    #[error("the head names link {head} as the last one, the last one is {last}")]
    HeadMismatch {
        /// What the head names.
        head: u64,
        /// The last one.
        last: u64,
    },
    /// Links are gone.
    #[error("links {from} to {to} are missing")]
    MissingLinks {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A link was not made here, or was changed or moved.
    #[error("link {n} is forged")]
    ForgedLink {
        /// Its number, as its key says.
        n: u64,
    },
    /// A link does not follow the one before it.
    #[error("link {n} does not follow the link before it")]
    BrokenLink {
        /// Its number.
        n: u64,
    },
    /// A linked record is gone.
    #[error("record {key} of link {n} is missing")]
    MissingRecord {
        /// The link.
        n: u64,
        /// The record.
        key: String,
    },
    /// A linked record was changed.
    #[error("record {key} of link {n} was changed")]
    ChangedRecord {
        /// The link.
        n: u64,
        /// The record.
        key: String,
    },
    /// A record is linked a second time.
    #[error("record {key} of link {n} was linked before")]
    RepeatedRecord {
        /// The second link.
        n: u64,
        /// The record.
        key: String,
    },
    /// A record was linked long after its time, and not because the clock went back.
    #[error("record {key} of link {n} is older than those linked before: inserted later")]
    LateRecord {
        /// The link.
        n: u64,
        /// The record.
        key: String,
    },
    /// A record is in no link, and should be.
    #[error("record {key} is in no link: inserted")]
    UnlinkedRecord {
        /// The record.
        key: String,
    },
    /// The end that is expected is not in the chain any more: links at its end were cut off, or the
    /// store was put back to an older state.
    #[error("the chain ends with link {last}, before the expected link {n}: its end was cut off")]
    Truncated {
        /// The expected one.
        n: u64,
        /// The last there is.
        last: u64,
    },
    /// The expected link is another one.
    #[error("link {n} is not the one that is expected")]
    UnexpectedLink {
        /// Its number.
        n: u64,
    },
    /// The expected link is older than what is kept.
    #[error(
        "the expected link {n} was removed with the records that it is over; expect a later one"
    )]
    ExpectedTooOld {
        /// Its number.
        n: u64,
    },
}

/// What is no tampering, and should be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainWarning {
    /// The clock of whoever links was set back.
    #[error(
        "the clock was set back by {} minutes before link {n}: the order of the chain holds, times do not",
        by_ms / 60_000
    )]
    ClockSetBack {
        /// The first link after that.
        n: u64,
        /// By how many milliseconds.
        by_ms: i64,
    },
    /// A record looks as after a clock was set back, in a link that does not say what the clock
    /// was.
    #[error(
        "record {key} of link {n} is older than those linked before: the clock was set back, or it was inserted \
         later; this link, of an earlier release, does not tell"
    )]
    Undated {
        /// The link.
        n: u64,
        /// The record.
        key: String,
    },
    /// Records were removed for their age up to a moment that no record has reached.
    #[error(
        "records up to {before} may have been removed for their age, and no record is as late: the clock was ahead"
    )]
    RetentionAhead {
        /// That moment.
        before: Timestamp,
    },
}

/// What was found in one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose audit.
    pub account: AccountId,
    /// Links read.
    pub links: u64,
    /// Records that are in links, and as they were when they were linked.
    pub records: u64,
    /// Records that are not linked yet.
    pub pending: u64,
    /// Time of the oldest of the records, linked or not.
    pub first: Option<Timestamp>,
    /// Time of the newest of the records, linked or not.
    pub last: Option<Timestamp>,
    /// The end of the chain: number and MAC of the last link.
    pub head: Option<(u64, Mac)>,
    /// Records from before this moment may have been removed for their age.
    pub removed_before: Option<Timestamp>,
    /// What is not wrong, and should be known; the first thousand.
    pub warnings: Vec<ChainWarning>,
    /// What is wrong, the first thousand.
    pub problems: Vec<Problem>,
    /// How many problems were found.
    pub problems_total: u64,
}

/// Checks one account's audit: first the links in order, then all records, then the end.
pub struct ChainVerifier<'a> {
    key: &'a ChainKey,
    anchor: Option<Anchor>,
    head: Option<Head>,
    expected: Option<ExpectedHead>,
    /// Number and MAC of the link before the next; the MAC is `None` after a gap.
    before: (u64, Option<Mac>),
    /// When that link was made, or was at the earliest.
    previous_made_at: Option<Timestamp>,
    linked: HashSet<[u8; 16]>,
    report: Report,
}

impl<'a> ChainVerifier<'a> {
    /// Begins with what is stored of anchor and head.
    #[must_use]
    pub fn new(
        account: &AccountId,
        (anchor, head): (Option<Anchor>, Option<Head>),
        expected: Option<ExpectedHead>,
        key: &'a ChainKey,
    ) -> Self {
        let mut walk = Self {
            key,
            anchor: None,
            head: None,
            expected,
            before: (0, Some(Mac::NONE)),
            previous_made_at: None,
            linked: HashSet::new(),
            report: Report {
                account: account.clone(),
                links: 0,
                records: 0,
                pending: 0,
                first: None,
                last: None,
                head: None,
                removed_before: None,
                warnings: Vec::new(),
                problems: Vec::new(),
                problems_total: 0,
            },
        };
        match anchor {
            Some(anchor) if anchor.is_genuine(account, key) => {
                walk.before = (anchor.n, Some(anchor.last));
                walk.report.removed_before = Some(anchor.before);
                walk.compare_expected(anchor.n, anchor.last);
                walk.anchor = Some(anchor);
            }
            Some(_) => walk.problem(Problem::ForgedAnchor),
            None => {}
        }
        match head {
            Some(head) if head.is_genuine(account, key) => walk.head = Some(head),
            Some(_) => walk.problem(Problem::ForgedHead),
            None => {}
        }
        walk
    }

    /// The next link by number, or `None` if what is stored under it does not read; and for each
    /// of its records the digest of what is stored under its key.
    pub fn check_link(&mut self, n: u64, link: Option<&Link>, stored: &[Option<Digest>]) {
        self.report.links += 1;
        let (before, previous) = self.before;
        if n > before + 1 {
            self.problem(Problem::MissingLinks {
                from: before + 1,
                to: n - 1,
            });
        }
        let genuine =
            link.filter(|link| link.n == n && link.is_genuine(&self.report.account, self.key));
        // Numbers come in order, so one that is not higher stands before the anchor.
        let Some(link) = genuine.filter(|_| n > before) else {
            self.problem(Problem::ForgedLink { n });
            self.before = (n.max(before), None);
            self.previous_made_at = None;
            return;
        };
        let follows = previous.is_none_or(|previous| previous == link.previous);
        if n == before + 1 && !follows {
            self.problem(Problem::BrokenLink { n });
        }
        self.compare_expected(n, link.mac);
        if let Some(by_ms) = clock::clock_step_back_ms(self.previous_made_at, link.at) {
            self.warn(ChainWarning::ClockSetBack { n, by_ms });
        }
        for (record, stored) in link.records.iter().zip(stored) {
            self.linked_record(link, record, *stored);
        }
        self.before = (n, Some(link.mac));
        self.previous_made_at = link.at.or_else(|| link.newest());
    }

    /// A record that is stored, with the revision that wrote it; in any order, after all links.
    pub fn check_record(&mut self, key: &str, changed: u64, now: Timestamp) {
        let at = time_of(key);
        if let Some(at) = at {
            self.report.first = Some(self.report.first.map_or(at, |first| first.min(at)));
            self.report.last = Some(self.report.last.map_or(at, |last| last.max(at)));
        }
        if self.linked.contains(&record_id(key)) {
            return;
        }
        let is_covered = self
            .head
            .as_ref()
            .is_some_and(|head| changed <= head.through);
        let is_old = match (at, self.previous_made_at) {
            (None, _) => true,
            // As if it were linked now.
            (Some(at), Some(_)) => {
                clock::classify(at, Some(now), self.previous_made_at) == Timing::Inserted
            }
            (Some(at), None) => self.head.is_none() && now.since_ms(at) > UNLINKED_GRACE_MS,
        };
        if is_covered || is_old {
            self.problem(Problem::UnlinkedRecord {
                key: key.to_owned(),
            });
        } else {
            self.report.pending += 1;
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if let Some(before) = self.report.removed_before
            && self.report.last.is_some_and(|last| last < before)
        {
            self.warn(ChainWarning::RetentionAhead { before });
        }
        let (last, mac) = self.before;
        self.report.head = mac.filter(|_| last > 0).map(|mac| (last, mac));
        match self.head.take() {
            Some(head) if head.n > last => self.problem(Problem::MissingLinks {
                from: last + 1,
                to: head.n,
            }),
            Some(head) if head.n != last || mac.is_some_and(|mac| mac != head.last) => {
                self.problem(Problem::HeadMismatch { head: head.n, last });
            }
            Some(_) => {}
            None if self.report.problems.contains(&Problem::ForgedHead) => {}
            None if last > 0 => self.problem(Problem::MissingHead),
            None => {}
        }
        if let Some(ExpectedHead { n, .. }) = self.expected {
            let begins = self.anchor.as_ref().map_or(0, |anchor| anchor.n);
            if n > last {
                self.problem(Problem::Truncated { n, last });
            } else if n < begins {
                self.problem(Problem::ExpectedTooOld { n });
            }
        }
        self.report
    }

    fn linked_record(&mut self, link: &Link, record: &LinkedRecord, stored: Option<Digest>) {
        let n = link.n;
        let key = || record.key.clone();
        let at = record.at();
        let may_be_gone = self
            .anchor
            .as_ref()
            .is_some_and(|anchor| at.is_some_and(|at| at < anchor.before));
        if !self.linked.insert(record_id(&record.key)) {
            self.problem(Problem::RepeatedRecord { n, key: key() });
        }
        match stored {
            Some(stored) if stored == record.sha256 => self.report.records += 1,
            Some(_) => self.problem(Problem::ChangedRecord { n, key: key() }),
            None if may_be_gone => {}
            None => self.problem(Problem::MissingRecord { n, key: key() }),
        }
        match at.map(|at| clock::classify(at, link.at, self.previous_made_at)) {
            Some(Timing::Inserted) => self.problem(Problem::LateRecord { n, key: key() }),
            Some(Timing::Undated) => self.warn(ChainWarning::Undated { n, key: key() }),
            // The link says so itself.
            Some(Timing::ClockSetBack | Timing::Fits) | None => {}
        }
    }

    fn compare_expected(&mut self, n: u64, mac: Mac) {
        if let Some(expected) = self.expected
            && expected.n == n
            && expected.mac != mac
        {
            self.problem(Problem::UnexpectedLink { n });
        }
    }

    fn warn(&mut self, remark: ChainWarning) {
        if self.report.warnings.len() < REPORTED_MAX {
            self.report.warnings.push(remark);
        }
    }

    fn problem(&mut self, problem: Problem) {
        self.report.problems_total += 1;
        if self.report.problems.len() < REPORTED_MAX {
            self.report.problems.push(problem);
        }
    }
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problems_total == 0
    }
}

impl fmt::Display for ExpectedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.mac)
    }
}

/// Keys of millions of records fit into memory so.
fn record_id(key: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&digest(&SHA256, key.as_bytes()).as_ref()[..16]);
    short
}
