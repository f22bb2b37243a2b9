//! What is known about each function, from `spec/functions.tsv`.

use std::{collections::HashMap, sync::LazyLock};

/// The function with this id.
pub(in crate::ops::cdn) fn by_id(id: u32) -> Option<&'static str> {
    FACTS
        .iter()
        .find(|(_, facts)| facts.id == id)
        .map(|(name, _)| *name)
}

/// Whether a domain can have this function several times, each with its own condition or value.
/// Any other is replaced when it is set again.
pub(super) fn is_repeatable(name: &str) -> bool {
    FACTS.get(name).is_some_and(|facts| facts.repeatable)
}

struct Facts {
    id: u32,
    repeatable: bool,
}

static FACTS: LazyLock<HashMap<&'static str, Facts>> = LazyLock::new(|| {
    let table = include_str!("../../../../../../spec/functions.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    let facts = rows.filter_map(|row| {
        let mut columns = row.split('\t');
        let id = columns.next()?.parse().ok()?;
        let name = columns.next()?;
        let repeatable = columns.next()? == "yes";
        Some((name, Facts { id, repeatable }))
    });
    facts.collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cdn::functions::SUPPORTED;

    #[test]
    fn every_supported_function_has_one_id() {
        let mut ids: Vec<u32> = FACTS.values().map(|facts| facts.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "two functions share an id");
        let rows = include_str!("../../../../../../spec/functions.tsv").lines();
        let rows = rows.filter(|row| !row.starts_with('#')).skip(1);
        assert_eq!(rows.count(), count, "a function has two rows");
        for function in &SUPPORTED {
            assert!(FACTS.contains_key(function.name), "{}", function.name);
        }
        assert_eq!(by_id(18), Some("set_req_host_header"));
        assert_eq!(by_id(17), None);
        assert!(is_repeatable("set_req_header") && !is_repeatable("HSTS"));
    }
}
