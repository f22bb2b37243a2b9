//! The wire: everything that must look like the cloud's certificate API.
//!
//! The life of a call, in the order of the files: [`http`] (bytes) → [`request`] (decoded) →
//! [`actions`] (which operation) → [`authenticate`] over the pure [`canonical`] (who calls) →
//! [`admit`] (not too often) → [`authorize`] (may it) → [`ops`] (one file an action) → [`render`]
//! (bytes again). [`pipeline`] is that list as one function. Each step returns a value that only it
//! can make and that the next one demands, so that none can be skipped.
//!
//! The cloud's words stop here: the crates below know domains, certificates and revisions, not
//! `SSLPub`. Refusals are typed in each operation, become one row of [`code`] and are put into
//! bytes in one place. What failed inside never reaches the wire; what was signed never reaches the
//! log, since it may hold a private key.
//!
//! [`client`] is the other side: it signs calls, for the command line and for tests.

pub mod actions;
pub mod admit;
pub mod authenticate;
pub mod authorize;
pub mod canonical;
pub mod client;
pub mod code;
pub mod context;
pub mod diagnostic_message;
pub mod domain_list;
mod edge_reports;
mod fair_semaphore;
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
mod refusal_audit;
pub mod render;
pub mod request;
pub mod settle;
#[cfg(test)]
mod test_server;
pub mod warning;

pub use code::Code;
pub use context::{Context, Settings};
