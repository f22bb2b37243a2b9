//! `SetCdnDomainCSRCertificate`: binds the certificate issued for a signing request of this
//! account, with the key that stayed here.

use edgeseal_core::{
    DomainPattern,
    certificate::{Certificate, InvalidCertificate, Leaf, admit, inspect, key_to_pem},
    domain::Environment,
};

use super::{
    domain_lookup::{self, DomainError},
    set_certificate::{self, BindingRole, CertificateInput, UploadedCertificate},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::{ApiError, StoreError},
    operation::{EmptyReply, Operation, Success},
    ops::encoded_pem::{self, InvalidEncodedPem},
    request::ParamMap,
};

/// `SetCdnDomainCSRCertificate`.
pub struct SetCdnDomainCsrCertificate;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate.
    #[error("give the certificate in ServerCertificate, in PEM or the base64 of it")]
    Missing,
    /// Neither PEM nor base64-encoded PEM.
    #[error(transparent)]
    Encoding(#[from] InvalidEncodedPem),
    /// The certificate is rejected.
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// No signing request of the account has its key.
    #[error(
        "the certificate for {name} was not made from a signing request of your account: no key here belongs to it"
    )]
    NoRequest {
        /// Common name of the certificate.
        name: String,
    },
    /// The certificate cannot be bound.
    #[error(transparent)]
    Set(#[from] set_certificate::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DomainError> for Error {
    fn from(error: DomainError) -> Self {
        Self::Set(error.into())
    }
}

impl Operation for SetCdnDomainCsrCertificate {
    type Params = (DomainPattern, String);
    type Reply = EmptyReply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::DomainOffline,
        Code::DomainNotOnline,
        Code::DomainInSafeMode,
        Code::DomainInProtectedMode,
        Code::CertificateParameterMissing,
        Code::CertificateDecodeError,
        Code::CertificateFormat,
        Code::NoSigningRequest,
        Code::CertificateNotOfDomain,
        Code::CertificateExpired,
        Code::CertificateStatus,
        Code::AuthenticationFailed,
        Code::CertificateContentDuplicated,
        Code::TooManyCertificates,
        Code::ConfigError,
    ];

    fn parse(params: &ParamMap) -> Result<(DomainPattern, String), Error> {
        let name = domain_lookup::parse_name(params)?;
        let text = params
            .get_non_empty("ServerCertificate")
            .ok_or(Error::Missing)?;
        Ok((name, encoded_pem::decode(text)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, chain): (DomainPattern, String),
    ) -> Result<Success<EmptyReply>, Error> {
        let domain = domain_lookup::find(&context.catalog, call.account(), &name).await?;
        domain
            .check_certificate_change()
            .map_err(set_certificate::Error::from)?;
        let certificate = with_stored_key(context, call, &chain).await?;
        let source = CertificateInput::Upload(Box::new(UploadedCertificate::unnamed(certificate)));
        let (names, environment) = (std::slice::from_ref(&name), Environment::Production);
        let bound = Some((&source, BindingRole::Primary));
        Ok(set_certificate::bind(context, call, names, environment, bound).await?)
    }
}

async fn with_stored_key(
    context: &Context,
    call: &Authorized,
    chain: &str,
) -> Result<Certificate, Error> {
    let Leaf {
        spki_sha256: public_key,
        info: facts,
        ..
    } = inspect(chain)?;
    let key = context
        .catalog
        .signing_request_key(call.account(), &public_key)
        .await
        .map_err(StoreError::from)?;
    let key = key.ok_or(Error::NoRequest {
        name: facts.common_name,
    })?;
    Ok(admit(chain, &key_to_pem(&key), call.now())?)
}

impl ApiError for Error {
    fn code(&self) -> Code {
        use set_certificate::Error as Set;
        match self {
            Self::Missing => Code::CertificateParameterMissing,
            Self::Encoding(_) => Code::CertificateDecodeError,
            Self::Certificate(error) => match error {
                InvalidCertificate::Format(_) => Code::CertificateFormat,
                InvalidCertificate::Expired { .. } => Code::CertificateExpired,
                InvalidCertificate::NotYetValid { .. } => Code::CertificateStatus,
                InvalidCertificate::Untrusted(_) => Code::AuthenticationFailed,
                _ => Code::CertificateDecodeError,
            },
            Self::NoRequest { .. } => Code::NoSigningRequest,
            Self::Set(Set::NotCovered { .. }) => Code::CertificateNotOfDomain,
            Self::Set(Set::NotStored(_) | Set::Contended) => Code::ConfigError,
            Self::Set(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Set(error) => error.detail(),
            Self::Store(error) => error.detail(),
            other => Some(other.to_string()),
        }
    }
}
