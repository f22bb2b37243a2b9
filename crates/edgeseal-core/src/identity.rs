//! Users and roles, which act for an account, and the policies that say what they may do.

mod name;

use std::{fmt, hash::Hash};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::name::{InvalidIdentityName, PolicyName, RoleName, UserName};
use crate::Timestamp;

/// Most custom policies of an account.
pub const POLICIES_MAX: usize = 1500;
/// Most versions of a policy at once.
pub const POLICY_VERSIONS_MAX: usize = 5;
/// Most policies of one kind attached to a user or role.
pub const ATTACHED_POLICIES_MAX: usize = 20;
/// Most access keys of a user at once.
pub const USER_ACCESS_KEYS_MAX: usize = 2;

/// Shortest session of a role, in seconds.
pub const SESSION_MIN_S: u32 = 900;
/// Highest maximum session duration that a role can have, in seconds.
pub const SESSION_MAX_S: u32 = 43_200;
/// Maximum session duration of a role that sets none, in seconds.
pub const SESSION_DEFAULT_S: u32 = 3600;

/// The name of a user or of a role; tells one from the other where both are treated alike.
pub trait IdentityName:
    Clone + fmt::Debug + fmt::Display + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What it names.
    const KIND: IdentityKind;
    /// Most identities of this kind in an account.
    const COUNT_MAX: usize;
    /// What only identities of this kind have.
    type Profile: Clone + fmt::Debug + Eq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Parses a name. Names are case-sensitive.
    ///
    /// # Errors
    /// [`InvalidIdentityName`].
    fn parse(text: &str) -> Result<Self, InvalidIdentityName>;

    /// The name, if it is a user's.
    fn as_user(&self) -> Option<&UserName> {
        None
    }

    /// Who may assume the identity, if it is a role.
    fn trust_policy(_: &Self::Profile) -> Option<&str> {
        None
    }

    /// Sets the identities that the trust policy names, if it is a role.
    fn set_trusted_identities(_: &mut Self::Profile, _: Vec<TrustedIdentity>) {}

    /// The name with the kind of the identity.
    fn identity_ref(&self) -> IdentityRef {
        IdentityRef {
            kind: Self::KIND,
            name: self.to_string(),
        }
    }
}

impl IdentityName for UserName {
    const KIND: IdentityKind = IdentityKind::User;
    const COUNT_MAX: usize = 1000;
    type Profile = UserProfile;

    fn parse(text: &str) -> Result<Self, InvalidIdentityName> {
        Self::parse(text)
    }

    fn as_user(&self) -> Option<&UserName> {
        Some(self)
    }
}

impl IdentityName for RoleName {
    const KIND: IdentityKind = IdentityKind::Role;
    const COUNT_MAX: usize = 1000;
    type Profile = RoleProfile;

    fn parse(text: &str) -> Result<Self, InvalidIdentityName> {
        Self::parse(text)
    }

    fn trust_policy(profile: &RoleProfile) -> Option<&str> {
        Some(&profile.trust_policy)
    }

    fn set_trusted_identities(profile: &mut RoleProfile, trusted: Vec<TrustedIdentity>) {
        profile.trusted_identities = trusted;
    }
}

/// A user or a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// A person or program that acts for an account with its own access keys.
    User,
    /// A set of permissions that other identities assume for a session.
    Role,
}

/// Names a user or a role of an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityRef {
    /// Which of the two.
    pub kind: IdentityKind,
    /// Its name.
    pub name: String,
}

/// A user or a role of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Identity<N: IdentityName> {
    /// Its ID, never reused.
    pub id: String,
    /// Its name.
    pub name: N,
    /// What only its kind has.
    #[serde(flatten)]
    pub profile: N::Profile,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// The policies attached to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Attachment>,
}

/// A person or program that acts for an account with its own access keys.
pub type User = Identity<UserName>;

/// A set of permissions that other identities assume for a session.
pub type Role = Identity<RoleName>;

/// What only a user has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProfile {
    /// A display name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// The account's notes about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comments: String,
    /// Its e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Its phone number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mobile: String,
}

