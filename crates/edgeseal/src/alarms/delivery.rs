//! Sends notifications until each channel has accepted them.
//!
//! A notification is stored with its alarm before it is sent, and removed from there once it is
//! accepted: after a crash it is sent again, under the same id.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use edgeseal_core::{
    Timestamp,
    alarm::{Alarm, AlarmId, CHANNEL_FAILING_MS, Code, EventKind},
    backoff::Backoff,
};
use tokio::{
    task::{self, JoinSet},
    time::Instant,
};

use super::{
    channel::{Channel, DeliveryError, RESEND_INTERVAL_MS},
    notification::{Batch, Notification},
};

type AlarmMap = BTreeMap<AlarmId, Alarm>;

/// Most notifications that are sent at once.
const BATCH_MAX: usize = 100;
/// Most alarms that a stateful channel is told of, the most urgent first: 1 MB.
const STATE_MAX: usize = 2000;
/// Pauses after failures.
const RETRIES: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(300));

/// The channels, and what is being sent.
pub(super) struct Deliveries {
    channels: Vec<(Arc<Channel>, Health)>,
    in_flight: JoinSet<Done>,
    /// Whose attempts they are, and when they began.
    attempts: HashMap<task::Id, (usize, Timestamp)>,
}

/// How a channel does.
#[derive(Default)]
struct Health {
    is_busy: bool,
    /// Consecutive failures, since when, and the last cause.
    failures: u32,
    failing: Option<(Timestamp, String)>,
    retry_at: Option<Instant>,
    accepted_at: Option<Timestamp>,
}

/// An attempt that has ended.
pub(super) struct Done {
    channel: usize,
    /// What was sent, with the beginning of the alarm and the number of the notification.
    sent: Vec<(AlarmId, Timestamp, u32)>,
    result: Result<(), DeliveryError>,
    now: Timestamp,
}

impl Deliveries {
    pub(super) fn new(channels: &[Arc<Channel>]) -> Self {
        let channels = channels
            .iter()
            .map(|it| (Arc::clone(it), Health::default()));
        Self {
            channels: channels.collect(),
            in_flight: JoinSet::new(),
            attempts: HashMap::new(),
        }
    }

    /// Sets which channels must be told of the last notification of an alarm.
    pub(super) fn address(&self, alarm: &mut Alarm) {
        let Some(last) = alarm.notified else { return };
        let severity = match last.kind {
            EventKind::Resolved => last.greatest,
            _ => alarm.severity,
        };
        let wanting = self.names(|channel| channel.wants(severity));
        alarm.pending = wanting.map(str::to_owned).collect();
    }

    /// Forgets channels that are not configured any more.
    pub(super) fn forget_unknown(&self, alarm: &mut Alarm) {
        let pending = &mut alarm.pending;
        pending.retain(|name| self.names(|_| true).any(|known| known == name));
    }

    /// Takes from an alarm of an earlier process that a channel fails: whether it still does is
    /// known only once it was tried.
    pub(super) fn remember_failing(&mut self, id: &AlarmId, alarm: &Alarm) {
        if id.code != Code::ChannelFailing || !alarm.is_active() {
            return;
        }
        let mut channels = self.channels.iter_mut();
        let found = channels.find(|(channel, _)| channel.config.name == id.subject);
        if let Some((_, health)) = found {
            let since = alarm.first_seen.plus_ms(-CHANNEL_FAILING_MS);
            let why = || "it was not tried since the start".to_owned();
            health.failing.get_or_insert_with(|| (since, why()));
        }
    }

    fn names(&self, wanted: impl Fn(&Channel) -> bool) -> impl Iterator<Item = &str> {
        let channels = self.channels.iter();
        let channels = channels.filter(move |(channel, _)| wanted(channel));
        channels.map(|(channel, _)| channel.config.name.as_str())
    }

    /// Starts sending to each channel that has something to be told, which it may be, and is neither
    /// busy nor pausing.
    pub(super) fn start(
        &mut self,
        alarms: &AlarmMap,
        may_tell: impl Fn(&AlarmId, &Alarm) -> bool,
        clock: fn() -> Timestamp,
    ) {
        let now = clock();
        for (index, (channel, health)) in self.channels.iter_mut().enumerate() {
            let is_pausing = health.retry_at.is_some_and(|at| Instant::now() < at);
            if health.is_busy || is_pausing {
                continue;
            }
            health.retry_at = None;
            let told = if channel.is_stateful() {
                health.state(channel, alarms, &may_tell, now)
            } else {
                let pending = pending(channel, alarms);
                let told = pending.filter(|(id, alarm)| may_tell(id, alarm));
                told.take(BATCH_MAX).collect()
            };
            if told.is_empty() {
                continue;
            }
            let all = told.iter().map(|(id, alarm)| Notification::of(id, alarm));
            let batch = Batch::of(all.collect());
            let sent = told.iter();
            let sent = sent
                .map(|(id, alarm)| ((*id).clone(), alarm.first_seen, alarm.notifications))
                .collect();
            health.is_busy = true;
            let channel = Arc::clone(channel);
            let attempt = self.in_flight.spawn(async move {
                Done {
                    channel: index,
                    sent,
                    result: channel.send(&batch, now).await,
                    now: clock(),
                }
            });
            self.attempts.insert(attempt.id(), (index, now));
        }
    }

