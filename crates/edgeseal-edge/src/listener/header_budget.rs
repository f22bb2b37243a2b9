//! The memory that the head of a request over HTTP/1.1 takes.
//!
//! A head of [`HEADER_BUFFER_SIZE`] bytes is part of what a connection may take. What needs more has to be
//! admitted by the limits, which know how much of it there may be in the process, and it counts until the
//! exchange is over: the parsed head lives as long as the request.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use crate::{
    limits::{ConnectionPermit, HEADER_BUFFER_SIZE, LargeHeader},
    telemetry,
};

/// What is read at once, so that not much of the next head comes in with the end of a body, uncounted.
const READ_MAX: usize = 16 * 1024;

/// The room for the heads of one connection, one after the other. Used by its one task.
#[derive(Debug)]
pub(super) struct HeaderBudget {
    permit: Arc<ConnectionPermit>,
    /// Whether a head is waited for.
    waits: AtomicBool,
    /// Bytes of it that came in.
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

    /// A head is waited for; the exchange before is over.
    pub(super) fn begins(&self) {
        self.release();
        self.bytes.store(0, Relaxed);
        self.waits.store(true, Relaxed);
    }

    /// The head is there.
    pub(super) fn complete(&self) {
        self.waits.store(false, Relaxed);
        self.permit.set_header_bytes(0);
    }

    /// How many bytes may be read next; `None` if the head takes more than there is room for.
    pub(super) fn next_read(&self) -> Option<usize> {
        if !self.waits.load(Relaxed) {
            return Some(READ_MAX);
        }
        let left = HEADER_BUFFER_SIZE.saturating_sub(self.bytes.load(Relaxed));
        if left > 0 {
            return Some(left.min(READ_MAX));
        }
        let mut large = self.large();
        if large.is_none() {
            match self.permit.large_header() {
                Ok(admitted) => *large = Some(admitted),
                Err(reason) => {
                    telemetry::shed(reason);
                    self.refused.store(true, Relaxed);
                    return None;
                }
            }
        }
        Some(READ_MAX)
    }

    /// So many bytes came in.
    pub(super) fn received(&self, bytes: usize) {
        if self.waits.load(Relaxed) {
            let before = self.bytes.fetch_add(bytes, Relaxed);
            self.permit.set_header_bytes(before + bytes);
        }
    }

    /// Whether there was no room.
    pub(super) fn has_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// The exchange is over.
    pub(super) fn release(&self) {
        *self.large() = None;
    }

    fn large(&self) -> MutexGuard<'_, Option<LargeHeader>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
