//! `SetCdnDomainCSRCertificate`: the certificate that an authority made of a signing request of
//! this account is bound to a domain, with the key that stayed here.

use edgeseal_core::{
    Pattern,
    certificate::{Certificate, InvalidCertificate, Leaf, admit, inspect, key_pem},
    domain::Environment,
};

use super::{
    named_domain::{self, NoDomain},
    set_certificate::{self, Place, Source, Upload},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble},
    ops::encoded_pem::{self, NotEncodedPem},
    request::Params,
};

/// The operation.
pub struct SetCdnDomainCsrCertificate;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate.
    #[error("give the certificate in ServerCertificate, in PEM or the base64 of it")]
    Missing,
    /// Neither PEM nor base64 of it.
    #[error(transparent)]
    Encoding(#[from] NotEncodedPem),
    /// It is not let in.
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// Nobody here has its key.
    #[error(
        "the certificate for {name} was not made from a signing request of your account: no key here belongs to it"
    )]
    NoRequest {
        /// Common name of the certificate.
        name: String,
    },
    /// Why it is not bound.
    #[error(transparent)]
    Set(#[from] set_certificate::Error),
    /// What every operation can meet.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<NoDomain> for Error {
    fn from(why: NoDomain) -> Self {
        Self::Set(why.into())
    }
}

impl Operation for SetCdnDomainCsrCertificate {
    type Params = (Pattern, String);
    type Reply = Nothing;
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

    fn parse(params: &Params) -> Result<(Pattern, String), Error> {
        let name = named_domain::name(params)?;
        let text = params.given("ServerCertificate").ok_or(Error::Missing)?;
        Ok((name, encoded_pem::decode(text)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, chain): (Pattern, String),
    ) -> Result<Done<Nothing>, Error> {
        let domain = named_domain::find(&context.catalog, call.account(), &name).await?;
        domain
            .may_change_certificate()
            .map_err(set_certificate::Error::from)?;
        let certificate = with_its_key(context, call, &chain).await?;
        let source = Source::Upload(Box::new(Upload::unnamed(certificate)));
        let (names, environment) = (std::slice::from_ref(&name), Environment::Production);
        let bound = Some((&source, Place::First));
        Ok(set_certificate::bind(context, call, names, environment, bound).await?)
    }
}

async fn with_its_key(
    context: &Context,
    call: &Authorized,
    chain: &str,
) -> Result<Certificate, Error> {
    let Leaf {
        public_key, facts, ..
    } = inspect(chain)?;
    let key = context
        .catalog
        .key_of_signing_request(call.account(), &public_key)
        .await
        .map_err(Trouble::from)?;
    let key = key.ok_or(Error::NoRequest {
        name: facts.common_name,
    })?;
    Ok(admit(chain, &key_pem(&key), call.now())?)
}

impl Failure for Error {
    fn code(&self) -> Code {
        use set_certificate::Error as Set;
        match self {
            Self::Missing => Code::CertificateParameterMissing,
            Self::Encoding(_) => Code::CertificateDecodeError,
            Self::Certificate(why) => match why {
                InvalidCertificate::Format(_) => Code::CertificateFormat,
                InvalidCertificate::Expired { .. } => Code::CertificateExpired,
                InvalidCertificate::NotYetValid { .. } => Code::CertificateStatus,
                InvalidCertificate::Untrusted(_) => Code::AuthenticationFailed,
                _ => Code::CertificateDecodeError,
            },
            Self::NoRequest { .. } => Code::NoSigningRequest,
            Self::Set(Set::NotCovered { .. }) => Code::CertificateNotOfDomain,
            Self::Set(Set::NotStored(_) | Set::Contended) => Code::ConfigError,
            Self::Set(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Set(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
