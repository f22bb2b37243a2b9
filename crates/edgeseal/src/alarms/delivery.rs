//! Sends notifications until each channel has accepted them.
//!
//! A notification is stored with its alarm before it is sent, and removed from there once it is
//! accepted: after a crash it is sent again, under the same id.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
/// Most alarms that a stateful channel is told of at once: 1 MB.
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
    round: Round,
}

/// What a stateful channel was told, of all that it is told again and again.
#[derive(Default)]
struct Round {
    began: Option<Timestamp>,
    accepted: HashSet<AlarmId>,
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

    /// Forgets what was taken from alarms, which may have ended: they are read anew. A channel that
    /// this process has tried in vain still fails.
    pub(super) fn forget_remembered(&mut self) {
        for (_, health) in &mut self.channels {
            health.forget_remembered();
        }
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
            round: std::mem::take(&mut health.round),
            ..Health::default()
        };
        if channel.is_stateful() {
            let ids = done.sent.iter().map(|(id, ..)| id.clone());
            health.round.accepted.extend(ids);
        }
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
    pub(super) fn failing(&mut self) -> BTreeMap<String, (Timestamp, String)> {
        for (channel, health) in &mut self.channels {
            if channel.take_accepted_test() {
                health.forget_remembered();
            }
        }
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

    fn forget_remembered(&mut self) {
        if self.failures == 0 {
            self.failing = None;
        }
    }

    /// The next part of all that a stateful channel must know, the operator's alarms first: those
    /// of accounts, however many, hold them up no longer than a post. A round of posts begins
    /// [`RESEND_INTERVAL_MS`] after the one before, and what is new is part of the present one.
    fn state<'a>(
        &mut self,
        channel: &Channel,
        alarms: &'a AlarmMap,
        may_tell: impl Fn(&AlarmId, &Alarm) -> bool,
        now: Timestamp,
    ) -> Vec<(&'a AlarmId, &'a Alarm)> {
        let active = alarms.iter();
        let active = active.filter(|(_, it)| it.is_active() && channel.wants(it.severity));
        let ended = pending(channel, alarms).filter(|(_, alarm)| !alarm.is_active());
        let all = active.chain(ended);
        let all: Vec<_> = all.filter(|(id, alarm)| may_tell(id, alarm)).collect();
        let name = &channel.config.name;
        let is_pending = |alarm: &Alarm| alarm.pending.contains(name);
        let round = &mut self.round;
        let is_left = |round: &Round, (id, alarm): &(&AlarmId, &Alarm)| {
            is_pending(alarm) || !round.accepted.contains(*id)
        };
        let is_recent = |began| now.since_ms(began) < RESEND_INTERVAL_MS;
        if !round.began.is_some_and(is_recent) && !all.iter().any(|it| is_left(round, it)) {
            *round = Round::default();
        }
        let mut left: Vec<_> = all.into_iter().filter(|it| is_left(round, it)).collect();
        left.sort_by_key(|(_, alarm)| {
            let is_operators = alarm.account.is_none();
            std::cmp::Reverse((
                is_operators,
                is_pending(alarm),
                alarm.is_over(),
                alarm.severity,
            ))
        });
        left.truncate(STATE_MAX);
        if !left.is_empty() {
            round.began.get_or_insert(now);
        }
        left
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
mod tests;
