//! The edge from the outside: real sockets, real TLS, a real store.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod access_log;
mod addresses;
mod alerts;
mod challenges;
mod change;
mod companion;
mod damage;
mod delivery;
mod drain;
mod early_data;
mod early_responses;
mod expect_continue;
mod failover;
mod fairness;
mod framing;
mod grpc;
mod handshake;
mod harness;
mod http10_origin;
mod limits;
mod messages;
mod openssl;
mod outlier;
mod preflight;
mod proof;
mod proxy;
mod redirect;
mod replica_lag;
mod report;
mod reseal;
mod restart;
mod sessions;
mod slow_peers;
mod smuggling;
mod streaming;
mod tenants;
mod tickets;
mod upstream;
mod websocket;
