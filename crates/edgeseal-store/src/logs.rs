//! The audit and the history: records that are appended, read in order, and never follow the change
//! feed.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::{AccountId, DomainPattern, Timestamp};

use crate::{Fault, Revision};

/// Which log a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// Audit records. The scope is an account. Rows stay until they are removed.
    Audit,
    /// Changes of domains. The scope is a domain. An append removes all but the newest
    /// [`HISTORY_MAX`] rows of its domain.
    History,
}

/// Rows of [`Log::History`] that are kept of a domain: at a change a week almost two years, at about
/// 500 bytes a row 50 kB.
pub const HISTORY_MAX: usize = 100;

/// Sorts after all names: they begin with digits.
pub(crate) const AFTER_ALL_NAMES: &str = "a";

/// A row of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Whose it is; see [`Log`].
    pub scope: String,
    /// Its name in the scope: the time in milliseconds with 15 digits, `-`, and what tells it apart.
    /// Names sort by time.
    pub name: String,
    /// The commit that wrote it. Of several audit records of one commit each has a revision of its
    /// own, above that of the commit before and not above that of its own.
    pub revision: Revision,
    /// The record.
    pub value: Bytes,
}

/// Some rows, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The rows.
    pub rows: Vec<LogRow>,
    /// Whether more follow after the last row.
    pub has_more: bool,
    /// The newest commit that the page can show.
    pub revision: Revision,
}

/// A part of one scope of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogRange<'a> {
    /// The log.
    pub log: Log,
    /// The scope.
    pub scope: &'a str,
    /// Names come after this one; everything does after an empty one.
    pub after: &'a str,
    /// Names come before this one.
    pub before: Option<&'a str>,
    /// Whether the rows come from the end.
    pub newest_first: bool,
}

/// A change of a log, as part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogWrite {
    /// Appends a row. If there is one of the same name, an audit record stays as it is, because
    /// nothing replaces what was recorded; a row of the history is replaced.
    Append {
        /// The log.
        log: Log,
        /// The scope.
        scope: String,
        /// The name.
        name: String,
        /// The record; at most [`VALUE_BYTES_MAX`](crate::VALUE_BYTES_MAX).
        value: Bytes,
    },
    /// Removes a row. Not an error if it does not exist.
    Remove {
        /// The log.
        log: Log,
        /// The scope.
        scope: String,
        /// The name.
        name: String,
    },
}

/// Reads of the logs. Each call is one snapshot. Every `limit` counts as at most
/// [`PAGE_MAX`](crate::PAGE_MAX).
#[async_trait]
pub trait Logs: Send + Sync + 'static {
    /// At most `limit` rows of a range.
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault>;

    /// The rows with these names, in their order.
    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault>;

    /// At most `limit` audit records of all accounts that were written after this revision, in order
    /// of their revisions.
    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault>;

    /// At most `limit` scopes that have rows, in byte order, after this one.
    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault>;
}

impl Log {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Audit, Self::History];

    /// Its table.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::History => "history",
        }
    }
}

impl LogWrite {
    /// Appends a record to the audit of an account.
    #[must_use]
    pub fn audit(account: &AccountId, at: Timestamp, request: &str, value: Bytes) -> Self {
        Self::append(Log::Audit, account, row_name(at, request), value)
    }

    /// Appends a change to the history of a domain.
    #[must_use]
    pub fn history(domain: &DomainPattern, at: Timestamp, request: &str, value: Bytes) -> Self {
        Self::append(Log::History, domain, row_name(at, request), value)
    }

    fn append(log: Log, scope: &impl fmt::Display, name: String, value: Bytes) -> Self {
        let scope = scope.to_string();
        Self::Append {
            log,
            scope,
            name,
            value,
        }
    }

    /// Log, scope and name.
    pub(crate) fn place(&self) -> (Log, &str, &str) {
        let (Self::Append {
            log, scope, name, ..
        }
        | Self::Remove { log, scope, name }) = self;
        (*log, scope, name)
    }

    /// Whether it takes a revision of its own.
    pub(crate) const fn is_numbered(&self) -> bool {
        matches!(
            self,
            Self::Append {
                log: Log::Audit,
                ..
            }
        )
    }
}

/// The name of a row: the request ID tells apart rows of one moment.
#[must_use]
pub fn row_name(at: Timestamp, request: &str) -> String {
    format!("{}-{request}", rows_from(at))
}

/// Sorts before the names of all rows from this time on, and after all older ones.
#[must_use]
pub fn rows_from(at: Timestamp) -> String {
    format!("{:015}", at.unix_ms())
}
