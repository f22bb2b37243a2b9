//! The whole of Edgeseal from the outside: the real binary as a process, real TLS clients, real
//! sockets, real files. One test binary, so that it is linked once.
//!
//! Start reading at [`harness`]; then each module is one subject.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod admin;
mod agreement;
mod at_rest;
mod attacks;
mod audit;
mod backup;
mod batch;
mod centre;
mod checks;
mod cli;
mod companion;
mod configuration;
mod crash;
mod doctor;
mod drain;
mod full_disk;
mod handover;
mod harness;
mod isolation;
mod keys;
mod limits;
mod live;
mod log;
mod malformed;
mod options;
mod order;
mod origins;
mod ownership;
mod permissions;
mod proxy_header;
mod quotas;
mod readme;
mod refusals;
mod reload;
mod restart;
mod rollout;
mod store_away;
mod swaps;
mod takeover;
mod warnings;
