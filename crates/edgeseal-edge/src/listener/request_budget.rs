//! When a connection should end.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Notify;

use crate::drain::DrainToken;

/// The number of requests that a connection may still serve.
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

    /// Counts one request. HTTP/2 requests sent before GOAWAY arrives are still served.
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
    /// served a request yet may serve one: its client is about to send it.
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
