//! The sockets that this process listens on.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

/// The sockets that this process listens on, which are nobody's origin: a request that a visitor has sent
/// there would come from this machine. Cheap to clone; each clone sees what is added to another.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<RwLock<Vec<SocketAddr>>>);

impl OwnListeners {
    /// A socket is bound to `address`. It is kept for as long as the process lives.
    pub fn add(&self, address: SocketAddr) {
        let mut addresses = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// All that were added so far.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.0.read().unwrap_or_else(PoisonError::into_inner);
        addresses.clone()
    }
}
