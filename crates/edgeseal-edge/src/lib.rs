//! The edge: terminates TLS by SNI, proxies to the origins, and replicates from the store.
//!
//! # What it promises
//! - New handshakes see a new state without a restart; established connections go on. No handshake
//!   fails because of a change, whatever the number of certificates.
//! - Selection is exact name, then one-label wildcard, nothing else ([`select`]). If no
//!   certificate is selected, the client gets the fatal alert `unrecognized_name`; if the selected
//!   one cannot be used, `internal_error`.
//! - The delivery settings of a domain (TLS versions, HTTP/2, redirects, HSTS, response headers)
//!   apply from the next handshake and the next request on. No session ticket brings back an
//!   earlier setting.
//! - A record that cannot be used is quarantined: that domain keeps its last good state, all others
//!   are unaffected.
//! - The edge keeps serving what it has while the store is gone, also across its own restart: the
//!   last good state is on disk, with keys sealed.
//! - It reports a domain as proven only after a handshake with its own listener has shown the
//!   expected leaf. It also reports the applied revision and the quarantined domains.
//!
//! # What it never does
//! The handshake path does I/O with the client only and never blocks on a writer; only a ClientHello
//! that validates a name for an ACME authority may wait for the store, within bounds. Nothing that the
//! store returns, or fails to return, empties the index. Private keys are decrypted on demand into
//! a bounded cache and never written to disk unsealed.
//!
//! # The path of a change
//! `replication` receives it from the store's change feed, fetches and checks what it needs, and
//! puts it into [`index`] and `replica`; the next ClientHello in `tls` finds it through [`select`];
//! `prover` reads it back through a handshake and reports it.
//!
//! # The path of a request
//! `listener` accepts within `limits`, `tls` does the handshake, `proxy` routes by host and
//! redirects, or streams from the origin. `challenges` holds what both answer to ACME authorities.
//!
//! Start reading at [`index`] and [`select`], which are pure, then [`Edge::start`].

mod challenges;
mod drain;
mod edge;
mod handle;
pub mod index;
mod limits;
mod listener;
mod options;
mod own_listeners;
mod prover;
mod proxy;
mod proxy_protocol;
mod quarantine;
mod replica;
mod replication;
pub mod select;
pub mod served_domain;
mod serving_state;
mod startup;
mod telemetry;
mod tls;

pub use edge::Edge;
pub use handle::{EdgeHandle, EdgeStatus, ResealError};
pub use limits::{Limits, MemoryUse};
pub use options::{Options, STAGING};
pub use own_listeners::OwnListeners;
pub use proxy::{AccessLog, Timeouts};
pub use replica::{ReplicaError, ReplicaReport, inspect_replica};
pub use replication::ResealStats;
pub use startup::{Listeners, LoadedEdge, StartError, bind};
pub use tls::{
    OfferedKeys, OriginTrustError, Probe, ProbeError, ProbeResult, ProbedChain, SetupError,
};
