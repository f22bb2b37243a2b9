//! Alarms, out of one place: observes, evaluates, stores, logs and notifies.
//!
//! The rules are in [`edgeseal_core::alarm`]. The alarms are in the store, so that a restart
//! repeats no notification; of several processes on one store, the one with the lease notifies. The
//! alarm about the store itself is in memory only, and raised by each process for itself.

use std::{
    collections::{BTreeMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use edgeseal_api::alarms::{AlarmChannels, ChannelTest};
use edgeseal_core::{
    AccountId, DomainPattern,
    alarm::{self, Alarm, AlarmId, Change, Code, Condition, EventKind, Phase, Severity, Silences},
    domain::{Domain, Environment},
};
use edgeseal_store::{
    Catalog, Fault, Key, SharedStore,
    lease::{Lease, LeaseName, Term},
    record::decode,
};
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
pub(crate) mod fair_share;
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
#[cfg(test)]
pub(crate) use renewals::tests::domain as test_domain;
pub(crate) use summary::{NOT_AFTER, Summary};

/// The first evaluation comes soon, after the edge's first report.
const INITIAL_DELAY: Duration = Duration::from_secs(2);
/// How long after a crash of the process that notifies another one begins, unless it starts again.
const LEASE_TTL: Duration = Duration::from_secs(180);
/// How long a shutdown waits for channels to accept what is being sent. Short: at a hand-over,
/// calls wait as well.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Most notifications of an evaluation that are logged one by one.
const LOGGED_MAX: usize = 50;

/// The alarms of a process. They continue while the store, and with it the task, comes and goes.
pub(crate) struct Alarms {
    channels: Vec<Arc<Channel>>,
    interval: Duration,
    state: Mutex<State>,
    summary: watch::Sender<Summary>,
    /// Held during a test of the channels.
    testing: Mutex<()>,
}

struct State {
    alarms: BTreeMap<AlarmId, Alarm>,
    silences: Silences,
    observed: Observed,
    deliveries: Deliveries,
    /// The lease to notify; `None` while the task does not run.
    lease: Option<Lease>,
    /// Its term at the last evaluation, since when nobody else has written alarms.
    term: Option<Term>,
    /// Alarms whose newest state is not stored, and whether that is a notification.
    unsaved: BTreeMap<AlarmId, bool>,
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
        let state = State {
            alarms: BTreeMap::new(),
            silences: Silences::default(),
            observed: Observed::default(),
            deliveries: Deliveries::new(&channels),
            lease: None,
            term: None,
            unsaved: BTreeMap::new(),
        };
        Ok(Arc::new(Self {
            channels,
            interval: config.alarm_interval_ms.0,
            state: Mutex::new(state),
            summary: watch::Sender::default(),
            testing: Mutex::new(()),
        }))
    }

    /// What was known after the last evaluation.
    pub(crate) fn summary(&self) -> Summary {
        self.summary.borrow().clone()
    }

    /// Evaluates at every interval, and notifies while this process has the lease, until `stop`
    /// completes.
    pub(crate) async fn run(
        self: Arc<Self>,
        sources: Sources,
        lease: Lease,
        stop: impl Future<Output = ()>,
    ) {
        let mut state = self.state.lock().await;
        state.lease = Some(lease);
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
        state.term = None;
        if let Some(lease) = state.lease.take() {
            lease.release().await;
        }
    }

    async fn evaluate(&self, state: &mut State, sources: &Sources) {
        let now = clock::now();
        let synced = state.sync(&sources.catalog).await;
        if let Err(fault) = &synced {
            let error: &dyn std::error::Error = fault;
            tracing::warn!(
                error,
                "alarms cannot be read; only those of the store are evaluated"
            );
        }
        let observed = &mut state.observed;
        let observing = observed.observe(sources, &state.alarms, self.interval, now);
        let mut snapshot = observing.await;
        snapshot.failing_channels = Some(state.deliveries.failing());
        let has_turn = state.has_lease() && synced.is_ok();
        let is_judged = |code| has_turn || is_local(code);
        let mut current = alarm::evaluate(&snapshot, &state.alarms, now);
        current.retain(|id, _| is_judged(id.code));
        add_accounts(&mut current, &state.alarms, &sources.catalog).await;
        let changes = alarm::advance(
            &state.alarms,
            &current,
            |code| is_judged(code) && snapshot.observes(code),
            |id, alarm| state.silences.mute(id, alarm, now),
            i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX),
            now,
        );
        log(&changes);
        state.apply(changes);
        state.save(&sources.catalog).await;
        let heard = state.alarms.iter();
        let heard = heard.filter(|(id, alarm)| !state.silences.mute(id, alarm, now));
        summary::set_gauges(heard, &state.observed.certificates);
        if has_turn && snapshot.store_failure == Some(None) {
            let seconds = now.unix_seconds() as f64;
            metrics::gauge!("edgeseal_alarm_evaluation_timestamp_seconds").set(seconds);
        }
        let observed = &state.observed;
        let summary = Summary::of(&observed.certificates, observed.missed_renewals(), now);
        self.summary.send_replace(summary);
    }
}

