//! Why a call on several domains is refused for the domains that it names: what batches begin with.

use super::named_domain::NoDomain;
use crate::{
    code::Code,
    domain_list::BadDomainList,
    operation::{Failure, Trouble},
};

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
    /// The list is not taken.
    #[error(transparent)]
    List(#[from] BadDomainList),
    /// One of them is not there.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Failure for NoDomains {
    fn code(&self) -> Code {
        match self {
            Self::List(BadDomainList::Unnamed {
                param: "DomainName",
            }) => Code::MissingDomainName,
            Self::List(BadDomainList::Unnamed { .. }) => Code::MissingDomainNames,
            Self::List(BadDomainList::TooMany { .. }) => Code::DomainNameOverLimit,
            Self::List(BadDomainList::Gap(_) | BadDomainList::Malformed(_)) => {
                Code::DomainNameMalformed
            }
            Self::Domain(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            Self::List(_) => Some(self.to_string()),
        }
    }
}
