//! Whether origins may have non-public addresses. The edge that connects to them decides.
//!
//! An edge knows no accounts. A domain's record carries the permission of its account
//! ([`OriginPermission`]), every process has the installation's setting ([`PrivateOrigins`]), and
//! both together decide.

use serde::{Deserialize, Serialize};

/// An installation's setting: whose origins may have non-public addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivateOrigins {
    /// Those of the root account, and of accounts that the operator permits.
    #[default]
    Root,
    /// Those of every account, except where the operator forbids it.
    All,
    /// Those of accounts that the operator permits; root is no exception.
    None,
}

/// The permission of a domain's account, as its record carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginPermission {
    /// The record was written by a release without permissions. It counts as root's until the
    /// control plane rewrites it, so that an upgrade breaks nothing.
    #[default]
    Unknown,
    /// The root account.
    Root,
    /// Another account.
    Tenant,
    /// The operator permits it.
    Allowed,
    /// The operator forbids it.
    Refused,
}

impl OriginPermission {
    /// The permission to store in the domains of an account. `private_origins` is the operator's
    /// choice for the account, if any.
    #[must_use]
    pub const fn from_account(is_root: bool, private_origins: Option<bool>) -> Self {
        match private_origins {
            Some(true) => Self::Allowed,
            Some(false) => Self::Refused,
            None if is_root => Self::Root,
            None => Self::Tenant,
        }
    }

    /// Whether the record carries no permission.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl PrivateOrigins {
    /// Whether an origin of a domain with this `permission` may have a non-public address.
    #[must_use]
    pub const fn permits(self, permission: OriginPermission) -> bool {
        match permission {
            OriginPermission::Allowed => true,
            OriginPermission::Refused => false,
            OriginPermission::Root | OriginPermission::Unknown => !matches!(self, Self::None),
            OriginPermission::Tenant => matches!(self, Self::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_choice_goes_before_the_setting() {
        use PrivateOrigins::{All, None as Nobody, Root};
        // Whether it is root, the operator's choice for it; then what each setting permits.
        let table = [
            (true, None, [(Root, true), (All, true), (Nobody, false)]),
            (false, None, [(Root, false), (All, true), (Nobody, false)]),
            (
                true,
                Some(true),
                [(Root, true), (All, true), (Nobody, true)],
            ),
            (
                false,
                Some(true),
                [(Root, true), (All, true), (Nobody, true)],
            ),
            (
                true,
                Some(false),
                [(Root, false), (All, false), (Nobody, false)],
            ),
            (
                false,
                Some(false),
                [(Root, false), (All, false), (Nobody, false)],
            ),
        ];
        for (is_root, chosen, settings) in table {
            for (setting, permitted) in settings {
                let permission = OriginPermission::from_account(is_root, chosen);
                let found = setting.permits(permission);
                assert_eq!(found, permitted, "{setting:?}, {is_root}, {chosen:?}");
            }
        }
        assert!(Root.permits(OriginPermission::Unknown));
        assert!(!Nobody.permits(OriginPermission::Unknown));
    }
}
