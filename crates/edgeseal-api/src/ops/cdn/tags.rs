//! `Tag.N.Key` and `Tag.N.Value`, of certificates `Tags.N.Key` and `Tags.N.Value`: labels as flattened
//! parameters.

use crate::{
    code::Code,
    numbered::{self, Gap},
    operation::Failure,
    request::Params,
};

/// Labels that a domain or a certificate may have.
pub(super) const TAGS_MAX: usize = 20;

/// Longest key or value of a label, in characters.
const LENGTH_MAX: usize = 128;

/// Labels that nothing can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTags {
    /// More than one thing may have.
    #[error("more than {TAGS_MAX} labels are given; there may be {TAGS_MAX}")]
    TooMany,
    /// Too long.
    #[error("a key or a value of a label is longer than {LENGTH_MAX} characters")]
    TooLong,
    /// A number is missing in the list.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// A value without a key.
    #[error("a {0}.N.Value is given whose {0}.N.Key is not")]
    NoKey(&'static str),
}

/// The labels that something is to have, in the parameters of this list.
///
/// # Errors
/// [`BadTags`].
pub(in crate::ops) fn wanted(
    params: &Params,
    list: &'static str,
) -> Result<Vec<(String, String)>, BadTags> {
    let (keys, gap) = numbered::fields(params, list, ".Key");
    if keys.len() > TAGS_MAX {
        return Err(BadTags::TooMany);
    }
    if let Some(gap) = gap {
        return Err(gap.into());
    }
    let named = |number: &str| params.given(&format!("{list}.{number}.Key")).is_some();
    let mut values = params.iter().filter(|(_, value)| !value.is_empty());
    let keyless = values.any(|(name, _)| {
        let number = name.strip_prefix(list).and_then(|rest| {
            let rest = rest.strip_prefix('.')?;
            rest.strip_suffix(".Value")
        });
        number.is_some_and(|number| !named(number))
    });
    if keyless {
        return Err(BadTags::NoKey(list));
    }
    let tags = listed(params, list);
    let too_long = |text: &String| text.chars().count() > LENGTH_MAX;
    if tags
        .iter()
        .any(|(key, value)| too_long(key) || too_long(value))
    {
        return Err(BadTags::TooLong);
    }
    Ok(tags)
}

/// The keys in `TagKey.1`, `TagKey.2` and so on.
///
/// # Errors
/// [`BadTags::TooMany`] and [`BadTags::Gap`].
pub(super) fn keys(params: &Params) -> Result<Vec<String>, BadTags> {
    let (keys, gap) = numbered::values(params, "TagKey");
    if keys.len() > TAGS_MAX {
        return Err(BadTags::TooMany);
    }
    match gap {
        Some(gap) => Err(gap.into()),
        None => Ok(keys.into_iter().map(str::to_owned).collect()),
    }
}

/// The labels given, in order of their keys; a later one of the same key wins. Only the first
/// twenty are read, as many as a domain may have.
pub(super) fn parse(params: &Params) -> Vec<(String, String)> {
    listed(params, "Tag")
}

fn listed(params: &Params, list: &str) -> Vec<(String, String)> {
    let mut tags = std::collections::BTreeMap::new();
    for number in 1..=TAGS_MAX {
        let Some(key) = params.given(&format!("{list}.{number}.Key")) else {
            continue;
        };
        let value = params.get(&format!("{list}.{number}.Value"));
        let value = value.unwrap_or_default();
        tags.insert(key.to_owned(), value.to_owned());
    }
    tags.into_iter().collect()
}

impl Failure for BadTags {
    fn code(&self) -> Code {
        match self {
            Self::TooMany => Code::TooManyTags,
            Self::TooLong | Self::Gap(_) | Self::NoKey(_) => Code::InvalidTag,
        }
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Longest grouping label, in characters.
const GROUP_MAX: usize = 64;

/// A grouping label that nothing can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ResourceGroupId must have at most {GROUP_MAX} characters that print")]
pub struct BadGroup;

/// Reads `ResourceGroupId`.
///
/// # Errors
/// [`BadGroup`].
pub(in crate::ops) fn group(params: &Params) -> Result<Option<String>, BadGroup> {
    match params.given("ResourceGroupId") {
        Some(group) if group.chars().count() > GROUP_MAX => Err(BadGroup),
        Some(group) if group.chars().any(char::is_control) => Err(BadGroup),
        group => Ok(group.map(str::to_owned)),
    }
}
