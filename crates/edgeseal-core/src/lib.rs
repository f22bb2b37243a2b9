//! The rules of Edgeseal: what a name, a certificate, a domain and an account are, and what may
//! be done with them.
//!
//! Everything in here is a pure function of its arguments: no I/O, no async, no clock and no
//! randomness. `now` is always passed in, always last. The crate knows nothing of the wire format
//! of any cloud and nothing of how things are stored.
//!
//! Start reading at [`name`] (what a domain is called), then [`certificate`] (what is let in),
//! then [`domain`] (what may change and when) and [`delivery`] (how it is delivered).

pub mod account;
pub mod address;
pub mod certificate;
pub mod delivery;
pub mod domain;
pub mod fairness;
pub mod identity;
pub mod name;
pub mod oidc;
pub mod policy;
pub mod private_origins;
pub mod quota;
pub mod rate;
pub mod secret;
pub mod ticket;
pub mod timestamp;

pub use account::AccountId;
pub use name::{DomainName, DomainPattern};
pub use secret::Secret;
pub use timestamp::Timestamp;
