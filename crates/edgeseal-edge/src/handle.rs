//! What the rest of the process asks of a running edge.

use std::{fmt, sync::Arc};

use edgeseal_core::DomainPattern;
use edgeseal_store::Revision;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    prover::ProofQueue,
    replication::{ResealRequest, ResealStats},
    serving_state::ServingState,
};

/// A handle to an edge. It stays valid while the edge changes its store, and is cheap to clone.
#[derive(Clone)]
pub struct EdgeHandle {
    pub(crate) serving: Arc<ServingState>,
    pub(crate) proof_queue: Arc<ProofQueue>,
    pub(crate) reseal_requests: mpsc::Sender<ResealRequest>,
    pub(crate) applied_revision: watch::Receiver<Revision>,
}

/// What is wrong. All zero: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeStatus {
    /// Domains whose newest record cannot be used. They are served from their last good state, if
    /// they had one.
    pub quarantined: usize,
    /// Domains whose last probe did not show the expected state.
    pub unproven: usize,
}

/// The edge has ended, or could not write its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the edge has ended or could not write its replica")]
pub struct ResealError;

impl EdgeHandle {
    /// The current status.
    #[must_use]
    pub fn status(&self) -> EdgeStatus {
        EdgeStatus {
            quarantined: self.serving.quarantine().len(),
            unproven: self.proof_queue.unproven(),
        }
    }

    /// The revision up to which every change is visible to new handshakes. How much of it is proven
    /// is in the edge's report.
    #[must_use]
    pub fn applied_revision(&self) -> watch::Receiver<Revision> {
        self.applied_revision.clone()
    }

    /// Makes the edge probe these domains as soon as it has applied the commit `revision`, whatever
    /// else changed, and report the result. A proof that its next report contains anyway is not
    /// repeated.
    pub fn request_proofs(&self, domains: &[DomainPattern], revision: Revision) {
        self.proof_queue.request(domains, revision);
    }

    /// Reseals every private key that is sealed under another key than the current one, after the
    /// keyring got another key to seal with; returns once memory and disk have it. Handshakes and
    /// changes go on meanwhile. Needs no store, but waits while replication is stopped.
    ///
    /// # Errors
    /// [`ResealError`]; it is safe to call again.
    pub async fn reseal(&self) -> Result<ResealStats, ResealError> {
        let (request, done) = oneshot::channel();
        let sent = self.reseal_requests.send(request).await;
        sent.map_err(|_| ResealError)?;
        done.await.map_err(|_| ResealError)
    }
}

impl EdgeStatus {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for EdgeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "domains in quarantine: {}, domains not proven: {}",
            self.quarantined, self.unproven
        )
    }
}

impl fmt::Debug for EdgeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeHandle")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
