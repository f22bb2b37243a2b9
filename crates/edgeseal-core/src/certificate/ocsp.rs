//! OCSP (RFC 6960): requests for a certificate's status, and which responses may be stapled to a
//! handshake (RFC 6066 §8).
//!
//! A response is accepted only if the certificate's issuer signed it, or a responder to which the
//! issuer delegated this (RFC 6960 §4.2.2.2), and if it is about this certificate and current. A
//! status of *revoked* is accepted on the same terms.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use der::{
    AnyRef, Decode, Encode as _, Sequence, Tag,
    asn1::{BitStringRef, Null, ObjectIdentifier, OctetStringRef},
};
use x509_ocsp::{
    CertId, CertStatus, OcspGeneralizedTime, OcspRequest, OcspResponse, OcspResponseStatus,
    Request, ResponderId, ResponseData, SingleResponse, TbsRequest,
};
use x509_parser::{
    asn1_rs::BitString,
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
    x509::AlgorithmIdentifier,
};

use super::signature;
use crate::Timestamp;

/// A request for the status of a certificate, and what is needed to verify the response.
#[derive(Clone, Debug)]
pub struct OcspQuery {
    request: Vec<u8>,
    cert_id: CertId,
    issuer: Vec<u8>,
}

/// A response with the status *good*, which may be stapled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoodStatus {
    /// When the status was known to be correct.
    pub this_update: Timestamp,
    /// When the response expires.
    pub next_update: Timestamp,
}

/// Why a response may not be stapled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// It cannot be decoded.
    #[error("the response is not an OCSP response")]
    Malformed,
    /// The responder returned an error.
    #[error("the responder returned {0}")]
    ResponderError(&'static str),
    /// It is about another certificate.
    #[error("the response is about another certificate")]
    CertificateMismatch,
    /// Neither the issuer nor a delegated responder signed it.
    #[error("the response is not signed by an authorized responder")]
    UnauthorizedResponder,
    /// The signature does not verify, or its algorithm is not accepted.
    #[error("the signature of the response does not verify")]
    BadSignature,
    /// It is not yet valid.
    #[error("the response is not valid before {this_update}")]
    NotYetValid {
        /// When it becomes valid.
        this_update: Timestamp,
    },
    /// It has expired.
    #[error("the response expired at {next_update}")]
    Expired {
        /// When it expired.
        next_update: Timestamp,
    },
    /// It has no expiry.
    #[error("the response has no nextUpdate")]
    MissingNextUpdate,
    /// The responder does not know the certificate.
    #[error("the responder does not know the certificate")]
    Unknown,
    /// The certificate is revoked.
    #[error("the certificate was revoked at {revoked_at}")]
    Revoked {
        /// When.
        revoked_at: Timestamp,
    },
}

/// How far a responder's clock may be ahead, in milliseconds.
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;
/// Most certificates of a response that are tried.
const SIGNERS_MAX: usize = 4;

const ID_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const ID_BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const ID_TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
const ID_OCSP: &str = "1.3.6.1.5.5.7.48.1";
/// `status_request` (RFC 7633 §4, RFC 6066 §8).
const STATUS_REQUEST: u16 = 5;

/// Whether the leaf requires a stapled response (RFC 7633). Cheap for leaves that do not.
#[must_use]
pub fn must_staple(leaf: &[u8]) -> bool {
    /// `1.3.6.1.5.5.7.1.24` in DER.
    const ENCODED: &[u8] = &[6, 8, 0x2b, 6, 1, 5, 5, 7, 1, 24];
    if memchr::memmem::find(leaf, ENCODED).is_none() {
        return false;
    }
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
        return false;
    };
    let mut extensions = leaf.extensions().iter();
    let found = extensions.find(|one| one.oid.to_id_string() == ID_TLS_FEATURE);
    let features = found.and_then(|one| <Vec<u16> as Decode>::from_der(one.value).ok());
    features.is_some_and(|features| features.contains(&STATUS_REQUEST))
}

/// The leaf's first OCSP responder with a plain HTTP URL.
#[must_use]
pub fn responder_url(leaf: &[u8]) -> Option<String> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let access = leaf
        .extensions()
        .iter()
        .find_map(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => Some(access),
            _ => None,
        })?;
    let mut responders = access
        .iter()
        .filter(|one| one.access_method.to_id_string() == ID_OCSP);
    responders.find_map(|one| match one.access_location {
        GeneralName::URI(uri) if is_plain_http(uri) => Some(uri.to_owned()),
        _ => None,
    })
}

