//! The hash chain over an account's audit records: pure rules.
//!
//! Each record is written in the transaction of its change. Shortly after, a [`Link`] names some
//! records by their SHA-256, names the previous link, and carries an HMAC-SHA256 (RFC 2104) under a
//! secret of this store that only holders of a key-encryption key can unseal. The [`Head`] says
//! where the chain ends, the [`Anchor`] where it begins once old records were removed; both carry a
//! MAC too. So a party that can write to the store, but has no key-encryption key, cannot remove,
//! change or insert anything undetected. It can only restore an older state as a whole, which a
//! head stored elsewhere reveals. [`ChainVerifier`] checks all of it. A record's position is that
//! in its link; its time is checked against the clock reading in the link (`audit_chain/clock.rs`).

mod clock;
mod verifier;

use std::fmt;

use aws_lc_rs::hmac;
use edgeseal_core::{AccountId, Secret, Timestamp, certificate::Digest};
use serde::{Deserialize, Serialize};

pub(crate) use clock::retention_cutoff;
pub use clock::{CLOCK_TOLERANCE_MS, ClockMonitor};
pub use verifier::{ChainVerifier, ChainWarning, ExpectedHead, Problem, Report};

/// The secret key of the MACs.
pub struct ChainKey(hmac::Key);

/// An HMAC-SHA256; 64 hex digits in JSON and in print.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 32]);

/// A link: some records of one account, and by the previous link's MAC all records before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number, from 1, without gaps.
    pub n: u64,
    /// MAC of the previous link; [`Mac::NONE`] in the first.
    pub previous: Mac,
    /// When the link was made; `None` in links of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The records, in the order in which they were linked.
    pub records: Vec<LinkedRecord>,
    /// Over all fields above and the account.
    pub mac: Mac,
}

/// One record, by its key and its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedRecord {
    /// The suffix of its key: time in milliseconds, `-`, request ID.
    pub key: String,
    /// SHA-256 of the stored bytes.
    pub sha256: Digest,
}

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last link.
    pub n: u64,
    /// Its MAC.
    pub last: Mac,
    /// Every record that was committed up to this revision is in a link.
    pub through: u64,
    /// Over all fields above and the account.
    pub mac: Mac,
}

/// Where a chain begins once old records were removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Number of the last removed link; 0 if none was.
    pub n: u64,
    /// Its MAC; [`Mac::NONE`] if none was.
    pub last: Mac,
    /// Records from before this time may be gone.
    pub before: Timestamp,
    /// Over all fields above and the account.
    pub mac: Mac,
}

impl ChainKey {
    /// Makes MACs with this secret: 32 random bytes.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// The MAC over length-prefixed parts, starting with the purpose and the account.
    fn mac(&self, what: &str, account: &AccountId, parts: &[&[u8]]) -> Mac {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [what.as_bytes(), account.as_str().as_bytes()]
            .iter()
            .chain(parts)
        {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        Mac(mac)
    }
}

impl Mac {
    /// The predecessor of the first link.
    pub const NONE: Self = Self([0; 32]);

    /// Parses 64 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl Link {
    /// The link that follows number `n` with MAC `previous`, made at `at`.
    #[must_use]
    pub fn after(
        (n, previous): (u64, Mac),
        records: Vec<LinkedRecord>,
        at: Timestamp,
        account: &AccountId,
        key: &ChainKey,
    ) -> Self {
        let mut link = Self {
            n: n + 1,
            previous,
            at: Some(at),
            records,
            mac: Mac::NONE,
        };
        link.mac = link.computed(account, key);
        link
    }

    /// Whether it was made with this secret, for this account, and is unchanged.
    #[must_use]
    pub fn is_genuine(&self, account: &AccountId, key: &ChainKey) -> bool {
        self.mac == self.computed(account, key)
    }

    fn computed(&self, account: &AccountId, key: &ChainKey) -> Mac {
        let n = self.n.to_be_bytes();
        let at = self.at.map(|at| at.unix_ms().to_be_bytes());
        let mut parts: Vec<&[u8]> = vec![&n, &self.previous.0];
        parts.extend(at.as_ref().map(|at| &at[..]));
        for record in &self.records {
            parts.push(record.key.as_bytes());
            parts.push(&record.sha256.0);
        }
        let what = match at {
            None => "edgeseal audit link 1",
            Some(_) => "edgeseal audit link 2",
        };
        key.mac(what, account, &parts)
    }

    /// The latest time of its records.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.records.iter().filter_map(LinkedRecord::at).max()
    }
}

impl LinkedRecord {
    /// A record as it is stored.
    #[must_use]
    pub fn of(key: &str, stored: &[u8]) -> Self {
        Self {
            key: key.to_owned(),
            sha256: Digest::of(stored),
        }
    }

    /// The time in its key.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        time_of(&self.key)
    }
}

impl Head {
    /// The head after link `n` with MAC `last`.
    #[must_use]
    pub fn new((n, last): (u64, Mac), through: u64, account: &AccountId, key: &ChainKey) -> Self {
        let mut head = Self {
            n,
            last,
            through,
            mac: Mac::NONE,
        };
        head.mac = head.computed(account, key);
        head
    }

    /// As [`Link::is_genuine`].
    #[must_use]
    pub fn is_genuine(&self, account: &AccountId, key: &ChainKey) -> bool {
        self.mac == self.computed(account, key)
    }

    fn computed(&self, account: &AccountId, key: &ChainKey) -> Mac {
        let (n, through) = (self.n.to_be_bytes(), self.through.to_be_bytes());
        let parts: [&[u8]; 3] = [&n, &self.last.0, &through];
        key.mac("edgeseal audit head 1", account, &parts)
    }
}

impl Anchor {
    /// The anchor after removed link `n` with MAC `last`.
    #[must_use]
    pub fn new(
        (n, last): (u64, Mac),
        before: Timestamp,
        account: &AccountId,
        key: &ChainKey,
    ) -> Self {
        let mut anchor = Self {
            n,
            last,
            before,
            mac: Mac::NONE,
        };
        anchor.mac = anchor.computed(account, key);
        anchor
    }

    /// As [`Link::is_genuine`].
    #[must_use]
    pub fn is_genuine(&self, account: &AccountId, key: &ChainKey) -> bool {
        self.mac == self.computed(account, key)
    }

    fn computed(&self, account: &AccountId, key: &ChainKey) -> Mac {
        let (n, before) = (self.n.to_be_bytes(), self.before.unix_ms().to_be_bytes());
        let parts: [&[u8]; 3] = [&n, &self.last.0, &before];
        key.mac("edgeseal audit anchor 1", account, &parts)
    }
}

/// The time in the suffix of a record's key.
fn time_of(key: &str) -> Option<Timestamp> {
    let (ms, _) = key.split_once('-')?;
    ms.parse().ok().map(Timestamp::from_unix_ms)
}

impl TryFrom<String> for Mac {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not 64 hex digits")
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        hex::encode(mac.0)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
