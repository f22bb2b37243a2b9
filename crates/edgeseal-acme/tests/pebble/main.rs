//! Orders at a real authority: Debian's `pebble`.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod crash;
mod dns;
mod failures;
mod harness;
mod issuers;
mod lease;
mod orders;
mod preflight;
mod reissue;
mod renewals;
mod responses;
mod resumed;
mod revocations;
