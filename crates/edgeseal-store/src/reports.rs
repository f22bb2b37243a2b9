//! Reports that the processes on one store write for each other, beside the revisioned keys: that
//! they live, and what each of them uses of a shared limit.
//!
//! A report is not a commit. It has no revision, appears in no change feed, and need not survive a
//! crash of the store: each process writes its own again within a second. So reports cost no disk
//! write and no turn of the lock, however many processes there are.

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::Timestamp;

use crate::{Fault, Revision};

/// Reports of the processes on a store.
#[async_trait]
pub trait Reports: Send + Sync + 'static {
    /// Replaces the report of the process `from`, and returns those of all processes, its own
    /// included.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn exchange(&self, from: &str, report: &[u8]) -> Result<ReportSnapshot, Fault>;

    /// The reports of all processes.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn read(&self) -> Result<ReportSnapshot, Fault>;

    /// Removes the report of a process that ends.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn withdraw(&self, from: &str) -> Result<(), Fault>;
}

/// The reports at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSnapshot {
    /// In the order of their names.
    pub reports: Vec<Report>,
    /// The moment, by the store's clock.
    pub now: Timestamp,
    /// The newest commit.
    pub head: Revision,
}

/// The last report of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The process.
    pub from: String,
    /// What it wrote.
    pub value: Bytes,
    /// Milliseconds since it wrote that, by the store's clock.
    pub age_ms: i64,
}

/// How long the last report of a process that writes none any more is kept.
pub const REPORT_KEPT_MS: i64 = 60 * 60 * 1000;
