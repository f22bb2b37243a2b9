//! What is wrong with what an edge serves, for those who watch it.

use std::{fmt, sync::Arc};

use crate::{follow::Holdings, prove::Applied};

/// Tells how an edge is, as long as anybody asks. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    holdings: Arc<Holdings>,
    applied: Arc<Applied>,
}

/// What is wrong; with all zero, nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ailing {
    /// Domains whose newest record cannot be used. They are served from their last good state, if
    /// they had one.
    pub quarantined: usize,
    /// Domains of which a handshake did not show what it should.
    pub unproved: usize,
}

impl Health {
    pub(crate) const fn new(holdings: Arc<Holdings>, applied: Arc<Applied>) -> Self {
        Self { holdings, applied }
    }

    /// What is wrong now.
    #[must_use]
    pub fn ailing(&self) -> Ailing {
        Ailing {
            quarantined: self.holdings.quarantine().len(),
            unproved: self.applied.unproved(),
        }
    }
}

impl Ailing {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Ailing {
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
            .field("ailing", &self.ailing())
            .finish_non_exhaustive()
    }
}
