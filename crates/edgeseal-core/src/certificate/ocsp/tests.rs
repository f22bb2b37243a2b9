use der::asn1::{GeneralizedTime, OctetString};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SigningKey as _,
};
use x509_ocsp::{ResponseBytes, RevokedInfo, Version};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_780_272_000);
const HOUR_S: i64 = 3600;
/// `ecdsa-with-SHA256` and `ecdsa-with-SHA1`.
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA1: &[u8] = &[0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let mut params = named("Test Authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        Self { issuer, der }
    }

    fn issue(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }

    fn leaf(&self, extensions: Vec<CustomExtension>) -> Vec<u8> {
        let mut params = named("leaf");
        params.custom_extensions = extensions;
        self.issue(&params, &KeyPair::generate().unwrap())
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn responder_params() -> CertificateParams {
    let mut params = named("Test Responder");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    params
}

/// An answer in the making.
struct ResponseBuilder {
    response_data: ResponseData,
    signer: KeyPair,
    algorithm: &'static [u8],
    certificates: Vec<Vec<u8>>,
}

impl ResponseBuilder {
    /// What the authority itself says of a good leaf.
    fn good(authority: &Authority, leaf: &[u8]) -> Self {
        let question = OcspQuery::new(leaf, &authority.der).unwrap();
        Self {
            response_data: ResponseData {
                version: Version::V1,
                responder_id: by_key(&authority.der),
                produced_at: at(NOW),
                responses: vec![SingleResponse {
                    cert_id: question.cert_id,
                    cert_status: CertStatus::good(),
                    this_update: at(NOW.plus_ms(-1000 * HOUR_S)),
                    next_update: Some(at(NOW.plus_ms(1000 * HOUR_S))),
                    single_extensions: None,
                }],
                response_extensions: None,
            },
            signer: same(authority.issuer.key()),
            algorithm: ECDSA_SHA256,
            certificates: Vec::new(),
        }
    }

    fn signed_by(&mut self, responder: Vec<u8>, key: KeyPair) {
        self.response_data.responder_id = by_key(&responder);
        self.signer = key;
        self.certificates.push(responder);
    }

    fn single(&mut self) -> &mut SingleResponse {
        &mut self.response_data.responses[0]
    }

    fn der(&self) -> Vec<u8> {
        let signed = self.response_data.to_der().unwrap();
        let signature = self.signer.sign(&signed).unwrap();
        let certificates = self.certificates.iter();
        let certificates: Vec<_> = certificates
            .map(|der| AnyRef::try_from(&der[..]).unwrap())
            .collect();
        let basic = BasicResponse {
            signed: AnyRef::try_from(&signed[..]).unwrap(),
            algorithm: AnyRef::try_from(self.algorithm).unwrap(),
            signature: BitStringRef::from_bytes(&signature).unwrap(),
            certificates: (!certificates.is_empty()).then_some(certificates),
        };
        let response = OcspResponse {
            response_status: OcspResponseStatus::Successful,
            response_bytes: Some(ResponseBytes {
                response_type: ID_BASIC,
                response: OctetString::new(basic.to_der().unwrap()).unwrap(),
            }),
        };
        response.to_der().unwrap()
    }
}

fn same(key: &KeyPair) -> KeyPair {
    KeyPair::try_from(key.serialize_der()).unwrap()
}

fn at(time: Timestamp) -> OcspGeneralizedTime {
    let since_epoch = u64::try_from(time.unix_seconds()).unwrap();
    let since_epoch = std::time::Duration::from_secs(since_epoch);
    OcspGeneralizedTime(GeneralizedTime::from_unix_duration(since_epoch).unwrap())
}

fn by_key(certificate: &[u8]) -> ResponderId {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let key = &certificate.public_key().subject_public_key.data;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, key);
    ResponderId::ByKey(OctetString::new(hash.as_ref()).unwrap())
}

fn by_name(certificate: &[u8]) -> ResponderId {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    ResponderId::ByName(Decode::from_der(certificate.subject().as_raw()).unwrap())
}

const fn hours(hours: i64) -> Timestamp {
    NOW.plus_ms(1000 * HOUR_S * hours)
}

#[test]
fn which_answers_are_stapled() {
    let (authority, namesake) = (Authority::new(), Authority::new());
    let (leaf, other) = (authority.leaf(Vec::new()), authority.leaf(Vec::new()));
    let good = Ok(GoodStatus {
        this_update: hours(-1),
        next_update: hours(1),
    });
    let appointed = |params: &CertificateParams, by: &Authority| {
        let key = KeyPair::generate().unwrap();
        (by.issue(params, &key), key)
    };
    let mut unmarked = responder_params();
    unmarked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut past = responder_params();
    past.not_before = (NOW.plus_ms(-1000 * HOUR_S * 48)).utc();
    past.not_after = (NOW.plus_ms(-1000 * HOUR_S)).utc();
    let mut future = responder_params();
    future.not_before = hours(1).utc();

    type Change<'a> = Box<dyn Fn(&mut ResponseBuilder) + 'a>;
    let delegated = |params: CertificateParams, by| -> Change<'_> {
        let (der, key) = appointed(&params, by);
        Box::new(move |answer| answer.signed_by(der.clone(), same(&key)))
    };
    let status = |status: CertStatus| -> Change<'_> {
        Box::new(move |answer| answer.single().cert_status = status)
    };
    let revoked = CertStatus::Revoked(RevokedInfo {
        revocation_time: at(hours(-2)),
        revocation_reason: None,
    });
    let of_other = OcspQuery::new(&other, &authority.der).unwrap().cert_id;
    let of_namesake = OcspQuery::new(&leaf, &namesake.der).unwrap().cert_id;
    let stranger = same(namesake.issuer.key());
    let table: Vec<(&str, Change<'_>, Result<GoodStatus, OcspError>)> = vec![
        ("as it should be", Box::new(|_| {}), good),
        (
            "the issuer by name",
            Box::new(|answer| answer.response_data.responder_id = by_name(&authority.der)),
            good,
        ),
        ("appointed", delegated(responder_params(), &authority), good),
        (
            "appointed, named by name",
            {
                let (der, key) = appointed(&responder_params(), &authority);
                Box::new(move |answer| {
                    answer.signed_by(der.clone(), same(&key));
                    answer.response_data.responder_id = by_name(&der);
                })
            },
            good,
        ),
        (
            "appointed, with the name of the issuer",
            {
                let mut params = responder_params();
                params.distinguished_name = named("Test Authority").distinguished_name;
                let (der, key) = appointed(&params, &authority);
                Box::new(move |answer| {
                    answer.signed_by(der.clone(), same(&key));
                    answer.response_data.responder_id = by_name(&der);
                })
            },
            good,
        ),
        (
            "not marked for it",
            delegated(unmarked, &authority),
            Err(OcspError::UnauthorizedResponder),
        ),
        (
            "no key usage at all",
            delegated(named("x"), &authority),
            Err(OcspError::UnauthorizedResponder),
        ),
        (
            "appointed in the past",
            delegated(past, &authority),
            Err(OcspError::UnauthorizedResponder),
        ),
        (
            "appointed in the future",
            delegated(future, &authority),
            Err(OcspError::UnauthorizedResponder),
        ),
        (
            "appointed by a namesake of the issuer",
            delegated(responder_params(), &namesake),
            Err(OcspError::UnauthorizedResponder),
        ),
        (
            "the signer is not enclosed",
            {
                let (der, key) = appointed(&responder_params(), &authority);
                Box::new(move |answer| {
                    answer.signed_by(der.clone(), same(&key));
                    answer.certificates.clear();
                })
            },
            Err(OcspError::UnauthorizedResponder),
        ),
        (
            "a stranger's signature",
            Box::new(|answer| answer.signer = same(&stranger)),
            Err(OcspError::BadSignature),
        ),
        (
            "a weak hash",
            Box::new(|answer| answer.algorithm = ECDSA_SHA1),
            Err(OcspError::BadSignature),
        ),
        (
            "about another leaf",
            Box::new(|answer| answer.single().cert_id = of_other.clone()),
            Err(OcspError::CertificateMismatch),
        ),
        (
            "about another issuer's leaf",
            Box::new(|answer| answer.single().cert_id = of_namesake.clone()),
            Err(OcspError::CertificateMismatch),
        ),
        (
            "about several, this one among them",
            Box::new(|answer| {
                let mut first = answer.single().clone();
                first.cert_id = of_other.clone();
                first.cert_status = revoked;
                answer.response_data.responses.insert(0, first);
            }),
            good,
        ),
        (
            "about nothing",
            Box::new(|answer| answer.response_data.responses.clear()),
            Err(OcspError::CertificateMismatch),
        ),
        (
            "a clock five minutes ahead",
            Box::new(|answer| answer.single().this_update = at(NOW.plus_ms(300_000))),
            Ok(GoodStatus {
                this_update: NOW.plus_ms(300_000),
                next_update: hours(1),
            }),
        ),
        (
            "not yet",
            Box::new(|answer| answer.single().this_update = at(NOW.plus_ms(301_000))),
            Err(OcspError::NotYetValid {
                this_update: NOW.plus_ms(301_000),
            }),
        ),
        (
            "to this second",
            Box::new(|answer| answer.single().next_update = Some(at(NOW))),
            Err(OcspError::Expired { next_update: NOW }),
        ),
        (
            "without an end",
            Box::new(|answer| answer.single().next_update = None),
            Err(OcspError::MissingNextUpdate),
        ),
        (
            "revoked",
            status(revoked),
            Err(OcspError::Revoked {
                revoked_at: hours(-2),
            }),
        ),
        (
            "unknown",
            status(CertStatus::unknown()),
            Err(OcspError::Unknown),
        ),
    ];
    let question = OcspQuery::new(&leaf, &authority.der).unwrap();
    for (what, change, expected) in table {
        let mut answer = ResponseBuilder::good(&authority, &leaf);
        change(&mut answer);
        assert_eq!(
            question.verify_response(&answer.der(), NOW),
            expected,
            "{what}"
        );
    }
}

