//! Alarms, out of one place: observes, evaluates, stores, logs and notifies.
//!
//! The rules are in [`edgeseal_core::alarm`]. The alarms are in the store, so that a restart
//! repeats no notification; of several processes on one store, the one with the lease notifies. The
//! alarm about the store itself is in memory only, and raised by each process for itself.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use edgeseal_api::alarms::{AlarmChannels, ChannelTest};
use edgeseal_core::{
    Timestamp,
    alarm::{self, Alarm, AlarmId, Change, Code, Condition, EventKind, Phase, Severity, Silence},
};
use edgeseal_store::{Catalog, Fault};
use futures_util::future;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{clock, config::Config};

mod certificates;
mod channel;
mod delivery;
#[cfg(test)]
mod docs;
mod notification;
mod observe;
mod orders;
mod pace;
mod renewals;
mod summary;
mod visitors;

use channel::Channel;
pub(crate) use channel::ChannelError;
use delivery::Deliveries;
use notification::{Batch, Notification};
use observe::Observed;
pub(crate) use observe::{AuditLinking, Sources};
pub(crate) use summary::{NOT_AFTER, Summary};

/// The first evaluation comes soon, after the edge's first report.
const INITIAL_DELAY: Duration = Duration::from_secs(2);
/// How long the lease lasts without another evaluation, at least.
const LEASE_MIN: Duration = Duration::from_secs(180);
/// How long a shutdown waits for channels to accept what is being sent. Short: at a hand-over,
/// calls wait as well.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Most notifications of an evaluation that are logged one by one.
const LOGGED_MAX: usize = 50;

/// The alarms of a process. They continue while the store, and with it the task, comes and goes.
pub(crate) struct Alarms {
    channels: Vec<Arc<Channel>>,
    interval: Duration,
    /// Names this data directory in the lease.
    owner: String,
    state: Mutex<State>,
    summary: watch::Sender<Summary>,
}

struct State {
    alarms: BTreeMap<AlarmId, Alarm>,
    silences: Vec<Silence>,
    observed: Observed,
    deliveries: Deliveries,
    /// Whether this process had the lease in the last evaluation.
    has_lease: bool,
    /// Alarms whose newest state is not stored.
    unsaved: Vec<AlarmId>,
}