/// What only a role has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleProfile {
    /// The account's notes about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who may assume it: a validated trust policy, as it was written.
    #[serde(rename = "trust")]
    pub trust_policy: String,
    /// The users and roles that existed when the trust policy was written and are named in it: one
    /// that is created later under such a name is not trusted. Absent in records of releases that
    /// did not write it.
    #[serde(rename = "trusted", default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_identities: Vec<TrustedIdentity>,
    /// How long a session may last, in seconds.
    pub max_session_s: u32,
}

/// A user or role that a trust policy names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIdentity {
    /// Its name, as [`crate::policy::IdentityArn`] prints it.
    pub name: String,
    /// Its ID, never reused.
    pub id: String,
}

/// A policy attached to a user or role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The policy.
    pub policy: PolicyRef,
    /// When it was attached.
    pub at: Timestamp,
}

/// Names a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyRef {
    /// System or custom.
    pub kind: PolicyKind,
    /// Its name.
    pub name: PolicyName,
}

/// Who defines a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyKind {
    /// Edgeseal: the same in every account, and read-only.
    System,
    /// The account.
    Custom,
}

/// A custom policy of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// The account's notes about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its versions, oldest first.
    pub versions: Vec<PolicyVersion>,
    /// The number of the version in force, which is among `versions`.
    #[serde(rename = "default")]
    pub default_version: u32,
    /// The number of the next version: numbers are not reused.
    #[serde(rename = "next")]
    pub next_version: u32,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// One version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its number, from 1.
    pub number: u32,
    /// A validated policy document, as it was written.
    pub text: String,
    /// When it was created.
    pub created: Timestamp,
}

impl<N: IdentityName> Identity<N> {
    /// A new identity, without policies.
    #[must_use]
    pub const fn new(id: String, name: N, profile: N::Profile, now: Timestamp) -> Self {
        Self {
            id,
            name,
            profile,
            created: now,
            updated: now,
            policies: Vec::new(),
        }
    }
}

impl IdentityKind {
    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
        }
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for IdentityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Policy {
    /// A policy with its first version.
    #[must_use]
    pub fn new(name: PolicyName, description: String, text: String, now: Timestamp) -> Self {
        Self {
            name,
            description,
            versions: vec![PolicyVersion {
                number: 1,
                text,
                created: now,
            }],
            default_version: 1,
            next_version: 2,
            created: now,
            updated: now,
        }
    }

    /// The version with this number.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|one| one.number == number)
    }

    /// The policy document in force.
    #[must_use]
    pub fn text(&self) -> &str {
        self.version(self.default_version)
            .map_or("", |version| &version.text)
    }
}

impl PolicyRef {
    /// Names a system policy, or a custom policy of the account.
    #[must_use]
    pub const fn new(kind: PolicyKind, name: PolicyName) -> Self {
        Self { kind, name }
    }
}

impl PolicyKind {
    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} policy {}", self.kind.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_roles_keep_their_stored_form() {
        let attached = r#""policies":[{"policy":{"kind":"custom","name":"p"},"at":3}]"#;
        let user = format!(
            r#"{{"id":"1","name":"bot","display_name":"d","comments":"c","email":"e","mobile":"m","created":1,"updated":2,{attached}}}"#
        );
        let role = format!(
            r#"{{"id":"2","name":"ci","description":"d","trust":"{{}}","trusted":[{{"name":"n","id":"1"}}],"max_session_s":900,"created":1,"updated":2,{attached}}}"#
        );
        let minimal =
            r#"{"id":"2","name":"ci","trust":"{}","max_session_s":900,"created":1,"updated":2}"#;
        let decoded: User = serde_json::from_str(&user).unwrap();
        assert_eq!(serde_json::to_string(&decoded).unwrap(), user);
        for role in [&role, minimal] {
            let decoded: Role = serde_json::from_str(role).unwrap();
            assert_eq!(serde_json::to_string(&decoded).unwrap(), role);
        }
    }

    #[test]
    fn what_a_policy_says_is_its_default_version() {
        let name = PolicyName::parse("p").unwrap();
        let now = Timestamp::from_unix_seconds(1);
        let mut policy = Policy::new(name, String::new(), "one".to_owned(), now);
        assert_eq!(policy.text(), "one");
        policy.versions.push(PolicyVersion {
            number: 2,
            text: "two".to_owned(),
            created: now,
        });
        assert_eq!(policy.text(), "one");
        policy.default_version = 2;
        assert_eq!(policy.text(), "two");
    }
}
