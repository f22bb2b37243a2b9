//! After a change of the key-encryption key: reseals the keys in memory and in the replica, without
//! the store.

use edgeseal_store::record::encode_material;
use tokio::sync::oneshot;

use super::{Follower, prepare::stored_form};
use crate::{replica::Batch, served_domain::Https};

/// The result of resealing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResealStats {
    /// Resealed private keys. Ticket keys are resealed as well, and not counted.
    pub resealed: u64,
    /// Keys that could not be opened and stay unchanged; their domains are quarantined.
    pub failed: u64,
}

/// A request to reseal; the sender gets the result.
pub(crate) type ResealRequest = oneshot::Sender<ResealStats>;

/// Material that is resealed, or written to the replica, in one step: some hundred KiB.
const AT_ONCE: usize = 256;

impl Follower {
    /// Reseals what is in memory. Runs between two changes, so that nothing fetched earlier is
    /// written later.
    pub(super) async fn reseal(&self, request: ResealRequest) {
        let mut done = ResealStats::default();
        // A reference into the lock-free index must not be held across an await.
        let mut held = Vec::new();
        self.serving.index().visit(|_, entry| {
            if let Https::On(certificates) = &entry.https {
                held.extend(certificates.materials().map(|one| one.clone_arc()));
            }
        });
        let mut batch = Batch::default();
        for (looked_at, material) in held.into_iter().enumerate() {
            if looked_at % AT_ONCE == 0 {
                // A million keys must not delay handshakes.
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
        // In a task of its own, so that changes go on while the disk works.
        tokio::spawn(async move {
            if on_disk.await.is_ok() {
                let _ = request.send(done);
            }
        });
    }
}
