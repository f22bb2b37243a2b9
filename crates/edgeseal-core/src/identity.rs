//! Who an account lets act for it: users and roles, and the policies that say what they may do.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::Timestamp;

/// Users that an account may have.
pub const USERS_MAX: usize = 1000;
/// Roles that an account may have.
pub const ROLES_MAX: usize = 1000;
/// Policies that an account may have of its own.
pub const POLICIES_MAX: usize = 1500;
/// Versions that a policy may have at once.
pub const POLICY_VERSIONS_MAX: usize = 5;
/// Policies of one kind that a user or a role may have.
pub const ATTACHED_POLICIES_MAX: usize = 20;
/// Access keys that a user may have at once.
pub const USER_ACCESS_KEYS_MAX: usize = 2;

/// Shortest session of a role, in seconds.
pub const SESSION_MIN_S: u32 = 900;
/// Longest session that a role can be made for, in seconds.
pub const SESSION_MAX_S: u32 = 43_200;
/// Longest session of a role for which nothing is said, in seconds.
pub const SESSION_DEFAULT_S: u32 = 3600;

/// Why a text is no name of a user, role or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentityName {
    /// Empty or too long.
    #[error("it has {characters} characters; 1 to {max} are allowed")]
    Length {
        /// How many it has.
        characters: usize,
        /// How many it may have.
        max: usize,
    },
    /// A character that such names do not have.
    #[error("the character {character:?} is not allowed; letters and digits are, and {others:?}")]
    Character {
        /// The first of them.
        character: char,
        /// What is allowed besides letters and digits.
        others: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident $max:literal $others:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks a name. Case matters.
            ///
            /// # Errors
            /// [`InvalidName`].
            pub fn parse(text: &str) -> Result<Self, InvalidIdentityName> {
                checked(text, $max, $others).map(|text| Self(text.into()))
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(D::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a user, unique in its account.
    UserName 64 ".-_"
);
name!(
    /// The name of a role, unique in its account.
    RoleName 64 ".-_"
);
name!(
    /// The name of a policy, unique in its account and kind.
    PolicyName 128 "-"
);

/// Somebody, or something, that acts for an account with keys of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its number, for ever its own.
    pub id: String,
    /// Its name.
    pub name: UserName,
    /// A name for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// Whatever its account notes about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comments: String,
    /// Where it is written to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Where it is called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mobile: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Attachment>,
}

/// Rights that others take on for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its number, for ever its own.
    pub id: String,
    /// Its name.
    pub name: RoleName,
    /// Whatever its account notes about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who may take it on: a trust policy that has been parsed before, as it was written.
    #[serde(rename = "trust")]
    pub trust_policy: String,
    /// Which users and roles the trust policy named when it was written, of those that there were then:
    /// one that is made later under the name of one of them is not trusted. Absent in records of
    /// releases that did not write it.
    #[serde(rename = "trusted", default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_identities: Vec<TrustedIdentity>,
    /// How long a session may last, in seconds.
    pub max_session_s: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// What its sessions may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Attachment>,
}

/// A user or a role that a trust policy names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIdentity {
    /// Its name, as [`crate::policy::IdentityName`] prints it.
    pub name: String,
    /// Its number, for ever its own.
    pub id: String,
}

/// A policy that a user or a role has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which.
    pub policy: PolicyRef,
    /// Since when.
    pub at: Timestamp,
}

/// Names a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyRef {
    /// Whose policy.
    pub kind: PolicyKind,
    /// Its name.
    pub name: PolicyName,
}

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyKind {
    /// Edgeseal's: the same in every account, and nobody changes it.
    System,
    /// The account's own.
    Custom,
}

/// A policy of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Whatever its account notes about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it said at times, oldest first.
    pub versions: Vec<PolicyVersion>,
    /// The number of the version that counts; it is among `versions`.
    #[serde(rename = "default")]
    pub default_version: u32,
    /// The number of the next version: none is used twice.
    #[serde(rename = "next")]
    pub next_version: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// What a policy says, or said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its number, from 1.
    pub number: u32,
    /// A policy document that has been parsed before, as it was written.
    pub text: String,
    /// When it was made.
    pub created: Timestamp,
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

    /// The version of this number.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|one| one.number == number)
    }

    /// What the policy says now.
    #[must_use]
    pub fn text(&self) -> &str {
        self.version(self.default_version)
            .map_or("", |version| &version.text)
    }
}

impl PolicyRef {
    /// Names one of Edgeseal's own policies or one of the account's.
    #[must_use]
    pub const fn new(kind: PolicyKind, name: PolicyName) -> Self {
        Self { kind, name }
    }
}

impl PolicyKind {
    /// The word for it.
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

fn checked<'a>(
    text: &'a str,
    max: usize,
    others: &'static str,
) -> Result<&'a str, InvalidIdentityName> {
    let characters = text.chars().count();
    if characters == 0 || characters > max {
        return Err(InvalidIdentityName::Length { characters, max });
    }
    let odd = |character: &char| !character.is_ascii_alphanumeric() && !others.contains(*character);
    match text.chars().find(odd) {
        Some(character) => Err(InvalidIdentityName::Character { character, others }),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(UserName::parse("ci.deploy_bot-1").is_ok());
        assert!(PolicyName::parse("put-certificates").is_ok());
        assert_eq!(
            PolicyName::parse("a_b"),
            Err(InvalidIdentityName::Character {
                character: '_',
                others: "-"
            })
        );
        assert_eq!(
            UserName::parse(""),
            Err(InvalidIdentityName::Length {
                characters: 0,
                max: 64
            })
        );
        assert_eq!(
            RoleName::parse(&"x".repeat(65)),
            Err(InvalidIdentityName::Length {
                characters: 65,
                max: 64
            })
        );
        // A slash would leave its place in the store's keys and in the names of policies.
        for text in ["a/b", "a b", "ü", "a\n", "a*", "a:b"] {
            assert!(UserName::parse(text).is_err(), "{text}");
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
