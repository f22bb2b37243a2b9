//! `SetDcdnDomainCertificate` and `BatchSetDcdnDomainCertificate`: the legacy forms of
//! `SetDcdnDomainSSLCertificate`, removed from the SDKs but still used by tools. They have the
//! legacy parameters, `ForceSet` and `Region`, and the codes of the newer operation where the
//! legacy page lists them.

use edgeseal_core::{DomainPattern, domain::CertificateLocked};

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    error::{AccessDenied, ApiError},
    operation::{BatchOperation, EmptyReply, Operation, Success},
    ops::cdn::{
        domain_list_error::DomainListError,
        domain_lookup::{self, DomainError},
        set_certificate::{self, LEGACY_PARAM_NAMES, Params},
    },
    request::ParamMap,
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

macro_rules! codes {
    ($($own:ident)?) => {
        &[
            $(Code::$own,)?
            Code::MissingDomainName,
            Code::DomainNameMalformed,
            Code::DomainNotFound,
            Code::MissingSslProtocol,
            Code::InvalidSslProtocol,
            Code::SslPubMissing,
            Code::SslPriMissing,
            Code::InvalidSslPub,
            Code::InvalidSslPri,
            Code::CertificateMismatch,
            Code::CertificateTooLong,
            Code::CertNameTooLong,
            Code::AuthenticationFailed,
            Code::SetCertificateParameter,
            Code::CertificateStatus,
            Code::DeleteFailed,
            Code::CertificateNotFound,
            Code::CertificateDuplicated,
            Code::CertificateFormat,
            Code::CertificateKeyNull,
            Code::KeyMalformed,
            Code::CertStorageFailed,
            Code::CertificateContentDuplicated,
            Code::CertificateExpired,
            Code::DomainNotOnline,
            Code::DecodeError,
            Code::SslPubEncoding,
            Code::SslPriEncoding,
            Code::DomainInSafeMode,
            Code::DomainInProtectedMode,
            Code::TooManyCertificates,
        ]
    };
}

impl Operation for SetDcdnDomainCertificate {
    type Params = (DomainPattern, Params);
    type Reply = EmptyReply;
    type Error = Error;

    const CODES: &'static [Code] = codes![];

    fn parse(params: &ParamMap) -> Result<(DomainPattern, Params), Error> {
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

impl BatchOperation for BatchSetDcdnDomainCertificate {
    type Params = (Vec<DomainPattern>, Params);
    type Reply = EmptyReply;
    type Error = Error;

    const CODES: &'static [Code] = codes![DomainNameOverLimit];

    fn parse(
        domains: &DomainList,
        params: &ParamMap,
    ) -> Result<(Vec<DomainPattern>, Params), Error> {
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

impl ApiError for Error {
    fn code(&self) -> Code {
        use set_certificate::Error as Cause;
        match self {
            Self::Domains(error) => error.code(),
            // The legacy page has one code for taken names, one for parameters, and one for domains
            // that are not online.
            Self::Set(Cause::NameTaken { .. } | Cause::NameInUse { .. }) => {
                Code::CertificateDuplicated
            }
            Self::Set(Cause::Region { .. } | Cause::NoReference) => Code::SetCertificateParameter,
            Self::Set(Cause::Held(CertificateLocked::Stopped)) => Code::DomainNotOnline,
            Self::Set(Cause::Contended) => Code::ServiceBusy,
            Self::Set(error) => error.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Set(set_certificate::Error::Unauthorized(error)) => error.message(),
            other => other.code().spec().message.to_owned(),
        }
    }

    fn access_denied(&self) -> Option<AccessDenied> {
        match self {
            Self::Domains(_) => None,
            Self::Set(error) => error.access_denied(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domains(error) => error.detail(),
            Self::Set(error) => error.detail(),
        }
    }
}
