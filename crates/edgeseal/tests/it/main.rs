//! End-to-end tests: the real binary as a process, with real TLS clients, sockets and files. One
//! test binary, so that it is linked only once.
//!
//! Start reading at [`harness`]; each other module has one subject.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod acme;
mod acme_clients;
mod admin;
mod alarms;
mod attacks;
mod audit;
mod backup;
mod batch;
mod cas;
mod certificate_swaps;
mod certificates;
mod challenges;
mod cli;
mod companion;
mod configuration;
mod crash;
mod docs;
mod doctor;
mod domain_config;
mod drain;
mod faults;
mod full_disk;
mod handover;
mod harness;
mod isolation;
mod keys;
mod limits;
mod log;
mod malformed;
mod many_nodes;
mod model_based;
mod moving;
mod origins;
mod outside;
mod ownership;
mod permissions;
mod proxy_header;
mod quotas;
mod refusal_order;
mod refusals;
mod reload;
mod restart;
mod rollout;
mod secrets_at_rest;
mod store_unavailable;
mod takeover;
mod test_script;
mod warnings;
