//! Certificates that are ordered and renewed by ACME (RFC 8555) instead of being uploaded.
//!
//! The store says for which domains: a [`ManagedCertificate`] for each. [`OrderTask`] follows them
//! and brings each order through its steps:
//!
//! 1. a key is made and stored, sealed;
//! 2. the order is placed, and its URL stored;
//! 3. challenges are noted in the store, then answered ([`ChallengeSolver`]), then the authority is
//!    told;
//! 4. the authority decides; the request with the key is sent; the chain is stored;
//! 5. the chain is checked as an upload is, and bound, in one transaction with the history;
//! 6. the challenges are cleaned up.
//!
//! Each step is durable before the next one is taken, so an order survives a crash at any moment:
//! the task goes on from the store, with the URL of the order. What is served changes in step 5
//! only. Rules about time and limits are in [`edgeseal_core::acme`].
//!
//! [`ManagedCertificate`]: edgeseal_core::managed_certificate::ManagedCertificate

mod accounts;
mod authority;
mod bind;
mod certificate_key;
pub mod challenge;
mod charges;
pub mod dns;
pub mod dns01;
mod edge_solver;
mod error;
mod http_client;
mod issuer;
mod job;
mod order;
mod plan;
pub mod preflight;
mod revoke;
mod task;

pub use bind::CertificateSettings;
pub use challenge::ChallengeSolver;
pub use edge_solver::EdgeSolver;
pub use error::OrderError;
pub use issuer::{ExternalAccount, InvalidIssuer, IssuedKeys, IssuerConfig};
pub use task::{OrderHandle, OrderTask, Outlook, Settings, StartError};
