//! `SetDcdnDomainCertificate` and `BatchSetDcdnDomainCertificate`: the legacy forms of
//! `SetDcdnDomainSSLCertificate`, removed from the SDKs but still used by tools. They have the
//! legacy parameters, `ForceSet` and `Region`, and the codes of the newer operation where the
//! legacy page lists them.

use edgeseal_core::{DomainPattern, domain::CertificateLocked};

use crate::{
    authorize::Authorized,
    context::Context,
    error::api_error,
    operation::{EmptyReply, Input, Operation, Success},
    ops::cdn::{
        domain_list_error::DomainListError,
        domain_lookup::{self, DomainError},
        set_certificate::{self, Error as Cause, LEGACY_PARAM_NAMES, Params},
    },
};

/// The operation for one domain.
pub struct SetDcdnDomainCertificate;

/// The operation for up to 50 domains: all or none.
pub struct BatchSetDcdnDomainCertificate;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The domain list is invalid.
    #[error(transparent)]
    Domains(#[from] DomainListError),
    /// Any other cause.
    #[error(transparent)]
    Set(#[from] set_certificate::Error),
}

impl Operation for SetDcdnDomainCertificate {
    type Params = (DomainPattern, Params);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, Params), Error> {
        Ok((
            domain_lookup::parse_name(params)?,
            Params::parse(params, LEGACY_PARAM_NAMES),
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ask): (DomainPattern, Params),
    ) -> Result<Success<EmptyReply>, Error> {
        let names = std::slice::from_ref(&name);
        Ok(set_certificate::set(context, call, names, ask).await?)
    }
}

impl Operation for BatchSetDcdnDomainCertificate {
    type Params = (Vec<DomainPattern>, Params);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<(Vec<DomainPattern>, Params), Error> {
        let names = domains.names().map_err(DomainListError::from)?;
        Ok((names, Params::parse(params, LEGACY_PARAM_NAMES)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, ask): (Vec<DomainPattern>, Params),
    ) -> Result<Success<EmptyReply>, Error> {
        Ok(set_certificate::set(context, call, &names, ask).await?)
    }
}

impl From<DomainError> for Error {
    fn from(error: DomainError) -> Self {
        Self::Set(error.into())
    }
}

// The legacy page has one code for taken names, one for parameters, and one for domains that are not
// online.
api_error!(Error {
    Domains(DomainListError),
    Set(Cause::NameTaken { .. } | Cause::NameInUse { .. }) => CertificateDuplicated,
    Set(Cause::Region { .. } | Cause::NoReference) => SetCertificateParameter,
    Set(Cause::Held(CertificateLocked::Stopped)) => DomainNotOnline,
    Set(Cause::Contended) => ServiceBusy,
    Set(set_certificate::Error),
});
