//! Who may do what: the one decision point.
//!
//! An account's own key may do everything in its account; only the root account may operate
//! Edgeseal itself. Finer rights (users, roles, policy documents) decide here too once they exist.

use crate::account::{Account, AccountId};

/// Whoever calls, once the signature is known to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The key of an account itself.
    Account(Account),
}

/// Whose thing is acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sphere {
    /// Something of the caller's own account.
    OwnAccount,
    /// Edgeseal itself: accounts, keys of others, domain modes.
    Operator,
}

/// A decision that carries its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allowed,
    /// No statement allows it.
    ImplicitDeny,
}

impl Principal {
    /// The account whose things this principal acts on.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        match self {
            Self::Account(account) => &account.id,
        }
    }

    /// Whether this is the account that operates Edgeseal.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        match self {
            Self::Account(account) => account.root,
        }
    }
}

/// Decides whether `principal` may act in `sphere`.
#[must_use]
pub const fn may(principal: &Principal, sphere: Sphere) -> Decision {
    match (sphere, principal.is_operator()) {
        (Sphere::OwnAccount, _) | (Sphere::Operator, true) => Decision::Allowed,
        (Sphere::Operator, false) => Decision::ImplicitDeny,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn principal(root: bool) -> Principal {
        Principal::Account(Account {
            id: AccountId::from_random(7),
            name: "name".to_owned(),
            root,
            created: Timestamp::default(),
        })
    }

    #[test]
    fn only_root_operates() {
        assert_eq!(may(&principal(true), Sphere::Operator), Decision::Allowed);
        assert_eq!(
            may(&principal(false), Sphere::Operator),
            Decision::ImplicitDeny
        );
        assert_eq!(
            may(&principal(false), Sphere::OwnAccount),
            Decision::Allowed
        );
    }
}
