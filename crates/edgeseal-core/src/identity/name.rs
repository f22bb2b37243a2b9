//! The names of users, roles and policies.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Why a string is not the name of a user, role or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentityName {
    /// Empty or too long.
    #[error("it has {characters} characters; 1 to {max} are allowed")]
    Length {
        /// Its length in characters.
        characters: usize,
        /// The longest length allowed.
        max: usize,
    },
    /// A character that is not allowed in such names.
    #[error("the character {character:?} is not allowed; letters and digits are, and {others:?}")]
    Character {
        /// The first such character.
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
            /// Parses a name. Names are case-sensitive.
            ///
            /// # Errors
            /// [`InvalidIdentityName`].
            pub fn parse(text: &str) -> Result<Self, InvalidIdentityName> {
                checked(text, $max, $others).map(|text| Self(text.into()))
            }

            /// The name as a string.
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
        // A slash would break out of its segment in the store's keys and in the names of policies.
        for text in ["a/b", "a b", "ü", "a\n", "a*", "a:b"] {
            assert!(UserName::parse(text).is_err(), "{text}");
        }
    }
}
