//! When a connection should come to its end.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Notify;

use crate::drain::Token;

/// The requests that a connection may still carry.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicU32,
    spent: Notify,
    used: Notify,
}

impl Allowance {
    pub(super) fn new(requests: u32) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU32::new(requests),
            spent: Notify::new(),
            used: Notify::new(),
        })
    }

    /// Takes one. Requests of HTTP/2 that cross the end are still served.
    pub(super) fn take(&self) {
        let fewer = |left: u32| left.checked_sub(1);
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        self.used.notify_one();
        if before == Ok(1) {
            self.spent.notify_one();
        }
    }

    /// Waits until the connection should end. When another process takes over, one that has not
    /// carried a request yet may carry one: its client is about to send it.
    pub(super) async fn ends(&self, token: &mut Token) {
        let ends = async {
            token.leaving().await;
            tokio::select! {
                () = self.used.notified() => {}
                () = token.draining() => {}
            }
        };
        tokio::select! {
            () = ends => {}
            () = self.spent.notified() => {}
        }
    }
}
