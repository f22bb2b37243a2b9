//! `Tag.N.Key` and `Tag.N.Value`: labels as flattened parameters.

use crate::request::Params;

/// Labels that a domain may have.
pub(super) const TAGS_MAX: usize = 20;

/// More labels are given than a domain may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {TAGS_MAX} labels are given; a domain may have {TAGS_MAX}")]
pub struct TooManyTags;

/// The labels that a domain is to have.
///
/// # Errors
/// [`TooManyTags`].
pub(super) fn wanted(params: &Params) -> Result<Vec<(String, String)>, TooManyTags> {
    match params.given(&format!("Tag.{}.Key", TAGS_MAX + 1)) {
        Some(_) => Err(TooManyTags),
        None => Ok(parse(params)),
    }
}

/// The labels given, in order of their keys; a later one of the same key wins. Only the first
/// twenty are read, as many as a domain may have.
pub(super) fn parse(params: &Params) -> Vec<(String, String)> {
    let mut tags = std::collections::BTreeMap::new();
    for number in 1..=TAGS_MAX {
        let Some(key) = params.given(&format!("Tag.{number}.Key")) else {
            break;
        };
        let value = params
            .get(&format!("Tag.{number}.Value"))
            .unwrap_or_default();
        tags.insert(key.to_owned(), value.to_owned());
    }
    tags.into_iter().collect()
}