    /// The next attempt that ends; waits for ever if there is none. Cancel safe.
    pub(super) async fn ended(&mut self) -> Done {
        loop {
            match self.in_flight.join_next_with_id().await {
                Some(Ok((id, done))) => {
                    self.attempts.remove(&id);
                    return done;
                }
                // A panic: it failed like any other attempt.
                Some(Err(error)) => {
                    let Some((channel, now)) = self.attempts.remove(&error.id()) else {
                        continue;
                    };
                    return Done {
                        channel,
                        sent: Vec::new(),
                        result: Err(DeliveryError(error.to_string())),
                        now,
                    };
                }
                None => std::future::pending().await,
            }
        }
    }

    /// When the next pause of a channel is over, if one pauses.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let idle = self.channels.iter().filter(|(_, health)| !health.is_busy);
        idle.filter_map(|(_, health)| health.retry_at).min()
    }

    /// Whether something is being sent.
    pub(super) fn is_busy(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Takes the result of an attempt; returns the alarms that changed by it.
    pub(super) fn finish(&mut self, done: Done, alarms: &mut AlarmMap) -> Vec<AlarmId> {
        let Some((channel, health)) = self.channels.get_mut(done.channel) else {
            return Vec::new();
        };
        let (name, kind) = (&channel.config.name, channel.config.kind.as_str());
        health.is_busy = false;
        let result = if done.result.is_ok() {
            "accepted"
        } else {
            "failed"
        };
        metrics::counter!("edgeseal_alarm_deliveries_total", "type" => kind, "result" => result)
            .increment(1);
        if let Err(error) = done.result {
            health.fail(name, error, done.now);
            return Vec::new();
        }
        if health.failures > 0 {
            let failures = health.failures;
            tracing::info!(channel = %name, failures, "the alarm channel accepts again");
        }
        *health = Health {
            accepted_at: Some(done.now),
            ..Health::default()
        };
        let mut changed = Vec::new();
        for (id, first_seen, number) in done.sent {
            // If it was notified again meanwhile, that one is still to be sent.
            let is_same =
                |it: &&mut Alarm| (it.first_seen, it.notifications) == (first_seen, number);
            let alarm = alarms.get_mut(&id).filter(is_same);
            if alarm.is_some_and(|alarm| alarm.pending.remove(name)) {
                changed.push(id);
            }
        }
        changed
    }

    /// Since when channels fail, with the last cause.
    pub(super) fn failing(&self) -> BTreeMap<String, (Timestamp, String)> {
        let failing = self.channels.iter();
        let failing = failing.filter_map(|(channel, health)| {
            Some((channel.config.name.clone(), health.failing.clone()?))
        });
        failing.collect()
    }
}

impl Health {
    fn fail(&mut self, name: &str, error: DeliveryError, now: Timestamp) {
        self.retry_at = Some(Instant::now() + RETRIES.delay(self.failures));
        self.failures = self.failures.saturating_add(1);
        let since = self.failing.take().map_or(now, |(since, _)| since);
        tracing::warn!(
            channel = %name,
            failures = self.failures,
            %since,
            error = %error,
            "the alarm channel accepted nothing; trying again"
        );
        self.failing = Some((since, error.0));
    }

    /// All that a stateful channel must know, if it is time to tell it.
    fn state<'a>(
        &self,
        channel: &Channel,
        alarms: &'a AlarmMap,
        may_tell: impl Fn(&AlarmId, &Alarm) -> bool,
        now: Timestamp,
    ) -> Vec<(&'a AlarmId, &'a Alarm)> {
        let age = self.accepted_at.map(|at| now.since_ms(at));
        let is_recent = age.is_some_and(|age| age < RESEND_INTERVAL_MS);
        let active = alarms.iter();
        let active = active.filter(|(_, it)| it.is_active() && channel.wants(it.severity));
        let ended = pending(channel, alarms).filter(|(_, alarm)| !alarm.is_active());
        let all = active.chain(ended);
        let mut all: Vec<_> = all.filter(|(id, alarm)| may_tell(id, alarm)).collect();
        let name = &channel.config.name;
        let is_pending = |alarm: &Alarm| alarm.pending.contains(name);
        // What was not told yet comes first, so that the bound keeps nothing back for ever.
        all.sort_by_key(|(_, alarm)| {
            std::cmp::Reverse((is_pending(alarm), alarm.is_over(), alarm.severity))
        });
        all.truncate(STATE_MAX);
        // Of what is told: what is silenced stays pending, and must not be a reason to send.
        if is_recent && !all.iter().any(|(_, alarm)| is_pending(alarm)) {
            all.clear();
        }
        all
    }
}

