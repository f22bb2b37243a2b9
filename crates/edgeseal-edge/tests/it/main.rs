//! The edge from the outside: real sockets, real TLS, a real store.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod change;
mod client;
mod drain;
mod handshake;
mod openssl;
mod origin;
mod proxy;
mod report;
mod restart;
mod streaming;
mod world;
