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
pub mod diagnosis;
pub mod domain_list;
pub mod http;
pub mod key_encryption;
mod key_material;
mod key_uses;
mod numbered;
pub mod oidc_keys;
pub mod operation;
pub mod ops;
mod overload;
pub mod ownership;
pub mod pipeline;
mod quirks;
mod refusals;
pub mod render;
mod reports;
pub mod request;
pub mod rights;
pub mod settled;
mod stranger_lines;
mod turns;
pub mod warning;
#[cfg(test)]
mod world;

pub use code::Code;
pub use context::{Context, Settings};