fn pending<'a>(
    channel: &Channel,
    alarms: &'a AlarmMap,
) -> impl Iterator<Item = (&'a AlarmId, &'a Alarm)> {
    let name = channel.config.name.clone();
    let mut all: Vec<_> = alarms
        .iter()
        .filter(|(_, alarm)| alarm.pending.contains(&name))
        .collect();
    all.sort_by_key(|(_, alarm)| std::cmp::Reverse(alarm.severity));
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use edgeseal_core::alarm::{Notified, Phase, Severity};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn alarm(is_pending: bool) -> Alarm {
        let notified = Notified {
            at: NOW,
            kind: EventKind::Raised,
            severity: Severity::Critical,
            rung: 0,
            greatest: Severity::Critical,
        };
        Alarm {
            severity: Severity::Critical,
            rung: 0,
            text: String::new(),
            account: None,
            domain: None,
            first_seen: NOW,
            phase: Phase::Active,
            notified: Some(notified),
            notifications: 1,
            pending: is_pending.then(|| "am".to_owned()).into_iter().collect(),
        }
    }

    /// A channel that has just accepted everything.
    fn accepted() -> (Channel, Health) {
        let table = json!({ "name": "am", "type": "alertmanager", "url": "http://127.0.0.1:9" });
        let channel = Channel::new(&serde_json::from_value(table).unwrap()).unwrap();
        let health = Health {
            accepted_at: Some(NOW),
            ..Health::default()
        };
        (channel, health)
    }

    fn id(n: usize) -> AlarmId {
        AlarmId::new(Code::CertificateExpiring, format!("d{n:05}"))
    }

    #[test]
    fn what_is_not_told_is_no_reason_to_tell_the_rest_again() {
        let (channel, health) = accepted();
        let alarms = AlarmMap::from([(id(0), alarm(true)), (id(1), alarm(false))]);
        let may_tell = |_: &_, alarm: &Alarm| alarm.pending.is_empty();
        assert_eq!(health.state(&channel, &alarms, may_tell, NOW), []);
        let all = health.state(&channel, &alarms, |_, _| true, NOW);
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn an_attempt_of_an_earlier_life_settles_nothing() {
        let (channel, _) = accepted();
        let mut deliveries = Deliveries::new(&[Arc::new(channel)]);
        let mut alarms = AlarmMap::from([(id(0), alarm(true))]);
        for (first_seen, settled) in [(NOW.plus_ms(-1), 0), (NOW, 1)] {
            let done = Done {
                channel: 0,
                sent: vec![(id(0), first_seen, 1)],
                result: Ok(()),
                now: NOW,
            };
            assert_eq!(deliveries.finish(done, &mut alarms).len(), settled);
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let (channel, _) = accepted();
        let mut deliveries = Deliveries::new(&[Arc::new(channel)]);
        deliveries.channels[0].1.is_busy = true;
        let attempt = deliveries
            .in_flight
            .spawn(async { panic!("of the channel") });
        deliveries.attempts.insert(attempt.id(), (0, NOW));
        let done = deliveries.ended().await;
        deliveries.finish(done, &mut AlarmMap::new());
        assert!(deliveries.failing()["am"].1.contains("panic"));
        assert!(deliveries.retry_at().is_some());
    }

    #[test]
    fn a_channel_fails_until_it_was_tried() {
        let (channel, _) = accepted();
        let mut deliveries = Deliveries::new(&[Arc::new(channel)]);
        let failing = AlarmId::new(Code::ChannelFailing, "am");
        deliveries.remember_failing(&failing, &alarm(false));
        let since = deliveries.failing()["am"].0;
        assert_eq!(NOW.since_ms(since), CHANNEL_FAILING_MS);
    }

    #[test]
    fn the_bound_keeps_nothing_back_for_ever() {
        let (channel, health) = accepted();
        let told = (0..STATE_MAX).map(|n| (id(n), alarm(false)));
        let mut alarms: AlarmMap = told.collect();
        alarms.insert(id(STATE_MAX), alarm(true));
        let state = health.state(&channel, &alarms, |_, _| true, NOW);
        assert_eq!(state.len(), STATE_MAX);
        assert_eq!(*state[0].0, id(STATE_MAX));
    }
}
