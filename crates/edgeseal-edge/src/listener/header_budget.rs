//! The memory for request headers over HTTP/1.1.
//!
//! Headers of [`HEADER_BUFFER_SIZE`] bytes are included in what a connection may use. Longer ones
//! must be allowed by the limits, which count them over the whole process, until the response is
//! complete: the parsed headers live as long as the request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;

use crate::{
    limits::{ConnectionPermit, HEADER_BUFFER_SIZE, LargeHeader},
    telemetry,
};

/// Maximum size of a read, so that not much of the next headers arrives with the end of a body,
/// uncounted.
const READ_MAX: usize = 16 * 1024;

/// The budget for the headers of one connection, one request after the other. Used by its one task.
#[derive(Debug)]
pub(super) struct HeaderBudget {
    permit: Arc<ConnectionPermit>,
    /// Whether headers are expected.
    waits: AtomicBool,
    /// Bytes of them received.
    bytes: AtomicUsize,
    large: Mutex<Option<LargeHeader>>,
    refused: AtomicBool,
}

impl HeaderBudget {
    pub(super) fn new(permit: Arc<ConnectionPermit>) -> Self {
        Self {
            permit,
            waits: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            large: Mutex::new(None),
            refused: AtomicBool::new(false),
        }
    }

    /// Headers are expected; the exchange before is over.
    pub(super) fn begins(&self) {
        self.release();
        self.bytes.store(0, Relaxed);
        self.waits.store(true, Relaxed);
    }

    /// The headers are complete.
    pub(super) fn complete(&self) {
        self.waits.store(false, Relaxed);
        self.permit.set_header_bytes(0);
    }

    /// How many bytes may be read next; `None` if the headers exceed the budget.
    pub(super) fn next_read(&self) -> Option<usize> {
        if !self.waits.load(Relaxed) {
            return Some(READ_MAX);
        }
        let left = HEADER_BUFFER_SIZE.saturating_sub(self.bytes.load(Relaxed));
        if left > 0 {
            return Some(left.min(READ_MAX));
        }
        let mut large = self.large.lock();
        if large.is_none() {
            match self.permit.large_header() {
                Ok(acquired) => *large = Some(acquired),
                Err(reason) => {
                    telemetry::shed(reason);
                    self.refused.store(true, Relaxed);
                    return None;
                }
            }
        }
        Some(READ_MAX)
    }

    /// These bytes were received.
    pub(super) fn received(&self, bytes: usize) {
        if self.waits.load(Relaxed) {
            let before = self.bytes.fetch_add(bytes, Relaxed);
            self.permit.set_header_bytes(before + bytes);
        }
    }

    /// Whether headers exceeded the budget.
    pub(super) fn has_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// The exchange is over.
    pub(super) fn release(&self) {
        *self.large.lock() = None;
    }
}
