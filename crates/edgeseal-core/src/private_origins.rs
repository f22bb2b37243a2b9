//! Whether origins may have addresses that are not public, decided where they are connected to.
//!
//! An edge knows no accounts. A domain's record says what its account may
//! ([`OriginPermission`]), every process knows what the installation allows ([`PrivateOrigins`]),
//! and both together are the answer.

use serde::{Deserialize, Serialize};

/// Whose origins may have addresses that are not public: the setting of an installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivateOrigins {
    /// Those of the root account, and of accounts that the operator allows it.
    #[default]
    Root,
    /// Those of every account, except where the operator refuses it.
    All,
    /// Those of accounts that the operator allows it; root is no exception.
    None,
}

/// What a domain's record says of its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginPermission {
    /// Nothing: a record of a release that knew no permissions. It counts as root's until the
    /// control plane has rewritten it, so that an upgrade breaks nothing.
    #[default]
    Unknown,
    /// It is the root account.
    Root,
    /// It is another one.
    Tenant,
    /// The operator allows it.
    Allowed,
    /// The operator refuses it.
    Refused,
}

impl OriginPermission {
    /// What the record of an account's domain says. `private_origins` is what the operator chose for
    /// the account, if anything.
    #[must_use]
    pub const fn from_account(is_root: bool, private_origins: Option<bool>) -> Self {
        match private_origins {
            Some(true) => Self::Allowed,
            Some(false) => Self::Refused,
            None if is_root => Self::Root,
            None => Self::Tenant,
        }
    }

    /// Whether the record says nothing.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl PrivateOrigins {
    /// Whether an origin of a domain whose record says `permission` may have an address that is not
    /// public.
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
        // Whether it is root, what the operator chose for it; then what each setting permits.
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