impl Alarms {
    /// Sets up the channels.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn new(config: &Config) -> Result<Arc<Self>, ChannelError> {
        let channels = config
            .alarm
            .iter()
            .map(|table| Channel::new(table).map(Arc::new));
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        let machine = rustix::system::uname();
        let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
        let owner = format!(
            "{}:{}",
            machine.nodename().to_string_lossy(),
            data.display()
        );
        let state = State {
            alarms: BTreeMap::new(),
            silences: Vec::new(),
            observed: Observed::default(),
            deliveries: Deliveries::new(&channels),
            has_lease: false,
            unsaved: Vec::new(),
        };
        Ok(Arc::new(Self {
            channels,
            interval: config.alarm_interval_ms.0,
            owner,
            state: Mutex::new(state),
            summary: watch::Sender::default(),
        }))
    }

    /// What was known after the last evaluation.
    pub(crate) fn summary(&self) -> Summary {
        self.summary.borrow().clone()
    }

    /// Evaluates at every interval and notifies, until `stop` completes.
    pub(crate) async fn run(self: Arc<Self>, sources: Sources, stop: impl Future<Output = ()>) {
        let mut state = self.state.lock().await;
        // Another process may have had the store meanwhile.
        state.has_lease = false;
        let mut next = Instant::now() + INITIAL_DELAY.min(self.interval);
        let mut stop = pin!(stop);
        loop {
            let state = &mut *state;
            let mut ended = None;
            let retry_at = state.deliveries.retry_at();
            tokio::select! {
                () = &mut stop => break,
                () = sleep_until(next) => {
                    // What an interrupted evaluation has not stored is evaluated again.
                    tokio::select! {
                        () = &mut stop => break,
                        () = self.evaluate(state, &sources) => {}
                    }
                    next = Instant::now() + self.interval;
                }
                done = state.deliveries.ended() => ended = Some(done),
                () = sleep_until(retry_at.unwrap_or(next)), if retry_at.is_some() => {}
            }
            if let Some(done) = ended {
                state.finish(done, &sources.catalog).await;
            }
            state.deliver();
        }
        let state = &mut *state;
        let drained = async {
            while state.deliveries.is_busy() {
                let done = state.deliveries.ended().await;
                state.finish(done, &sources.catalog).await;
            }
        };
        // What is not accepted by then is sent again after the next start.
        let _ = timeout(DRAIN_TIMEOUT, drained).await;
    }

    async fn evaluate(&self, state: &mut State, sources: &Sources) {
        let now = clock::now();
        let synced = self.sync(state, &sources.catalog, now).await;
        if let Err(fault) = &synced {
            let error: &dyn std::error::Error = fault;
            tracing::warn!(
                error,
                "alarms cannot be read; only those of the store are evaluated"
            );
        }
        let mut snapshot = state.observed.observe(sources, self.interval, now).await;
        snapshot.failing_channels = Some(state.deliveries.failing());
        let observes = |code| {
            let has_turn = state.has_lease && synced.is_ok();
            snapshot.observes(code) && (has_turn || is_local(code))
        };
        let mut current = alarm::evaluate(&snapshot, &state.alarms, now);
        current.retain(|id, _| observes(id.code));
        add_accounts(&mut current, &sources.catalog).await;
        let silences = &state.silences;
        let silenced = |alarm: &Alarm| is_silenced(silences, alarm, now);
        let changes = alarm::advance(&state.alarms, &current, observes, silenced, now);
        log(&changes);
        state.apply(changes);
        state.save(&sources.catalog).await;
        let silences = &state.silences;
        let heard = state.alarms.iter();
        let heard = heard.filter(|(_, alarm)| !is_silenced(silences, alarm, now));
        summary::set_gauges(heard, &state.observed.certificates);
        let summary = Summary::of(&state.observed.certificates, now);
        self.summary.send_replace(summary);
    }

    /// Acquires or renews the lease, and reads what the store knows: the silences and, unless this
    /// process has written them itself, the alarms.
    async fn sync(
        &self,
        state: &mut State,
        catalog: &Catalog,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let lease = LEASE_MIN.max(self.interval * 3);
        let until = now.plus_ms(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
        let has_lease = catalog.hold_alarm_lease(&self.owner, until, now).await?;
        if !has_lease || !state.has_lease {
            let stored = catalog.alarms().await?;
            state.alarms.retain(|id, _| is_local(id.code));
            state.alarms.extend(stored);
            state.unsaved.clear();
            for (id, alarm) in &mut state.alarms {
                state.deliveries.forget_unknown(alarm);
                if has_lease && is_settled(alarm) {
                    state.unsaved.push(id.clone());
                }
            }
        }
        state.has_lease = has_lease;
        state.silences = catalog.alarm_silences().await?;
        Ok(())
    }
}

impl State {
    /// Takes the changes, and addresses the notifications.
    fn apply(&mut self, changes: Vec<Change>) {
        for Change { id, alarm, event } in changes {
            let Some(mut alarm) = alarm else {
                self.alarms.remove(&id);
                self.unsaved.push(id);
                continue;
            };
            if event.is_some() {
                self.deliveries.address(&mut alarm);
            }
            self.alarms.insert(id.clone(), alarm);
            self.unsaved.push(id);
        }
    }

