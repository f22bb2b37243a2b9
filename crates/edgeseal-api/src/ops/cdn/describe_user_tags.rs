//! `DescribeUserTags`: the tags of all domains of the account, by key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// Most bytes of keys and values in a response, each with [`ENTRY_BYTES`]: a value of its own for
/// each of 10,000 domains. Tags beyond are left out.
const BYTES_MAX: usize = 3 << 20;
/// What a key or a value takes in memory besides its text, while the response is made.
const ENTRY_BYTES: usize = 256;

/// `DescribeUserTags`.
pub struct DescribeUserTags;

/// The tags: a list without a wrapper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    tags: Vec<Tag>,
}

/// A key, and each value that a domain has for it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: BTreeSet<String>,
}

impl Operation for DescribeUserTags {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (): (),
    ) -> Result<Success<Reply>, StoreError> {
        let found = context
            .catalog
            .fold_domains(call.account(), |found: &mut Found, _, domain| {
                for (key, value) in &domain.tags {
                    found.add(key, value);
                }
            });
        let tags = found.await?.values.into_iter();
        let tags = tags.map(|(key, value)| Tag { key, value });
        Ok(Success::read(Reply {
            tags: tags.collect(),
        }))
    }
}

/// The tags of the domains read so far.
#[derive(Default)]
struct Found {
    values: BTreeMap<String, BTreeSet<String>>,
    bytes: usize,
}

impl Found {
    fn add(&mut self, key: &str, value: &str) {
        let known = self.values.get(key);
        if known.is_some_and(|values| values.contains(value)) {
            return;
        }
        let new_key = known.map_or(ENTRY_BYTES + key.len(), |_| 0);
        let bytes = ENTRY_BYTES + value.len() + new_key;
        if self.bytes + bytes > BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        let values = self.values.entry(key.to_owned()).or_default();
        values.insert(value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_beyond_the_most_bytes_are_left_out() {
        let mut found = Found::default();
        let long = "v".repeat(BYTES_MAX - 4 * ENTRY_BYTES - 3);
        for (key, value) in [("a", "1"), ("b", &long), ("a", "2"), ("b", "1"), ("a", "1")] {
            found.add(key, value);
        }
        let listed: Vec<_> = found.values["a"].iter().collect();
        assert_eq!(listed, ["1"]);
        assert_eq!(found.values["b"].len(), 1);
        assert_eq!(found.bytes, BYTES_MAX);
    }

    #[test]
    fn many_short_tags_are_bounded_as_well() {
        let mut found = Found::default();
        for key in 0..200_000 {
            found.add(&key.to_string(), "");
        }
        assert!((5_000..7_000).contains(&found.values.len()));
    }
}