fn is_plain_http(uri: &str) -> bool {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"))
}

/// `CertID` with the hash that every responder supports (RFC 5019 §2.1.1).
#[derive(Sequence)]
struct CertIdDer<'a> {
    hash: Sha1,
    issuer_name: OctetStringRef<'a>,
    issuer_key: OctetStringRef<'a>,
    serial: AnyRef<'a>,
}

#[derive(Sequence)]
struct Sha1 {
    algorithm: ObjectIdentifier,
    parameters: Null,
}

/// `BasicOCSPResponse` with the signed part kept as received.
#[derive(Sequence)]
struct BasicResponse<'a> {
    signed: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    certificates: Option<Vec<AnyRef<'a>>>,
}

impl OcspQuery {
    /// A request for a leaf; `None` if a certificate cannot be decoded, or `issuer` does not have
    /// the leaf's issuer name.
    #[must_use]
    pub fn new(leaf: &[u8], issuer: &[u8]) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        let (_, authority) = X509Certificate::from_der(issuer).ok()?;
        if leaf.issuer().as_raw() != authority.subject().as_raw() {
            return None;
        }
        let about = cert_id(&leaf, &authority).ok()?;
        let question = OcspRequest {
            tbs_request: TbsRequest {
                request_list: vec![Request {
                    req_cert: about.clone(),
                    single_request_extensions: None,
                }],
                ..TbsRequest::default()
            },
            optional_signature: None,
        };
        Some(Self {
            request: question.to_der().ok()?,
            cert_id: about,
            issuer: issuer.to_vec(),
        })
    }

    /// DER of the `OCSPRequest`. It has no nonce, because the response is cached.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Verifies the DER of an `OCSPResponse`.
    ///
    /// # Errors
    /// [`OcspError`] unless the status is *good* and an authorized responder signed it.
    pub fn verify_response(
        &self,
        response: &[u8],
        now: Timestamp,
    ) -> Result<GoodStatus, OcspError> {
        let response = OcspResponse::from_der(response).map_err(|_| OcspError::Malformed)?;
        if let Some(status) = response_error(response.response_status) {
            return Err(OcspError::ResponderError(status));
        }
        let body = response.response_bytes.ok_or(OcspError::Malformed)?;
        if body.response_type != ID_BASIC {
            return Err(OcspError::Malformed);
        }
        let malformed = |_| OcspError::Malformed;
        let basic = BasicResponse::from_der(body.response.as_bytes()).map_err(malformed)?;
        let signed = basic.signed.to_der().map_err(malformed)?;
        let said = ResponseData::from_der(&signed).map_err(malformed)?;
        self.verify_signature(&basic, &signed, &said.responder_id, now)?;
        let single = said.responses.iter().find(|one| self.matches(one));
        check_single_response(single.ok_or(OcspError::CertificateMismatch)?, now)
    }

    fn matches(&self, single: &SingleResponse) -> bool {
        let (asked, answered) = (&self.cert_id, &single.cert_id);
        // The parameters of SHA-1 may be NULL or absent.
        asked.hash_algorithm.oid == answered.hash_algorithm.oid
            && asked.issuer_name_hash == answered.issuer_name_hash
            && asked.issuer_key_hash == answered.issuer_key_hash
            && asked.serial_number == answered.serial_number
    }

    fn verify_signature(
        &self,
        basic: &BasicResponse<'_>,
        signed: &[u8],
        responder: &ResponderId,
        now: Timestamp,
    ) -> Result<(), OcspError> {
        let malformed = |_| OcspError::Malformed;
        let algorithm = basic.algorithm.to_der().map_err(malformed)?;
        let (_, algorithm) =
            AlgorithmIdentifier::from_der(&algorithm).map_err(|_| OcspError::Malformed)?;
        if signature::weak_hash(&algorithm).is_some() {
            return Err(OcspError::BadSignature);
        }
        let signature = basic.signature.as_bytes().ok_or(OcspError::Malformed)?;
        let signature = BitString::new(0, signature);
        let verifies = |signer: &X509Certificate<'_>| {
            let signature = (&algorithm, &signature);
            signature::verify_signed(signed, signature, signer.public_key())
                .map_err(|_| OcspError::BadSignature)
        };
        let (_, issuer) =
            X509Certificate::from_der(&self.issuer).map_err(|_| OcspError::Malformed)?;
        // A delegated responder may have the name of the issuer.
        let mut result = if matches_responder_id(responder, &issuer) {
            verifies(&issuer)
        } else {
            Err(OcspError::UnauthorizedResponder)
        };
        if result.is_ok() {
            return result;
        }
        for der in basic.certificates.iter().flatten().take(SIGNERS_MAX) {
            let der = der.to_der().map_err(malformed)?;
            let Ok((_, signer)) = X509Certificate::from_der(&der) else {
                continue;
            };
            if matches_responder_id(responder, &signer)
                && is_delegated_responder(&signer, &issuer, now)
            {
                result = verifies(&signer);
                if result.is_ok() {
                    break;
                }
            }
        }
        result
    }
}

