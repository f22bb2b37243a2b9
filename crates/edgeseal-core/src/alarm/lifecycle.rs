//! The life of an alarm, from one evaluation to the next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AlarmId, Code, Condition, Severity};
use crate::{AccountId, DomainPattern, Timestamp};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// An alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// How urgent it is.
    pub severity: Severity,
    /// How far it has come at the same severity.
    pub rung: u8,
    /// What is wrong.
    pub text: String,
    /// The account that it concerns, besides the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The domain that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainPattern>,
    /// Since when the condition holds.
    pub first_seen: Timestamp,
    /// Its phase.
    pub phase: Phase,
    /// The last notification; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notified: Option<Notified>,
    /// The number of notifications so far.
    #[serde(default)]
    pub notifications: u32,
    /// The channels that have not accepted the last notification yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pending: BTreeSet<String>,
}

/// The phase of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Phase {
    /// The condition holds, but not for long enough yet.
    Starting,
    /// It is raised.
    Active,
    /// The condition has ended, but not for long enough yet.
    Clearing {
        /// When it was first not seen.
        since: Timestamp,
    },
    /// It is resolved; it remains until all channels have accepted that.
    Resolved {
        /// When.
        at: Timestamp,
        /// Since when the condition holds again, for less long than a new alarm needs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Timestamp>,
    },
}

/// A notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// When.
    pub at: Timestamp,
    /// What it was about.
    pub kind: EventKind,
    /// The severity then.
    pub severity: Severity,
    /// The rung then.
    pub rung: u8,
    /// The greatest severity of all notifications: whoever got that one is told of the end.
    pub greatest: Severity,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The alarm is raised.
    Raised,
    /// It has become more urgent.
    Escalated,
    /// It still holds.
    Reminder,
    /// It has ended.
    Resolved,
}

impl EventKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Escalated => "escalated",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
        }
    }
}

/// A change of one alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub id: AlarmId,
    /// Its new state; `None` if it is over and nobody must be told.
    pub alarm: Option<Alarm>,
    /// What to notify of.
    pub event: Option<EventKind>,
}

/// How long after a notification an alarm that still holds is notified again, in milliseconds.
#[must_use]
pub const fn reminder_interval_ms(severity: Severity) -> i64 {
    match severity {
        Severity::Critical => DAY_MS,
        Severity::Info | Severity::Warning => 7 * DAY_MS,
    }
}

/// Compares the alarms so far with the conditions that hold now, and returns what changed.
///
/// Alarms of codes that were not `observed` stay as they are. Alarms that are `silenced` are not
/// notified; if they hold longer than the silence, they are notified after it. The end of one that
/// was notified before is always notified. The delays
/// of a code are for an evaluation every minute; with another `interval_ms` they last as many
/// evaluations.
#[must_use]
pub fn advance(
    before: &BTreeMap<AlarmId, Alarm>,
    current: &BTreeMap<AlarmId, Condition>,
    observed: impl Fn(Code) -> bool,
    silenced: impl Fn(&AlarmId, &Alarm) -> bool,
    interval_ms: i64,
    now: Timestamp,
) -> Vec<Change> {
    let delay = |ms: i64| ms.saturating_mul(interval_ms) / MINUTE_MS;
    let mut changes = Vec::new();
    let gone = before.iter().filter(|(id, _)| !current.contains_key(*id));
    let gone = gone.filter(|(id, _)| observed(id.code));
    for (id, alarm) in gone {
        let clear_after_ms = delay(id.code.facts().clear_after_ms);
        changes.extend(alarm.without_condition(id, clear_after_ms, now));
    }
    for (id, condition) in current {
        let known = before.get(id);
        let raise_after_ms = delay(id.code.facts().raise_after_ms);
        let mut alarm = Alarm::with_condition(known, condition, raise_after_ms, now);
        let event = alarm.due_event(now).filter(|_| !silenced(id, &alarm));
        if let Some(kind) = event {
            alarm.note(kind, now);
        }
        if known != Some(&alarm) {
            changes.push(Change {
                id: id.clone(),
                alarm: Some(alarm),
                event,
            });
        }
    }
    changes
}

