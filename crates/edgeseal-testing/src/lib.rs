//! What the tests and the benches of the workspace share. Never a dependency of the program.
//!
//! The layers follow the dependencies: a unit test of a crate cannot use a helper that was compiled
//! against that crate, because it would see two versions of its types. Without features nothing
//! here depends on a crate of the workspace. Comments in `Cargo.toml` state whose unit tests cannot
//! use the features `store` and `program`.
//!
//! Everything fails by panicking with a message.

#![allow(
    clippy::new_without_default,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests fail by panicking, and names of test code should say enough"
)]

pub mod openssl;
pub mod pem;
pub mod pki;
pub mod port;
pub mod process;
pub mod random;
pub mod secrets;
pub mod wait;

#[cfg(feature = "acme")]
pub mod acme_proxy;
#[cfg(feature = "dns")]
pub mod bind;
#[cfg(feature = "program")]
pub mod clock;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(feature = "net")]
pub mod held_origin;
#[cfg(feature = "net")]
pub mod http;
#[cfg(feature = "store")]
pub mod observed_store;
#[cfg(feature = "net")]
pub mod origin;
#[cfg(feature = "postgres")]
pub mod patroni;
#[cfg(feature = "acme")]
pub mod pebble;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "net")]
pub mod raw;
#[cfg(feature = "net")]
pub mod receiver;
#[cfg(feature = "program")]
pub mod signed_call;
#[cfg(feature = "net")]
pub mod smtp;
#[cfg(feature = "net")]
pub mod tls;

#[test]
fn the_program_does_not_depend_on_it() {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut seen = 0;
    for folder in std::fs::read_dir(crates).unwrap() {
        let folder = folder.unwrap();
        if folder.file_name() == env!("CARGO_PKG_NAME") {
            continue;
        }
        let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        let name = env!("CARGO_PKG_NAME");
        let mut table = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                table = line;
            } else if line.starts_with(name) {
                let path = folder.path();
                assert_eq!(table, "[dev-dependencies]", "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 3);
}
