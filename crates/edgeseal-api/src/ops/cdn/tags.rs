//! `Tag.N.Key` and `Tag.N.Value`, for certificates `Tags.N.Key` and `Tags.N.Value`: tags as
//! flattened parameters.

use crate::{
    error::api_error,
    indexed_params::{self, MissingIndex},
    request::ParamMap,
};

/// Most tags of a domain or a certificate.
pub(super) const TAGS_MAX: usize = 20;

/// Longest key or value of a tag, in characters.
const LENGTH_MAX: usize = 128;

/// Why tags are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTags {
    /// Too many tags.
    #[error("more than {TAGS_MAX} tags are given; at most {TAGS_MAX} are accepted")]
    TooMany,
    /// Too long.
    #[error("a key or a value of a tag is longer than {LENGTH_MAX} characters")]
    TooLong,
    /// An index is missing in the list.
    #[error(transparent)]
    Gap(#[from] MissingIndex),
    /// A value without a key.
    #[error("a {0}.N.Value is given without its {0}.N.Key")]
    NoKey(&'static str),
}

/// Parses the tags in the parameters of this list.
///
/// # Errors
/// [`InvalidTags`].
pub(in crate::ops) fn parse_tags(
    params: &ParamMap,
    list: &'static str,
) -> Result<Vec<(String, String)>, InvalidTags> {
    let (keys, gap) = indexed_params::field_values(params, list, ".Key");
    if keys.len() > TAGS_MAX {
        return Err(InvalidTags::TooMany);
    }
    if let Some(gap) = gap {
        return Err(gap.into());
    }
    let named = |number: &str| {
        params
            .get_non_empty(&format!("{list}.{number}.Key"))
            .is_some()
    };
    let mut values = params.iter().filter(|(_, value)| !value.is_empty());
    let keyless = values.any(|(name, _)| {
        let number = name.strip_prefix(list).and_then(|rest| {
            let rest = rest.strip_prefix('.')?;
            rest.strip_suffix(".Value")
        });
        number.is_some_and(|number| !named(number))
    });
    if keyless {
        return Err(InvalidTags::NoKey(list));
    }
    let tags = listed(params, list);
    let too_long = |text: &String| text.chars().count() > LENGTH_MAX;
    if tags
        .iter()
        .any(|(key, value)| too_long(key) || too_long(value))
    {
        return Err(InvalidTags::TooLong);
    }
    Ok(tags)
}

/// The keys in `TagKey.1`, `TagKey.2` and so on.
///
/// # Errors
/// [`InvalidTags::TooMany`] and [`InvalidTags::Gap`].
pub(super) fn keys(params: &ParamMap) -> Result<Vec<String>, InvalidTags> {
    let (keys, gap) = indexed_params::values(params, "TagKey");
    if keys.len() > TAGS_MAX {
        return Err(InvalidTags::TooMany);
    }
    match gap {
        Some(gap) => Err(gap.into()),
        None => Ok(keys.into_iter().map(str::to_owned).collect()),
    }
}

/// The given tags, ordered by key; the last value of a key wins. Only the first twenty are read, as
/// many as a domain may have.
pub(super) fn parse_filter(params: &ParamMap) -> Vec<(String, String)> {
    listed(params, "Tag")
}

fn listed(params: &ParamMap, list: &str) -> Vec<(String, String)> {
    let mut tags = std::collections::BTreeMap::new();
    for number in 1..=TAGS_MAX {
        let Some(key) = params.get_non_empty(&format!("{list}.{number}.Key")) else {
            continue;
        };
        let value = params.get(&format!("{list}.{number}.Value"));
        let value = value.unwrap_or_default();
        tags.insert(key.to_owned(), value.to_owned());
    }
    tags.into_iter().collect()
}

api_error!(InvalidTags {
    TooMany => TooManyTags,
    TooLong | Gap | NoKey => InvalidTag,
});

/// Longest resource group, in characters.
const GROUP_MAX: usize = 64;

/// An invalid resource group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ResourceGroupId must have at most {GROUP_MAX} printable characters")]
pub struct InvalidResourceGroup;

/// Reads `ResourceGroupId`.
///
/// # Errors
/// [`InvalidResourceGroup`].
pub(in crate::ops) fn group(params: &ParamMap) -> Result<Option<String>, InvalidResourceGroup> {
    match params.get_non_empty("ResourceGroupId") {
        Some(group) if group.chars().count() > GROUP_MAX => Err(InvalidResourceGroup),
        Some(group) if group.chars().any(char::is_control) => Err(InvalidResourceGroup),
        group => Ok(group.map(str::to_owned)),
    }
}