#[test]
fn an_unsigned_revocation_is_rejected() {
    let authority = Authority::new();
    let leaf = authority.leaf(Vec::new());
    let mut answer = ResponseBuilder::good(&authority, &leaf);
    answer.single().cert_status = CertStatus::Revoked(RevokedInfo {
        revocation_time: at(hours(-2)),
        revocation_reason: None,
    });
    answer.signer = KeyPair::generate().unwrap();
    let question = OcspQuery::new(&leaf, &authority.der).unwrap();
    let judged = question.verify_response(&answer.der(), NOW);
    assert_eq!(judged, Err(OcspError::BadSignature));
}

#[test]
fn a_changed_signed_byte_is_rejected() {
    let authority = Authority::new();
    let leaf = authority.leaf(Vec::new());
    let answer = ResponseBuilder::good(&authority, &leaf).der();
    let question = OcspQuery::new(&leaf, &authority.der).unwrap();
    let good = question.verify_response(&answer, NOW);
    assert!(good.is_ok());
    for place in 0..answer.len() {
        let mut changed = answer.clone();
        changed[place] ^= 1;
        // A few octets around what is signed mean nothing.
        let judged = question.verify_response(&changed, NOW);
        assert!(judged.is_err() || judged == good, "octet {place}");
        assert!(question.verify_response(&answer[..place], NOW).is_err());
    }
}

