//! Silenced domains.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Alarm, AlarmId};
use crate::{AccountId, DomainPattern, Timestamp};

/// A silenced domain: its alarms are not notified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The domain.
    pub domain: DomainPattern,
    /// The account that owned it then.
    pub account: AccountId,
    /// Whether the operator silenced it: then it applies to all alarms of the domain, else to those
    /// [of the account](super::Code::is_of_account).
    #[serde(default)]
    pub by_operator: bool,
    /// Until when; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When it was silenced.
    pub since: Timestamp,
}

impl Silence {
    /// Whether it applies.
    #[must_use]
    pub fn applies(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All silenced domains.
#[derive(Clone, Debug, Default)]
pub struct Silences(BTreeMap<DomainPattern, Vec<Silence>>);

impl FromIterator<Silence> for Silences {
    fn from_iter<I: IntoIterator<Item = Silence>>(all: I) -> Self {
        let mut silences = Self::default();
        for silence in all {
            let of_domain = silences.0.entry(silence.domain.clone()).or_default();
            of_domain.push(silence);
        }
        silences
    }
}

impl Silences {
    /// Whether an alarm is silenced. A silence ends with the domain's account.
    #[must_use]
    pub fn mute(&self, id: &AlarmId, alarm: &Alarm, now: Timestamp) -> bool {
        let domain = alarm.domain.as_ref();
        let silences = domain.and_then(|domain| self.0.get(domain));
        silences.into_iter().flatten().any(|silence| {
            let owner = alarm.account.as_ref();
            let is_owner = owner.is_none_or(|owner| *owner == silence.account);
            is_owner && silence.applies(now) && (silence.by_operator || id.code.is_of_account())
        })
    }

    /// All, in order of their domains.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.0.values().flatten()
    }
}
