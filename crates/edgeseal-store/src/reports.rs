//! Reports that the processes on one store write for each other, beside the revisioned keys: that
//! they live, and what each of them uses of a shared limit.
//!
//! A report is not a commit. It has no revision, appears in no change feed, and need not survive a
//! crash of the store: each process writes its own again within a second. So reports cost no disk
//! write and no turn of the lock, however many processes there are. Which processes there are does
//! survive, so that one that has not reported again is not taken to be gone.

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::Timestamp;

use crate::{Fault, Revision, random};

/// Reports of the processes on a store.
#[async_trait]
pub trait Reports: Send + Sync + 'static {
    /// Replaces the report of the process `from`, and returns those of all processes, its own
    /// included. From now on it is a member, until it withdraws or has not reported for
    /// [`REPORT_KEPT_MS`].
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn exchange(
        &self,
        from: &str,
        run: RunId,
        report: &[u8],
    ) -> Result<ReportSnapshot, Fault>;

    /// The reports of all processes.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn read(&self) -> Result<ReportSnapshot, Fault>;

    /// Removes a process that ends, with its report. If another run reports under its name, that
    /// one stays.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn withdraw(&self, from: &str, run: RunId) -> Result<(), Fault>;
}

/// Tells a process from another one with the same name: its successor, or one on a copy of its data
/// directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunId(pub u64);

/// The reports at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSnapshot {
    /// In the order of their names.
    pub members: Vec<Member>,
    /// What the exchange has replaced, if that was the report of another run.
    pub replaced: Option<Report>,
    /// Milliseconds since the first report after the store lost all of them, in a crash or a
    /// fail-over.
    pub collected_ms: i64,
    /// The moment, by the store's clock.
    pub now: Timestamp,
    /// The newest commit.
    pub head: Revision,
}

/// A process on a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its last report; `None` if it has written none since the store lost all of them.
    pub report: Option<Report>,
}

/// The last report of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The process that wrote it.
    pub run: RunId,
    /// What it wrote.
    pub value: Bytes,
    /// Milliseconds since it wrote that, by the store's clock.
    pub age_ms: i64,
}

/// How long a process that does not report any more is kept: from its last report or, if the store
/// lost that, from the first one of another process after it.
pub const REPORT_KEPT_MS: i64 = 60 * 60 * 1000;

impl RunId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(u64::from_ne_bytes(random::bytes()))
    }
}
