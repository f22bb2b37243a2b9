//! The sockets that this process listens on.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::RwLock;

/// The sockets that this process listens on. None is a valid origin: a request proxied there would
/// come from this machine. Cheap to clone; clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<RwLock<Vec<SocketAddr>>>);

impl OwnListeners {
    /// Adds the address of a bound socket. It stays for the lifetime of the process.
    pub fn add(&self, address: SocketAddr) {
        let mut addresses = self.0.write();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// All addresses added so far.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.0.read();
        addresses.clone()
    }
}
