//! `CreateCdnCertificateSigningRequest`: generates a key, which never leaves the server, and
//! returns the certificate signing request (RFC 2986) for a certificate authority.

use edgeseal_core::{
    DomainPattern, Secret,
    certificate::Digest,
    quota::{OverQuota, QuotaKind},
};
use edgeseal_store::{Fault, catalog::ChangeError};
use md5::{Digest as _, Md5};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _, string::Ia5String,
};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{Input, Operation, Success},
    ops::quota,
    request::ParamMap,
    sanitize::sanitize_to,
};

/// `CreateCdnCertificateSigningRequest`.
pub struct CreateCdnCertificateSigningRequest;

/// Most names of one request besides the common name.
const NAMES_MAX: usize = 100;
/// Longest attribute of a subject, in characters (RFC 5280 appendix A.1, upper bounds).
const ATTRIBUTE_MAX: usize = 64;

/// The parameters.
pub struct Params {
    common_name: DomainPattern,
    names: Vec<DomainPattern>,
    attributes: Vec<(DnType, String)>,
}

/// The signing request.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    common_name: String,
    csr: String,
    /// MD5 of the public key (DER of SubjectPublicKeyInfo) in hex: a short identifier only.
    pub_md5: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No common name.
    #[error("give the domain in CommonName")]
    NoCommonName,
    /// Not a domain name.
    #[error("CommonName is {given:?}, which is not a domain name")]
    CommonName {
        /// The value given.
        given: String,
    },
    /// Not domain names, or too many.
    #[error(
        "SANs must name at most {NAMES_MAX} domains, separated by commas; {given:?} is not a domain name"
    )]
    Names {
        /// The value given.
        given: String,
    },
    /// An invalid subject attribute.
    #[error("{param} must have at most {max} printable characters")]
    Attribute {
        /// The parameter.
        param: &'static str,
        /// The longest allowed.
        max: usize,
    },
    /// The account has reached the limit.
    #[error("{}", quota::over_quota_detail(.0))]
    Quota(#[from] OverQuota),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Subject attributes with their defaults (the operation's documentation).
const ATTRIBUTES: [(&str, &str); 5] = [
    ("Organization", "Alibaba Inc"),
    ("OrganizationUnit", "Aliyun CDN"),
    ("Country", "CN"),
    ("State", "Zhejiang"),
    ("City", "Hangzhou"),
];

impl Operation for CreateCdnCertificateSigningRequest {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let given = params
            .get_non_empty("CommonName")
            .ok_or(Error::NoCommonName)?;
        let common_name = DomainPattern::parse(given).map_err(|_| Error::CommonName {
            given: sanitize_to(given, 80),
        })?;
        let attributes = ATTRIBUTES
            .into_iter()
            .map(|(param, default)| attribute(params, param, default))
            .collect::<Result<_, _>>()?;
        Ok(Params {
            names: names(params, &common_name)?,
            common_name,
            attributes,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let made = make(&params).map_err(|fault| Error::Store(fault.into()))?;
        let common_name = params.common_name.to_san();
        let (made, name) = (&made, common_name.as_str());
        let quota = quota::for_account(context, call.account(), QuotaKind::CsrKeys).await;
        let quota = quota.map_err(StoreError::from)?;
        let stored = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                let keys = (&made.public_key, &made.private_key);
                draft
                    .add_signing_request(call.account(), keys, name, quota)
                    .await?;
                Ok::<_, ChangeError<Error>>((draft, ()))
            });
        let committed = stored.await.map_err(from_change_error::<Error, Error>)?;
        let reply = Reply {
            csr: made.csr.clone(),
            pub_md5: made.md5.clone(),
            common_name,
        };
        Ok(Success::changed_with(reply, committed.revision, None))
    }
}

fn names(params: &ParamMap, common_name: &DomainPattern) -> Result<Vec<DomainPattern>, Error> {
    let mut names = vec![common_name.clone()];
    let given = params.get_non_empty("SANs").unwrap_or_default();
    for part in given
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let refused = || Error::Names {
            given: sanitize_to(part, 80),
        };
        let name = DomainPattern::parse(part).map_err(|_| refused())?;
        if names.len() > NAMES_MAX {
            return Err(refused());
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn attribute(
    params: &ParamMap,
    param: &'static str,
    default: &str,
) -> Result<(DnType, String), Error> {
    let (kind, max) = match param {
        "Organization" => (DnType::OrganizationName, ATTRIBUTE_MAX),
        "OrganizationUnit" => (DnType::OrganizationalUnitName, ATTRIBUTE_MAX),
        "Country" => (DnType::CountryName, 2),
        "State" => (DnType::StateOrProvinceName, ATTRIBUTE_MAX),
        _ => (DnType::LocalityName, ATTRIBUTE_MAX),
    };
    let value = params.get_non_empty(param).unwrap_or(default);
    let printable = !value.chars().any(char::is_control);
    let is_country = value.len() == 2 && value.bytes().all(|b| b.is_ascii_alphabetic());
    if value.chars().count() > max || !printable || (max == 2 && !is_country) {
        return Err(Error::Attribute { param, max });
    }
    Ok((kind, value.to_owned()))
}

struct Made {
    csr: String,
    public_key: Digest,
    private_key: Secret,
    md5: String,
}

/// The key is P-256: every public authority certifies it, and every current client supports it.
fn make(params: &Params) -> Result<Made, Fault> {
    let failed = Fault::of::<rcgen::Error>;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed("make a key"))?;
    let mut certificate = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    let common_name = params.common_name.to_san();
    // A longer name is not a valid common name (RFC 5280 appendix A.1); it is among the DNS names
    // anyway.
    if common_name.chars().count() <= ATTRIBUTE_MAX {
        subject.push(DnType::CommonName, common_name);
    }
    for (kind, value) in &params.attributes {
        subject.push(kind.clone(), value.as_str());
    }
    certificate.distinguished_name = subject;
    certificate.subject_alt_names = params
        .names
        .iter()
        .map(|name| Ia5String::try_from(name.to_san()).map(rcgen::SanType::DnsName))
        .collect::<Result<_, _>>()
        .map_err(failed("write a name"))?;
    let request = certificate
        .serialize_request(&key)
        .map_err(failed("sign a request"))?;
    let csr = request.pem().map_err(failed("print a request"))?;
    let spki = key.subject_public_key_info();
    Ok(Made {
        csr,
        public_key: Digest::of(&spki),
        private_key: Secret::new(key.serialize_der()),
        md5: hex::encode(Md5::digest(&spki)),
    })
}

api_error!(Error {
    NoCommonName => MissingCommonName,
    CommonName => InvalidCommonName,
    Names => InvalidSans,
    Attribute => InvalidSubject,
    Quota(OverQuota),
    Store(StoreError),
});
