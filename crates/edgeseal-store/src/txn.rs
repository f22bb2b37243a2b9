//! Transactions: conditions and writes.

use std::{borrow::Cow, collections::HashSet};

use bytes::Bytes;
use edgeseal_core::Timestamp;

use crate::{Entry, Fault, Key, LogWrite, Revision, Store};

/// A transaction: all of it is committed or nothing.
///
/// At most [`TXN_WRITES_MAX`] writes, [`TXN_EXPECTS_MAX`] conditions and [`TXN_BYTES_MAX`] of both,
/// so that no commit holds up the others for long. The largest batch of the API acts on 50 domains:
/// at about 20 writes and 130 KB of settings each, 1,000 writes and 7 MB.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// Conditions; checked in order.
    pub expect: Vec<Expect>,
    /// Writes. A key may occur once.
    pub write: Vec<Write>,
    /// Changes of the logs. A row may occur once.
    pub log: Vec<LogWrite>,
}

/// The longest value that a store accepts, in bytes: 1 MiB.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// The most writes of one transaction, of keys and logs together.
pub const TXN_WRITES_MAX: usize = 4096;
/// The most conditions of one transaction.
pub const TXN_EXPECTS_MAX: usize = 4096;
/// The most bytes of one transaction, keys and values together: 16 MiB.
pub const TXN_BYTES_MAX: usize = 16 << 20;

impl Txn {
    /// Conditions and writes.
    #[must_use]
    pub const fn new(expect: Vec<Expect>, write: Vec<Write>) -> Self {
        Self {
            expect,
            write,
            log: Vec::new(),
        }
    }

    /// The bytes of all values that it writes.
    pub(crate) fn value_bytes(&self) -> usize {
        let bytes = |write: &Write| match write {
            Write::Put { value, .. } => value.len(),
            Write::Delete(_) | Write::Add { .. } => 0,
        };
        let logged = |write: &LogWrite| match write {
            LogWrite::Append { value, .. } => value.len(),
            LogWrite::Remove { .. } => 0,
        };
        let written: usize = self.write.iter().map(bytes).sum();
        written + self.log.iter().map(logged).sum::<usize>()
    }

    /// By how much the commit exceeds the one before: each audit record has a revision of its own.
    pub(crate) fn revisions(&self) -> u64 {
        let numbered = self.log.iter().filter(|write| write.is_numbered());
        (numbered.count() as u64).max(1)
    }

    /// The changes of the logs in a commit that follows `before`, each with the revision of its row.
    pub(crate) fn numbered_log(
        &self,
        before: Revision,
    ) -> impl Iterator<Item = (&LogWrite, Revision)> {
        let committed = Revision(before.0 + self.revisions());
        let mut next = before;
        self.log.iter().map(move |write| {
            if !write.is_numbered() {
                return (write, committed);
            }
            next.0 += 1;
            (write, next)
        })
    }

    fn check_log(&self) -> Result<(), Fault> {
        let mut places = HashSet::with_capacity(self.log.len());
        for write in &self.log {
            let place = write.place();
            if place.1.contains('\0') || place.2.contains('\0') {
                return Err(Fault::new("commit: a name in a log contains NUL"));
            }
            if let LogWrite::Append { value, .. } = write
                && value.len() > VALUE_BYTES_MAX
            {
                return Err(Fault::new("commit: a row of a log is longer than 1 MiB"));
            }
            if !places.insert(place) {
                return Err(Fault::new("commit: a row of a log is written twice"));
            }
        }
        Ok(())
    }

