//! When a connection should come to its end.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Notify;

use crate::drain::DrainToken;

/// The requests that a connection may still carry.
#[derive(Debug)]
pub(super) struct RequestBudget {
    left: AtomicU32,
    spent: Notify,
    first_request: Notify,
}

impl RequestBudget {
    pub(super) fn new(requests: u32) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU32::new(requests),
            spent: Notify::new(),
            first_request: Notify::new(),
        })
    }

    /// Takes one. Requests of HTTP/2 that cross the end are still served.
    pub(super) fn consume(&self) {
        let fewer = |left: u32| left.checked_sub(1);
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        self.first_request.notify_one();
        if before == Ok(1) {
            self.spent.notify_one();
        }
    }

    /// Waits until the connection should end. When another process takes over, one that has not
    /// carried a request yet may carry one: its client is about to send it.
    pub(super) async fn exhausted(&self, token: &mut DrainToken) {
        let ends = async {
            token.leaving().await;
            tokio::select! {
                () = self.first_request.notified() => {}
                () = token.draining() => {}
            }
        };
        tokio::select! {
            () = ends => {}
            () = self.spent.notified() => {}
        }
    }
}
