//! Errors of the domain list of a batch operation.

use super::domain_lookup::DomainError;
use crate::{
    code::Code,
    domain_list::InvalidDomainList,
    error::{ApiError, StoreError},
};

/// Codes of [`DomainListError`] for lists in `DomainNames`.
pub(super) const DOMAIN_LIST_ERROR_CODES: [Code; 4] = [
    Code::MissingDomainNames,
    Code::DomainNameOverLimit,
    Code::DomainNameMalformed,
    Code::DomainNotFound,
];

/// Why a batch is refused for its domains.
#[derive(Debug, thiserror::Error)]
pub enum DomainListError {
    /// The list is invalid.
    #[error(transparent)]
    List(#[from] InvalidDomainList),
    /// One of the domains does not exist.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApiError for DomainListError {
    fn code(&self) -> Code {
        match self {
            Self::List(InvalidDomainList::Empty {
                param: "DomainName",
            }) => Code::MissingDomainName,
            Self::List(InvalidDomainList::Empty { .. }) => Code::MissingDomainNames,
            Self::List(InvalidDomainList::TooMany { .. }) => Code::DomainNameOverLimit,
            Self::List(InvalidDomainList::Gap(_) | InvalidDomainList::Malformed(_)) => {
                Code::DomainNameMalformed
            }
            Self::Domain(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(error) => error.detail(),
            Self::Store(error) => error.detail(),
            Self::List(_) => Some(self.to_string()),
        }
    }
}
