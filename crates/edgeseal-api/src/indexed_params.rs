//! Lists as flattened parameters: `NAME.1`, `NAME.2` and so on, or `NAME.1.FIELD`.
//!
//! Indexes count from 1 without a gap. A reader that stops at a gap and one that skips it see two
//! different lists in the same request, so a list with a gap is refused.

use crate::request::ParamMap;

/// A list with a missing index, or with an index not written as `1`, `2`, `3`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} is given but {missing} is not; number them from 1 without a gap")]
pub struct MissingIndex {
    /// A parameter that comes after the gap.
    parameter: String,
    /// The parameter that should have come before it.
    missing: String,
}

/// The values of `NAME.1`, `NAME.2` and so on in the order of their indexes, and the first gap. An
/// empty value counts as absent. Values after a gap are in the list too.
pub(crate) fn values<'p>(params: &'p ParamMap, name: &str) -> (Vec<&'p str>, Option<MissingIndex>) {
    field_values(params, name, "")
}

/// Like [`values`], of `NAME.1.FIELD`, `NAME.2.FIELD` and so on; `field` begins with its dot.
pub(crate) fn field_values<'p>(
    params: &'p ParamMap,
    name: &str,
    field: &str,
) -> (Vec<&'p str>, Option<MissingIndex>) {
    let mut found: Vec<(Option<usize>, &str, &str)> = params
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(parameter, value)| {
            let digits = digits(parameter, name, field)?;
            Some((number(digits), parameter, value))
        })
        .collect();
    // An invalid index is sorted last and counts as a gap in any case.
    found.sort_by_key(|(number, ..)| number.unwrap_or(usize::MAX));
    let is_next =
        |(index, (number, ..)): (usize, &(Option<usize>, &str, &str))| *number == Some(index + 1);
    let gap = found.iter().enumerate().find(|entry| !is_next(*entry));
    let gap = gap.map(|(index, (_, parameter, _))| MissingIndex {
        parameter: (*parameter).to_owned(),
        missing: format!("{name}.{}{field}", index + 1),
    });
    (found.into_iter().map(|(.., value)| value).collect(), gap)
}

/// The index as text; `None` if the parameter does not belong to this list.
fn digits<'p>(parameter: &'p str, name: &str, field: &str) -> Option<&'p str> {
    let rest = parameter.strip_prefix(name)?.strip_prefix('.')?;
    let digits = rest.strip_suffix(field)?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then_some(digits)
}

/// The index, if it is in canonical form.
fn number(digits: &str) -> Option<usize> {
    let number = digits.parse().ok()?;
    (number > 0 && !digits.starts_with('0')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> ParamMap {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn lists_and_gaps() {
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], Option<&'a str>);
        let cases: &[Case<'_>] = &[
            (&[], &[], None),
            (&[("X.1", "a")], &["a"], None),
            (&[("X.2", "b"), ("X.1", "a")], &["a", "b"], None),
            (&[("X.1", "a"), ("X.2", "")], &["a"], None),
            (&[("X.1", "a"), ("X.10", "j")], &["a", "j"], Some("X.2")),
            (&[("X.2", "b")], &["b"], Some("X.1")),
            (&[("X.1", ""), ("X.2", "b")], &["b"], Some("X.1")),
            (&[("X.0", "z"), ("X.1", "a")], &["a", "z"], Some("X.2")),
            (&[("X.1", "a"), ("X.01", "b")], &["a", "b"], Some("X.2")),
            (&[("X.1", "a"), ("X.99999999999999999999", "b")], &["a", "b"], Some("X.2")),
            (&[("X.1", "a"), ("XX.3", "b"), ("X.3.Y", "c"), ("X.", "d"), ("X.y", "e")], &["a"], None),
        ];
        for (given, values, missing) in cases {
            let given = params(given);
            let (found, gap) = self::values(&given, "X");
            assert_eq!(found, *values);
            assert_eq!(gap.map(|gap| gap.missing).as_deref(), *missing);
        }
    }

    #[test]
    fn each_field_is_a_separate_list() {
        let given = params(&[("Tag.1.Key", "k"), ("Tag.1.Value", "v"), ("Tag.3.Key", "l")]);
        let (keys, gap) = field_values(&given, "Tag", ".Key");
        assert_eq!(keys, ["k", "l"]);
        let gap = gap.unwrap().to_string();
        assert!(
            gap.starts_with("Tag.3.Key is given but Tag.2.Key is not"),
            "{gap}"
        );
        assert_eq!(field_values(&given, "Tag", ".Value"), (vec!["v"], None));
    }
}