#[test]
fn responder_errors_are_distinguished() {
    let authority = Authority::new();
    let question = OcspQuery::new(&authority.leaf(Vec::new()), &authority.der).unwrap();
    for (response, word) in [
        (OcspResponse::try_later(), "tryLater"),
        (OcspResponse::unauthorized(), "unauthorized"),
        (OcspResponse::internal_error(), "internalError"),
        (OcspResponse::malformed_request(), "malformedRequest"),
        (OcspResponse::sig_required(), "sigRequired"),
    ] {
        let judged = question.verify_response(&response.to_der().unwrap(), NOW);
        assert_eq!(judged, Err(OcspError::ResponderError(word)));
    }
}

#[test]
fn a_query_needs_the_leafs_issuer() {
    let authority = Authority::new();
    let leaf = authority.leaf(Vec::new());
    let question = OcspQuery::new(&leaf, &authority.der).unwrap();
    let request = OcspRequest::from_der(question.request()).unwrap();
    assert_eq!(
        request.tbs_request.request_list[0].req_cert,
        question.cert_id
    );
    assert!(OcspQuery::new(&leaf, &leaf).is_none());
    assert!(OcspQuery::new(b"x", &authority.der).is_none());
    assert!(OcspQuery::new(&leaf, &[]).is_none());
}