    /// Checks that do not depend on the engine's state.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.write.len() + self.log.len() > TXN_WRITES_MAX {
            return Err(Fault::new("commit: more than 4096 writes"));
        }
        if self.expect.len() > TXN_EXPECTS_MAX {
            return Err(Fault::new("commit: more than 4096 conditions"));
        }
        let expected = self.expect.iter().map(|expect| expect.parts().0);
        let mut bytes = self.value_bytes();
        for key in expected.chain(self.write.iter().map(Write::key)) {
            bytes += key.as_str().len();
            if key.as_str().contains('\0') {
                return Err(Fault::new("commit: a key contains NUL"));
            }
        }
        if bytes > TXN_BYTES_MAX {
            return Err(Fault::new("commit: keys and values are longer than 16 MiB"));
        }
        let mut keys = HashSet::with_capacity(self.write.len());
        for write in &self.write {
            if let Write::Put { value, .. } = write
                && value.len() > VALUE_BYTES_MAX
            {
                return Err(Fault::new("commit: a value is longer than 1 MiB"));
            }
            if !keys.insert(write.key()) {
                return Err(Fault::new("commit: a key is written twice"));
            }
        }
        self.check_log()
    }
}

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The first expectation that does not hold, or else the first [`Write::Add`] whose condition
    /// does not hold. Nothing was written.
    #[error("{key} has changed meanwhile")]
    Conflict {
        /// Its key.
        key: Key,
    },
    /// The store failed. Whether the transaction is durable is unknown until it is read back.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Commits writes without conditions; the last writer wins.
pub(crate) async fn write_all(store: &dyn Store, write: Vec<Write>) -> Result<Revision, Fault> {
    let txn = Txn {
        write,
        ..Txn::default()
    };
    match store.commit(txn).await {
        Ok(revision) => Ok(revision),
        Err(CommitError::Conflict { .. }) => Err(Fault::new("commit: nothing was expected")),
        Err(CommitError::Fault(fault)) => Err(fault),
    }
}

/// A condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent(Key),
    /// The key exists and was last written by this commit.
    Unchanged(Key, Revision),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the key to a value.
    Put {
        /// The key.
        key: Key,
        /// Its value; at most [`VALUE_BYTES_MAX`].
        value: Bytes,
        /// When the store may remove it. It may remain visible for a while after that; followers
        /// are not told of its expiry.
        expires: Option<Timestamp>,
    },
    /// Removes the key. Not an error if it does not exist.
    Delete(Key),
    /// Adds `by` to the decimal number at the key; the result is never below zero.
    ///
    /// This is a condition too: the number must exist and, if it grows, must not exceed `at_most`.
    /// If that does not hold when the transaction commits, the commit conflicts at this key. Unlike
    /// a read followed by a [put](Self::Put), concurrent additions do not conflict.
    Add {
        /// The key.
        key: Key,
        /// The amount to add.
        by: i64,
        /// The limit up to which it may grow.
        at_most: u64,
    },
}

impl Expect {
    /// The key is as it was read: with this entry, or absent.
    #[must_use]
    pub fn same_as(key: Key, read: Option<&Entry>) -> Self {
        match read {
            Some(entry) => Self::Unchanged(key, entry.revision),
            None => Self::Absent(key),
        }
    }

    /// The key, and the commit that must have written it last; `None` if it must be absent.
    pub(crate) const fn parts(&self) -> (&Key, Option<Revision>) {
        match self {
            Self::Absent(key) => (key, None),
            Self::Unchanged(key, revision) => (key, Some(*revision)),
        }
    }
}

impl Write {
    /// Sets the key to a value that does not expire.
    #[must_use]
    pub const fn put(key: Key, value: Bytes) -> Self {
        Self::Put {
            key,
            value,
            expires: None,
        }
    }

    /// The write to execute, given the current value of the key: an addition becomes a put of its
    /// result, or `None` if its condition does not hold.
    pub(crate) fn resolve(&self, value: Option<&[u8]>) -> Option<Cow<'_, Self>> {
        let Self::Add { key, by, at_most } = self else {
            return Some(Cow::Borrowed(self));
        };
        let sum = parse_counter(value?)?.saturating_add_signed(*by);
        (*by <= 0 || sum <= *at_most)
            .then(|| Cow::Owned(Self::put(key.clone(), Bytes::from(sum.to_string()))))
    }

    pub(crate) const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete(key) | Self::Add { key, .. } => key,
        }
    }
}

/// The number that [`Write::Add`] adds to; `None` if the value is not a number.
pub(crate) fn parse_counter(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
