//! What is wrong with what an edge serves, for health checks.

use std::{fmt, sync::Arc};

use crate::{prover::ProofQueue, serving_state::ServingState};

/// Reports the status of an edge. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    serving: Arc<ServingState>,
    proof_queue: Arc<ProofQueue>,
}

/// What is wrong. All zero: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeStatus {
    /// Domains whose newest record cannot be used. They are served from their last good state, if
    /// they had one.
    pub quarantined: usize,
    /// Domains whose last probe did not show the expected state.
    pub unproved: usize,
}

impl Health {
    pub(crate) const fn new(serving: Arc<ServingState>, applied: Arc<ProofQueue>) -> Self {
        Self {
            serving,
            proof_queue: applied,
        }
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> EdgeStatus {
        EdgeStatus {
            quarantined: self.serving.quarantine().len(),
            unproved: self.proof_queue.unproved(),
        }
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
            "domains in quarantine: {}, domains not proved: {}",
            self.quarantined, self.unproved
        )
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("ailing", &self.status())
            .finish_non_exhaustive()
    }
}
