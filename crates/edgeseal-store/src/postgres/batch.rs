//! A batch of transactions as the arrays that `commit_batch_1` takes.

use edgeseal_core::Timestamp;
use tokio_postgres::types::ToSql;

use crate::{Expect, HISTORY_MAX, Log, LogWrite, Txn, Write};

/// The parts of all transactions, joined; `*_until` says where each transaction's part ends.
#[derive(Default)]
pub(super) struct Batch<'a> {
    expect_until: Vec<i32>,
    expect_key: Vec<&'a str>,
    expect_changed: Vec<Option<i64>>,
    write_until: Vec<i32>,
    write_kind: Vec<i16>,
    write_key: Vec<&'a str>,
    write_value: Vec<Option<&'a [u8]>>,
    write_expires: Vec<Option<i64>>,
    write_by: Vec<i64>,
    /// In decimal: a limit may exceed the integers of SQL.
    write_most: Vec<String>,
    log_until: Vec<i32>,
    log_kind: Vec<i16>,
    log_scope: Vec<&'a str>,
    log_name: Vec<&'a str>,
    log_value: Vec<Option<&'a [u8]>>,
}

const PUT: i16 = 1;
const DELETE: i16 = 2;
const ADD: i16 = 3;

const HISTORY_ROWS: i32 = HISTORY_MAX as i32;

impl<'a> Batch<'a> {
    pub(super) fn of(transactions: impl IntoIterator<Item = &'a Txn>) -> Self {
        let mut batch = Self::default();
        for txn in transactions {
            for (key, revision) in txn.expect.iter().map(Expect::parts) {
                batch.expect_key.push(key.as_str());
                let changed = revision.map(|revision| revision.0.cast_signed());
                batch.expect_changed.push(changed);
            }
            for write in &txn.write {
                batch.push(write);
            }
            for write in &txn.log {
                batch.push_log(write);
            }
            batch.log_until.push(length(&batch.log_kind));
            batch.expect_until.push(length(&batch.expect_key));
            batch.write_until.push(length(&batch.write_key));
        }
        batch
    }

    fn push(&mut self, write: &'a Write) {
        let (kind, value, expires, by, most) = match write {
            Write::Put { value, expires, .. } => {
                let expires = expires.map(Timestamp::unix_ms);
                (PUT, Some(&value[..]), expires, 0, String::new())
            }
            Write::Delete(_) => (DELETE, None, None, 0, String::new()),
            Write::Add { by, at_most, .. } => (ADD, None, None, *by, at_most.to_string()),
        };
        self.write_key.push(write.key().as_str());
        self.write_kind.push(kind);
        self.write_value.push(value);
        self.write_expires.push(expires);
        self.write_by.push(by);
        self.write_most.push(most);
    }

    fn push_log(&mut self, write: &'a LogWrite) {
        let (log, scope, name) = write.place();
        let value = match write {
            LogWrite::Append { value, .. } => Some(&value[..]),
            LogWrite::Remove { .. } => None,
        };
        self.log_kind.push(match (value, log) {
            (Some(_), Log::Audit) => 1,
            (Some(_), Log::History) => 2,
            (None, Log::Audit) => 3,
            (None, Log::History) => 4,
        });
        self.log_scope.push(scope);
        self.log_name.push(name);
        self.log_value.push(value);
    }

    /// In the order of the function's parameters.
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 16] {
        [
            &self.expect_until,
            &self.expect_key,
            &self.expect_changed,
            &self.write_until,
            &self.write_kind,
            &self.write_key,
            &self.write_value,
            &self.write_expires,
            &self.write_by,
            &self.write_most,
            &self.log_until,
            &self.log_kind,
            &self.log_scope,
            &self.log_name,
            &self.log_value,
            &HISTORY_ROWS,
        ]
    }
}

/// Transactions are bounded, so a batch has far fewer than 2^31 parts.
fn length<T>(parts: &[T]) -> i32 {
    i32::try_from(parts.len()).unwrap_or(i32::MAX)
}
