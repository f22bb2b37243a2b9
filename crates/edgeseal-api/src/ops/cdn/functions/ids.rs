//! Function ids, from `spec/functions.tsv`.

use std::{collections::HashMap, sync::LazyLock};

/// The function with this id.
pub(in crate::ops::cdn) fn by_id(number: u32) -> Option<&'static str> {
    FUNCTION_IDS.get(&number).copied()
}

static FUNCTION_IDS: LazyLock<HashMap<u32, &'static str>> = LazyLock::new(|| {
    let table = include_str!("../../../../../../spec/functions.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut numbers = HashMap::new();
    for row in rows {
        let mut columns = row.split('\t');
        if let (Some(number), Some(name)) = (columns.next(), columns.next())
            && let Ok(number) = number.parse()
        {
            numbers.insert(number, name);
        }
    }
    numbers
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cdn::functions::{REPEATABLE, SUPPORTED};

    #[test]
    fn every_function_that_the_code_names_has_one_number() {
        let mut names: Vec<&str> = FUNCTION_IDS.values().copied().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a function has two numbers");
        for name in SUPPORTED.iter().chain(&REPEATABLE) {
            assert!(names.contains(name), "{name} has no number");
        }
        assert_eq!(by_id(18), Some("set_req_host_header"));
        assert_eq!(by_id(17), None);
    }
}
