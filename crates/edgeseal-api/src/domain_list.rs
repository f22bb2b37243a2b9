//! The domains that a call names, parsed once.
//!
//! The caller is authorized for this list, and the operation gets the same list. An operation that
//! parsed its own list could act on domains for which nobody was authorized.

use edgeseal_core::{DomainPattern, name::InvalidDomainName};

use crate::{
    actions::{Action, ResourceKind},
    indexed_params::{self, MissingIndex},
    request::ParamMap,
};

/// Most domains of one call.
pub(crate) const NAMES_MAX: usize = 50;

/// The domains that a call names, as given.
pub struct DomainList {
    /// The parameter that names them.
    param: &'static str,
    given: Vec<String>,
    /// Their number. A call with more than [`NAMES_MAX`] is authorized for the first ones, and
    /// refused in any case.
    count: usize,
    gap: Option<MissingIndex>,
}

/// Why a list of domains is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomainList {
    /// The list is empty.
    #[error("name the domains in {param}, separated by commas")]
    Empty {
        /// The parameter of the list.
        param: &'static str,
    },
    /// The list exceeds the limit.
    #[error("{count} domains are named; at most {NAMES_MAX} are accepted")]
    TooMany {
        /// Its length.
        count: usize,
    },
    /// An index is missing.
    #[error(transparent)]
    Gap(#[from] MissingIndex),
    /// One of the names is invalid.
    #[error("{0}; a wildcard domain is written .example.com or *.example.com")]
    Malformed(#[from] InvalidDomainName),
}

impl DomainList {
    /// The domains that a call of `action` names; empty if the action does not act on domains.
    #[must_use]
    pub fn from_request(action: &Action, params: &ParamMap) -> Self {
        let (given, gap): (Vec<&str>, _) = match (action.resource, indexed_name(action)) {
            (ResourceKind::Domain, _) => (
                vec![params.get(action.resource_param).unwrap_or_default()],
                None,
            ),
            (ResourceKind::EachDomain, Some(name)) => indexed_params::values(params, name),
            (ResourceKind::EachDomain, None) => (split_commas(params, action.resource_param), None),
            (ResourceKind::EachUrl, _) => (hosts(params, action.resource_param), None),
            _ => (Vec::new(), None),
        };
        Self::of(action.resource_param, given, gap)
    }

    /// The domains in the parameter `param`, separated by commas: for actions that are authorized
    /// for another resource than these domains.
    pub(crate) fn from_param(params: &ParamMap, param: &'static str) -> Self {
        Self::of(param, split_commas(params, param), None)
    }

    fn of(param: &'static str, mut given: Vec<&str>, gap: Option<MissingIndex>) -> Self {
        let count = given.len();
        given.truncate(NAMES_MAX);
        Self {
            param,
            given: given.into_iter().map(str::to_owned).collect(),
            count,
            gap,
        }
    }

    /// The names as given, for authorization and audit, including invalid ones.
    pub(crate) fn raw_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.given.iter().map(String::as_str)
    }

    /// The domains to act on, without duplicates; at least one.
    ///
    /// # Errors
    /// [`InvalidDomainList`], in the order of its variants.
    pub(crate) fn names(&self) -> Result<Vec<DomainPattern>, InvalidDomainList> {
        if self.count == 0 {
            return Err(InvalidDomainList::Empty { param: self.param });
        }
        self.optional_names()
    }

    /// Like [`names`](Self::names), but an empty list is valid.
    ///
    /// # Errors
    /// As for [`names`](Self::names).
    pub(crate) fn optional_names(&self) -> Result<Vec<DomainPattern>, InvalidDomainList> {
        if self.count > NAMES_MAX {
            return Err(InvalidDomainList::TooMany { count: self.count });
        }
        if let Some(gap) = &self.gap {
            return Err(gap.clone().into());
        }
        let mut names = Vec::with_capacity(self.given.len());
        for given in &self.given {
            let name = DomainPattern::parse(given)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The domains, sorted, without duplicates and invalid names.
    pub(crate) fn valid_names(&self) -> Vec<DomainPattern> {
        let names = self.given.iter();
        let mut names: Vec<DomainPattern> = names
            .filter_map(|name| DomainPattern::parse(name).ok())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The resource of a request as given, for the audit: only the parameter that the action reads,
/// because any other would let a caller write arbitrary text into the record.
pub(crate) fn audit_resource(action: &Action, params: &ParamMap) -> String {
    match indexed_name(action) {
        Some(name) => indexed_params::values(params, name).0.join(","),
        // The path of a URL may be confidential.
        None if action.resource == ResourceKind::EachUrl => {
            hosts(params, action.resource_param).join(",")
        }
        None => params
            .get(action.resource_param)
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Splits a URL, with or without scheme, into its host and the rest, unvalidated.
pub(crate) fn host_and_path(address: &str) -> (&str, &str) {
    let without = |scheme: &str| {
        let start = address.get(..scheme.len())?;
        let rest = &address[scheme.len()..];
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = without("https://").or_else(|| without("http://"));
    let rest = rest.unwrap_or(address);
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// The hosts of URLs, one per line, without duplicates.
fn hosts<'p>(params: &'p ParamMap, name: &str) -> Vec<&'p str> {
    let lines = params.get(name).unwrap_or_default().lines().map(str::trim);
    let mut hosts: Vec<&str> = lines
        .filter(|line| !line.is_empty())
        .map(|line| host_and_path(line).0)
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// The name of the list, if the action's parameter is `NAME.N`.
fn indexed_name(action: &Action) -> Option<&'static str> {
    action.resource_param.strip_suffix(".N")
}

fn split_commas<'p>(params: &'p ParamMap, name: &str) -> Vec<&'p str> {
    let list = params.get(name).unwrap_or_default();
    let names = list.split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).collect()
}
