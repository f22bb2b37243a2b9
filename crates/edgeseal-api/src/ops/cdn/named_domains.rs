//! Lists of domain names in one parameter, separated by commas: what batches begin with.

use edgeseal_core::Pattern;

use super::named_domain::NoDomain;
use crate::{
    code::Code,
    operation::{Failure, Trouble},
    request::Params,
};

/// Domains that one call may name.
const NAMES_MAX: usize = 50;

/// Codes of [`NoDomains`] for lists in `DomainNames`.
pub(super) const NO_DOMAINS: [Code; 4] = [
    Code::MissingDomainNames,
    Code::DomainNameOverLimit,
    Code::DomainNameMalformed,
    Code::DomainNotFound,
];

/// Why there are no such domains.
#[derive(Debug, thiserror::Error)]
pub enum NoDomains {
    /// The parameter is absent or names none.
    #[error("name the domains in {param}, separated by commas")]
    Unnamed {
        /// The parameter.
        param: &'static str,
    },
    /// More than a call may name.
    #[error("{count} domains are named; at most {NAMES_MAX} are accepted")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// One of them is none.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Reads the parameter; a name that stands twice counts once.
///
/// # Errors
/// [`NoDomains`], not of domains that are not there.
pub(super) fn names(params: &Params, param: &'static str) -> Result<Vec<Pattern>, NoDomains> {
    let given = params.given(param).unwrap_or_default();
    let parts: Vec<&str> = given
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    match parts.len() {
        0 => return Err(NoDomains::Unnamed { param }),
        count if count > NAMES_MAX => return Err(NoDomains::TooMany { count }),
        _ => {}
    }
    let mut names = Vec::with_capacity(parts.len());
    for part in parts {
        let name = Pattern::parse(part).map_err(NoDomain::from)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

impl Failure for NoDomains {
    fn code(&self) -> Code {
        match self {
            Self::Unnamed {
                param: "DomainName",
            } => Code::MissingDomainName,
            Self::Unnamed { .. } => Code::MissingDomainNames,
            Self::TooMany { .. } => Code::DomainNameOverLimit,
            Self::Domain(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
