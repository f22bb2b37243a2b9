//! Principals, and the principals that the trust policy of a role names.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    document::one_or_list,
    invalid::{InvalidPolicy, truncate},
    json::{JsonPath, Node},
};
use crate::{
    account::{Account, AccountId},
    identity::IdentityKind,
};

/// The authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An account itself, by its own key.
    Account(Account),
    /// A RAM user.
    User {
        /// The account that it belongs to.
        account: Account,
        /// Its name, unique in the account.
        name: String,
        /// Its ID.
        id: String,
    },
    /// A session of an assumed role.
    Role {
        /// The account that the role belongs to.
        account: Account,
        /// The role's name, unique in the account.
        role: String,
        /// The role's ID.
        id: String,
        /// The session's name, chosen by the principal that assumed the role.
        session: String,
    },
}

/// The name of a principal in policies, audit records and `GetCallerIdentity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalArn {
    /// `acs:ram::{account}:root`.
    Account(AccountId),
    /// `acs:ram::{account}:user/{name}`.
    User {
        /// The account.
        account: AccountId,
        /// The user's name.
        name: String,
    },
    /// `acs:ram::{account}:assumed-role/{role}/{session}`.
    Role {
        /// The account.
        account: AccountId,
        /// The role's name.
        role: String,
        /// The session's name.
        session: String,
    },
    /// A service that acts for an account, such as `ecs.aliyuncs.com`.
    Service(String),
    /// An identity provider, `acs:ram::{account}:oidc-provider/{name}` or `…:saml-provider/{name}`.
    Federated(String),
}

/// The name of a user or a role, which may be deleted and created again:
/// `acs:ram::{account}:user/{name}` or `acs:ram::{account}:role/{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityArn {
    /// The account.
    pub account: AccountId,
    /// User or role.
    pub kind: IdentityKind,
    /// Its name.
    pub name: String,
}

/// A principal in a trust policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrustedPrincipal {
    kind: PrincipalKind,
    raw: Box<str>,
    matcher: PrincipalMatcher,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PrincipalKind {
    Ram,
    Service,
    Federated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PrincipalMatcher {
    /// `…:root`: all users and roles of the account.
    Account(AccountId),
    /// `…:role/{role}`: all sessions of the role.
    RoleSessions { account: AccountId, role: String },
    /// Exactly this principal.
    Exact(PrincipalArn),
}

/// The principals of a statement, grouped by kind.
pub(super) struct ByKind<'a>(&'a [TrustedPrincipal]);

impl Principal {
    /// The account whose resources this principal acts on.
    #[must_use]
    pub const fn account_id(&self) -> &AccountId {
        &self.owner().id
    }

    /// The same, with the account's attributes.
    #[must_use]
    pub const fn owner(&self) -> &Account {
        match self {
            Self::Account(account) | Self::User { account, .. } | Self::Role { account, .. } => {
                account
            }
        }
    }

    /// The ID of the user or role, never reused; `None` for an account.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Account(_) => None,
            Self::User { id, .. } | Self::Role { id, .. } => Some(id),
        }
    }

    /// Its name in policies.
    #[must_use]
    pub fn arn(&self) -> PrincipalArn {
        let account = self.account_id().clone();
        match self {
            Self::Account(_) => PrincipalArn::Account(account),
            Self::User { name, .. } => PrincipalArn::User {
                account,
                name: name.clone(),
            },
            Self::Role { role, session, .. } => PrincipalArn::Role {
                account,
                role: role.clone(),
                session: session.clone(),
            },
        }
    }
}

impl TrustedPrincipal {
    /// Parses the element `Principal` of a trust policy.
    pub(super) fn read_all(node: &Node, path: &JsonPath<'_>) -> Result<Vec<Self>, InvalidPolicy> {
        const KINDS: [PrincipalKind; 3] = [
            PrincipalKind::Ram,
            PrincipalKind::Service,
            PrincipalKind::Federated,
        ];
        let names = KINDS.map(PrincipalKind::name);
        node.object(path)?; // not empty
        let mut trusted = Vec::new();
        for (kind, node) in KINDS.into_iter().zip(node.elements(path, names)?) {
            let Some(node) = node else { continue };
            let path = JsonPath::Element(path, kind.name());
            trusted.extend(node.each(&path, |node, path| Self::read(kind, node, path))?);
        }
        Ok(trusted)
    }

    fn read(kind: PrincipalKind, node: &Node, path: &JsonPath<'_>) -> Result<Self, InvalidPolicy> {
        let text = node.text(path)?;
        let who = kind.parse(text).ok_or_else(|| InvalidPolicy::Value {
            path: path.to_string(),
            given: truncate(text),
            expected: kind.expected(),
        })?;
        Ok(Self {
            kind,
            raw: text.into(),
            matcher: who,
        })
    }

