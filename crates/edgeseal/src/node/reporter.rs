//! Reports this process to the others on the store once a second, and reads their reports: who is
//! alive, what they used of rate limits, which keys they hold.

use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};

use edgeseal_api::{Context, rate_limit::RateExchange};
use edgeseal_edge::EdgeHandle;
use edgeseal_store::{
    Fault, Keyring, Revision, Store as _,
    lease::LeaseName,
    nodes::{NodeList, NodeRecord, NodeStatus, REPORT_INTERVAL_MS},
    reports::{Report, ReportSnapshot, RunId},
};
use futures_util::{FutureExt as _, future::FusedFuture as _};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::twin::{self, TwinWatch};
use crate::{clock, error_chain::error_chain, kek::KekRotator, revocable_store::RevocableStore};

/// How long a process that ends may take for its last exchange, and to withdraw its report.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(1);

/// Commits that are remembered while an edge is behind: those of an hour.
const LACKED_MAX: usize = 3600;

/// The processes on the store.
pub(crate) type Nodes = Arc<NodeList>;
/// What is wrong with the id of this process, if another one uses it, too.
pub(crate) type TwinWarning = watch::Sender<Option<String>>;

/// See the [module](self).
pub(crate) struct Reporter {
    /// What does not change, and what changed last.
    own: NodeRecord,
    run: RunId,
    store: Arc<RevocableStore>,
    keyring: Keyring,
    edge: Option<EdgeHandle>,
    /// Whether several processes may use the store.
    is_shared: bool,
    nodes: watch::Sender<Nodes>,
    /// Whether this process has each of these leases.
    leases: Vec<(LeaseName, watch::Receiver<bool>)>,
    rates: RateExchange,
    twins: TwinWatch,
    twin_warning: TwinWarning,
    /// Newest commits that this process had not applied when it heard of them.
    lacked: VecDeque<(Instant, Revision)>,
    /// Whether the last exchange failed: only the first failure in a row is logged.
    is_failing: bool,
}

impl Reporter {
    /// A reporter of the process that `own` describes.
    pub(crate) fn new(
        own: NodeRecord,
        store: Arc<RevocableStore>,
        keyring: Keyring,
        edge: Option<EdgeHandle>,
        is_shared: bool,
        twin_warning: TwinWarning,
    ) -> Self {
        twin_warning.send_replace(None);
        // Of its own: the rate limits that it reports begin with it.
        let run = RunId::random();
        Self {
            nodes: watch::Sender::new(Arc::new(alone(&own, run))),
            own,
            run,
            store,
            keyring,
            edge,
            is_shared,
            leases: Vec::new(),
            rates: RateExchange::default(),
            twins: TwinWatch::default(),
            twin_warning,
            lacked: VecDeque::new(),
            is_failing: false,
        }
    }

    /// The processes on the store, as of the last exchange.
    pub(crate) fn nodes(&self) -> watch::Receiver<Nodes> {
        self.nodes.subscribe()
    }

    /// Reports as well whether this process has a lease.
    pub(crate) fn follow_lease(&mut self, name: LeaseName, is_held: watch::Receiver<bool>) {
        self.leases.push((name, is_held));
    }

    /// Reports once a second until `stop` completes; then the process no longer counts as alive.
    pub(crate) async fn run(
        mut self,
        context: Arc<Context>,
        rotator: Arc<KekRotator>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = pin!(stop.fuse());
        let mut ticks = interval(Duration::from_millis(REPORT_INTERVAL_MS.unsigned_abs()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_terminated() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut stop => break,
            }
            self.own.sealing = rotator
                .sealing_key()
                .map_or_else(String::new, |it| it.to_string());
            // One that is in flight may be done by the database after the report was withdrawn.
            let overdue = async {
                (&mut stop).await;
                sleep(WITHDRAW_TIMEOUT).await;
            };
            tokio::select! {
                exchanged = self.exchange(&context) => self.log(exchanged.err()),
                () = overdue => break,
            }
        }
        if let Some(reports) = self.store.reports() {
            // A report that stays is only shown as silent.
            let _ = timeout(WITHDRAW_TIMEOUT, reports.withdraw(&self.own.id, self.run)).await;
        }
    }

