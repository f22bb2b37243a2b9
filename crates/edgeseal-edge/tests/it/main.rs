//! The edge from the outside: real sockets, real TLS, a real store.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod access_log;
mod addresses;
mod alerts;
mod change;
mod client;
mod companion;
mod continues;
mod damage;
mod delivery;
mod dns;
mod drain;
mod early_answers;
mod early_data;
mod failover;
mod fairness;
mod framing;
mod grpc;
mod handshake;
mod http10_origin;
mod lagging;
mod limits;
mod messages;
mod ocsp;
mod openssl;
mod origin;
mod outlier;
mod proof;
mod proxy;
mod redirect;
mod report;
mod reseal;
mod restart;
mod sessions;
mod slow;
mod smuggling;
mod streaming;
mod tenants;
mod tickets;
mod upstream;
mod websocket;
mod world;
