//! `SetDcdnDomainCertificate` and `BatchSetDcdnDomainCertificate`: the legacy spellings of
//! `SetDcdnDomainSSLCertificate`, gone from the SDKs and still sent by tools in use. Their
//! parameters are the legacy ones, `ForceSet` and `Region`; their codes those of the newer operation,
//! as far as the legacy page has them.

use edgeseal_core::{Pattern, domain::Held};

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{AccessDenied, BatchOperation, Done, Failure, Nothing, Operation},
    ops::cdn::{
        named_domain::{self, NoDomain},
        named_domains::NoDomains,
        set_certificate::{self, Ask, LEGACY},
    },
    request::Params,
};

/// The operation for one domain.
pub struct SetDcdnDomainCertificate;

/// The operation for up to 50 domains: all or none.
pub struct BatchSetDcdnDomainCertificate;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of domains is none.
    #[error(transparent)]
    Domains(#[from] NoDomains),
    /// Any other cause.
    #[error(transparent)]
    Cause(#[from] set_certificate::Error),
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
    type Params = (Pattern, Ask);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = codes![];

    fn parse(params: &Params) -> Result<(Pattern, Ask), Error> {
        Ok((named_domain::name(params)?, Ask::of(params, LEGACY)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ask): (Pattern, Ask),
    ) -> Result<Done<Nothing>, Error> {
        let names = std::slice::from_ref(&name);
        Ok(set_certificate::set(context, call, names, ask).await?)
    }
}

impl BatchOperation for BatchSetDcdnDomainCertificate {
    type Params = (Vec<Pattern>, Ask);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = codes![DomainNameOverLimit];

    fn parse(domains: &DomainList, params: &Params) -> Result<(Vec<Pattern>, Ask), Error> {
        let names = domains.names().map_err(NoDomains::from)?;
        Ok((names, Ask::of(params, LEGACY)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, ask): (Vec<Pattern>, Ask),
    ) -> Result<Done<Nothing>, Error> {
        Ok(set_certificate::set(context, call, &names, ask).await?)
    }
}

impl From<NoDomain> for Error {
    fn from(why: NoDomain) -> Self {
        Self::Cause(why.into())
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        use set_certificate::Error as Cause;
        match self {
            Self::Domains(why) => why.code(),
            // The legacy page has one code for taken names, one for parameters, and one for domains
            // that are not online.
            Self::Cause(Cause::NameTaken { .. } | Cause::NameInUse { .. }) => {
                Code::CertificateDuplicated
            }
            Self::Cause(Cause::Region { .. } | Cause::NoReference) => Code::SetCertificateParameter,
            Self::Cause(Cause::Held(Held::Stopped)) => Code::DomainNotOnline,
            Self::Cause(Cause::Contended) => Code::ServiceBusy,
            Self::Cause(why) => why.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Cause(set_certificate::Error::Unauthorized(why)) => why.message(),
            other => other.code().row().message.to_owned(),
        }
    }

    fn access_denied(&self) -> Option<AccessDenied> {
        match self {
            Self::Domains(_) => None,
            Self::Cause(why) => why.access_denied(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domains(why) => why.detail(),
            Self::Cause(why) => why.detail(),
        }
    }
}
