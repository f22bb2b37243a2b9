//! How an action names the domains that it acts on. An operation that takes one domain or several
//! is implemented once, for any [`DomainNames`].

use edgeseal_core::DomainPattern;

use super::{domain_list_error::DomainListError, domain_lookup};
use crate::operation::Input;

/// How an action names its domains.
pub trait DomainNames: 'static {
    /// Whether it takes several domains, and changes all of them or none.
    const BATCH: bool;

    /// Reads the names.
    ///
    /// # Errors
    /// [`DomainListError`], except for a domain that does not exist.
    fn parse(input: Input<'_>) -> Result<Vec<DomainPattern>, DomainListError>;
}

/// One domain, in `DomainName`.
pub struct One;

/// Up to 50 domains, in a list.
pub struct Each;

impl DomainNames for One {
    const BATCH: bool = false;

    fn parse(input: Input<'_>) -> Result<Vec<DomainPattern>, DomainListError> {
        Ok(vec![domain_lookup::parse_name(input.params)?])
    }
}

impl DomainNames for Each {
    const BATCH: bool = true;

    fn parse(input: Input<'_>) -> Result<Vec<DomainPattern>, DomainListError> {
        Ok(input.domains.names()?)
    }
}
