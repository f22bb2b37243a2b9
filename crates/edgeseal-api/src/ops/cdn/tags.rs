//! `Tag.N.Key` and `Tag.N.Value`: labels as flattened parameters.

use crate::request::Params;

/// Labels that a domain may have.
pub(super) const TAGS_MAX: usize = 20;

/// The labels given, in order of their keys; a later one of the same key wins. Only the first
/// twenty are read, as many as the documentation allows.
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
