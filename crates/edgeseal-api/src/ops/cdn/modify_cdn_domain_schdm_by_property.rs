//! `ModifyCdnDomainSchdmByProperty`, in the DCDN `ModifyDCdnDomainSchdmByProperty`: the area that a
//! domain is delivered in.
//!
//! Divergence: every edge serves every domain; the area is kept and shown.

use edgeseal_core::{
    Pattern,
    domain::{Coverage, Environment},
};
use serde_json::Value;

use super::{
    named_domain::{self, NoDomain},
    words::Word as _,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble, shown},
    request::Params,
};

/// The operation.
pub struct ModifyCdnDomainSchdmByProperty;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// No property.
    #[error("say in Property where the domain is delivered, as in {{\"coverage\":\"overseas\"}}")]
    Unnamed,
    /// Not a property.
    #[error(
        "Property is {given:?}; it must be {{\"coverage\":WHERE}} with one of {}",
        Coverage::all_words()
    )]
    Property {
        /// What was given.
        given: String,
    },
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for ModifyCdnDomainSchdmByProperty {
    type Params = (Pattern, Coverage);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::MissingProperty,
        Code::InvalidProperty,
    ];

    fn parse(params: &Params) -> Result<(Pattern, Coverage), Error> {
        let name = named_domain::name(params)?;
        let given = params.given("Property").ok_or(Error::Unnamed)?;
        let property: Option<Value> = serde_json::from_str(given).ok();
        let coverage = property
            .as_ref()
            .and_then(|it| it.get("coverage")?.as_str());
        let coverage = coverage.and_then(Coverage::of_word);
        let coverage = coverage.ok_or_else(|| Error::Property {
            given: shown(given),
        });
        Ok((name, coverage?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, coverage): (Pattern, Coverage),
    ) -> Result<Done<Nothing>, Error> {
        let (owner, environment) = (Some(call.account()), Environment::Production);
        let changed = named_domain::change(
            context,
            &call.deed,
            owner,
            &name,
            environment,
            |domain, now| {
                domain.coverage = coverage;
                domain.modified = now;
                Ok::<_, Error>(())
            },
        );
        Ok(Done::served(changed.await?, environment))
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::Unnamed => Code::MissingProperty,
            Self::Property { .. } => Code::InvalidProperty,
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
