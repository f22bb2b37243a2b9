//! Durable storage: what is committed here survives the process, a restart of the machine and, on a
//! replicated engine, the loss of the machine.
//!
//! Three layers, bottom up:
//! 1. [`Store`]: a few operations on revisioned keys, implemented by [`memory`], [`sqlite`] and [`postgres`], and
//!    checked by the suite in `conformance.rs`. A caller takes the narrowest part that it needs: [`Source`] reads and
//!    follows, [`Lists`] lists, `Store` commits. [`mod@open`] chooses an engine by URL.
//! 2. [`key`], [`record`], [`seal`]: key names, record types and encryption at rest.
//! 3. [`catalog`]: typed reads and writes, each write one transaction; [`feed`]: the changes in
//!    order, for followers; [`reseal`]: rotation of the key-encryption key without downtime;
//!    [`ticket_key`]: session-ticket keys that edges share; [`lease`]: what one process does for all.
//!
//! Nothing here knows the wire format or TLS. Private keys pass through sealed and are unsealed
//! only where they are used.

pub mod audit_chain;
pub mod audit_linker;
pub mod catalog;
mod changes;
pub mod consistency;
pub mod copy;
mod data_version;
mod entry;
mod fault;
pub mod feed;
pub mod filter;
pub mod key;
pub mod lease;
mod lists;
mod logs;
pub mod memory;
pub mod nodes;
pub mod open;
mod pages;
pub mod postgres;
mod random;
pub mod record;
pub mod reports;
pub mod reseal;
pub mod rollout;
pub mod seal;
pub mod session;
mod source;
pub mod sqlite;
mod store;
pub mod ticket_key;
mod txn;

#[cfg(test)]
mod conformance;
// The double that the other crates use: compiled a second time, because `edgeseal-testing` sees
// another version of this crate's types than its own unit tests do.
#[cfg(test)]
extern crate self as edgeseal_store;
#[cfg(test)]
#[path = "../../edgeseal-testing/src/observed_store.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "code of tests")]
mod observed_store;

pub use catalog::Catalog;
pub use changes::{Change, Changes, ChangesError};
pub use data_version::DATA_VERSION;
pub use entry::{Entry, Listing, Page, Revision};
pub use fault::Fault;
pub use filter::Filter;
pub use key::Key;
pub use lists::Lists;
pub use logs::{HISTORY_MAX, Log, LogPage, LogRange, LogRow, LogWrite, Logs, row_name, rows_from};
pub(crate) use pages::page_limit;
pub use pages::{PAGE_MAX, Pages};
pub use reports::Reports;
pub use seal::Keyring;
pub use session::Session;
pub use source::{SharedSource, Source};
pub use store::{SharedStore, Store};
pub use txn::{
    CommitError, Expect, TXN_BYTES_MAX, TXN_EXPECTS_MAX, TXN_WRITES_MAX, Txn, VALUE_BYTES_MAX,
    Write,
};
pub(crate) use txn::{parse_counter, write_all};
