//! Errors of the domain list of a batch operation.

use super::domain_lookup::DomainError;
use crate::{
    domain_list::InvalidDomainList,
    error::{StoreError, api_error},
};

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

api_error!(DomainListError {
    List(InvalidDomainList::Empty { param: "DomainName", }) => MissingDomainName,
    List(InvalidDomainList::Empty { .. }) => MissingDomainNames,
    List(InvalidDomainList::TooMany { .. }) => DomainNameOverLimit,
    List(InvalidDomainList::Gap(_) | InvalidDomainList::Malformed(_)) => DomainNameMalformed,
    Domain(DomainError),
    Store(StoreError),
});