    /// Stores what has changed; on failure, with the next change.
    async fn save(&mut self, catalog: &Catalog) {
        self.unsaved.sort_unstable();
        self.unsaved.dedup();
        let settled = self.unsaved.iter();
        let settled = settled.filter(|id| self.alarms.get(*id).is_some_and(is_settled));
        for id in settled.cloned().collect::<Vec<_>>() {
            self.alarms.remove(&id);
        }
        self.unsaved.retain(|id| !is_local(id.code));
        if !self.has_lease || self.unsaved.is_empty() {
            return;
        }
        let changes = self.unsaved.iter().map(|id| {
            let alarm = self.alarms.get(id);
            // One that is not raised yet begins anew after a restart.
            let alarm = alarm.filter(|alarm| alarm.phase != Phase::Starting);
            (id.clone(), alarm.cloned())
        });
        let changes: Vec<_> = changes.collect();
        match catalog.write_alarms(&changes).await {
            Ok(()) => self.unsaved.clear(),
            Err(fault) => tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "alarms cannot be stored; trying again"
            ),
        }
    }

    async fn finish(&mut self, done: delivery::Done, catalog: &Catalog) {
        let changed = self.deliveries.finish(done, &mut self.alarms);
        self.unsaved.extend(changed);
        self.save(catalog).await;
    }

    fn deliver(&mut self) {
        let silences = &self.silences;
        let now = clock::now();
        let silenced = |alarm: &Alarm| is_silenced(silences, alarm, now);
        if self.has_lease {
            self.deliveries.start(&self.alarms, silenced, clock::now);
            return;
        }
        let local = self.alarms.iter().filter(|(id, _)| is_local(id.code));
        let local = local
            .map(|(id, alarm)| (id.clone(), alarm.clone()))
            .collect();
        self.deliveries.start(&local, silenced, clock::now);
    }
}

/// Whether each process raises this alarm for itself, without the store.
fn is_local(code: Code) -> bool {
    code == Code::StoreUnavailable
}

/// Whether an alarm is over and everybody knows.
fn is_settled(alarm: &Alarm) -> bool {
    matches!(alarm.phase, Phase::Resolved { .. }) && alarm.pending.is_empty()
}

fn is_silenced(silences: &[Silence], alarm: &Alarm, now: Timestamp) -> bool {
    let Some(domain) = &alarm.domain else {
        return false;
    };
    silences.iter().any(|silence| {
        // A silence ends with the domain's account.
        let is_owner = alarm
            .account
            .as_ref()
            .is_none_or(|it| *it == silence.account);
        silence.domain == *domain && is_owner && silence.applies(now)
    })
}

/// Adds the accounts of domains to conditions that edges report, which do not know them.
async fn add_accounts(current: &mut BTreeMap<AlarmId, Condition>, catalog: &Catalog) {
    for condition in current.values_mut() {
        if let (Some(domain), None) = (&condition.domain, &condition.account) {
            let found = catalog.domain(domain).await.ok().flatten();
            condition.account = found.map(|domain| domain.account);
        }
    }
}

/// Logs the notifications of an evaluation, the most urgent ones one by one.
fn log(changes: &[Change]) {
    let events = changes.iter().filter_map(|change| {
        let alarm = change.alarm.as_ref()?;
        Some((&change.id, alarm, change.event?))
    });
    let mut events: Vec<_> = events.collect();
    events.sort_by_key(|(_, alarm, _)| std::cmp::Reverse(alarm.severity));
    let more = events.len().saturating_sub(LOGGED_MAX);
    for (id, alarm, event) in events.into_iter().take(LOGGED_MAX) {
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    alarm.code = id.code.as_str(),
                    alarm.subject = id.subject,
                    alarm.severity = alarm.severity.as_str(),
                    alarm.event = event.as_str(),
                    "alarm {}: {}",
                    event.as_str(),
                    alarm.text
                )
            };
        }
        match (event, alarm.severity) {
            (EventKind::Resolved, _) | (_, Severity::Info) => event!(info),
            (_, Severity::Warning) => event!(warn),
            (_, Severity::Critical) => event!(error),
        }
    }
    if more > 0 {
        tracing::warn!(more, "more alarms changed at once: see edgeseal alarm list");
    }
}

#[async_trait]
impl AlarmChannels for Alarms {
    async fn test(&self) -> Vec<ChannelTest> {
        let batch = Batch::of(vec![Notification::test(clock::now())]);
        let tests = self.channels.iter().map(|channel| async {
            let sent = channel.send(&batch, clock::now()).await;
            ChannelTest {
                name: channel.config.name.clone(),
                kind: channel.config.kind.as_str(),
                failure: sent.err().map(|error| error.to_string()),
            }
        });
        future::join_all(tests).await
    }
}
