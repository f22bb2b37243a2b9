//! The end of an edge in order: no new connections, a while for the open ones, then the cut.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Ends what holds its [`Token`]s.
#[derive(Debug)]
pub(crate) struct Drain {
    phase: watch::Sender<Phase>,
    ended: mpsc::Receiver<()>,
    token: Token,
}

/// Held by whatever must come to its end before the edge does.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    phase: watch::Receiver<Phase>,
    _alive: mpsc::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Cut,
}

impl Drain {
    pub(crate) fn new() -> Self {
        let (phase, told) = watch::channel(Phase::Running);
        let (alive, ended) = mpsc::channel(1);
        let token = Token {
            phase: told,
            _alive: alive,
        };
        Self {
            phase,
            ended,
            token,
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.token.clone()
    }

    /// Tells all holders to come to an end, waits `patience` for them, then cuts off the rest.
    /// Says whether all ended by themselves.
    pub(crate) async fn drain(self, patience: Duration) -> bool {
        let Self {
            phase,
            mut ended,
            token,
        } = self;
        drop(token);
        phase.send_replace(Phase::Draining);
        // Nothing is ever sent: the channel closes when the last token is dropped.
        let in_time = timeout(patience, ended.recv()).await.is_ok();
        phase.send_replace(Phase::Cut);
        if !in_time {
            const CUT: Duration = Duration::from_secs(1);
            let _ = timeout(CUT, ended.recv()).await;
        }
        in_time
    }
}

impl Token {
    /// Waits until its holder should come to an end.
    pub(crate) async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until its holder must end at once.
    pub(crate) async fn cut(&mut self) {
        self.reached(Phase::Cut).await;
    }

    async fn reached(&mut self, phase: Phase) {
        // The sender is gone only when the edge was dropped without a drain: that is a cut as well.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }
}