    /// Whether it names `principal`. The key of an account itself never matches: accounts cannot
    /// assume roles.
    pub(super) fn matches(&self, principal: &PrincipalArn) -> bool {
        match (&self.matcher, principal) {
            (
                PrincipalMatcher::Account(trusted),
                PrincipalArn::User { account, .. } | PrincipalArn::Role { account, .. },
            ) => trusted == account,
            (
                PrincipalMatcher::RoleSessions {
                    account: trusted,
                    role: of,
                },
                PrincipalArn::Role { account, role, .. },
            ) => (trusted, of) == (account, role),
            (PrincipalMatcher::Exact(one), other) => one == other,
            _ => false,
        }
    }

    /// The user or role that it names, if any: for a role session the role.
    pub(super) fn identity(&self) -> Option<IdentityArn> {
        match &self.matcher {
            PrincipalMatcher::Exact(arn) => arn.identity(),
            PrincipalMatcher::RoleSessions { account, role } => Some(IdentityArn {
                account: account.clone(),
                kind: IdentityKind::Role,
                name: role.clone(),
            }),
            PrincipalMatcher::Account(_) => None,
        }
    }

    /// Groups principals for serialization.
    pub(super) const fn by_kind(all: &[Self]) -> ByKind<'_> {
        ByKind(all)
    }
}

impl PrincipalKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ram => "RAM",
            Self::Service => "Service",
            Self::Federated => "Federated",
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Ram => {
                "acs:ram::{account}:root, …:user/{name} or …:role/{name}, without wildcards"
            }
            Self::Service => "the name of a service, such as ecs.aliyuncs.com",
            Self::Federated => "acs:ram::{account}:oidc-provider/{name} or …:saml-provider/{name}",
        }
    }

    fn parse(self, text: &str) -> Option<PrincipalMatcher> {
        match self {
            Self::Service => {
                let good = |b: u8| b.is_ascii_alphanumeric() || b".-@".contains(&b);
                let named = text.contains('.') && text.bytes().all(good);
                named.then(|| PrincipalMatcher::Exact(PrincipalArn::Service(text.to_owned())))
            }
            Self::Ram => {
                let (account, name) = parse_arn(text)?;
                parse_identity(account, name)
            }
            Self::Federated => {
                let (_, name) = parse_arn(text)?;
                let (kind, name) = name.split_once('/')?;
                let good = matches!(kind, "oidc-provider" | "saml-provider") && is_name(name);
                good.then(|| PrincipalMatcher::Exact(PrincipalArn::Federated(text.to_owned())))
            }
        }
    }
}

/// Parses the part of an identity's name after the account.
fn parse_identity(account: AccountId, name: &str) -> Option<PrincipalMatcher> {
    if name == "root" {
        return Some(PrincipalMatcher::Account(account));
    }
    let (kind, name) = name.split_once('/')?;
    let good = |name: &str| is_name(name).then(|| name.to_owned());
    match kind {
        "user" => {
            let name = good(name)?;
            Some(PrincipalMatcher::Exact(PrincipalArn::User {
                account,
                name,
            }))
        }
        "role" => {
            let role = good(name)?;
            Some(PrincipalMatcher::RoleSessions { account, role })
        }
        "assumed-role" => {
            let (role, session) = name.split_once('/')?;
            Some(PrincipalMatcher::Exact(PrincipalArn::Role {
                account,
                role: good(role)?,
                session: good(session)?,
            }))
        }
        _ => None,
    }
}

/// Splits `acs:ram::{account}:{name}`.
fn parse_arn(text: &str) -> Option<(AccountId, &str)> {
    let (account, name) = text.strip_prefix("acs:ram::")?.split_once(':')?;
    Some((AccountId::parse(account).ok()?, name))
}

/// Whether all characters are allowed in names of users, roles, sessions and providers.
fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_@".contains(&b);
    !text.is_empty() && text.bytes().all(good)
}

impl PrincipalArn {
    /// The user, or the role of the session; `None` for others.
    #[must_use]
    pub fn identity(&self) -> Option<IdentityArn> {
        let (account, kind, name) = match self {
            Self::User { account, name } => (account, IdentityKind::User, name),
            Self::Role { account, role, .. } => (account, IdentityKind::Role, role),
            Self::Account(_) | Self::Service(_) | Self::Federated(_) => return None,
        };
        Some(IdentityArn {
            account: account.clone(),
            kind,
            name: name.clone(),
        })
    }
}

impl fmt::Display for IdentityArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            kind,
            name,
        } = self;
        write!(f, "acs:ram::{account}:{kind}/{name}")
    }
}

impl fmt::Display for PrincipalArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "acs:ram::{account}:root"),
            Self::User { account, name } => write!(f, "acs:ram::{account}:user/{name}"),
            Self::Role {
                account,
                role,
                session,
            } => write!(f, "acs:ram::{account}:assumed-role/{role}/{session}"),
            Self::Service(name) | Self::Federated(name) => f.write_str(name),
        }
    }
}

impl Serialize for ByKind<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for same in self.0.chunk_by(|one, next| one.kind == next.kind) {
            map.serialize_entry(same[0].kind.name(), &OfKind(same))?;
        }
        map.end()
    }
}

struct OfKind<'a>(&'a [TrustedPrincipal]);

impl Serialize for OfKind<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one_or_list(self.0.iter().map(|one| &*one.raw), serializer)
    }
}
