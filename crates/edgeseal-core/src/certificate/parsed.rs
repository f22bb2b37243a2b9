//! One parsed certificate block, with the checks that do not depend on its position in the chain.

use rustls_pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    oid_registry::{
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_CRL_DISTRIBUTION_POINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME,
        OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, Oid, asn1_rs::oid,
    },
    prelude::FromDer as _,
    x509::X509Version,
};

use super::{
    invalid::{BlockRef, InvalidFormat, NotACa},
    signature,
    subject::short_name,
};
use crate::Timestamp;

/// A certificate of the upload.
pub(super) struct ParsedCertificate<'a> {
    /// Block number, from 1.
    pub(super) block: usize,
    pub(super) der: &'a [u8],
    pub(super) x509: X509Certificate<'a>,
    /// Its subject key identifier, if any (RFC 5280 §4.2.1.2).
    subject_key_id: Option<&'a [u8]>,
    /// Its authority key identifier, if any (RFC 5280 §4.2.1.1).
    authority_key_id: Option<&'a [u8]>,
    ca: Result<(), NotACa>,
}

/// The extensions that validation reads, and their names in errors.
const CHECKED_EXTENSIONS: [(Oid<'static>, &str); 5] = [
    (OID_X509_EXT_SUBJECT_ALT_NAME, "subjectAltName"),
    (OID_X509_EXT_BASIC_CONSTRAINTS, "basicConstraints"),
    (OID_X509_EXT_KEY_USAGE, "keyUsage"),
    (OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, "subjectKeyIdentifier"),
    (
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
        "authorityKeyIdentifier",
    ),
];

/// Extensions of a leaf that may be critical: those that the TLS library reads.
const SERVABLE_EXTENSIONS: [Oid<'static>; 6] = [
    OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_NAME_CONSTRAINTS,
    OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE,
];

/// Most characters of an object identifier in errors; none that is in use is that long.
const OID_SHOWN_MAX: usize = 64;

/// The extension of a precertificate, which no TLS client accepts (RFC 6962 §3.1).
const PRECERTIFICATE_POISON: Oid<'static> = oid!(1.3.6.1.4.1.11129.2.4.3);

impl<'a> ParsedCertificate<'a> {
    /// Checks that the TLS library accepts it as a leaf: the library knows fewer extensions, and
    /// refuses unknown critical ones (RFC 5280 §4.2).
    pub(super) fn check_servable(&self) -> Result<(), InvalidFormat> {
        let der = CertificateDer::from_slice(self.der);
        let Err(error) = webpki::EndEntityCert::try_from(&der) else {
            return Ok(());
        };
        let certificate = self.block_ref();
        if self
            .x509
            .extensions_map()
            .is_ok_and(|all| all.contains_key(&PRECERTIFICATE_POISON))
        {
            return Err(InvalidFormat::Precertificate { certificate });
        }
        let mut extensions = self.x509.extensions().iter();
        let unknown =
            extensions.find(|one| one.critical && !SERVABLE_EXTENSIONS.contains(&one.oid));
        Err(match (error, unknown) {
            (webpki::Error::UnsupportedCriticalExtension, Some(unknown)) => {
                let mut oid = unknown.oid.to_id_string();
                oid.truncate(OID_SHOWN_MAX);
                InvalidFormat::CriticalExtension { certificate, oid }
            }
            (error, _) => InvalidFormat::Unservable {
                certificate,
                reason: error.to_string(),
            },
        })
    }

    /// Whether its key may sign in handshakes: digitalSignature, unless it has no key usage
    /// (RFC 5280 §4.2.1.3).
    pub(super) fn may_sign_handshakes(&self) -> bool {
        let usage = self.x509.key_usage().ok().flatten();
        usage.is_none_or(|usage| usage.value.digital_signature())
    }

    /// Whether it is for TLS servers: serverAuth, unless it has no extended key usage (RFC 5280
    /// §4.2.1.12).
    pub(super) fn is_for_servers(&self) -> bool {
        let usage = self.x509.extended_key_usage().ok().flatten();
        usage.is_none_or(|usage| usage.value.server_auth)
    }

    /// Parses the certificate of block `block`: X.509 version 3, no trailing bytes, well-formed
    /// extensions. Its signature is checked later, once its position in the chain is known.
    pub(super) fn parse(block: usize, der: &'a [u8]) -> Result<Self, InvalidFormat> {
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| InvalidFormat::NotX509 { block })?;
        if !rest.is_empty() {
            let bytes = rest.len();
            return Err(InvalidFormat::TrailingBytes { block, bytes });
        }
        let mut parsed = Self {
            block,
            der,
            x509,
            subject_key_id: None,
            authority_key_id: None,
            ca: Err(NotACa::BasicConstraints),
        };
        parsed.check_version()?;
        parsed.read_extensions()?;
        if parsed.x509.signature_algorithm != parsed.x509.signature {
            let certificate = parsed.block_ref();
            return Err(InvalidFormat::AlgorithmsDiffer { certificate });
        }
        Ok(parsed)
    }

    fn check_version(&self) -> Result<(), InvalidFormat> {
        if self.x509.version() == X509Version::V3 {
            return Ok(());
        }
        Err(InvalidFormat::Version {
            certificate: self.block_ref(),
            version: self.x509.version().0.saturating_add(1), // counted from 0 in DER
        })
    }

    fn read_extensions(&mut self) -> Result<(), InvalidFormat> {
        let (mut is_ca, mut may_sign) = (false, true);
        for (oid, name) in &CHECKED_EXTENSIONS {
            let unsound = || InvalidFormat::Extension {
                certificate: self.block_ref(),
                extension: name,
            };
            let found = self.x509.get_extension_unique(oid);
            let Some(extension) = found.map_err(|_| unsound())? else {
                continue;
            };
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => is_ca = constraints.ca,
                ParsedExtension::KeyUsage(usage) => may_sign = usage.key_cert_sign(),
                ParsedExtension::SubjectKeyIdentifier(key) => self.subject_key_id = Some(key.0),
                ParsedExtension::AuthorityKeyIdentifier(issuer) => {
                    self.authority_key_id = issuer.key_identifier.as_ref().map(|key| key.0);
                }
                ParsedExtension::SubjectAlternativeName(_) => {}
                _ => return Err(unsound()),
            }
        }
        self.ca = match (is_ca, may_sign) {
            (false, _) => Err(NotACa::BasicConstraints),
            (true, false) => Err(NotACa::KeyUsage),
            (true, true) => Ok(()),
        };
        Ok(())
    }

    /// Refuses a signature with a broken hash.
    pub(super) fn check_signature_hash(&self) -> Result<(), InvalidFormat> {
        match signature::weak_hash(&self.x509.signature_algorithm) {
            None => Ok(()),
            Some(hash) => Err(InvalidFormat::WeakSignature {
                certificate: self.block_ref(),
                hash,
            }),
        }
    }

    /// Checks that it is a CA (RFC 5280 §4.2.1.9 and §4.2.1.3).
    pub(super) const fn check_ca(&self) -> Result<(), NotACa> {
        self.ca
    }

    /// Whether its subject equals the issuer name of `child`. Names are compared byte by byte, as
    /// TLS libraries do.
    pub(super) fn is_named_issuer_of(&self, child: &Self) -> bool {
        self.x509.subject().as_raw() == child.x509.issuer().as_raw()
    }

    /// Whether it is a root: self-issued, according to names and key identifiers. The signature of
    /// a root on itself proves nothing and is not verified.
    pub(super) fn is_self_issued(&self) -> bool {
        self.is_named_issuer_of(self) && self.key_id_match(self) != KeyIdMatch::Mismatch
    }

    /// Compares the key identifiers of this certificate, as the issuer, and `child`.
    pub(super) fn key_id_match(&self, child: &Self) -> KeyIdMatch {
        match (child.authority_key_id, self.subject_key_id) {
            (Some(wanted), Some(own)) if wanted == own => KeyIdMatch::Match,
            (Some(_), Some(_)) => KeyIdMatch::Mismatch,
            _ => KeyIdMatch::Unknown,
        }
    }

    /// Whether it says where its issuer's certificate is available (RFC 5280 §4.2.2.1).
    pub(super) fn has_ca_issuers_url(&self) -> bool {
        const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
        let mut extensions = self.x509.extensions().iter();
        extensions.any(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => access
                .iter()
                .any(|one| one.access_method.to_id_string() == CA_ISSUERS),
            _ => false,
        })
    }

    /// The first second of its validity.
    pub(super) fn not_before(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.x509.validity().not_before.timestamp())
    }

    /// The last second of its validity (RFC 5280 §4.1.2.5: inclusive).
    pub(super) fn not_after(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.x509.validity().not_after.timestamp())
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        now.unix_seconds() > self.not_after().unix_seconds()
    }

    pub(super) fn is_not_yet_valid(&self, now: Timestamp) -> bool {
        now < self.not_before()
    }

    /// How errors identify it.
    pub(super) fn block_ref(&self) -> BlockRef {
        BlockRef {
            block: self.block,
            subject: short_name(self.x509.subject()),
        }
    }
}

/// How the key identifiers of an issuer and its child compare, best first. They are hints: the
/// signature decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyIdMatch {
    /// The identifiers match.
    Match,
    /// At least one identifier is missing.
    Unknown,
    /// The identifiers differ.
    Mismatch,
}
