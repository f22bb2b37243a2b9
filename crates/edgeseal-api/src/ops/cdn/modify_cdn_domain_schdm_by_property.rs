//! `ModifyCdnDomainSchdmByProperty`, in the DCDN `ModifyDCdnDomainSchdmByProperty`: sets the area
//! that a domain is delivered in.
//!
//! Divergence: every edge serves every domain; the area is only stored and returned.

use edgeseal_core::{
    DomainPattern,
    domain::{Coverage, Environment},
};
use serde_json::Value;

use super::{
    domain_lookup::{self, DomainError},
    wire_names::WireName as _,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{EmptyReply, Input, Operation, Success},
    sanitize::sanitize,
};

/// `ModifyCdnDomainSchdmByProperty`.
pub struct ModifyCdnDomainSchdmByProperty;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// No Property.
    #[error("set Property to where the domain is delivered, such as {{\"coverage\":\"overseas\"}}")]
    Unnamed,
    /// Not a valid Property.
    #[error(
        "Property is {given:?}; it must be {{\"coverage\":WHERE}} with one of {}",
        Coverage::all_wire_names()
    )]
    Property {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for ModifyCdnDomainSchdmByProperty {
    type Params = (DomainPattern, Coverage);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, Coverage), Error> {
        let name = domain_lookup::parse_name(params)?;
        let given = params.get_non_empty("Property").ok_or(Error::Unnamed)?;
        let property: Option<Value> = serde_json::from_str(given).ok();
        let coverage = property
            .as_ref()
            .and_then(|it| it.get("coverage")?.as_str());
        let coverage = coverage.and_then(Coverage::from_wire_name);
        let coverage = coverage.ok_or_else(|| Error::Property {
            given: sanitize(given),
        });
        Ok((name, coverage?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, coverage): (DomainPattern, Coverage),
    ) -> Result<Success<EmptyReply>, Error> {
        let (owner, environment) = (Some(call.account()), Environment::Production);
        let changed = domain_lookup::update(
            context,
            &call.audit,
            owner,
            &name,
            environment,
            |domain, now| {
                domain.coverage = coverage;
                domain.modified = now;
                Ok::<_, Error>(())
            },
        );
        Ok(Success::served(changed.await?, environment))
    }
}

api_error!(Error {
    Domain(DomainError),
    Unnamed => MissingProperty,
    Property => InvalidProperty,
    Store(StoreError),
});
