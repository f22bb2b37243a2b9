//! Keys of alarms.

use edgeseal_core::{
    AccountId, DomainPattern,
    alarm::{AlarmId, Code},
};

use super::{ALARM_SILENCES, ALARMS, Key};

/// Prefix of [`Key::alarm_silence`] of all domains of an account.
#[must_use]
pub fn account_alarm_silences(account: &AccountId) -> String {
    format!("{ALARM_SILENCES}{account}/")
}

impl Key {
    /// An alarm. A subject is a domain, an edge or a fixed word; that of an edge has a `/`.
    #[must_use]
    pub fn alarm(id: &AlarmId) -> Self {
        Self(format!("{ALARMS}{}/{}", id.code, id.subject).into())
    }

    /// The alarm that a key is of; `None` for any other key, and for a code of another release.
    #[must_use]
    pub fn as_alarm(&self) -> Option<AlarmId> {
        let (code, subject) = self.0.strip_prefix(ALARMS)?.split_once('/')?;
        Some(AlarmId::new(Code::parse(code)?, subject))
    }

    /// Marks that the alarms of a domain are silenced, by its account or by the operator.
    #[must_use]
    pub fn alarm_silence(account: &AccountId, domain: &DomainPattern, by_operator: bool) -> Self {
        let of_account = account_alarm_silences(account);
        let by = if by_operator { "/operator" } else { "" };
        Self(format!("{of_account}{domain}{by}").into())
    }
}