impl State {
    /// Whether this process notifies. Without the store the lease ends, and another one may do so.
    fn has_lease(&self) -> bool {
        self.term.is_some() && self.term == self.current_term()
    }

    fn current_term(&self) -> Option<Term> {
        self.lease.as_ref().and_then(Lease::term)
    }

    /// Reads what the store knows: the silences and, unless this process alone has written them, the
    /// alarms.
    async fn sync(&mut self, catalog: &Catalog) -> Result<(), Fault> {
        let term = self.current_term();
        if term.is_none() || term != self.term {
            let stored = catalog.alarms().await?;
            self.alarms.retain(|id, _| is_local(id.code));
            self.alarms.extend(stored);
            self.unsaved.clear();
            self.deliveries.forget_remembered();
            for (id, alarm) in &mut self.alarms {
                self.deliveries.forget_unknown(alarm);
                self.deliveries.remember_failing(id, alarm);
                if term.is_some() && is_settled(alarm) {
                    self.unsaved.insert(id.clone(), false);
                }
            }
            self.term = term;
        }
        let silences = catalog.alarm_silences(None).await?;
        self.silences = silences.into_iter().collect();
        Ok(())
    }

    /// Takes the changes, and addresses the notifications.
    fn apply(&mut self, changes: Vec<Change>) {
        for Change { id, alarm, event } in changes {
            let Some(mut alarm) = alarm else {
                self.alarms.remove(&id);
                self.unsaved.insert(id, false);
                continue;
            };
            if event.is_some() {
                self.deliveries.address(&mut alarm);
            }
            self.alarms.insert(id.clone(), alarm);
            *self.unsaved.entry(id).or_default() |= event.is_some();
        }
    }

    /// Stores what has changed; on failure, with the next change.
    async fn save(&mut self, catalog: &Catalog) {
        let unsaved = &self.unsaved;
        self.alarms
            .retain(|id, alarm| !(is_settled(alarm) && unsaved.contains_key(id)));
        self.unsaved.retain(|id, _| !is_local(id.code));
        let Some(term) = self.term.filter(|_| self.has_lease()) else {
            return;
        };
        if self.unsaved.is_empty() {
            return;
        }
        let changes = self.unsaved.keys().map(|id| {
            let alarm = self.alarms.get(id);
            // One that is not raised yet begins anew after a restart.
            let alarm = alarm.filter(|alarm| alarm.phase != Phase::Starting);
            (id.clone(), alarm.cloned())
        });
        let changes: Vec<_> = changes.collect();
        match catalog.write_alarms(&changes, &term).await {
            Ok(true) => self.unsaved.clear(),
            // The next evaluation reads what the other process has written.
            Ok(false) => {
                if let Some(lease) = &self.lease {
                    lease.note_lost(term);
                }
            }
            Err(fault) => tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "alarms cannot be stored; trying again"
            ),
        }
    }

    async fn finish(&mut self, done: delivery::Done, catalog: &Catalog) {
        let changed = self.deliveries.finish(done, &mut self.alarms);
        for id in changed {
            self.unsaved.entry(id).or_default();
        }
        self.save(catalog).await;
    }

    fn deliver(&mut self) {
        let now = clock::now();
        let (has_lease, silences, unsaved) = (self.has_lease(), &self.silences, &self.unsaved);
        let may_tell = |id: &AlarmId, alarm: &Alarm| {
            // What is not stored would be told again, under another id, after a restart.
            let is_stored = has_lease && unsaved.get(id) != Some(&true);
            let is_muted = !alarm.is_over() && silences.mute(id, alarm, now);
            (is_stored || is_local(id.code)) && !is_muted
        };
        self.deliveries.start(&self.alarms, may_tell, clock::now);
    }
}

