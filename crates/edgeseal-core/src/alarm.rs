//! Alarms: what is watched, when an alarm is raised, escalates, is repeated and is resolved.
//!
//! There is one alarm for each code and subject. [`evaluate`] computes the conditions that hold in a
//! [`Snapshot`]; [`advance`] compares them with the alarms so far and returns what changed, and what
//! to notify of. Nothing here sends anything.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccountId, DomainPattern};

mod evaluate;
mod expiry;
mod lifecycle;
mod silence;

pub use evaluate::{
    CHANNEL_FAILING_MS, DiskUse, EdgeReport, FailedOrder, KeyEncryptionFacts, MisledVisitors,
    MissedRenewal, STAGING_SUFFIX, ServedCertificate, Snapshot, evaluate,
};
pub use expiry::{Rung, rung, rung_start};
pub use lifecycle::{Alarm, Change, EventKind, Notified, Phase, advance, reminder_interval_ms};
pub use silence::{Silence, Silences};

/// How urgent an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// To be dealt with within days.
    Warning,
    /// To be dealt with now.
    Critical,
}

impl Severity {
    /// All, the least urgent first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the reference says about a code, and its timing.
#[derive(Clone, Copy, Debug)]
pub struct CodeFacts {
    /// The word in records, labels and notifications.
    pub word: &'static str,
    /// The severities that it can have, the least urgent first.
    pub severities: &'static [Severity],
    /// What the subject is.
    pub subject: &'static str,
    /// How long the condition must hold before the alarm is raised, in milliseconds.
    pub raise_after_ms: i64,
    /// How long the condition must be absent before the alarm is resolved, in milliseconds.
    pub clear_after_ms: i64,
    /// What it means: a sentence in Markdown.
    pub meaning: &'static str,
    /// What to do: a sentence in Markdown. Links are relative to `docs/reference`.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($variant:ident = $word:literal [$($severity:ident),+] of $subject:literal,
        raised after $raise:literal ms, cleared after $clear:literal ms:
        $meaning:literal => $remedy:literal;)*) => {
        /// What an alarm is about.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $word)] $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What is known about the code.
            #[must_use]
            pub const fn facts(self) -> CodeFacts {
                match self {
                    $(Self::$variant => CodeFacts {
                        word: $word,
                        severities: &[$(Severity::$severity),+],
                        subject: $subject,
                        raise_after_ms: $raise,
                        clear_after_ms: $clear,
                        meaning: $meaning,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

// An edge is silent after three missed reports, so silence needs no further delay. A proof is
// repeated within a minute: two minutes skip one that lost a race against a change.
#[rustfmt::skip]
codes! {
    CertificateExpiring = "certificate_expiring" [Info, Warning, Critical] of "the domain; `DOMAIN@staging` for what staging edges serve",
        raised after 0 ms, cleared after 0 ms:
        "A certificate that is served expires soon, or has expired. The earliest end in the served chain counts, and of two certificates the earlier one."
        => "Renew it: upload a new certificate, or look why the tool that does so has stopped.";
    RenewalMissed = "renewal_missed" [Warning] of "the domain",
        raised after 0 ms, cleared after 0 ms:
        "The certificate of a domain was replaced at regular intervals, and a replacement that was due has not come."
        => "Look at the tool that uploads the certificates of this domain. Its last call is in the domain's history.";
    OrderFailed = "order_failed" [Warning, Critical] of "the domain; `DOMAIN@staging` for staging edges",
        raised after 0 ms, cleared after 0 ms:
        "A certificate could not be ordered. Edgeseal tries again; what is served stays. It is critical once the served certificate is about to expire."
        => "The text says what the authority refused.";
    DomainQuarantined = "domain_quarantined" [Critical] of "the domain",
        raised after 0 ms, cleared after 60_000 ms:
        "An edge cannot use the newest record of a domain, and serves its last good state."
        => "Upload the certificate again, or restore the store from a backup. See [troubleshooting](../operate/troubleshoot.md).";
    DomainUnproven = "domain_unproven" [Warning] of "the domain",
        raised after 120_000 ms, cleared after 120_000 ms:
        "A handshake of an edge with itself does not show the certificate that the store has bound."
        => "See `edgeseal rollout DOMAIN` and the log of that edge.";
    VisitorsMisled = "visitors_misled" [Warning] of "the domain",
        raised after 0 ms, cleared after 0 ms:
        "Visitors of a domain do not get its certificate, or browsers refuse it: seen from outside, with `outside_check`."
        => "The text says what they find. See [what visitors find](../operate/outside.md).";
    EdgeSilent = "edge_silent" [Warning] of "the group and the edge, as `GROUP/EDGE`",
        raised after 0 ms, cleared after 120_000 ms:
        "An edge has stopped reporting. It may still serve what it had."
        => "See whether it runs and reaches the store. The report of an edge that is gone for good disappears after a day.";
    KeyEncryptionKeyDue = "key_encryption_key_due" [Warning] of "the key",
        raised after 0 ms, cleared after 0 ms:
        "The active key-encryption key is older than `kek_max_age_days`."
        => "Rotate it: `edgeseal kek rotate`. See [keys](../operate/keys.md).";
    KeyEncryptionKeyMissing = "key_encryption_key_missing" [Critical] of "the active key",
        raised after 0 ms, cleared after 0 ms:
        "Something in the store is sealed under a key-encryption key that this process does not have."
        => "Add the key to the key sources again, below the active one. See [a missing key](../operate/keys.md#a-missing-key).";
    AuditChainBroken = "audit_chain_broken" [Critical] of "the account, or `linker` if nothing is linked",
        raised after 0 ms, cleared after 0 ms:
        "New audit records of an account are not linked into its chain any more: the chain was tampered with, the linker cannot run, or it has linked nothing for a minute."
        => "Run `edgeseal audit verify`. See [audit](../operate/audit.md).";
    DiskNearlyFull = "disk_nearly_full" [Warning, Critical] of "the group and the edge, as `GROUP/EDGE`",
        raised after 0 ms, cleared after 60_000 ms:
        "The disk of an edge's data directory has less than 10 % (at most 10 GiB) free, critical below 3 % (at most 2 GiB); or less than `disk_free_bytes`, critical below a fifth of it. On a full disk changes are refused."
        => "Make room, or move the data directory.";
    StoreUnavailable = "store_unavailable" [Critical] of "`store`",
        raised after 30_000 ms, cleared after 60_000 ms:
        "The store cannot be read, or commits fail. Edges serve their last good state; every change is refused."
        => "The text says why. See [troubleshooting](../operate/troubleshoot.md).";
    ChannelFailing = "alarm_channel_failing" [Warning] of "the name of the channel",
        raised after 0 ms, cleared after 0 ms:
        "A channel of alarms has accepted nothing for 15 minutes. Its notifications wait."
        => "Run `edgeseal alarm test`, which says what each channel answers.";
    AlarmsLeftOut = "alarms_left_out" [Warning] of "the code",
        raised after 0 ms, cleared after 0 ms:
        "There is more of one code than may have an alarm of its own: see [limits](limits.md). Each account has its share of the alarms about certificates, orders, renewals and visitors."
        => "Cure the others: each that ends makes room for the next.";
}

impl Code {
    /// The word in records, labels and notifications.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().word
    }

    /// Whether it is the account's own matter: the account may silence it, and is told all of it.
    /// What edges do is the operator's.
    #[must_use]
    pub const fn is_of_account(self) -> bool {
        !matches!(self, Self::DomainQuarantined | Self::DomainUnproven)
    }

    /// The code with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|code| code.as_str() == word)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identifies an alarm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmId {
    /// What it is about.
    pub code: Code,
    /// Whom it concerns; see [`CodeFacts::subject`].
    pub subject: String,
}

impl AlarmId {
    /// The alarm of this code about this subject.
    #[must_use]
    pub fn new(code: Code, subject: impl Into<String>) -> Self {
        Self {
            code,
            subject: subject.into(),
        }
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code, self.subject)
    }
}

/// A condition that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// How urgent it is.
    pub severity: Severity,
    /// How far it has come at the same severity; grows.
    pub rung: u8,
    /// What is wrong: a sentence without a full stop that stays the same while nothing changes.
    pub text: String,
    /// The account that it concerns, besides the operator.
    pub account: Option<AccountId>,
    /// The domain that it concerns.
    pub domain: Option<DomainPattern>,
}

#[cfg(test)]
mod tests;