/// The extension of RFC 7633 with these features.
fn features(features: &[u8]) -> CustomExtension {
    let integers: Vec<u8> = features.iter().flat_map(|one| [2, 1, *one]).collect();
    let content = [
        &[0x30, u8::try_from(integers.len()).unwrap()][..],
        &integers,
    ]
    .concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], content)
}

/// The extension of RFC 5280 §4.2.2.1 with these addresses; those that begin with `!` are not of
/// responders but of the issuer's certificate.
fn access(addresses: &[&str]) -> CustomExtension {
    let mut all = Vec::new();
    for address in addresses {
        let (method, address) = match address.strip_prefix('!') {
            Some(address) => (2, address),
            None => (1, *address),
        };
        let mut one = vec![6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, method];
        one.extend([0x86, u8::try_from(address.len()).unwrap()]);
        one.extend(address.bytes());
        all.extend([0x30, u8::try_from(one.len()).unwrap()]);
        all.extend(one);
    }
    let content = [&[0x30, u8::try_from(all.len()).unwrap()][..], &all].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
}

#[test]
fn what_a_leaf_demands_and_names() {
    let authority = Authority::new();
    for (extensions, expected) in [
        (vec![], false),
        (vec![features(&[5])], true),
        (vec![features(&[17, 5])], true),
        (vec![features(&[17])], false),
        (vec![features(&[])], false),
    ] {
        assert_eq!(must_staple(&authority.leaf(extensions)), expected);
    }
    for (addresses, expected) in [
        (&["http://o.example/x"][..], Some("http://o.example/x")),
        (&["HTTP://o.example"], Some("HTTP://o.example")),
        (
            &["!http://ca.example", "http://o.example"],
            Some("http://o.example"),
        ),
        (
            &["https://o.example", "ldap://x", "http://b.example"],
            Some("http://b.example"),
        ),
        (&["https://o.example"], None),
        (&["!http://ca.example"], None),
        (&["http"], None),
    ] {
        let found = responder_url(&authority.leaf(vec![access(addresses)]));
        assert_eq!(found.as_deref(), expected, "{addresses:?}");
    }
    assert_eq!(responder_url(&authority.leaf(Vec::new())), None);
}

proptest! {
    #[test]
    fn arbitrary_responses_do_not_panic(bytes: Vec<u8>, place: prop::sample::Index, octet: u8) {
        static MADE: std::sync::LazyLock<(OcspQuery, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let authority = Authority::new();
            let leaf = authority.leaf(Vec::new());
            let mut answer = ResponseBuilder::good(&authority, &leaf);
            let key = KeyPair::generate().unwrap();
            answer.signed_by(authority.issue(&responder_params(), &key), key);
            (OcspQuery::new(&leaf, &authority.der).unwrap(), answer.der())
        });
        let (question, answer) = &*MADE;
        prop_assert!(question.verify_response(&bytes, NOW).is_err());
        let mut changed = answer.clone();
        let place = place.index(changed.len());
        changed[place] = octet;
        let _ = question.verify_response(&changed, NOW);
        let _ = (must_staple(&changed), responder_url(&bytes), OcspQuery::new(&bytes, &changed));
    }
}
