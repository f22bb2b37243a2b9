//! The formats, distinguished by their first bytes.

mod traditional_pem;

use cms::{
    cert::{
        CertificateChoices,
        x509::der::{AnyRef, Decode as _, Encode as _, ErrorKind},
    },
    content_info::ContentInfo,
    signed_data::SignedData,
};
use p12_keystore::{Pkcs12Archive, error::Error as Pkcs12Error};
use pem::{EncodeConfig, LineEnding, Pem};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::{
    certification_request::X509CertificationRequest, parse_x509_certificate, prelude::FromDer as _,
};

use super::{CertificateFileError, Contents, Password};

const PFX: &str = "PKCS#12 (PFX)";
const PKCS8: &str = "a private key in PKCS#8";

pub(crate) fn parse(
    bytes: &[u8],
    password: Option<&Password>,
) -> Result<Contents, CertificateFileError> {
    if is_pem(bytes) {
        return parse_pem(bytes, password);
    }
    match bytes {
        [0x30, ..] if !bytes.is_ascii() => parse_der(bytes, password),
        _ if bytes.trim_ascii().is_empty() => Err(CertificateFileError::Empty),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(CertificateFileError::Format {
            format: "text in UTF-16",
            hint: "save it as UTF-8 or ASCII; iconv -f UTF-16 -t UTF-8 converts it",
        }),
        _ if is_bare_base64(bytes) => Err(CertificateFileError::Format {
            format: "base64 without BEGIN and END lines",
            hint: "base64 -d makes DER of it, which is read",
        }),
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => {
            Err(CertificateFileError::Format {
                format: "a Java key store (JKS)",
                hint: "keytool -importkeystore -srckeystore FILE -destkeystore FILE.pfx -deststoretype PKCS12 makes a PFX \
                      of it",
            })
        }
        _ if bytes.starts_with(b"PuTTY-User-Key-File") => Err(ssh_key_error()),
        _ => Err(CertificateFileError::Unknown),
    }
}

/// Whether it contains a PEM block.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    count_begin_lines(bytes) > 0
}

/// Whether it is text of the base64 alphabet, and begins as DER of a SEQUENCE of more than 255
/// bytes does.
fn is_bare_base64(bytes: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    bytes.trim_ascii_start().starts_with(b"MII") && bytes.trim_ascii().iter().all(is_base64)
}

/// The number of PEM blocks that begin.
fn count_begin_lines(bytes: &[u8]) -> usize {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let windows = bytes.windows(BEGIN.len());
    windows.filter(|window| *window == BEGIN).count()
}

pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

const fn ssh_key_error() -> CertificateFileError {
    CertificateFileError::Format {
        format: "a key for SSH",
        hint: "a certificate has a key of its own, which the authority's client wrote beside it",
    }
}

fn parse_pem(bytes: &[u8], password: Option<&Password>) -> Result<Contents, CertificateFileError> {
    let damaged = |why: String| CertificateFileError::Damaged { format: "PEM", why };
    let blocks = pem::parse_many(bytes).map_err(|error| damaged(error.to_string()))?;
    if blocks.len() < count_begin_lines(bytes) {
        return Err(damaged("a block has no end".to_owned()));
    }
    let mut contents = Contents::default();
    let mut has_request = false;
    for block in blocks {
        let der = block.contents();
        match block.tag() {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                contents.certificates.push(der.to_vec().into());
            }
            // OpenSSL appends whom it is trusted for.
            "TRUSTED CERTIFICATE" => {
                let appended = parse_x509_certificate(der).map_or(0, |(rest, _)| rest.len());
                let der = &der[..der.len() - appended];
                contents.certificates.push(der.to_vec().into());
            }
            "ENCRYPTED PRIVATE KEY" => contents.keys.push(decrypt_pkcs8(der, password)?),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                if let Some(how) = block.headers().get("DEK-Info") {
                    contents
                        .keys
                        .push(traditional_pem::decrypt(der, how, password)?);
                    continue;
                }
                let key = PrivateKeyDer::try_from(der.to_vec());
                contents
                    .keys
                    .push(key.map_err(|why| damaged(why.to_owned()))?);
            }
            "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS" => {
                contents.certificates.extend(parse_pkcs7(der)?)
            }
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => has_request = true,
            "OPENSSH PRIVATE KEY" => return Err(ssh_key_error()),
            // Parameters, public keys, CRLs: nothing to serve.
            _ => {}
        }
    }
    if has_request && contents.is_empty() {
        return Err(CertificateFileError::SigningRequest);
    }
    Ok(contents)
}

/// The content type signedData of CMS, 1.2.840.113549.1.7.2 (RFC 5652 §5.1).
const SIGNED_DATA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
];

