//! The rules of Edgeseal: what names, certificates, domains and accounts are, and which operations
//! on them are allowed.
//!
//! Everything here is a pure function of its arguments: no I/O, no async, no clock and no
//! randomness. `now` is always passed in, always last. The crate knows neither the wire format of
//! any cloud nor how things are stored.
//!
//! Start reading at [`name`] (domain names and patterns), then [`certificate`] (validation of
//! uploads), [`domain`] (which changes are legal, and when) and [`delivery`] (how a domain is
//! delivered).

pub mod account;
pub mod acme;
pub mod address;
pub mod alarm;
pub mod backoff;
pub mod certificate;
pub mod challenge;
pub mod delivery;
pub mod domain;
pub mod fairness;
pub mod identity;
pub mod managed_certificate;
pub mod name;
pub mod oidc;
pub mod outside;
pub mod policy;
pub mod private_origins;
pub mod quota;
pub mod rate;
pub mod revocation;
pub mod secret;
pub mod ticket;
pub mod timestamp;

pub use account::AccountId;
pub use backoff::Backoff;
pub use name::{DomainName, DomainPattern};
pub use secret::Secret;
pub use timestamp::Timestamp;
