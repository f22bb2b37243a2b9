//! A request body that the client still sends and that is not read.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Whether the body of the last request on an HTTP/1.1 connection was not read to its end. Cheap to
/// clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreadBody(Arc<AtomicBool>);

impl UnreadBody {
    /// A request begins, with or without a body.
    pub(crate) fn begins(&self, has_body: bool) {
        self.0.store(has_body, Relaxed);
    }

    /// Its body was read to its end.
    pub(crate) fn is_read(&self) {
        self.0.store(false, Relaxed);
    }

    /// Whether some of the body may still arrive.
    pub(crate) fn may_come(&self) -> bool {
        self.0.load(Relaxed)
    }
}