    async fn exchange(&mut self, context: &Context) -> Result<(), Fault> {
        self.own.rates = RateExchange::report(context);
        let keys = self.keyring.ids();
        self.own.keys = keys.iter().map(ToString::to_string).collect();
        if !self.is_shared {
            self.report_alone();
            return Ok(());
        }
        let held = self.leases.iter().filter(|(_, is_held)| *is_held.borrow());
        self.own.leases = held.map(|(name, _)| name.as_str().to_owned()).collect();
        let unavailable = || Fault::new("the store is unavailable");
        let reports = self.store.reports().ok_or_else(unavailable)?;
        let report = self.own.encode()?;
        let snapshot = reports.exchange(&self.own.id, self.run, &report).await?;
        let now = clock::now();
        self.own.clock_offset_ms = now.since_ms(snapshot.now);
        self.observe_lag(&snapshot);
        self.look_for_twin(snapshot.replaced.as_ref());
        let all = NodeList::of(&snapshot);
        let own = &self.own.id;
        let others = all.live().filter(|it| it.node.id != *own);
        self.rates.learn(context, others, now);
        self.publish(all);
        Ok(())
    }

    /// Where one process owns the store, it does everything.
    fn report_alone(&mut self) {
        self.own.rates.clear();
        self.own.leases = LeaseName::ALL.map(|it| it.as_str().to_owned()).to_vec();
        if let Some(edge) = &self.edge {
            self.own.revision = edge.applied_revision().borrow().0;
        }
        self.publish(alone(&self.own, self.run));
    }

    fn look_for_twin(&mut self, replaced: Option<&Report>) {
        if !self.twins.note(replaced.is_some()) {
            if !self.own.twin.is_empty() {
                tracing::info!("no other process uses the id of this node any more");
                self.own.twin.clear();
                self.twin_warning.send_replace(None);
            }
            return;
        }
        let Some(twin) = replaced.and_then(|it| NodeRecord::decode(it).ok()) else {
            return;
        };
        let at = twin::place(&twin);
        if self.own.twin != at {
            let what = twin::describe(&self.own.id, &twin::place(&self.own), &at);
            tracing::error!("{what}");
            self.own.twin = at;
            self.twin_warning.send_replace(Some(what));
        }
    }

    fn observe_lag(&mut self, snapshot: &ReportSnapshot) {
        let head = snapshot.head;
        // Without an edge there is nothing to apply: calls read the store.
        let edge = self.edge.as_ref();
        let applied = edge.map_or(head, |edge| *edge.applied_revision().borrow());
        self.own.revision = applied.0;
        while self
            .lacked
            .front()
            .is_some_and(|(_, head)| *head <= applied)
        {
            self.lacked.pop_front();
        }
        let newest = self.lacked.back().map(|(_, head)| *head);
        let has_room = self.lacked.len() < LACKED_MAX;
        if head > applied && newest.is_none_or(|newest| newest < head) && has_room {
            self.lacked.push_back((Instant::now(), head));
        }
        let lag = self.lacked.front().map(|(since, _)| since.elapsed());
        self.own.lag = head.0.saturating_sub(applied.0);
        self.own.lag_ms = lag.map_or(0, |lag| i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
    }

    fn publish(&self, nodes: NodeList) {
        let live = nodes.live().count();
        metrics::gauge!("edgeseal_nodes").set(live as f64);
        let seconds = |ms: i64| ms as f64 / 1000.0;
        metrics::gauge!("edgeseal_node_clock_offset_seconds")
            .set(seconds(self.own.clock_offset_ms));
        metrics::gauge!("edgeseal_node_lag_seconds").set(seconds(self.own.lag_ms));
        self.nodes.send_replace(Arc::new(nodes));
    }

    fn log(&mut self, failure: Option<Fault>) {
        match (&failure, self.is_failing) {
            (Some(fault), false) => tracing::warn!(
                error = error_chain(fault),
                "this node cannot exchange reports with the others"
            ),
            (None, true) => tracing::info!("this node exchanges reports with the others again"),
            _ => {}
        }
        self.is_failing = failure.is_some();
    }
}

/// The list of a process that knows of no other.
fn alone(own: &NodeRecord, run: RunId) -> NodeList {
    NodeList {
        nodes: vec![NodeStatus {
            node: own.clone(),
            run,
            age_ms: Some(0),
        }],
        collected_ms: 0,
    }
}
