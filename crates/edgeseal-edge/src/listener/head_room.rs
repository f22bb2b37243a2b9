//! The memory that the head of a request over HTTP/1.1 takes.
//!
//! A head of [`HEAD_ROOM`] bytes is part of what a connection may take. What needs more has to be
//! admitted by the limits, which know how much of it there may be in the process, and it counts until the
//! exchange is over: the parsed head lives as long as the request.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use crate::{
    limits::{ConnectionPermit, HEAD_ROOM, LargeHead},
    telemetry,
};

/// What is read at once, so that not much of the next head comes in with the end of a body, uncounted.
const READ_MAX: usize = 16 * 1024;

/// The room for the heads of one connection, one after the other. Used by its one task.
#[derive(Debug)]
pub(super) struct HeadRoom {
    permit: Arc<ConnectionPermit>,
    /// Whether a head is waited for.
    waits: AtomicBool,
    /// Bytes of it that came in.
    bytes: AtomicUsize,
    large: Mutex<Option<LargeHead>>,
    refused: AtomicBool,
}

impl HeadRoom {
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
    pub(super) fn is_complete(&self) {
        self.waits.store(false, Relaxed);
        self.permit.head_has(0);
    }

    /// How many bytes may be read next; `None` if the head takes more than there is room for.
    pub(super) fn next_read(&self) -> Option<usize> {
        if !self.waits.load(Relaxed) {
            return Some(READ_MAX);
        }
        let left = HEAD_ROOM.saturating_sub(self.bytes.load(Relaxed));
        if left > 0 {
            return Some(left.min(READ_MAX));
        }
        let mut large = self.large();
        if large.is_none() {
            match self.permit.large_head() {
                Ok(admitted) => *large = Some(admitted),
                Err(why) => {
                    telemetry::shed(why);
                    self.refused.store(true, Relaxed);
                    return None;
                }
            }
        }
        Some(READ_MAX)
    }

    /// So many bytes came in.
    pub(super) fn came(&self, bytes: usize) {
        if self.waits.load(Relaxed) {
            let before = self.bytes.fetch_add(bytes, Relaxed);
            self.permit.head_has(before + bytes);
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

    fn large(&self) -> MutexGuard<'_, Option<LargeHead>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
