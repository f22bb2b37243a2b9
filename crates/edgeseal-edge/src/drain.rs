//! The graceful shutdown: no new connections, a time limit for the open ones, then abort.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Waits for the holders of its [`DrainToken`]s.
#[derive(Debug)]
pub(crate) struct Drain {
    phase: watch::Sender<Phase>,
    ended: mpsc::Receiver<()>,
}

/// Held by everything that must end before the edge does.
#[derive(Clone, Debug)]
pub(crate) struct DrainToken {
    phase: watch::Receiver<Phase>,
    _alive: mpsc::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Nothing new is accepted; a connection that has not served a request yet may serve one.
    Leaving,
    Draining,
    Aborted,
}

impl Drain {
    /// The drain, and the token that all others are clones of.
    pub(crate) fn new() -> (Self, DrainToken) {
        let (phase, told) = watch::channel(Phase::Running);
        let (alive, ended) = mpsc::channel(1);
        let token = DrainToken {
            phase: told,
            _alive: alive,
        };
        (Self { phase, ended }, token)
    }

    /// Tells all holders that another process accepts in their place.
    pub(crate) fn stop_accepting(&self) {
        self.reach(Phase::Leaving);
    }

    /// Waits for all holders, for `limit` at most; after `fresh`, also those that have served
    /// nothing yet must end. Returns whether all ended by themselves.
    pub(crate) async fn wait_until_drained(&mut self, fresh: Duration, limit: Duration) -> bool {
        self.stop_accepting();
        if timeout(fresh, self.ended.recv()).await.is_ok() {
            return true;
        }
        self.reach(Phase::Draining);
        let rest = limit.saturating_sub(fresh);
        timeout(rest, self.ended.recv()).await.is_ok()
    }

    fn reach(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let further = *now < phase;
            *now = (*now).max(phase);
            further
        });
    }

    /// Tells all holders to end, waits `limit` for them, then aborts the rest. Returns whether
    /// all ended by themselves.
    pub(crate) async fn drain(mut self, limit: Duration) -> bool {
        self.reach(Phase::Draining);
        // Nothing is ever sent: the channel closes when the last token is dropped.
        let in_time = timeout(limit, self.ended.recv()).await.is_ok();
        self.reach(Phase::Aborted);
        if !in_time {
            const CUT: Duration = Duration::from_secs(1);
            let _ = timeout(CUT, self.ended.recv()).await;
        }
        in_time
    }
}

impl DrainToken {
    /// Waits until its holder should accept nothing new.
    pub(crate) async fn leaving(&mut self) {
        self.reached(Phase::Leaving).await;
    }

    /// Waits until its holder should end.
    pub(crate) async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until its holder must end at once.
    pub(crate) async fn aborted(&mut self) {
        self.reached(Phase::Aborted).await;
    }

    async fn reached(&mut self, phase: Phase) {
        // The sender is gone only when the edge was dropped without a drain: that aborts as well.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }
}