fn cert_id(leaf: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> der::Result<CertId> {
    let sha1 = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let name = sha1(issuer.subject().as_raw());
    let key = sha1(&issuer.public_key().subject_public_key.data);
    let about = CertIdDer {
        hash: Sha1 {
            algorithm: ID_SHA1,
            parameters: Null,
        },
        issuer_name: OctetStringRef::new(name.as_ref())?,
        issuer_key: OctetStringRef::new(key.as_ref())?,
        serial: AnyRef::new(Tag::Integer, leaf.raw_serial())?,
    };
    CertId::from_der(&about.to_der()?)
}

/// The error in a response status; `None` if it is successful.
const fn response_error(status: OcspResponseStatus) -> Option<&'static str> {
    match status {
        OcspResponseStatus::Successful => None,
        OcspResponseStatus::MalformedRequest => Some("malformedRequest"),
        OcspResponseStatus::InternalError => Some("internalError"),
        OcspResponseStatus::TryLater => Some("tryLater"),
        OcspResponseStatus::SigRequired => Some("sigRequired"),
        OcspResponseStatus::Unauthorized => Some("unauthorized"),
    }
}

/// Whether the response names this certificate as its signer.
fn matches_responder_id(responder: &ResponderId, signer: &X509Certificate<'_>) -> bool {
    match responder {
        ResponderId::ByName(name) => name
            .to_der()
            .is_ok_and(|name| name == signer.subject().as_raw()),
        ResponderId::ByKey(hash) => {
            let key = &signer.public_key().subject_public_key.data;
            digest(&SHA1_FOR_LEGACY_USE_ONLY, key).as_ref() == hash.as_bytes()
        }
    }
}

/// Whether the issuer delegated OCSP signing to this certificate.
fn is_delegated_responder(
    signer: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    now: Timestamp,
) -> bool {
    let usage = signer.extended_key_usage().ok().flatten();
    let validity = signer.validity();
    let now = now.unix_seconds();
    usage.is_some_and(|usage| usage.value.ocsp_signing)
        && validity.not_before.timestamp() <= now
        && now <= validity.not_after.timestamp()
        && signer.issuer().as_raw() == issuer.subject().as_raw()
        && signature::weak_hash(&signer.signature_algorithm).is_none()
        && signature::verify(signer, issuer.public_key()).is_ok()
}

fn check_single_response(single: &SingleResponse, now: Timestamp) -> Result<GoodStatus, OcspError> {
    let this_update = timestamp(&single.this_update);
    if this_update.since_ms(now) > CLOCK_SKEW_MS {
        return Err(OcspError::NotYetValid { this_update });
    }
    let next_update = single.next_update.as_ref().map(timestamp);
    match next_update {
        Some(next_update) if next_update <= now => return Err(OcspError::Expired { next_update }),
        _ => {}
    }
    match &single.cert_status {
        CertStatus::Good(_) => Ok(GoodStatus {
            this_update,
            next_update: next_update.ok_or(OcspError::MissingNextUpdate)?,
        }),
        CertStatus::Revoked(info) => Err(OcspError::Revoked {
            revoked_at: timestamp(&info.revocation_time),
        }),
        CertStatus::Unknown(_) => Err(OcspError::Unknown),
    }
}

fn timestamp(time: &OcspGeneralizedTime) -> Timestamp {
    let seconds = time.0.to_unix_duration().as_secs();
    Timestamp::from_unix_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
