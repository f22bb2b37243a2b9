//! What channels are told.

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{
    Timestamp,
    alarm::{Alarm, AlarmId, EventKind, Phase},
};
use serde::Serialize;

/// Where the codes and the channels are described.
const DOCS: &str = "https://github.com/edgeseal/edgeseal/blob/main/docs";

/// A notification, as webhooks and commands get it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Notification {
    /// The same in each attempt, and of each channel.
    pub(crate) id: String,
    /// `raised`, `escalated`, `reminder`, `resolved` or `test`.
    pub(crate) event: &'static str,
    pub(crate) code: &'static str,
    pub(crate) subject: String,
    pub(crate) severity: &'static str,
    pub(crate) text: String,
    pub(crate) remedy: &'static str,
    pub(crate) documentation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    pub(crate) since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resolved_at: Option<String>,
}

/// Notifications that are sent at once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Batch {
    /// The version of this form.
    pub(crate) version: u8,
    /// The same in each attempt.
    pub(crate) id: String,
    pub(crate) notifications: Vec<Notification>,
}

impl Notification {
    /// The last notification of an alarm.
    pub(crate) fn of(id: &AlarmId, alarm: &Alarm) -> Self {
        let facts = id.code.facts();
        let kind = alarm.notified.map_or(EventKind::Raised, |last| last.kind);
        let resolved_at = match alarm.phase {
            Phase::Resolved { at, .. } => Some(at.to_string()),
            _ => None,
        };
        Self {
            id: format!(
                "{id}/{}/{}",
                alarm.first_seen.unix_ms(),
                alarm.notifications
            ),
            event: kind.as_str(),
            code: facts.word,
            subject: id.subject.clone(),
            severity: alarm.severity.as_str(),
            text: alarm.text.clone(),
            remedy: facts.remedy,
            documentation: format!("{DOCS}/reference/alarms.md#{}", facts.word),
            domain: alarm.domain.as_ref().map(ToString::to_string),
            account: alarm.account.as_ref().map(ToString::to_string),
            since: alarm.first_seen.to_string(),
            resolved_at,
        }
    }

    /// A test, requested at `now`.
    pub(crate) fn test(now: Timestamp) -> Self {
        Self {
            id: format!("test/{}", now.unix_ms()),
            event: "test",
            code: "test",
            subject: "test".to_owned(),
            severity: "info",
            text: "this is a test of the channels for alarms; nothing is wrong".to_owned(),
            remedy: "Nothing is to be done.",
            documentation: format!("{DOCS}/operate/alarms.md#channels"),
            domain: None,
            account: None,
            since: now.to_string(),
            resolved_at: None,
        }
    }

    /// Whether the alarm has ended.
    pub(crate) const fn is_resolved(&self) -> bool {
        self.resolved_at.is_some()
    }
}

impl Batch {
    pub(crate) fn of(notifications: Vec<Notification>) -> Self {
        let ids: Vec<&str> = notifications.iter().map(|it| it.id.as_str()).collect();
        let hash = digest(&SHA256, ids.join("\n").as_bytes());
        Self {
            version: 1,
            id: hex::encode(&hash.as_ref()[..16]),
            notifications,
        }
    }

    /// One line about all of them.
    pub(crate) fn title(&self) -> String {
        match &self.notifications[..] {
            [one] => format!("{} {}: {}", one.event, one.severity, one.text),
            all => {
                let ended = all.iter().filter(|it| it.is_resolved()).count();
                format!("{} alarms, {ended} of them resolved", all.len())
            }
        }
    }
}
