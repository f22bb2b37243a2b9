//! After a change of the key-encryption key: what the edge holds is sealed anew, in memory and in the
//! replica, without the store.

use edgeseal_store::record::encode_material;
use tokio::sync::oneshot;

use super::{Follower, prepare::stored_form};
use crate::{replica::Batch, served_domain::Https};

/// What an edge has done with the keys that it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResealStats {
    /// Private keys sealed anew. Ticket keys are sealed anew as well, and not counted.
    pub resealed: u64,
    /// Keys that do not open, and so are as they were; their domains are in quarantine.
    pub failed: u64,
}

/// A wish to seal anew, and who waits for it.
pub(crate) type ResealRequest = oneshot::Sender<ResealStats>;

/// Material looked at, or written to the replica, at once: some hundred KiB.
const AT_ONCE: usize = 256;

impl Follower {
    /// Seals anew what is held. Runs between two changes, so that nothing which was fetched before
    /// is written after.
    pub(super) async fn reseal(&self, wish: ResealRequest) {
        let mut done = ResealStats::default();
        // The lock-free table must not be held over a wait.
        let mut held = Vec::new();
        self.serving.index().visit(|_, entry| {
            if let Https::On(certificates) = &entry.https {
                held.extend(certificates.materials().map(|one| one.clone_arc()));
            }
        });
        let mut batch = Batch::default();
        for (looked_at, material) in held.into_iter().enumerate() {
            if looked_at % AT_ONCE == 0 {
                // A handshake is not to wait for a million keys.
                tokio::task::yield_now().await;
            }
            match self.serving.keys().reseal(&material) {
                Ok(false) => continue,
                Ok(true) => done.resealed += 1,
                Err(_) => {
                    done.failed += 1;
                    continue;
                }
            }
            if let Ok(value) = encode_material(&stored_form(&material)) {
                batch.resealed.push((*material.digest(), value));
            }
            if batch.resealed.len() >= AT_ONCE {
                self.writer
                    .write_with_backpressure(std::mem::take(&mut batch))
                    .await;
            }
        }
        self.tickets.reseal();
        batch.ticket_keys = Some(self.tickets.stored());
        let (written, on_disk) = oneshot::channel();
        batch.on_durable = Some(written);
        self.writer.write_with_backpressure(batch).await;
        // On its own, so that changes go on while the disk works.
        tokio::spawn(async move {
            if on_disk.await.is_ok() {
                let _ = wish.send(done);
            }
        });
    }
}
