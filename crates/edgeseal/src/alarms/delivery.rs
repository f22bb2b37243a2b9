//! Sends notifications until each channel has accepted them.
//!
//! A notification is stored with its alarm before it is sent, and removed from there once it is
//! accepted: after a crash it is sent again, under the same id.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use edgeseal_core::{
    Timestamp,
    alarm::{Alarm, AlarmId, EventKind, Phase},
    backoff::Backoff,
};
use tokio::{task::JoinSet, time::Instant};

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
    /// What was sent, with the number of the notification.
    sent: Vec<(AlarmId, u32)>,
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

    fn names(&self, wanted: impl Fn(&Channel) -> bool) -> impl Iterator<Item = &str> {
        let channels = self.channels.iter();
        let channels = channels.filter(move |(channel, _)| wanted(channel));
        channels.map(|(channel, _)| channel.config.name.as_str())
    }

    /// Starts sending to each channel that has something to be told and is neither busy nor
    /// pausing.
    pub(super) fn start(
        &mut self,
        alarms: &AlarmMap,
        silenced: impl Fn(&Alarm) -> bool,
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
                health.state(channel, alarms, &silenced, now)
            } else {
                pending(channel, alarms).take(BATCH_MAX).collect()
            };
            if told.is_empty() {
                continue;
            }
            let all = told.iter().map(|(id, alarm)| Notification::of(id, alarm));
            let batch = Batch::of(all.collect());
            let sent = told.iter();
            let sent = sent
                .map(|(id, alarm)| ((*id).clone(), alarm.notifications))
                .collect();
            health.is_busy = true;
            let channel = Arc::clone(channel);
            self.in_flight.spawn(async move {
                Done {
                    channel: index,
                    sent,
                    result: channel.send(&batch, now).await,
                    now: clock(),
                }
            });
        }
    }

    /// The next attempt that ends; waits for ever if there is none. Cancel safe.
    pub(super) async fn ended(&mut self) -> Done {
        loop {
            match self.in_flight.join_next().await {
                Some(Ok(done)) => return done,
                // A panic of a channel: it stays busy, which only costs this channel.
                Some(Err(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a channel failed");
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
        for (id, number) in done.sent {
            // If it was notified again meanwhile, that one is still to be sent.
            let alarm = alarms.get_mut(&id).filter(|it| it.notifications == number);
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
        silenced: impl Fn(&Alarm) -> bool,
        now: Timestamp,
    ) -> Vec<(&'a AlarmId, &'a Alarm)> {
        let age = self.accepted_at.map(|at| now.since_ms(at));
        let is_recent = age.is_some_and(|age| age < RESEND_INTERVAL_MS);
        if is_recent && pending(channel, alarms).next().is_none() {
            return Vec::new();
        }
        let active = alarms.iter().filter(|(_, alarm)| {
            alarm.is_active() && channel.wants(alarm.severity) && !silenced(alarm)
        });
        let ended = pending(channel, alarms).filter(|(_, alarm)| !alarm.is_active());
        let mut all: Vec<_> = active.chain(ended).collect();
        all.sort_by_key(|(_, alarm)| std::cmp::Reverse((is_over(alarm), alarm.severity)));
        all.truncate(STATE_MAX);
        all
    }
}

const fn is_over(alarm: &Alarm) -> bool {
    matches!(alarm.phase, Phase::Resolved { .. })
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
