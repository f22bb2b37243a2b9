//! Pages of RAM's listings: `Marker` and `MaxItems`.

use serde::Serialize;

use super::parameters::InvalidParameter;
use crate::{code::Code, request::ParamMap};

/// Default page size (the reference pages of `ListUsers`, `ListPolicies` and `ListRoles`).
const DEFAULT: usize = 100;
/// Largest page size (the same pages).
const MAX: usize = 1000;

/// The requested page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerPage {
    /// The sort key of the entry after which the page starts; `None` for the first page. That entry
    /// may have been deleted.
    pub after: Option<String>,
    /// Most entries of the page.
    pub limit: usize,
}

/// The members that every page has.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PageInfo {
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl MarkerPage {
    pub(super) fn parse(params: &ParamMap) -> Result<Self, InvalidParameter> {
        let limit = match params.get_non_empty("MaxItems") {
            None => DEFAULT,
            Some(given) => {
                let number = given.trim().parse().ok();
                let number = number.filter(|number| (1..=MAX).contains(number));
                number.ok_or_else(|| {
                    let expected = "a number from 1 to 1000";
                    InvalidParameter::value("MaxItems", given, expected, Code::MaxItemsValue)
                })?
            }
        };
        let after = params.get_non_empty("Marker").map(marker).transpose()?;
        Ok(Self { after, limit })
    }

    /// The page, out of all entries in the order of `sort_key`.
    pub(super) fn cut<T>(self, all: Vec<T>, sort_key: impl Fn(&T) -> String) -> (Vec<T>, PageInfo) {
        let mut items: Vec<T> = match &self.after {
            None => all,
            Some(after) => all
                .into_iter()
                .filter(|item| sort_key(item) > *after)
                .collect(),
        };
        let is_truncated = items.len() > self.limit;
        items.truncate(self.limit);
        let marker = items.last().filter(|_| is_truncated).map(sort_key);
        let position = PageInfo {
            is_truncated,
            marker,
        };
        (items, position)
    }
}

/// A marker from an earlier page: the sort key of an entry.
fn marker(given: &str) -> Result<String, InvalidParameter> {
    const LENGTH_MAX: usize = 140; // the longest name and its prefix
    let good = |b: u8| b.is_ascii_alphanumeric() || b".@_-/".contains(&b);
    if given.len() <= LENGTH_MAX && given.bytes().all(good) {
        Ok(given.to_owned())
    } else {
        let expected = "the Marker of the previous page";
        Err(InvalidParameter::value(
            "Marker",
            given,
            expected,
            Code::MarkerValue,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError as _;

    fn page(pairs: &[(&str, &str)]) -> Result<MarkerPage, InvalidParameter> {
        let pairs = pairs.iter();
        MarkerPage::parse(&pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect())
    }

    #[test]
    fn walking_by_markers_shows_each_entry_once() {
        let all: Vec<String> = ('a'..='g').map(String::from).collect();
        for limit in 1..=8 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (items, position) = MarkerPage { after, limit }.cut(all.clone(), String::clone);
                assert!(items.len() <= limit);
                assert_eq!(position.is_truncated, position.marker.is_some());
                seen.extend(items);
                after = position.marker;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "by {limit}");
        }
    }

    #[test]
    fn a_marker_outlives_its_entry() {
        let all = vec!["a".to_owned(), "c".to_owned()];
        let after = Some("b".to_owned());
        let (items, position) = MarkerPage { after, limit: 5 }.cut(all, String::clone);
        assert_eq!(items, ["c"]);
        assert!(!position.is_truncated);
    }

    #[test]
    fn parameters() {
        assert_eq!(page(&[]).unwrap().limit, 100);
        assert_eq!(page(&[("MaxItems", "1000")]).unwrap().limit, 1000);
        let after = page(&[("Marker", "Custom/a-b")]).unwrap().after;
        assert_eq!(after.as_deref(), Some("Custom/a-b"));
        for items in ["0", "1001", "-1", "x", "1.5"] {
            let code = page(&[("MaxItems", items)]).unwrap_err().code();
            assert_eq!(code, Code::MaxItemsValue, "{items}");
        }
        for marker in ["a b", "é", &"a".repeat(141)] {
            let code = page(&[("Marker", marker)]).unwrap_err().code();
            assert_eq!(code, Code::MarkerValue, "{marker}");
        }
    }
}
