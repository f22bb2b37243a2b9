//! The HTTP API, compatible with the cloud's certificate API.
//!
//! A call passes through these modules in order: [`http`] (bytes) → [`request`] (decoded) →
//! [`actions`] (which operation) → [`authenticate`], over the pure [`canonical`] (who calls) →
//! [`rate_limit`] → [`authorize`] (permissions) → [`ops`] (the operation) → [`render`] (bytes
//! again). [`pipeline`] is that list as one function. [`authenticate`], [`rate_limit`] and
//! [`authorize`] each return a value that only they can construct and that the next step requires,
//! so no signed call can skip one of them. Steps
//! have the numbers of the table in `ARCHITECTURE.md`.
//!
//! The cloud's terms appear only in this crate: the crates below know domains, certificates and
//! revisions, not `SSLPub`. Each operation has typed errors; each error maps to one row of [`code`]
//! and is rendered in one place. Internal errors never reach the client. Signed input never reaches
//! the log, because it may hold a private key.
//!
//! [`client`] is the other side: it signs calls, for the command line and for tests.

pub mod actions;
pub mod alarms;
pub mod authenticate;
pub mod authorize;
pub mod canonical;
pub mod client;
pub mod code;
pub mod context;
pub mod diagnostic_message;
pub mod domain_list;
mod dry_run;
mod edge_reports;
pub mod error;
mod fair_semaphore;
mod fetch;
pub mod http;
mod indexed_params;
pub mod key_encryption;
mod key_material;
mod key_uses;
mod log_limiter;
pub mod oidc_providers;
pub mod operation;
pub mod ops;
mod overload;
pub mod ownership;
pub mod pipeline;
pub mod policy_cache;
mod quirks;
pub mod rate_limit;
mod refusal_audit;
pub mod reissue_planner;
pub mod render;
pub mod request;
mod sanitize;
pub mod settle;
#[cfg(test)]
mod test_server;
pub mod upload_refusal;
pub mod warning;

pub use code::Code;
pub use context::{Context, Settings};
pub use ops::DEFAULT_REGION;
