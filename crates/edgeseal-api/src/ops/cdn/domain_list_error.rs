//! Why a call on several domains is refused for the domains that it names: what batches begin with.

use super::domain_lookup::DomainError;
use crate::{
    code::Code,
    domain_list::InvalidDomainList,
    operation::{ApiError, StoreError},
};

/// Codes of [`DomainListError`] for lists in `DomainNames`.
pub(super) const DOMAIN_LIST_ERROR_CODES: [Code; 4] = [
    Code::MissingDomainNames,
    Code::DomainNameOverLimit,
    Code::DomainNameMalformed,
    Code::DomainNotFound,
];

/// Why there are no such domains.
#[derive(Debug, thiserror::Error)]
pub enum DomainListError {
    /// The list is not taken.
    #[error(transparent)]
    List(#[from] InvalidDomainList),
    /// One of them is not there.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The store did not do it.
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
            Self::Domain(why) => why.code(),
            Self::Store(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Store(trouble) => trouble.detail(),
            Self::List(_) => Some(self.to_string()),
        }
    }
}
