//! `SetCdnDomainCSRCertificate`: binds the certificate issued for a signing request of this
//! account, with the stored key of the request.

use edgeseal_core::{
    DomainPattern,
    certificate::{Certificate, InvalidCertificate, Leaf, inspect, key_to_pem, validate_upload},
    domain::Environment,
};

use super::{
    domain_lookup::{self, DomainError},
    set_certificate::{self, BindingRole, CertificateInput, UploadedCertificate},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{EmptyReply, Input, Operation, Success},
    ops::encoded_pem::{self, InvalidEncodedPem},
};

/// `SetCdnDomainCSRCertificate`.
pub struct SetCdnDomainCsrCertificate;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate.
    #[error("give the certificate in ServerCertificate, as PEM or base64-encoded PEM")]
    Missing,
    /// Neither PEM nor base64-encoded PEM.
    #[error(transparent)]
    Encoding(#[from] InvalidEncodedPem),
    /// The certificate is rejected.
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// No signing request of the account has its key.
    #[error(
        "the certificate for {name} was not issued for a signing request of your account: there is no key for it"
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

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, String), Error> {
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
    Ok(validate_upload(chain, &key_to_pem(&key), call.now())?)
}

api_error!(Error {
    Missing => CertificateParameterMissing,
    Encoding => CertificateDecodeError,
    Certificate(InvalidCertificate::Format(_)) => CertificateFormat,
    Certificate(InvalidCertificate::Expired { .. }) => CertificateExpired,
    Certificate(InvalidCertificate::NotYetValid { .. }) => CertificateStatus,
    Certificate(InvalidCertificate::Untrusted(_)) => AuthenticationFailed,
    Certificate => CertificateDecodeError,
    NoRequest => NoSigningRequest,
    Set(set_certificate::Error::NotCovered { .. }) => CertificateNotOfDomain,
    Set(set_certificate::Error::NotStored(_) | set_certificate::Error::Contended) => ConfigError,
    Set(set_certificate::Error),
    Store(StoreError),
});