/// Asks for the lease to notify.
pub(crate) fn start_lease(store: SharedStore, node_id: &str) -> Lease {
    let owner = node_id.to_owned();
    Lease::start(store, LeaseName::Alarms, owner, LEASE_TTL)
}

/// Whether each process raises this alarm for itself, without the store.
fn is_local(code: Code) -> bool {
    code == Code::StoreUnavailable
}

/// Whether an alarm is over and everybody knows.
fn is_settled(alarm: &Alarm) -> bool {
    alarm.is_over() && alarm.pending.is_empty()
}

/// The domains that have an alarm of a code and are not among `known`, with their accounts and the
/// edges that are concerned.
fn others_with_alarm<'a>(
    alarms: &BTreeMap<AlarmId, Alarm>,
    code: Code,
    known: impl Iterator<Item = (&'a DomainPattern, Environment)>,
) -> Vec<(DomainPattern, AccountId, Environment)> {
    let known: HashSet<_> = known.collect();
    let raised = alarms.iter();
    let raised = raised.filter(|(id, alarm)| id.code == code && alarm.is_active());
    let raised = raised.filter_map(|(id, alarm)| {
        let environment = match id.subject.ends_with(alarm::STAGING_SUFFIX) {
            true => Environment::Staging,
            false => Environment::Production,
        };
        Some((alarm.domain.as_ref()?, alarm.account.as_ref()?, environment))
    });
    let others = raised.filter(|(domain, _, it)| !known.contains(&(*domain, *it)));
    others
        .map(|(domain, account, it)| (domain.clone(), account.clone(), it))
        .collect()
}

/// Adds the accounts of domains to conditions that edges report, which do not know them.
async fn add_accounts(
    current: &mut BTreeMap<AlarmId, Condition>,
    alarms: &BTreeMap<AlarmId, Alarm>,
    catalog: &Catalog,
) {
    let unowned = current.iter().filter(|(_, it)| it.account.is_none());
    let named = unowned.filter_map(|(id, condition)| Some((id.clone(), condition.domain.clone()?)));
    let named: Vec<(AlarmId, DomainPattern)> = named.collect();
    let keys: Vec<Key> = named.iter().map(|(_, name)| Key::domain(name)).collect();
    if keys.is_empty() {
        return;
    }
    let read = catalog.store().get_many(&keys).await.unwrap_or_default();
    let mut entries = read.into_iter();
    for (id, _) in named {
        let entry = entries.next().flatten();
        let domain = entry.and_then(|entry| decode::<Domain>(&entry.value).ok());
        let owner = domain.map(|domain| domain.account);
        // What cannot be read has not changed hands.
        let before = || -> Option<AccountId> { alarms.get(&id)?.account.clone() };
        if let Some(condition) = current.get_mut(&id) {
            condition.account = owner.or_else(before);
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
    async fn test(&self) -> Option<Vec<ChannelTest>> {
        let _testing = self.testing.try_lock().ok()?;
        let batch = Batch::of(vec![Notification::test(clock::now())]);
        let tests = self.channels.iter().map(|channel| async {
            let sent = channel.send(&batch, clock::now()).await;
            if sent.is_ok() {
                channel.note_accepted_test();
            }
            ChannelTest {
                name: channel.config.name.clone(),
                kind: channel.config.kind.as_str(),
                failure: sent.err().map(|error| error.to_string()),
            }
        });
        Some(future::join_all(tests).await)
    }
}
