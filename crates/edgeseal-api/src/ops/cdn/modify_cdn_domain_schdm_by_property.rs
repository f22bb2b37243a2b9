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
    code::Code,
    context::Context,
    error::{ApiError, StoreError},
    operation::{EmptyReply, Operation, Success},
    request::ParamMap,
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
    /// No property.
    #[error("say in Property where the domain is delivered, as in {{\"coverage\":\"overseas\"}}")]
    Unnamed,
    /// Not a property.
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

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::MissingProperty,
        Code::InvalidProperty,
    ];

    fn parse(params: &ParamMap) -> Result<(DomainPattern, Coverage), Error> {
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

impl ApiError for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(error) => error.code(),
            Self::Unnamed => Code::MissingProperty,
            Self::Property { .. } => Code::InvalidProperty,
            Self::Store(error) => error.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(error) => error.detail(),
            Self::Store(error) => error.detail(),
            other => Some(other.to_string()),
        }
    }
}