fn parse_der(bytes: &[u8], password: Option<&Password>) -> Result<Contents, CertificateFileError> {
    if let Ok((rest, _)) = parse_x509_certificate(bytes)
        && rest.is_empty()
    {
        return Ok(Contents {
            certificates: vec![CertificateDer::from(bytes.to_vec())],
            keys: Vec::new(),
        });
    }
    if EncryptedPrivateKeyInfoRef::try_from(bytes).is_ok() {
        let key = decrypt_pkcs8(bytes, password)?;
        return Ok(Contents::from_key(key));
    }
    if is_pkcs12(bytes) {
        return parse_pkcs12(bytes, password);
    }
    if let Ok(key) = PrivateKeyDer::try_from(bytes.to_vec()) {
        return Ok(Contents::from_key(key));
    }
    if bytes[..bytes.len().min(32)]
        .windows(SIGNED_DATA.len())
        .any(|window| window == SIGNED_DATA)
    {
        return Ok(Contents {
            certificates: parse_pkcs7(bytes)?,
            keys: Vec::new(),
        });
    }
    if X509CertificationRequest::from_der(bytes).is_ok() {
        return Err(CertificateFileError::SigningRequest);
    }
    if let Some(why) = length_error(bytes) {
        let format = "DER";
        return Err(CertificateFileError::Damaged { format, why });
    }
    Err(CertificateFileError::Format {
        format: "DER of something else than a certificate or a private key",
        hint: "openssl asn1parse -inform DER shows what",
    })
}

/// What is wrong with the length of a file of DER, which is one value.
fn length_error(bytes: &[u8]) -> Option<String> {
    match AnyRef::from_der_partial(bytes) {
        Ok((_, [])) => None,
        Ok((_, rest)) => Some(format!("{} bytes follow its end", rest.len())),
        Err(error) => matches!(error.kind(), ErrorKind::Incomplete { .. })
            .then(|| "its end is missing".to_owned()),
    }
}

/// The certificates in a PKCS#7 bundle; its signers, if any, are ignored.
fn parse_pkcs7(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
    let damaged = |why: String| CertificateFileError::Damaged {
        format: "a PKCS#7 bundle (P7B)",
        why: format!("{why}; openssl pkcs7 -inform DER -print_certs -in FILE may read it"),
    };
    let bundle = ContentInfo::from_der(bytes).and_then(|it| it.content.decode_as::<SignedData>());
    let bundle = bundle.map_err(|error| damaged(error.to_string()))?;
    let mut certificates = Vec::new();
    for choice in bundle.certificates.iter().flat_map(|all| all.0.iter()) {
        let CertificateChoices::Certificate(certificate) = choice else {
            continue;
        };
        let der = certificate.to_der();
        let der = der.map_err(|error| damaged(error.to_string()))?;
        // Keep the original encoding, since that is what the issuer signed.
        if !bytes.windows(der.len()).any(|there| there == der) {
            return Err(damaged("a certificate is not in DER".to_owned()));
        }
        certificates.push(CertificateDer::from(der));
    }
    Ok(certificates)
}

/// Whether it is a PFX (RFC 7292 §4): a SEQUENCE of version 3 and a SEQUENCE that begins with the
/// content type data, 1.2.840.113549.1.7.1.
fn is_pkcs12(bytes: &[u8]) -> bool {
    const VERSION: &[u8] = &[0x02, 0x01, 0x03, 0x30];
    const DATA: &[u8] = &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01,
    ];
    let head = &bytes[..bytes.len().min(40)];
    let has = |wanted: &[u8]| head.windows(wanted.len()).any(|window| window == wanted);
    has(VERSION) && has(DATA)
}

fn parse_pkcs12(
    bytes: &[u8],
    password: Option<&Password>,
) -> Result<Contents, CertificateFileError> {
    let given = password.map_or("", Password::as_str);
    let archive = Pkcs12Archive::from_pkcs12(bytes, given).map_err(|error| match error {
        Pkcs12Error::MacError(_) | Pkcs12Error::UnpadError | Pkcs12Error::Pkcs5Error(_) => {
            password_error(PFX, password)
        }
        other => CertificateFileError::Damaged {
            format: PFX,
            why: other.to_string(),
        },
    })?;
    let certificates = archive.certs.into_iter();
    let keys = archive.keys.into_iter();
    Ok(Contents {
        certificates: certificates
            .map(|bag| CertificateDer::from(bag.cert.as_der().to_vec()))
            .collect(),
        keys: keys
            .map(|bag| PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()).into())
            .collect(),
    })
}

fn decrypt_pkcs8(
    der: &[u8],
    password: Option<&Password>,
) -> Result<PrivateKeyDer<'static>, CertificateFileError> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| CertificateFileError::Format {
        format: "a private key in PKCS#8, damaged or encrypted by an algorithm that is not taken",
        hint: "openssl pkcs8 -topk8 -v2 aes256 converts it",
    })?;
    let Some(password) = password else {
        return Err(password_error(PKCS8, None));
    };
    // A wrong password results in invalid padding or an invalid key.
    let opened = encrypted.decrypt(password.as_str());
    let opened = opened.map_err(|_| password_error(PKCS8, Some(password)))?;
    let key = PrivateKeyDer::try_from(opened.as_bytes().to_vec());
    key.map_err(|_| password_error(PKCS8, Some(password)))
}

const fn password_error(format: &'static str, password: Option<&Password>) -> CertificateFileError {
    match password {
        None => CertificateFileError::NeedsPassword { format },
        Some(_) => CertificateFileError::WrongPassword { format },
    }
}

impl Contents {
    fn from_key(key: PrivateKeyDer<'static>) -> Self {
        Self {
            certificates: Vec::new(),
            keys: vec![key],
        }
    }

    /// Whether it contains neither certificates nor keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty()
    }
}
