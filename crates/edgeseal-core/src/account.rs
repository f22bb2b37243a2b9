//! Accounts, which own domains, and the access keys that sign their calls.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{Timestamp, identity::UserName, quota::QuotaOverrides};

/// An account number: 16 decimal digits, the first not zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AccountId(Box<str>);

/// The owner of domains and certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account number.
    pub id: AccountId,
    /// A display name, unique.
    pub name: String,
    /// The root account operates this Edgeseal: it may create accounts and set domain modes.
    pub root: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Whether its origins may have non-public addresses, if the operator set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_origins: Option<bool>,
    /// Quotas that the operator set for this account.
    #[serde(default, skip_serializing_if = "QuotaOverrides::is_empty")]
    pub quotas: QuotaOverrides,
}

/// A key that signs calls. Its secret is stored separately, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// The access key ID, sent with every call.
    pub id: String,
    /// The account whose calls it signs.
    pub account: AccountId,
    /// The user that the key belongs to; `None` if it belongs to the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// Whether it may be used now.
    pub active: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// Most access keys of an account itself, besides those of its users.
pub const ACCESS_KEYS_MAX: usize = 10;

/// Why parsing an account number failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account number is 16 digits and does not start with 0")]
pub struct InvalidAccountId;

impl AccountId {
    /// Parses 16 digits.
    ///
    /// # Errors
    /// [`InvalidAccountId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidAccountId> {
        let well_formed =
            text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(InvalidAccountId)
        }
    }

    /// An account number derived from a random number.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        const FIRST: u64 = 1_000_000_000_000_000;
        Self((FIRST + random % (9 * FIRST)).to_string().into_boxed_str())
    }

    /// The 16 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert!(AccountId::parse("1234567890123456").is_ok());
        for text in [
            "",
            "123456789012345",
            "0234567890123456",
            "12345678901234567",
            "123456789012345x",
            "１234567890123456",
        ] {
            assert_eq!(AccountId::parse(text), Err(InvalidAccountId), "{text}");
        }
    }

    #[test]
    fn random_numbers_are_well_formed() {
        for random in [0, 1, 8_999_999_999_999_999, 9_000_000_000_000_000, u64::MAX] {
            let id = AccountId::from_random(random);
            assert_eq!(AccountId::parse(id.as_str()), Ok(id.clone()));
        }
    }
}