impl Alarm {
    /// Whether it is raised and not resolved.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::Clearing { .. })
    }

    /// Whether it is resolved.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Resolved { .. })
    }

    /// What an account is told: edges, and why they do what they do, are the operator's.
    #[must_use]
    pub fn text_for_account(&self, code: Code) -> String {
        let domain = self.domain.as_ref().filter(|_| !code.is_of_account());
        match (domain, code) {
            (None, _) => self.text.clone(),
            (Some(domain), Code::DomainQuarantined) => {
                format!("{domain}: its newest record cannot be used; the last good state is served")
            }
            (Some(domain), _) => {
                format!("{domain}: a handshake does not show the certificate that is bound")
            }
        }
    }

    /// The state while the condition holds.
    fn with_condition(
        before: Option<&Self>,
        condition: &Condition,
        raise_after_ms: i64,
        now: Timestamp,
    ) -> Self {
        let resolved = before.filter(|alarm| alarm.is_over());
        let before = before.filter(|alarm| !alarm.is_over());
        let again = resolved.and_then(Self::holds_again_since).unwrap_or(now);
        let first_seen = before.map_or(again, |alarm| alarm.first_seen);
        let is_raised =
            before.is_some_and(Self::is_active) || now.since_ms(first_seen) >= raise_after_ms;
        if let Some(resolved) = resolved.filter(|it| !is_raised && !it.pending.is_empty()) {
            // A new alarm that does not come to be raised must not hide this end.
            return resolved.holding_again(Some(first_seen));
        }
        let mut notified = before.and_then(|alarm| alarm.notified);
        if let Some(notified) = &mut notified {
            // Less urgent than before: the next step up is news again.
            let level = (condition.severity, condition.rung);
            if level < (notified.severity, notified.rung) {
                (notified.severity, notified.rung) = level;
            }
        }
        Self {
            severity: condition.severity,
            rung: condition.rung,
            text: condition.text.clone(),
            account: condition.account.clone(),
            domain: condition.domain.clone(),
            first_seen,
            phase: if is_raised {
                Phase::Active
            } else {
                Phase::Starting
            },
            notified,
            notifications: before.map_or(0, |alarm| alarm.notifications),
            pending: before
                .map(|alarm| alarm.pending.clone())
                .unwrap_or_default(),
        }
    }

    /// The change while the condition does not hold.
    fn without_condition(
        &self,
        id: &AlarmId,
        clear_after_ms: i64,
        now: Timestamp,
    ) -> Option<Change> {
        let change = |alarm, event| {
            Some(Change {
                id: id.clone(),
                alarm,
                event,
            })
        };
        let since = match self.phase {
            Phase::Resolved { again: None, .. } => return None,
            Phase::Resolved { .. } => return change(Some(self.holding_again(None)), None),
            Phase::Starting => return change(None, None),
            Phase::Active => now,
            Phase::Clearing { since } => since,
        };
        let mut alarm = self.clone();
        if now.since_ms(since) < clear_after_ms {
            alarm.phase = Phase::Clearing { since };
            return (alarm != *self).then(|| change(Some(alarm), None))?;
        }
        // An end is no noise: who was told of the beginning is told of it, also in a silence.
        if self.notified.is_none() {
            return change(None, None);
        }
        alarm.phase = Phase::Resolved {
            at: now,
            again: None,
        };
        alarm.note(EventKind::Resolved, now);
        change(Some(alarm), Some(EventKind::Resolved))
    }

    const fn holds_again_since(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Resolved { again, .. } => again,
            _ => None,
        }
    }

    /// This resolved alarm, with the time since when its condition holds again.
    fn holding_again(&self, since: Option<Timestamp>) -> Self {
        let mut alarm = self.clone();
        if let Phase::Resolved { again, .. } = &mut alarm.phase {
            *again = since;
        }
        alarm
    }

    /// What to notify of now.
    fn due_event(&self, now: Timestamp) -> Option<EventKind> {
        if self.phase != Phase::Active {
            return None;
        }
        let Some(last) = self.notified else {
            return Some(EventKind::Raised);
        };
        if (self.severity, self.rung) > (last.severity, last.rung) {
            return Some(EventKind::Escalated);
        }
        let interval = reminder_interval_ms(self.severity);
        (now.since_ms(last.at) >= interval).then_some(EventKind::Reminder)
    }

    fn note(&mut self, kind: EventKind, now: Timestamp) {
        let greatest = self.notified.map_or(self.severity, |last| last.greatest);
        self.notifications = self.notifications.saturating_add(1);
        self.notified = Some(Notified {
            at: now,
            kind,
            severity: self.severity,
            rung: self.rung,
            greatest: greatest.max(self.severity),
        });
    }
}
